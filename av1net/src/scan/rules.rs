//! What becomes of a film by what the file system says of it: the engine's own rules,
//! before a worker ever looks at it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use av1core::{FileFacts, HardLinks, Pattern, Rules, SkipReason};

use super::folder::{Facts, Film};
use super::names::Names;
use crate::config::{Config, HardLinksKey};
use crate::job::Reason;
use crate::units::UnixMs;

/// Which files a scan takes.
#[derive(Clone, Debug)]
pub struct ScanRules {
    pub(super) names: Names,
    engine: Rules,
}

impl ScanRules {
    /// Those of a configuration.
    ///
    /// # Errors
    ///
    /// A pattern that loading refuses, in words.
    pub fn of(config: &Config) -> Result<Self, String> {
        let patterns = config.exclude.iter().map(|text| Pattern::new(text));
        let mut engine = Rules::default();
        engine.least_bytes = config.min_bytes;
        engine.settling_us = i64::from(config.settle_s) * 1_000_000;
        engine.exclude = patterns.collect::<Result<_, _>>()?;
        engine.hard_links = match config.hardlinks {
            HardLinksKey::Skip => HardLinks::Skip,
            HardLinksKey::Break => HardLinks::Break,
        };
        let names = Names::new(&config.extensions);
        Ok(Self { names, engine })
    }
}

/// What becomes of a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is for the workers.
    Take,
    /// It is left alone, for a reason that a scan can see.
    LeaveAlone(Reason),
    /// It was changed a moment ago: to be asked again at this time.
    Wait(UnixMs),
}

/// Asks the rules about one film after the other, without a new path for each.
#[derive(Debug, Default)]
pub(super) struct Judge {
    facts: FileFacts,
}

impl Judge {
    /// The verdict on the film of this path. `excluded_folder` is the `.noav1` of its
    /// folder, or of one above.
    pub(super) fn verdict(
        &mut self,
        rules: &ScanRules,
        path: &[u8],
        (film, facts): (&Film, &Facts),
        excluded_folder: Option<&[u8]>,
        now: UnixMs,
    ) -> Verdict {
        let own = &mut self.facts;
        own.path.as_mut_os_string().clear();
        own.path.push(OsStr::from_bytes(path));
        own.bytes = facts.file.bytes;
        own.links = facts.links;
        own.changed_us = facts.changed_us;
        own.is_link = facts.link.is_some();
        own.leaves_root = facts.link.unwrap_or(false);
        own.sidecar = if film.is_excluded {
            let name = OsStr::from_bytes(&film.name).to_string_lossy();
            Some(PathBuf::from(format!("{name}.noav1")))
        } else {
            excluded_folder.map(|folder| PathBuf::from(OsStr::from_bytes(folder)))
        };
        // The end of the millisecond: what was changed within it was changed before.
        let now_us = now.0.saturating_mul(1000).saturating_add(999);
        // Up to the next whole millisecond.
        let settled_us = facts.changed_us.saturating_add(rules.engine.settling_us);
        let settled = UnixMs(settled_us.saturating_add(999).div_euclid(1000));
        match rules.engine.check_file(own, now_us) {
            // A storage whose clock goes ahead of this one dates what is being written
            // into the future, where the engine takes it for settled.
            None if rules.engine.settling_us > 0
                && (1..CLOCKS_APART_US).contains(&(facts.changed_us.saturating_sub(now_us))) =>
            {
                Verdict::Wait(settled)
            }
            None => Verdict::Take,
            Some(SkipReason::JustChanged { .. }) => Verdict::Wait(settled),
            Some(reason) => Verdict::LeaveAlone(reason_of(&reason)),
        }
    }
}

/// The clocks of a storage and of this machine may be so far apart; a time further in the
/// future is a clock that was once wrong, and nothing to wait for. In microseconds.
const CLOCKS_APART_US: i64 = 3_600_000_000;

/// The reason that a film's name is no longer one that is looked at.
pub(super) fn not_taken() -> Reason {
    Reason {
        kind: "not_taken".to_owned(),
        message: "its extension, or a folder of its path, is not among those that are scanned"
            .to_owned(),
    }
}

fn reason_of(reason: &SkipReason) -> Reason {
    // The engine's reasons carry their name in their JSON.
    let json = serde_json::to_value(reason).unwrap_or_default();
    let kind = json.get("kind").and_then(|kind| kind.as_str());
    Reason {
        kind: kind.unwrap_or("left_alone").to_owned(),
        message: reason.to_string(),
    }
}

/// Whether a reason is one that a scan can see to hold no longer, though the content is
/// the same: its own reasons, and those of a worker that hold for the moment.
pub(super) fn may_pass(kind: &str) -> bool {
    matches!(
        kind,
        "excluded"
            | "hard_linked"
            | "link"
            | "outside_root"
            | "too_small"
            | "not_taken"
            | "just_changed"
            | "open_for_writing"
    )
}
