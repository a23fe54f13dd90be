//! `MediaInfo` + [`Options`] -> [`Verdict`]: what becomes of each stream, decided
//! before a frame is decoded. Pure: no I/O, no clock, no look at the libraries.
//!
//! Every stream of the source has exactly one entry in a [`Plan`], in the
//! source's order, with what becomes of it and why in words a user understands.

mod audio;
mod dolby_vision;
mod fit;
mod options;
mod other;
mod reason;
mod video;

use serde::{Deserialize, Serialize};

pub use self::audio::{AudioSettings, default_bitrate_kbps};
pub use self::options::{Allow, BitDepth, EncoderLimits, Options};
pub use self::reason::{RejectReason, SkipReason};
pub use self::video::{VideoFilter, VideoSettings};

use crate::container::Container;
use crate::media::{Disposition, MediaInfo, StreamInfo, StreamKind};
use crate::units::TimeBase;

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It is worth encoding, like so.
    Transcode(Plan),
    /// Nothing is wrong with it, and it is left alone.
    Skip {
        /// Why.
        reason: SkipReason,
    },
    /// It cannot be encoded.
    Reject {
        /// Why.
        reason: RejectReason,
    },
}

/// What becomes of each stream of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The container of the output.
    #[serde(default)]
    pub container: Container,
    /// One entry for each source stream, in the source's order.
    pub streams: Vec<StreamPlan>,
    /// Added to every timestamp, in milliseconds (the unit of the output's
    /// timestamps). Not zero only where the source starts before zero, which
    /// Matroska cannot hold, or on a broadcast clock far from zero.
    pub timestamp_shift_ms: i64,
    /// Frames of video to expect, by what the container declares.
    pub estimated_frames: Option<u64>,
    /// The largest output that saves as much as is asked for
    /// ([`Options::min_saving_percent`]), in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_bytes: Option<u64>,
}

/// What becomes of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamPlan {
    /// Index of the stream in the source.
    pub index: usize,
    /// What becomes of it.
    #[serde(flatten)]
    pub action: Action,
    /// Why, for a user to read.
    pub reason: String,
}

/// What becomes of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a file has a handful of streams, and one of them is its video"
)]
#[non_exhaustive]
pub enum Action {
    /// Encoded to AV1.
    EncodeVideo(VideoSettings),
    /// Encoded to Opus.
    EncodeAudio(AudioSettings),
    /// Its packets are copied.
    Copy,
    /// Text subtitles of another format become the container's own: SRT in Matroska,
    /// mov_text in MP4.
    ConvertSubtitle,
    /// Kept as an attached file.
    Attach {
        /// Name of the attached file.
        file_name: String,
        /// Media type of the attached file.
        mime_type: String,
    },
    /// Not in the output.
    Drop,
}

/// Decides what becomes of a file.
///
/// ```
/// use av1core::{Options, Verdict};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/media/bbb-attachment.mkv");
/// let info = av1core::probe(path)?;
/// let Verdict::Transcode(plan) = av1core::plan(&info, &Options::default()) else {
///     panic!("left alone");
/// };
/// for stream in &plan.streams {
///     println!("stream {}: {}", stream.index, stream.reason);
/// }
/// assert_eq!(plan.streams.len(), info.streams.len());
/// # Ok::<(), av1core::Error>(())
/// ```
#[must_use]
pub fn plan(info: &MediaInfo, options: &Options) -> Verdict {
    let Some(video) = info.main_video() else {
        return Verdict::Reject {
            reason: RejectReason::NoVideo,
        };
    };
    // libavformat's name for each format of a single picture, such as `png_pipe`.
    if info.container.ends_with("_pipe") {
        let codec = video.codec.clone();
        return Verdict::Skip {
            reason: SkipReason::StillPicture { codec },
        };
    }
    if let Some(reason) = reject_reason(info, video.index) {
        return Verdict::Reject { reason };
    }
    let streams: Result<Vec<_>, SkipReason> = info
        .streams
        .iter()
        .map(|stream| {
            let (action, mut reason) = match &stream.kind {
                StreamKind::Video(_) if stream.disposition.attached_picture => other::cover(stream),
                StreamKind::Video(facts) if stream.index == video.index => {
                    video::settings(stream, facts, options)?
                }
                StreamKind::Video(facts) => other::further_video(stream, facts),
                StreamKind::Audio(_) if stream.is_empty => other::empty_sound(stream),
                StreamKind::Audio(facts) => audio::settings(stream, facts, options),
                StreamKind::Subtitle(facts) => other::subtitle(stream, *facts),
                StreamKind::Attachment(facts) => other::attachment(stream, facts),
                StreamKind::Data => other::data(stream, !info.chapters.is_empty()),
            };
            if action != Action::Drop {
                reason.push_str(&lost_roles(stream));
            }
            Ok(StreamPlan {
                index: stream.index,
                action,
                reason,
            })
        })
        .collect();
    let container = options.container;
    let streams = streams.and_then(|mut streams| match container {
        Container::Matroska => Ok(streams),
        Container::Mp4 => fit::to_mp4(&mut streams, info).map(|()| streams),
    });
    match streams {
        Ok(streams) => Verdict::Transcode(Plan {
            container,
            streams,
            timestamp_shift_ms: timestamp_shift_ms(info),
            estimated_frames: video::estimated_frames(video, info.duration_us),
            most_bytes: options
                .min_saving_percent
                .map(|saving| saving.most_bytes(info.size_bytes)),
        }),
        Err(reason) => Verdict::Skip { reason },
    }
}

