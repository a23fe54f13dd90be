//! What `probe` says of each clip of `tests/media`, held against a file in
//! `tests/golden/probe`. `UPDATE_GOLDEN=1` writes them anew; look at the difference
//! before committing it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::golden::differences;
use crate::support::{tests_folder, watched};

/// Facts that the versions of FFmpeg tell differently: names of profiles, rates that
/// libavformat guesses, durations that it estimates.
const VARYING: [&str; 6] = [
    "bit_rate_bps",
    "decodable",
    "declared_frames",
    "matroska_holds",
    "nominal_frame_rate",
    "profile",
];

/// Most that the versions differ by in the length of a whole MP4 file with edit lists
/// (one clip is 980 ms long to FFmpeg 5.1 and 1,043 ms to 7.1); the streams' lengths
/// are the same.
const VARYING_LENGTH_US: u64 = 100_000;

/// Takes the expected length of the whole file for the found one where they differ
/// as the versions do.
fn level_length(expected: &Value, found: &mut Value) {
    if let (Some(a), Some(b)) = (
        expected["duration_us"].as_u64(),
        found["duration_us"].as_u64(),
    ) && a.abs_diff(b) <= VARYING_LENGTH_US
    {
        found["duration_us"] = a.into();
    }
}

/// The clips that can be opened.
fn clips() -> Vec<PathBuf> {
    let mut clips: Vec<_> = fs::read_dir(tests_folder().join("media"))
        .expect("tests/media")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|e| e != "md"))
        .collect();
    clips.sort();
    clips
}

/// The facts as JSON, without what varies.
fn facts(clip: &Path) -> Value {
    let info = av1core::probe(clip).unwrap_or_else(|error| panic!("{error:?}"));
    let mut facts = serde_json::to_value(info).expect("JSON");
    let stable = facts["container"] != "mpegts" && facts["container"] != "mpeg";
    for stream in facts["streams"].as_array_mut().expect("streams") {
        let stream = stream.as_object_mut().expect("a stream");
        for key in VARYING {
            stream.remove(key);
        }
        // MP4's vendor that nobody set; FFmpeg 9 no longer makes a tag of it.
        let tags = stream["tags"].as_object_mut().expect("tags");
        if tags
            .get("vendor_id")
            .is_some_and(|vendor| vendor == "[0][0][0][0]")
        {
            tags.remove("vendor_id");
        }
        stream["kind"]
            .as_object_mut()
            .expect("a kind")
            .remove("nominal_frame_rate");
        if !stable {
            stream.remove("duration_us");
            stream["kind"]
                .as_object_mut()
                .expect("a kind")
                .remove("average_frame_rate");
        }
    }
    if !stable {
        // Guessed from a bit rate.
        facts.as_object_mut().expect("facts").remove("duration_us");
    }
    facts
}

#[test]
fn every_clip_is_known_as_it_is() {
    watched(|| {
        let folder = tests_folder().join("golden/probe");
        let update = env::var_os("UPDATE_GOLDEN").is_some();
        let clips = clips();
        assert!(clips.len() >= 15);
        let mut differ = Vec::new();
        for clip in &clips {
            let name = clip.file_name().expect("a name").to_string_lossy();
            let golden = folder.join(format!("{name}.json"));
            let mut found = facts(clip);
            if update {
                let text = serde_json::to_string_pretty(&found).expect("JSON");
                fs::create_dir_all(&folder).expect("a folder");
                fs::write(&golden, text + "\n").expect("written");
                continue;
            }
            let text = fs::read_to_string(&golden).unwrap_or_default();
            let expected: Value = serde_json::from_str(&text).unwrap_or_default();
            level_length(&expected, &mut found);
            differences(&name, &expected, &found, &mut differ);
        }
        assert!(differ.is_empty(), "{}", differ.join("\n"));
    });
}

/// No golden file stands for a clip that is gone.
#[test]
fn no_golden_file_is_left_over() {
    let clips = clips();
    let golden = fs::read_dir(tests_folder().join("golden/probe")).expect("golden files");
    for entry in golden {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name");
        assert!(
            clips.iter().any(|clip| clip.file_name() == Some(stem)),
            "{} has no clip",
            path.display()
        );
    }
}
