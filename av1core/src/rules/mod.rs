//! Which files are worth an encode at all: decided from what the file system says of
//! them, and then from what they hold, before anything is decoded. Pure: the facts and
//! the time are handed in.

mod facts;
mod key;
mod lasting;

use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};

pub use self::facts::FileFacts;
pub use self::key::DecisionKey;
pub use self::lasting::Lasts;
use crate::media::MediaInfo;
use crate::names;
use crate::plan::SkipReason;

/// What makes a file one to leave alone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rules {
    /// Smaller files are left alone.
    pub least_bytes: u64,
    /// Shorter films are left alone. In microseconds.
    pub least_film_us: i64,
    /// Videos with fewer bits for each pixel of each frame are left alone. In
    /// thousandths of a bit.
    pub least_millibits_per_pixel: u64,
    /// What becomes of files with several names.
    pub hard_links: HardLinks,
    /// A file is left alone until nobody has changed it for so long. In microseconds.
    pub settling_us: i64,
    /// Files whose path below the root, or name, fits one of these are left alone.
    pub exclude: Vec<Pattern>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            // 5 % of a megabyte is nobody's worry.
            least_bytes: 1_000_000,
            // A picture or two.
            least_film_us: 1_000_000,
            // SVT-AV1 1.4 at our CRFs needs 0.02 to 0.1 bits a pixel for films; at half
            // the least of that (0.5 Mbit/s at 1080p24) nothing is left to save. What is
            // near is for the prediction to decide.
            least_millibits_per_pixel: 10,
            hard_links: HardLinks::Skip,
            // Longer than the pauses of a download over a network.
            settling_us: 10_000_000,
            exclude: Vec::new(),
        }
    }
}

/// What becomes of a file that has several names (`nlink > 1`), as seeding ones have
/// (Tdarr#1396; Unmanic#143).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardLinks {
    /// It is left alone: its other names would keep the old content, and no space
    /// would be saved.
    #[default]
    Skip,
    /// The one name gets the new content, the others keep the old.
    Break,
}

/// A pattern of paths, such as `*.sample.*` or `Extras/**`; capitals do not matter.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    /// A pattern from its text: `*` and `?` stay within a folder's name, `**` does not.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text)
            .case_insensitive(true)
            .literal_separator(true)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            matcher: glob.compile_matcher(),
        })
    }
}

impl Rules {
    /// Why a file is left alone by what the file system says of it; `None` where it is
    /// to be looked into. `now_us` is the time since 1970 in microseconds.
    #[must_use]
    pub fn check_file(&self, facts: &FileFacts, now_us: i64) -> Option<SkipReason> {
        let name = facts.path.file_name().unwrap_or_default();
        if names::is_ours(name) {
            return Some(SkipReason::OwnFile);
        }
        if facts.is_link {
            let leaves_root = facts.leaves_root;
            return Some(SkipReason::Link { leaves_root });
        }
        if facts.leaves_root {
            return Some(SkipReason::OutsideRoot);
        }
        if let Some(by) = self.excluded_by(facts) {
            return Some(SkipReason::Excluded { by });
        }
        if let Some(verdict) = &facts.decided {
            let verdict = verdict.clone();
            return Some(SkipReason::DecidedBefore { verdict });
        }
        if facts.links > 1 && self.hard_links == HardLinks::Skip {
            let links = facts.links;
            return Some(SkipReason::HardLinked { links });
        }
        if facts.open_for_writing == Some(true) {
            return Some(SkipReason::OpenForWriting);
        }
        // A time in the future is a clock that was set back, and no reason to wait for it.
        let age_us = now_us.saturating_sub(facts.changed_us);
        if (0..self.settling_us).contains(&age_us) {
            return Some(SkipReason::JustChanged {
                seconds: age_us / 1_000_000,
            });
        }
        if facts.bytes < self.least_bytes {
            return Some(SkipReason::TooSmall {
                bytes: facts.bytes,
                least_bytes: self.least_bytes,
            });
        }
        None
    }

    fn excluded_by(&self, facts: &FileFacts) -> Option<String> {
        if let Some(sidecar) = &facts.sidecar {
            return Some(sidecar.to_string_lossy().into_owned());
        }
        let name = PathBuf::from(facts.path.file_name().unwrap_or_default());
        let fits = |pattern: &&Pattern| {
            pattern.matcher.is_match(&facts.path) || pattern.matcher.is_match(&name)
        };
        let pattern = self.exclude.iter().find(fits)?;
        Some(pattern.text.clone())
    }

    /// Why a file is left alone by what it holds.
    #[must_use]
    pub fn check_media(&self, info: &MediaInfo) -> Option<SkipReason> {
        let video = info.main_video()?;
        let film_us = video.duration_us.or(info.duration_us)?;
        if film_us < self.least_film_us && !info.duration_is_guess {
            return Some(SkipReason::TooShort {
                film_us,
                least_us: self.least_film_us,
            });
        }
        let millibits = millibits_per_pixel(info)?;
        (millibits < self.least_millibits_per_pixel).then_some(SkipReason::LowBitrate {
            millibits_per_pixel: millibits,
            least: self.least_millibits_per_pixel,
        })
    }
}