fn reject_reason(info: &MediaInfo, video_index: usize) -> Option<RejectReason> {
    let needed = |s: &&StreamInfo| s.video().is_some() || s.audio().is_some();
    for stream in info.streams.iter().filter(needed) {
        let index = stream.index;
        if stream.encrypted {
            return Some(RejectReason::Encrypted { index });
        }
        // The film itself; a further video that nobody can play may be dropped.
        let is_film = index == video_index || stream.audio().is_some();
        let is_copied = index != video_index && stream.matroska_holds;
        if !stream.decodable && is_film && !is_copied {
            return Some(RejectReason::UnknownCodec {
                index,
                codec: stream.codec.clone(),
            });
        }
        if stream.is_unknown_sound() && !stream.is_empty {
            return Some(RejectReason::NoSound { index });
        }
    }
    let first_frame = info.streams[video_index].video()?.first_frame_ticks;
    first_frame
        .is_none()
        .then_some(RejectReason::NoFrame { index: video_index })
}

/// A start further from zero than this is a broadcast clock, not an offset that
/// means something. Matroska has no start time: libavformat's muxer would write it
/// into the duration, and a film of ten seconds would be shown as one of a day.
const LARGEST_KEPT_START_US: i64 = 5_000_000;

/// The earliest that a player starts an Opus stream before its first heard sample:
/// 80 ms, what RFC 7845 (section 4.2) recommends as the most an encoder needs.
const OPUS_PRE_SKIP_US: i64 = -80_000;

/// The shift that makes every timestamp of the output one that Matroska holds.
fn timestamp_shift_ms(info: &MediaInfo) -> i64 {
    let earliest_us = info
        .streams
        .iter()
        .filter_map(|stream| match &stream.kind {
            StreamKind::Video(_) if stream.disposition.attached_picture => None,
            StreamKind::Video(video) => video
                .first_frame_ticks
                .map(|ticks| stream.time_base.micros(ticks))
                .or(stream.start_us),
            // Opus starts with samples that are not heard; Matroska knows of them.
            StreamKind::Audio(_) if stream.codec == "opus" => {
                stream.start_us.map(|start| match start {
                    OPUS_PRE_SKIP_US..0 => 0,
                    other => other,
                })
            }
            StreamKind::Audio(_) => stream.start_us,
            _ => None,
        })
        .min()
        .unwrap_or(0);
    if (0..=LARGEST_KEPT_START_US).contains(&earliest_us) {
        0
    } else {
        TimeBase::MICROS
            .rescale(earliest_us, TimeBase::MILLIS)
            .saturating_neg()
    }
}

/// What a stream is said to be for that its track in the output does not say; seen by
/// reading back what libavformat's muxer writes (5.1.9).
fn lost_roles(stream: &StreamInfo) -> String {
    let role = stream.disposition;
    // Matroska says "original" by a flag that is 1 and "dub" by one that is 0.
    let both = role.original && role.dub;
    let is_subtitle = matches!(stream.kind, StreamKind::Subtitle(_));
    let lost: Vec<_> = [
        (both, "original and dub at once"),
        (role.captions, "captions"),
        (role.clean_effects, "clean effects"),
        (role.dependent, "dependent"),
        (role.descriptions && !is_subtitle, "descriptions"),
        (role.karaoke, "karaoke"),
        (role.lyrics, "lyrics"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect();
    if lost.is_empty() {
        return String::new();
    }
    let lost = lost.join(", ");
    format!("; its role ({lost}) is not carried, for want of a flag in Matroska")
}

/// The words for a stream's role, to put into a reason.
fn role(disposition: Disposition) -> &'static str {
    match disposition {
        d if d.commentary => "commentary ",
        d if d.forced => "forced ",
        d if d.hearing_impaired => "hearing-impaired ",
        _ => "",
    }
}

#[cfg(test)]
pub(crate) mod tests;
