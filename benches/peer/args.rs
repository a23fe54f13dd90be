//! What was asked for.

use std::path::PathBuf;
use std::str::FromStr;

use super::Result;

/// Film: Big Buck Bunny, 1280x720 at 24 fps, 11 s.
const FILM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/media/bbb-bframes-mp3.mp4"
);

/// What the process is for.
pub(super) enum Asked {
    /// A test runner looks for tests.
    Nothing,
    /// A process of its own for the bare encoder.
    RunBare { file: PathBuf, preset: u8, crf: u8 },
    /// The comparison.
    Measure(Args),
}

/// What is to be compared.
pub(super) struct Args {
    pub(super) presets: Vec<u8>,
    pub(super) heights: Vec<u32>,
    pub(super) pairs: u32,
    pub(super) seconds: u32,
    pub(super) clip: PathBuf,
    pub(super) crf: u8,
    pub(super) against_command: bool,
    pub(super) against_bare: bool,
}

impl Args {
    pub(super) fn parse(args: impl Iterator<Item = String>) -> Result<Asked> {
        let words: Vec<String> = args.collect();
        if let [first, file, preset, crf] = words.as_slice()
            && first == "--run-bare"
        {
            return Ok(Asked::RunBare {
                file: file.into(),
                preset: number(preset)?,
                crf: number(crf)?,
            });
        }
        if !words.iter().any(|word| word == "--bench") {
            return Ok(Asked::Nothing);
        }
        Self::measure(words).map(Asked::Measure)
    }

    fn measure(words: Vec<String>) -> Result<Self> {
        let mut args = Self {
            presets: vec![8, 12],
            heights: vec![360, 720],
            pairs: 5,
            seconds: 20,
            clip: FILM.into(),
            crf: 35,
            against_command: true,
            against_bare: true,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--bench" => {}
                "--preset" => args.presets = numbers(&value()?)?,
                "--height" => args.heights = numbers(&value()?)?,
                "--pairs" => args.pairs = number(&value()?)?,
                "--seconds" => args.seconds = number(&value()?)?,
                "--clip" => args.clip = value()?.into(),
                "--crf" => args.crf = number(&value()?)?,
                "--bare-only" => args.against_command = false,
                "--command-only" => args.against_bare = false,
                "--quick" => {
                    (args.pairs, args.seconds) = (1, 3);
                    (args.presets, args.heights) = (vec![12], vec![360]);
                }
                _ => return Err(format!("{word} is not known; benches/peer.rs tells").into()),
            }
        }
        if args.pairs == 0 || args.seconds == 0 {
            return Err("at least one pair and one second".into());
        }
        // Cargo starts benches in the package's folder; a path is typed elsewhere.
        if args.clip.is_relative()
            && let Some(typed_in) = std::env::var_os("PWD")
        {
            args.clip = PathBuf::from(typed_in).join(args.clip);
        }
        Ok(args)
    }
}

fn numbers<T: FromStr>(text: &str) -> Result<Vec<T>> {
    text.split(',').map(number).collect()
}

fn number<T: FromStr>(text: &str) -> Result<T> {
    let number = text.parse();
    number.map_err(|_| format!("{text} is not a number that fits").into())
}
