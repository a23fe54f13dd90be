//! What becomes of subtitles, attachments, cover art and data.

use super::{Action, role};
use crate::media::{AttachmentInfo, StreamInfo};

/// Subtitle codecs that Matroska has an id for (its codec registry) and that
/// libavformat's muxer writes.
const MATROSKA_SUBTITLES: [&str; 8] = [
    "ass",
    "dvb_subtitle",
    "dvd_subtitle",
    "hdmv_pgs_subtitle",
    "hdmv_text_subtitle",
    "ssa",
    "subrip",
    "webvtt",
];

pub(super) fn subtitle(stream: &StreamInfo) -> (Action, String) {
    let codec = stream.codec.as_str();
    let role = role(stream.disposition);
    if MATROSKA_SUBTITLES.contains(&codec) {
        (Action::Copy, format!("{role}{codec} subtitles: kept"))
    } else if codec == "mov_text" {
        (
            Action::ConvertSubtitle,
            format!("{role}mov_text subtitles become SRT, which Matroska holds"),
        )
    } else {
        (
            Action::Drop,
            format!("{role}{codec} subtitles: Matroska cannot hold them"),
        )
    }
}

pub(super) fn attachment(stream: &StreamInfo, facts: &AttachmentInfo) -> (Action, String) {
    let file_name = facts
        .file_name
        .clone()
        .unwrap_or_else(|| format!("attachment-{}", stream.index));
    let mime_type = facts
        .mime_type
        .clone()
        .unwrap_or_else(|| "application/octet-stream".to_owned());
    let reason = format!("attached file {file_name}: kept");
    (
        Action::Attach {
            file_name,
            mime_type,
        },
        reason,
    )
}

/// Cover art becomes an attached file, which is what Matroska's specification
/// ("Cover Art") asks for; FFmpeg 5.1's muxer would write it as a second video track.
pub(super) fn cover(stream: &StreamInfo) -> (Action, String) {
    let (extension, mime_type) = match stream.codec.as_str() {
        "mjpeg" => ("jpg", "image/jpeg"),
        "png" => ("png", "image/png"),
        "bmp" => ("bmp", "image/bmp"),
        "gif" => ("gif", "image/gif"),
        "webp" => ("webp", "image/webp"),
        other => {
            return (
                Action::Drop,
                format!("cover art in a format with no media type ({other})"),
            );
        }
    };
    let file_name = stream
        .tags
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("filename"))
        .map_or_else(|| format!("cover.{extension}"), |(_, name)| name.clone());
    let reason = "cover art: kept as an attached file".to_owned();
    (
        Action::Attach {
            file_name,
            mime_type: mime_type.to_owned(),
        },
        reason,
    )
}

pub(super) fn data(stream: &StreamInfo) -> (Action, String) {
    let codec = match stream.codec.as_str() {
        "none" => "unknown",
        known => known,
    };
    (
        Action::Drop,
        format!("data stream ({codec}): Matroska has no place for it"),
    )
}
