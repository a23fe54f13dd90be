//! Kills and spoils replacements at every step: whatever happens, there is exactly
//! one good file under the right name, and recovery leaves no litter.
//!
//! Each case is a real child process (this binary again, see `child`) that encodes,
//! verifies and replaces a small film, and is ended by SIGKILL at a fault point, or
//! meets an error or a stranger there.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

#[expect(dead_code, unused_imports, reason = "the other suites use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod child;
mod library;
mod quirky;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use self::child::{Event, Fault, Order};
use self::library::Library;
use self::quirky::Quirk;
use self::support::watched;

/// Where a replacement can be killed, in order.
const POINTS: [&str; 25] = [
    "attributes",
    "sync_staged",
    "journal_created",
    "journal_written",
    "journal_synced",
    "look",
    "last_look",
    "commit",
    "exchange",
    "rename",
    "backup",
    "backup_copied",
    "backed_up",
    "rename_over",
    "committed",
    "sync_folder",
    "synced",
    "aside",
    "let_go",
    "gone",
    "put_back",
    "withdraw",
    "finished",
    "journal_removed",
    "none",
];

/// Where an error of the file system (ENOSPC) can be put in its place.
const ERRORS: [&str; 10] = [
    "attributes",
    "sync_staged",
    "journal_created",
    "journal_written",
    "look",
    "rename",
    "backup",
    "rename_over",
    "sync_folder",
    "let_go",
];

/// Where something else happens to the folder while the replacement runs.
const MOMENTS: [&str; 7] = [
    "attributes",
    "journal_synced",
    "last_look",
    "commit",
    "committed",
    "synced",
    "aside",
];

const EVENTS: [Event; 6] = [
    Event::SourceChanges,
    Event::SourceGoes,
    Event::StrangerComes,
    Event::FolderGoes,
    Event::FolderCloses,
    Event::RecoveryRuns,
];

fn main() -> ExitCode {
    if let Some(order) = Order::from_environment() {
        return child::run(&order);
    }
    libtest_mimic::run(&Arguments::from_args(), trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("points_are_complete".to_owned(), points_are_complete)];
    for variant in VARIANTS {
        let name = variant.name();
        let mut add = |what: &str, body: fn(Variant)| {
            trials.push(trial(format!("{what}::{name}"), move || body(variant)));
        };
        add("killed", |variant| {
            for point in POINTS {
                variant.check(vec![Fault::Kill(point)]);
            }
        });
        add("killed_while_withdrawing", |variant| {
            for event in [Event::SourceChanges, Event::StrangerComes] {
                for point in POINTS {
                    variant.check(vec![Fault::Event("last_look", event), Fault::Kill(point)]);
                }
            }
        });
        add("killed_while_putting_back", |variant| {
            for point in ["put_back", "withdraw", "journal_removed"] {
                variant.check(vec![
                    Fault::Event("commit", Event::SourceChanges),
                    Fault::Kill(point),
                ]);
            }
        });
        add("failing", |variant| {
            for point in ERRORS {
                variant.check(vec![Fault::Fail(point)]);
            }
            if variant.exchanges {
                // What is not durable yet is no reason to let a source go.
                let library = Library::new(variant.source, variant.keep_backup);
                let left = library.run(vec![Fault::Fail("sync_folder")]);
                watched(move || left.assert_untouched());
            }
        });
        add("meanwhile", |variant| {
            for event in EVENTS {
                for moment in MOMENTS {
                    variant.check(vec![Fault::Event(moment, event)]);
                }
            }
        });
    }
    for (quirk, ends) in QUIRKS {
        let body = move || quirky_file_system(quirk, ends);
        trials.push(trial(format!("quirks::{quirk:?}"), body));
    }
    trials.push(trial("two_at_once".to_owned(), || {
        for source in ["film.mkv", "film.mp4"] {
            watched(move || Library::new(source, false).run_two());
        }
    }));
    trials.push(trial("spoilt_after_the_crash".to_owned(), || {
        for source in ["film.mkv", "film.mp4"] {
            watched(move || {
                let library = Library::new(source, false);
                let left = library.run(vec![Fault::Kill("journal_synced")]);
                left.spoil_output();
                left.assert_taken_back();
            });
        }
    }));
    trials.push(trial("quirks::killed_on_plain_one".to_owned(), || {
        for (source, keep_backup) in [("film.mkv", true), ("film.mp4", true)] {
            for point in POINTS {
                let Some(library) = Library::on(Quirk::Plain, source, keep_backup) else {
                    return;
                };
                watched(move || library.run(vec![Fault::Kill(point)]).assert_one_good_film());
            }
        }
    }));
    trials
}

