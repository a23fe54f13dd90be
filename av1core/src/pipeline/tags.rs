//! Tags of the output: the source's, but for those that are no longer true.

use super::encoder_name;
use crate::ffi::used_preset;
use crate::media::{MediaInfo, Tags};
use crate::plan::VideoSettings;

/// The settings that made the stream, for whoever finds the file later.
pub(super) fn encoder_tag(settings: &VideoSettings) -> String {
    format!(
        "av1core {} libsvtav1 ({}) preset={} crf={}",
        env!("CARGO_PKG_VERSION"),
        encoder_name(),
        used_preset(settings.preset),
        settings.crf.get()
    )
}

/// The video encoder of a film of ours, by that tag.
pub(crate) fn encoder_of(info: &MediaInfo) -> String {
    let tags = info.main_video().into_iter().flat_map(|video| &video.tags);
    let named = tags
        .filter(|(key, _)| key.eq_ignore_ascii_case("encoder"))
        .find_map(|(_, made)| {
            let (_, rest) = made.strip_prefix("av1core ")?.split_once(" libsvtav1 (")?;
            Some(rest.rsplit_once(") preset=")?.0.to_owned())
        });
    named.unwrap_or_else(|| "an unknown encoder".to_owned())
}

/// Tags that say how the source was made or muxed, which is no longer true.
const STALE_TAGS: [&str; 9] = [
    "bps",
    "compatible_brands",
    "duration",
    "encoder",
    "major_brand",
    "minor_version",
    "number_of_bytes",
    "number_of_frames",
    "vendor_id",
];

/// The zero of Unix's clock is what muxers write that know no date.
fn is_no_date(key: &str, value: &str) -> bool {
    key.eq_ignore_ascii_case("creation_time") && value.starts_with("1970-01-01T00:00:00")
}

fn is_stale(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // mkvmerge's statistics come with a language behind the key (`BPS-eng`).
    let name = key.split('-').next().unwrap_or(&key);
    name.starts_with("_statistics") || STALE_TAGS.contains(&name)
}

/// The tags of a file or stream that still hold when it is encoded anew.
pub(crate) fn kept_tags(tags: &Tags) -> Tags {
    let kept = tags
        .iter()
        .filter(|(key, value)| !is_stale(key) && !is_no_date(key, value));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_the_old_stream_are_not_kept() {
        for stale in [
            "BPS",
            "BPS-eng",
            "DURATION",
            "_STATISTICS_TAGS-eng",
            "encoder",
        ] {
            assert!(is_stale(stale), "{stale}");
        }
        for kept in ["title", "language", "creation_time", "bps_note"] {
            assert!(!is_stale(kept), "{kept}");
        }
    }
}
