//! A plan is made for Matroska, which holds everything; here it is made to fit MP4.

use super::{Action, SkipReason, StreamPlan};
use crate::media::{MediaInfo, StreamInfo, StreamKind};

/// Pictures that MP4 has a type for (movenc.c, `is_cover_image`).
const COVERS: [&str; 3] = ["bmp", "mjpeg", "png"];

/// Text without styles of its own, which mov_text says as well.
const PLAIN_TEXT: [&str; 3] = ["subrip", "text", "webvtt"];

/// Changes what MP4 holds in another form.
///
/// # Errors
///
/// [`SkipReason::DoesNotFit`] for the first stream that MP4 cannot hold.
pub(super) fn to_mp4(streams: &mut [StreamPlan], info: &MediaInfo) -> Result<(), SkipReason> {
    for planned in streams {
        let Some(stream) = info.streams.get(planned.index) else {
            continue;
        };
        let changed = match &planned.action {
            Action::Copy | Action::ConvertSubtitle => match &stream.kind {
                StreamKind::Subtitle(_) => Some(subtitle(stream)?),
                _ if stream.codec == "opus" => None,
                _ => return Err(does_not_fit(stream, format!("{} as it is", stream.codec))),
            },
            Action::Attach { .. } => Some(cover(stream)?),
            _ => None,
        };
        if let Some((action, reason)) = changed {
            planned.action = action;
            planned.reason = reason;
        }
    }
    Ok(())
}

fn subtitle(stream: &StreamInfo) -> Result<(Action, String), SkipReason> {
    let codec = stream.codec.as_str();
    let role = super::role(stream.disposition);
    if codec == "mov_text" {
        Ok((Action::Copy, format!("{role}mov_text subtitles: kept")))
    } else if PLAIN_TEXT.contains(&codec) {
        let reason = format!("{role}{codec} subtitles become mov_text, which MP4 holds");
        Ok((Action::ConvertSubtitle, reason))
    } else {
        Err(does_not_fit(stream, format!("{codec} subtitles")))
    }
}

fn cover(stream: &StreamInfo) -> Result<(Action, String), SkipReason> {
    if stream.disposition.attached_picture && COVERS.contains(&stream.codec.as_str()) {
        Ok((Action::Copy, "cover art: kept".to_owned()))
    } else {
        Err(does_not_fit(stream, "attached files".to_owned()))
    }
}

fn does_not_fit(stream: &StreamInfo, what: String) -> SkipReason {
    SkipReason::DoesNotFit {
        index: stream.index,
        what,
    }
}
