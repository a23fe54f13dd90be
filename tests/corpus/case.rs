//! One case: the input is made, planned and, where the plan says so, encoded; the
//! result is held against independent readers and against the golden file.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use av1core::{EncoderLimits, Verdict};
use serde_json::{Value, json};

use crate::facts;
use crate::recipe::Recipe;
use crate::support::golden::differences;
use crate::support::probe::{ask, frame_times_with, inventory, streams};
use crate::support::scratch::fingerprint;
use crate::support::sound::assert_in_sync;
use crate::support::{Scratch, encode, quality, tests_folder};

fn golden_folder() -> PathBuf {
    tests_folder().join("corpus/golden")
}

/// Runs a case.
pub(crate) fn run(recipe: &Recipe) {
    let folder = Scratch::new();
    let source = recipe.make(&folder);
    let before = fingerprint(&source);
    let info = match av1core::probe(&source) {
        Ok(info) => info,
        Err(error) => {
            let kind = format!("{:?}", error.kind());
            return hold(&recipe.name, &json!({ "refused": kind }));
        }
    };
    let verdict = av1core::plan(&info, &recipe.options());
    let mut found = json!({ "container": info.container, "verdict": facts::of_verdict(&verdict) });
    if let Verdict::Transcode(plan) = &verdict {
        let planned: Vec<_> = plan.streams.iter().map(|stream| stream.index).collect();
        assert_eq!(planned, (0..info.streams.len()).collect::<Vec<_>>());
        found["output"] = output(recipe, &source);
    }
    assert_eq!(fingerprint(&source), before, "the source is as it was");
    hold(&recipe.name, &found);
}

/// Encodes and returns the facts of the output, which other readers agree to.
fn output(recipe: &Recipe, source: &Path) -> Value {
    let encoded = encode(source, &recipe.options());
    let level = if recipe.damaged { "quiet" } else { "error" };
    if recipe.times_unchecked.is_none() {
        encoded.assert_times(frame_times_with(source, &format!("-v {level}")));
    }
    let before = ask(source, &format!("-v {level} -show_streams"));
    // Without those that hold nothing: libavformat finds two streams in every TrueHD one
    // of a Blu-ray, of which the second is the AC-3 core that there need not be.
    let dropped = encoded.report.plan.streams.iter();
    let empty = dropped.filter(|stream| stream.reason.contains("holds none of it"));
    let tracks = streams(&before, "audio").len() - empty.count();
    assert_eq!(streams(&inventory(&encoded.output), "audio").len(), tracks);
    if recipe.sound_unchecked.is_none() {
        for track in 0..tracks {
            assert_in_sync(source, &encoded, track);
        }
    }
    quality::assert_plays(&encoded.output);
    let mut facts = facts::of_output(&encoded.output);
    facts["warnings"] = json!(encoded.report.warnings);
    facts
}

/// Holds the facts against the golden file; `UPDATE_GOLDEN=1` writes it anew where
/// they differ. Read the difference before committing it.
fn hold(name: &str, found: &Value) {
    let golden = golden_folder().join(format!("{name}.json"));
    let text = fs::read_to_string(&golden).unwrap_or_default();
    let expected: Value = serde_json::from_str(&text).unwrap_or_default();
    if is_beyond_older_encoders(&expected) {
        // It was encoded, and held against its source.
        assert!(found["output"].is_object(), "{name}: {found}");
        return;
    }
    let mut differ = Vec::new();
    let (held, is) = (facts::comparable(&expected), facts::comparable(found));
    differences(name, &held, &is, &mut differ);
    if differ.is_empty() {
        return;
    }
    assert!(
        env::var_os("UPDATE_GOLDEN").is_some(),
        "{}\nUPDATE_GOLDEN=1 takes it",
        differ.join("\n")
    );
    let text = serde_json::to_string_pretty(found).expect("JSON");
    fs::create_dir_all(golden_folder()).expect("a folder");
    fs::write(&golden, text + "\n").expect("written");
}

/// Whether the golden file tells of a limit that this encoder does not have.
fn is_beyond_older_encoders(expected: &Value) -> bool {
    let kind = &expected["verdict"]["reason"]["kind"];
    let is_size = kind == "odd_size" || kind == "picture_too_small";
    is_size && av1core::capabilities().encoder_limits == EncoderLimits::NONE
}

/// Every golden file has its case, and every case its golden file.
pub(crate) fn assert_no_golden_left_over(table: &[Recipe]) {
    let mut names: Vec<_> = table
        .iter()
        .map(|recipe| format!("{}.json", recipe.name))
        .collect();
    names.sort();
    let found = crate::support::scratch::names(&golden_folder());
    if env::var_os("UPDATE_GOLDEN").is_none() {
        assert_eq!(found, names);
    }
}
