//! The table of cases, and how an input is made from its recipe.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use av1core::{BitDepth, Options, Preset};
use serde::Deserialize;

use crate::craft;
use crate::support::command::{ffmpeg, run, words};
use crate::support::{Scratch, clip, tests_folder};

/// One case, as it stands in `recipes/*.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Its name, which is its golden file's too.
    pub(crate) name: String,
    /// Whether it runs without `--full`.
    #[serde(default)]
    pub(crate) quick: bool,
    /// The file that is encoded: what the last step leaves in the case's folder.
    #[serde(default)]
    file: String,
    /// A clip of `tests/media` instead.
    clip: Option<String>,
    /// What is done to make the file; see `recipes/README.md`.
    #[serde(default)]
    steps: Vec<String>,
    /// Losses that the options allow, by their names in `av1core::Allow`.
    #[serde(default)]
    allow: Vec<String>,
    /// Bits per sample of the output.
    bit_depth: Option<u8>,
    /// Whether the independent readers may complain about the source.
    #[serde(default)]
    pub(crate) damaged: bool,
    /// Why the independent readers cannot be asked for the times of the pictures;
    /// the golden file still holds them.
    pub(crate) times_unchecked: Option<String>,
    /// Why the independent readers cannot be asked for the times of the sound.
    pub(crate) sound_unchecked: Option<String>,
}

/// A file of `recipes/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Texts that stand for `{NAME}` in the steps of all files.
    #[serde(default)]
    words: toml::Table,
    #[serde(default)]
    case: Vec<Recipe>,
}

/// All cases of all files, their words filled in.
pub(crate) fn table() -> Vec<Recipe> {
    let folder = tests_folder().join("corpus/recipes");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of recipes")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    let tables: Vec<Table> = files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("recipes");
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect();
    let words: toml::Table = tables.iter().flat_map(|t| t.words.clone()).collect();
    let mut recipes: Vec<_> = tables.into_iter().flat_map(|t| t.case).collect();
    for step in recipes.iter_mut().flat_map(|recipe| &mut recipe.steps) {
        *step = filled_in(step, &words);
    }
    recipes
}

/// Words may stand within words.
fn filled_in(step: &str, words: &toml::Table) -> String {
    let mut step = step.to_owned();
    while let Some((name, text)) = words
        .iter()
        .find(|(name, _)| step.contains(&format!("{{{name}}}")))
    {
        let text = text.as_str().expect("a word is a text");
        step = step.replace(&format!("{{{name}}}"), text);
    }
    step
}

/// Names are unique, and there are as many cases as there are meant to be.
pub(crate) fn assert_whole() {
    let table = table();
    let names: BTreeSet<_> = table.iter().map(|recipe| &recipe.name).collect();
    assert_eq!(names.len(), table.len(), "a name stands twice");
    assert!(table.len() >= 200, "{} cases", table.len());
    let quick = table.iter().filter(|recipe| recipe.quick).count();
    assert!((20..=30).contains(&quick), "{quick} quick cases");
}

impl Recipe {
    /// What the engine is asked for: speed above all, since it is the streams and
    /// times that are looked at.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        options.preset = Some(Preset::new(12).expect("a preset"));
        options.encoder_limits = Some(av1core::capabilities().encoder_limits);
        options.bit_depth = match self.bit_depth {
            None | Some(10) => BitDepth::Ten,
            Some(8) => BitDepth::Eight,
            Some(other) => panic!("{}: {other} bits", self.name),
        };
        let allow = &mut options.allow;
        for loss in &self.allow {
            *match loss.as_str() {
                "av1" => &mut allow.av1,
                "chroma_loss" => &mut allow.chroma_loss,
                "depth_loss" => &mut allow.depth_loss,
                "alpha_loss" => &mut allow.alpha_loss,
                "dynamic_hdr_loss" => &mut allow.dynamic_hdr_loss,
                unknown => panic!("{}: allow {unknown:?}", self.name),
            } = true;
        }
        options
    }

    /// Makes the input in `folder`. A step that fails, for want of an encoder too,
    /// fails the test.
    pub(crate) fn make(&self, folder: &Scratch) -> PathBuf {
        if let Some(name) = &self.clip {
            assert!(self.steps.is_empty(), "{}: a clip is not made", self.name);
            return clip(name);
        }
        for step in &self.steps {
            match step.strip_prefix('!') {
                Some(craft) => craft::run(craft, folder),
                None => {
                    // The commands write names of their own version otherwise.
                    let bitexact = ["-fflags", "+bitexact", "-flags:v", "+bitexact"];
                    let mut arguments = words(step);
                    let output = arguments.pop().expect("a file to write");
                    run(ffmpeg()
                        .current_dir(folder.path())
                        .args(arguments)
                        .args(bitexact)
                        .arg(output));
                }
            }
        }
        let file = folder.file(&self.file);
        assert!(file.is_file(), "{}: no {}", self.name, file.display());
        file
    }
}