/// Bits for each pixel of each frame of the main video, in thousandths. Where no bit
/// rate is declared, what the file's other streams do not declare is the video's.
fn millibits_per_pixel(info: &MediaInfo) -> Option<u64> {
    let stream = info.main_video()?;
    let video = stream.video()?;
    let rate = video.average_frame_rate.or(video.nominal_frame_rate)?;
    let seconds = stream.duration_us.or(info.duration_us)? as f64 / 1e6;
    let others = info.streams.iter().filter(|s| s.index != stream.index);
    let others_bps: u64 = others.filter_map(|s| s.bit_rate_bps).sum();
    let by_size = || info.size_bytes as f64 * 8.0 / seconds - others_bps as f64;
    let bps = stream.bit_rate_bps.map_or_else(by_size, |bps| bps as f64);
    let pixels = f64::from(video.width) * f64::from(video.height) * rate.as_f64();
    let millibits = bps / pixels * 1000.0;
    (seconds > 0.0 && millibits.is_finite()).then_some(millibits.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn facts(path: &str) -> FileFacts {
        FileFacts {
            path: path.into(),
            bytes: 700_000_000,
            links: 1,
            changed_us: NOW_US - 3_600_000_000,
            ..FileFacts::default()
        }
    }

    fn check(facts: &FileFacts) -> Option<SkipReason> {
        let patterns = ["Extras/**", "*-sample.*"];
        let rules = Rules {
            exclude: patterns
                .map(|text| Pattern::new(text).expect("a pattern"))
                .to_vec(),
            ..Rules::default()
        };
        rules.check_file(facts, NOW_US)
    }

    #[test]
    fn each_rule_has_its_reason() {
        let plain = facts("Film (2001)/film.mkv");
        let with = |change: fn(&mut FileFacts)| {
            let mut facts = plain.clone();
            change(&mut facts);
            check(&facts).map(|reason| reason.to_string())
        };
        type Change = fn(&mut FileFacts);
        let cases: [(Change, &str); 12] = [
            (
                |f| f.path = ".film.mkv.0123456789abcdef.av1part".into(),
                "is a file of this program's own (a staged file, journal or backup)",
            ),
            (
                |f| f.path = "film.mp4.bak".into(),
                "is a file of this program's own (a staged file, journal or backup)",
            ),
            (
                |f| f.is_link = true,
                "is a symbolic link; what it points to is looked at where it lies",
            ),
            (
                |f| {
                    f.is_link = true;
                    f.leaves_root = true;
                },
                "is a symbolic link that leads out of the media folder",
            ),
            (|f| f.leaves_root = true, "lies outside the media folder"),
            (
                |f| f.sidecar = Some(".noav1".into()),
                "is excluded (by .noav1)",
            ),
            (
                |f| f.path = "EXTRAS/a/b.mkv".into(),
                "is excluded (by Extras/**)",
            ),
            (
                |f| f.path = "a/film-Sample.mkv".into(),
                "is excluded (by *-sample.*)",
            ),
            (
                |f| f.links = 3,
                "has 3 names (hard links), and the others would keep the old content",
            ),
            (
                |f| f.open_for_writing = Some(true),
                "is open for writing in another program",
            ),
            (
                |f| f.changed_us = NOW_US - 2_500_000,
                "was changed 2 s ago and may still be written to; try again later",
            ),
            (
                |f| f.bytes = 999_999,
                "is 999999 bytes small; less than 1000000 are not worth it",
            ),
        ];
        assert_eq!(check(&plain), None);
        for (change, expected) in cases {
            assert_eq!(with(change).as_deref(), Some(expected));
        }
        assert_eq!(with(|f| f.open_for_writing = Some(false)), None);
        assert_eq!(with(|f| f.changed_us = NOW_US + 5_000_000), None);
        let decided = with(|f| f.decided = Some("not worthwhile".to_owned()));
        assert_eq!(
            decided.as_deref(),
            Some("was decided before with the same settings: not worthwhile")
        );
    }

    #[test]
    fn hard_links_may_be_broken() {
        let rules = Rules {
            hard_links: HardLinks::Break,
            ..Rules::default()
        };
        let mut facts = facts("film.mkv");
        facts.links = 2;
        assert_eq!(rules.check_file(&facts, NOW_US), None);
    }

    #[test]
    fn a_bad_pattern_is_told() {
        let error = Pattern::new("a[").expect_err("refused");
        assert!(error.contains("a["), "{error}");
    }

    fn film(bytes: u64, seconds: i64) -> MediaInfo {
        let mut info = crate::plan::tests::film(|_| {});
        info.size_bytes = bytes;
        info.duration_us = Some(seconds.saturating_mul(1_000_000));
        info.streams[0].duration_us = None;
        info
    }

    #[test]
    fn short_films_and_low_bit_rates_are_left_alone() {
        let rules = Rules::default();
        assert_eq!(rules.check_media(&film(100_000_000, 60)), None);
        assert_eq!(
            rules.check_media(&film(100_000_000, 0)),
            Some(SkipReason::TooShort {
                film_us: 0,
                least_us: 1_000_000
            })
        );
        let low = rules.check_media(&film(100_000_000, 30_000));
        assert!(
            matches!(low, Some(SkipReason::LowBitrate { least: 10, .. })),
            "{low:?}"
        );
        let mut info = film(100_000_000, 60);
        info.streams[0].bit_rate_bps = Some(1000);
        let low = rules.check_media(&info);
        assert!(
            matches!(low, Some(SkipReason::LowBitrate { .. })),
            "{low:?}"
        );
    }

    proptest! {
        #[test]
        fn the_same_facts_have_the_same_verdict_and_none_panics(
            bytes: u64, links: u64, changed_us: i64, now_us: i64, seconds in -10_i64..1_000_000,
            is_link: bool, path in "[^\0]{0,40}",
        ) {
            let facts = FileFacts {
                path: path.into(), bytes, links, changed_us, is_link, ..FileFacts::default()
            };
            let rules = Rules::default();
            prop_assert_eq!(rules.check_file(&facts, now_us), rules.check_file(&facts, now_us));
            let _ = rules.check_media(&film(bytes, seconds));
        }
    }
}
