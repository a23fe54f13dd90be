//! What becomes of subtitles, attachments, cover art and data.

use super::{Action, role};
use crate::media::{AttachmentInfo, Orientation, StreamInfo, SubtitleInfo, VideoInfo};

/// A video beside the film (another angle, a preview): kept as it is.
pub(super) fn further_video(stream: &StreamInfo, video: &VideoInfo) -> (Action, String) {
    let codec = &stream.codec;
    if !stream.matroska_holds {
        let reason = format!("further video ({codec}): Matroska cannot hold it");
        return (Action::Drop, reason);
    }
    let mut reason = format!("further video ({codec}): copied as it is, only one is encoded");
    if video.orientation != Orientation::default() {
        reason.push_str("; its turn is not carried");
    }
    (Action::Copy, reason)
}

pub(super) fn subtitle(stream: &StreamInfo, subtitle: SubtitleInfo) -> (Action, String) {
    let subtitles = format!("{}{} subtitles", role(stream.disposition), stream.codec);
    if stream.matroska_holds {
        (Action::Copy, format!("{subtitles}: kept"))
    } else if !subtitle.text {
        (
            Action::Drop,
            format!("{subtitles}: Matroska cannot hold them"),
        )
    } else if stream.decodable {
        (
            Action::ConvertSubtitle,
            format!("{subtitles} become SRT, which Matroska holds"),
        )
    } else {
        let reason = format!(
            "{subtitles}: Matroska cannot hold them, and there is no decoder to make SRT of them"
        );
        (Action::Drop, reason)
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

/// Sound that is declared and not there (a broadcast's second language, switched off).
pub(super) fn empty_sound(stream: &StreamInfo) -> (Action, String) {
    let reason = format!("{}: declared, and the file holds none of it", stream.codec);
    (Action::Drop, reason)
}

pub(super) fn data(stream: &StreamInfo, has_chapters: bool) -> (Action, String) {
    let codec = match stream.codec.as_str() {
        "none" => "unknown",
        known => known,
    };
    (
        Action::Drop,
        if codec == "bin_data" && has_chapters {
            // QuickTime's chapters are a track of text (movenc.c, `mov_create_chapter_track`).
            "the chapters' own track: the chapters are kept".to_owned()
        } else {
            format!("data stream ({codec}): Matroska has no place for it")
        },
    )
}