/// How a replacement ends on a file system with a quirk.
#[derive(Clone, Copy)]
enum Ends {
    Replaced,
    /// Replaced, with a word about what was lost.
    ReplacedAndSaid(&'static str),
    Untouched,
    /// Only recovery can tell.
    AfterRecovery,
}

const QUIRKS: [(Quirk, Ends); 7] = [
    (Quirk::RenameLies, Ends::Replaced),
    (Quirk::RenameRemovesFirst, Ends::Replaced),
    (Quirk::FullAtSync, Ends::Untouched),
    (Quirk::FullAtFolderSync, Ends::Untouched),
    (Quirk::StaleAfterRename, Ends::AfterRecovery),
    (Quirk::Plain, Ends::Replaced),
    (Quirk::NoAttributes, Ends::ReplacedAndSaid("the owner")),
];

fn quirky_file_system(quirk: Quirk, ends: Ends) {
    for (source, keep_backup) in [
        ("film.mkv", false),
        ("film.mkv", true),
        ("film.mp4", false),
        ("film.mp4", true),
    ] {
        let Some(library) = Library::on(quirk, source, keep_backup) else {
            return;
        };
        watched(move || {
            let left = library.run(Vec::new());
            left.assert_one_good_film();
            match ends {
                Ends::Replaced => {
                    // At once, and not by a recovery.
                    assert!(left.said().starts_with("replaced"), "{left}");
                    left.assert_replaced();
                }
                Ends::ReplacedAndSaid(what) => {
                    left.assert_replaced();
                    assert!(left.said().contains(what), "{left}");
                }
                Ends::Untouched => left.assert_untouched(),
                Ends::AfterRecovery => {}
            }
        });
    }
}

/// A kind of replacement.
#[derive(Clone, Copy)]
struct Variant {
    source: &'static str,
    keep_backup: bool,
    /// The file system exchanges names.
    exchanges: bool,
}

const VARIANTS: [Variant; 6] = [
    Variant::new("film.mkv", false, true),
    Variant::new("film.mkv", true, true),
    Variant::new("film.mkv", false, false),
    Variant::new("film.mkv", true, false),
    Variant::new("film.mp4", false, true),
    Variant::new("film.mp4", true, true),
];

impl Variant {
    const fn new(source: &'static str, keep_backup: bool, exchanges: bool) -> Self {
        Self {
            source,
            keep_backup,
            exchanges,
        }
    }

    fn name(self) -> String {
        let place = match (self.source, self.exchanges) {
            ("film.mkv", true) => "same_name",
            ("film.mkv", false) => "same_name_without_exchange",
            _ => "other_extension",
        };
        let backup = if self.keep_backup {
            "with_backup"
        } else {
            "plain"
        };
        format!("{place}::{backup}")
    }

    fn check(self, mut faults: Vec<Fault>) {
        let at_exchange = |fault: &Fault| matches!(fault, Fault::Kill("exchange"));
        if !self.exchanges && !faults.iter().any(at_exchange) {
            faults.push(Fault::Fail("exchange"));
        }
        let library = Library::new(self.source, self.keep_backup);
        watched(move || library.run(faults).assert_one_good_film());
    }
}

/// A fault point that is not in the table is a step that nothing was killed at.
fn points_are_complete() {
    let folder = support::tests_folder().join("../av1core/src/replace");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).expect("the sources") {
        let source = std::fs::read_to_string(file.expect("a file").path()).expect("read");
        for (_, rest) in source
            .match_indices("fail_point!(\"replace::")
            .map(|(at, what)| (at, source[at + what.len()..].to_owned()))
        {
            found.push(rest.split('"').next().expect("a name").to_owned());
        }
    }
    found.sort();
    let mut known = POINTS.map(str::to_owned).to_vec();
    known.retain(|point| point != "none");
    known.sort();
    assert_eq!(found, known);
}

/// A test of many children, each of which has the watchdog.
fn trial(name: String, body: impl Fn() + Send + Sync + 'static) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}
