//! What the output holds beside its video, by arithmetic.

use super::estimate::{Estimate, sound};
use super::walk::Walk;
use crate::container::Container;
use crate::ffi::{OPUS_FRAME_SAMPLES, OPUS_RATE_HZ};
use crate::media::{MediaInfo, StreamKind};
use crate::pipeline::Sampled;
use crate::plan::{Action, Plan};

/// A header with its tracks, void and index of what is where, as libavformat's
/// Matroska muxer writes it for two tracks (5.1.9): 1 to 2 kB.
const FILE_OVERHEAD_BYTES: u64 = 1500;

/// A block's header in Matroska: its id, its length in two bytes, the track, the time in
/// two, flags. What a packet takes in MP4's tables comes to about as much.
const PACKET_OVERHEAD_BYTES: u64 = 7;

/// libopus codes at a variable rate that meets the asked one on average over music and
/// speech of all kinds; a single film may lie off by so much (a share, as a standard
/// deviation), and silence far below. Only where no sound was sampled.
const OPUS_RATE_ERROR: f64 = 0.1;

/// Everything but the video's packets.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest {
    /// What is known to the byte, or nearly so.
    pub(super) fixed_bytes: u64,
    /// Sound that is encoded, track by track.
    pub(super) sound: Vec<Estimate>,
}

impl Rest {
    /// Adds up all but the video, of which the output has `frames`.
    pub(super) fn of(
        (info, plan): (&MediaInfo, &Plan),
        walk: &Walk,
        sampled: &[Sampled],
        frames: f64,
    ) -> Self {
        let mut rest = Self::default();
        let mut packets = frames as u64;
        for (planned, stream) in plan.streams.iter().zip(&info.streams) {
            let weight = walk.streams[stream.index];
            match &planned.action {
                Action::EncodeAudio(settings) => {
                    let seconds = weight.length_us.max(0) as f64 / 1e6;
                    let each = OPUS_FRAME_SAMPLES as f64 / f64::from(OPUS_RATE_HZ);
                    let film_packets = (seconds / each).ceil();
                    packets += film_packets as u64;
                    let track = rest.sound.len();
                    let heard: Vec<_> = sampled
                        .iter()
                        .filter_map(|sampled| sampled.sound.get(track).copied())
                        .collect();
                    let by_rate = || {
                        let value = f64::from(settings.bitrate_kbps) * 125.0 * seconds;
                        Estimate {
                            value,
                            variance: (value * OPUS_RATE_ERROR).powi(2),
                            freedom: f64::INFINITY,
                        }
                    };
                    let estimate = sound(&heard, film_packets).unwrap_or_else(by_rate);
                    rest.sound.push(estimate);
                }
                Action::Copy | Action::ConvertSubtitle => {
                    packets += weight.packets;
                    rest.fixed_bytes += weight.bytes;
                }
                Action::Attach { .. } => {
                    rest.fixed_bytes += match &stream.kind {
                        StreamKind::Attachment(attached) => attached.size_bytes,
                        _ => weight.bytes,
                    };
                }
                Action::EncodeVideo(_) | Action::Drop => {}
            }
        }
        rest.fixed_bytes += overhead_bytes(plan.container, packets);
        rest
    }
}

fn overhead_bytes(container: Container, packets: u64) -> u64 {
    match container {
        Container::Matroska | Container::Mp4 => {
            FILE_OVERHEAD_BYTES + packets * PACKET_OVERHEAD_BYTES
        }
    }
}
