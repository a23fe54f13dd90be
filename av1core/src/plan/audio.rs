//! What becomes of an audio stream.

use serde::{Deserialize, Serialize};

use super::options::Options;
use super::{Action, role};
use crate::media::{AudioInfo, StreamInfo};

/// How an audio track is encoded. The output is always 48 kHz, what Opus decodes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AudioSettings {
    /// Bit rate in kbit/s.
    pub bitrate_kbps: u32,
    /// Number of channels; never fewer than the source has.
    pub channels: u32,
    /// Channel layout of the output by libavutil. `None` keeps the channels apart
    /// without a meaning (Opus mapping family 255), for layouts Opus has no order for.
    pub layout: Option<String>,
}

/// What libopus takes at most (libopusenc.c, `libopus_encode_init`).
const MOST_KBPS_PER_CHANNEL: u32 = 256;

pub(super) fn settings(
    stream: &StreamInfo,
    audio: &AudioInfo,
    options: &Options,
) -> (Action, String) {
    let role = role(stream.disposition);
    if stream.codec == "opus" {
        return (Action::Copy, format!("{role}audio is Opus already: copied"));
    }
    if !stream.decodable {
        let reason = format!(
            "{role}{}: there is no decoder for it here, copied as it is",
            stream.codec
        );
        return (Action::Copy, reason);
    }
    let layout = opus_layout(audio);
    let settings = AudioSettings {
        bitrate_kbps: options
            .audio_bitrate_kbps
            .unwrap_or_else(|| default_bitrate_kbps(audio.channels))
            .min(MOST_KBPS_PER_CHANNEL * audio.channels.min(255)),
        channels: audio.channels,
        layout: layout.map(ToOwned::to_owned),
    };
    let kept = match layout {
        Some(same) if same == audio.layout => format!("{same} kept"),
        Some(other) => format!(
            "{} kept as {other}, which Opus has an order for",
            audio.layout
        ),
        None => format!(
            "{} channels kept apart: Opus has no order for {}",
            audio.channels, audio.layout
        ),
    };
    let begins = audio.begins_as.as_ref().map_or_else(String::new, |first| {
        format!("; it begins with {first} and grows within the stream")
    });
    let reason = format!(
        "{role}{} becomes Opus at {} kbit/s, {kept}{begins}",
        stream.codec, settings.bitrate_kbps
    );
    (Action::EncodeAudio(settings), reason)
}

/// The layout in Opus's own set (RFC 7845, section 5.1.1.2) that names the same
/// speakers: layouts that differ only in calling the surrounds side or back are
/// one to Opus. `5.1(side)` fails in libopus's wrapper as it is (jellyfin-ffmpeg#248).
fn opus_layout(audio: &AudioInfo) -> Option<&'static str> {
    Some(match (audio.channels, audio.layout.as_str()) {
        (1, _) => "mono",
        (2, "stereo" | "downmix" | "") => "stereo",
        (2, unnamed) if unnamed.starts_with("2 channels") => "stereo",
        (3, "3.0") => "3.0",
        (4, "quad" | "quad(side)") => "quad",
        (5, "5.0" | "5.0(side)") => "5.0",
        (6, "5.1" | "5.1(side)") => "5.1",
        (7, "6.1") => "6.1",
        (8, "7.1") => "7.1",
        _ => return None,
    })
}

/// The bit rate in kbit/s at which Opus is taken to be transparent for a film's
/// sound: Xiph's "Opus Recommended Settings" gives 64 to 128 for stereo music, 128
/// to 256 for 5.1 and 256 to 450 for 7.1; we take the upper half, since the track
/// replaces its source. Other counts follow by 48 a channel, as opusenc's
/// per-stream defaults do.
#[must_use]
pub fn default_bitrate_kbps(channels: u32) -> u32 {
    match channels {
        0 | 1 => 80,
        2 => 128,
        6 => 256,
        8 => 384,
        n => 48 * n.min(255),
    }
}
