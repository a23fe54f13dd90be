//! Kills and spoils replacements at every step: whatever happens, there is exactly
//! one good file under the right name, and recovery leaves no litter.
//!
//! Each case is a real child process (of this binary, see `nursery`) that encodes, verifies
//! and replaces a small film (see `child`), and is ended by SIGKILL at a fault point, or
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
mod nursery;
mod quirky;
mod revoked;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use self::child::{Event, Fault};
use self::library::Library;
use self::nursery::Nursery;
use self::quirky::Quirk;
use self::revoked::{Part, Then};
use self::support::watched;

/// Where a replacement can be killed, in order.
const POINTS: [&str; 26] = [
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
    "taken_out",
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

const EVENTS: [Event; 7] = [
    Event::SourceChanges,
    Event::SourceGoes,
    Event::StrangerComes,
    Event::AnotherReplaces,
    Event::FolderGoes,
    Event::FolderCloses,
    Event::RecoveryRuns,
];

fn main() -> ExitCode {
    if let Some(ended) = nursery::run_if_ordered(carry_out) {
        return ended;
    }
    let arguments = Arguments::from_args();
    let _nursery = (!arguments.list).then(Nursery::start);
    libtest_mimic::run(&arguments, trials()).exit_code()
}

/// What a child of the nursery does.
fn carry_out(order: &str) {
    match order.split_once('\n') {
        Some(("replace", order)) => child::run(order),
        Some(("revoke", order)) => revoked::run(order),
        _ => panic!("no order: {order:?}"),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("points_are_complete".to_owned(), points_are_complete)];
    for variant in VARIANTS {
        let name = variant.name();
        let mut add = |what: &str, body: fn(Variant)| {
            trials.push(trial(format!("{what}::{name}"), move || body(variant)));
        };
        add("killed", Variant::check_killed);
        add("killed_while_withdrawing", |variant| {
            for event in [
                Event::SourceChanges,
                Event::StrangerComes,
                Event::AnotherReplaces,
            ] {
                for point in POINTS {
                    variant.check(vec![Fault::Event("last_look", event), Fault::Kill(point)]);
                }
            }
        });
        add("killed_while_putting_back", |variant| {
            for point in ["put_back", "taken_out", "withdraw", "journal_removed"] {
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
            if variant.names == Names::Exchanges {
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
    for variant in BY_LINKS {
        let name = format!("killed::{}", variant.name());
        trials.push(trial(name, move || variant.check_killed()));
    }
    trials.extend(revocations());
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
    trials.push(trial("the_only_film_is_kept".to_owned(), || {
        watched(|| {
            let library = Library::new("film.mp4", false);
            let left = library.run(vec![Fault::Kill("journal_synced")]);
            left.assert_only_film_is_kept();
        });
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

/// Replacements that are revoked; `AV1_TEST_FULL` has all of them meet, and else so many.
fn revocations() -> Vec<Trial> {
    let full = std::env::var_os("AV1_TEST_FULL").is_some();
    let part = move |every, first| Part::new(if full { 1 } else { every }, first);
    let mut trials = Vec::new();
    for (number, variant) in VARIANTS.into_iter().chain(BY_LINKS).enumerate() {
        let name = variant.name();
        let mut add = |what: &str, body: Box<dyn Fn() + Send + Sync>| {
            trials.push(trial(format!("{what}::{name}"), body));
        };
        // Whatever cannot exchange names takes a process for each revocation.
        let every = if variant.names == Names::Exchanges {
            1
        } else {
            2
        };
        for (then, every) in [(Then::GoesOn, every), (Then::Dies, 6)] {
            let body = move || {
                let part = part(every, number);
                for point in POINTS.into_iter().chain(["output::linked"]) {
                    if part.takes() {
                        revoked::stopped(variant, point, then);
                    }
                }
            };
            add(&format!("revoked::{then:?}"), Box::new(body));
        }
        if variant.names == Names::Exchanges {
            let body = move || revoked::stopped_with_a_source_that_changed(variant, Then::GoesOn);
            add("revoked_with_a_source_that_changed", Box::new(body));
        }
        let body = move || revoked::revoker_killed(variant, &part(53, number));
        add("revoker_killed", Box::new(body));
        let body = move || revoked::both_go_on(variant, &part(67, number));
        add("revoked_while_it_goes_on", Box::new(body));
    }
    let mut add = |name: &str, body: fn()| trials.push(trial(name.to_owned(), body));
    add("revoked_and_killed_further_on", revoked::killed_further_on);
    add(
        "revoked_when_another_replaced_it",
        revoked::stopped_when_another_replaced_it,
    );
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
    names: Names,
}

/// What the file system can do with names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Exchange two of them.
    Exchanges,
    /// Not that.
    Renames,
    /// Nor rename without replacing: links do that (NFS).
    Links,
}

const VARIANTS: [Variant; 6] = [
    Variant::new("film.mkv", false, Names::Exchanges),
    Variant::new("film.mkv", true, Names::Exchanges),
    Variant::new("film.mkv", false, Names::Renames),
    Variant::new("film.mkv", true, Names::Renames),
    Variant::new("film.mp4", false, Names::Exchanges),
    Variant::new("film.mp4", true, Names::Exchanges),
];

/// Those in which NFS differs from the others.
const BY_LINKS: [Variant; 3] = [
    Variant::new("film.mkv", true, Names::Links),
    Variant::new("film.mp4", false, Names::Links),
    Variant::new("film.mp4", true, Names::Links),
];

impl Variant {
    const fn new(source: &'static str, keep_backup: bool, names: Names) -> Self {
        Self {
            source,
            keep_backup,
            names,
        }
    }

    fn name(self) -> String {
        let place = match (self.source, self.names) {
            ("film.mkv", Names::Exchanges) => "same_name",
            ("film.mkv", Names::Renames) => "same_name_without_exchange",
            ("film.mkv", Names::Links) => "same_name_by_links",
            (_, Names::Links) => "other_extension_by_links",
            _ => "other_extension",
        };
        let backup = if self.keep_backup {
            "with_backup"
        } else {
            "plain"
        };
        format!("{place}::{backup}")
    }

    /// What makes the file system one that can do no more than this with names.
    fn faults(self) -> Vec<Fault> {
        match self.names {
            Names::Exchanges => vec![],
            Names::Renames => vec![Fault::Fail("exchange")],
            Names::Links => vec![Fault::Fail("exchange"), Fault::Fail("output::noreplace")],
        }
    }

    fn check_killed(self) {
        for point in POINTS.into_iter().chain(["output::linked"]) {
            self.check(vec![Fault::Kill(point)]);
        }
    }

    fn check(self, mut faults: Vec<Fault>) {
        let at_exchange = |fault: &Fault| matches!(fault, Fault::Kill("exchange"));
        let dies_there = faults.iter().any(at_exchange);
        let more = self.faults();
        let more = more.into_iter();
        faults.extend(more.filter(|f| !(dies_there && matches!(f, Fault::Fail("exchange")))));
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
        for rest in source.split("fail_point!(\"").skip(1) {
            found.push(rest.split('"').next().expect("a name").to_owned());
        }
    }
    found.sort();
    let own = POINTS.into_iter().filter(|point| *point != "none");
    let mut known: Vec<_> = own.map(|point| format!("replace::{point}")).collect();
    known.extend(revoked::POINTS.map(str::to_owned));
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
