//! Replacements whose right is taken away while their process is stopped at one of their
//! steps, to go on afterwards: the revoker says what became of the film, and it stays so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use av1core::{Recovered, Recovery, Revocation, recover};

use crate::child::{Event, Fault, to_lines};
use crate::library::{Library, TARGET};
use crate::nursery::Process;
use crate::support::scratch::{fingerprint, names};
use crate::support::watched;
use crate::{Names, Variant};

/// Where a revocation can be cut off, besides the steps that it shares with replacements.
pub(crate) const POINTS: [&str; 4] = [
    "revoke::found",
    "revoke::taken",
    "revoke::settled",
    "revoke::closed",
];

/// Those of the steps that it shares at which something is under way.
const SHARED_POINTS: [&str; 6] = ["synced", "aside", "let_go", "gone", "withdraw", "finished"];

/// Where a replacement is stopped while its revoker is cut off: once in each state that
/// the folder can be in.
const STATES: [&str; 8] = [
    "attributes",
    "journal_written",
    "commit",
    "backed_up",
    "output::linked",
    "committed",
    "aside",
    "gone",
];

/// What the stopped process does after the revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoesOn,
    Dies,
}

/// Revoked while it is stopped at `point`.
pub(crate) fn stopped(variant: Variant, point: &'static str, then: Then) {
    watched(move || {
        let mut zombie = Zombie::stopped_at(variant, point, &[]);
        let told = zombie.revoke();
        zombie.assert_holds(&told, "when it was revoked");
        zombie.end(then);
        if then == Then::GoesOn {
            zombie.assert_tidy(&told);
        }
        zombie.assert_settled(Some(&told));
        // Whoever asks again is told the same.
        let again = zombie.revoke_here();
        let same = match told {
            Revocation::Committed { .. } => again == told,
            _ => again == Revocation::Nothing,
        };
        assert!(same, "{zombie}: {told:?}, then {again:?}");
    });
}

/// Somebody writes to the source in the moment of the commit: it is put back, also by a
/// revoker.
pub(crate) fn stopped_with_a_source_that_changed(variant: Variant, then: Then) {
    for point in [
        "committed",
        "synced",
        "aside",
        "put_back",
        "taken_out",
        "withdraw",
    ] {
        watched(move || {
            let changes = Fault::Event("commit", Event::SourceChanges);
            let mut zombie = Zombie::stopped_at(variant, point, &[changes]);
            let told = zombie.revoke();
            assert_ne!(told, zombie.committed(), "{zombie}");
            zombie.end(then);
            zombie.recover_twice();
            let changed = zombie.library.changed();
            let held = [(variant.source.to_owned(), changed)].into();
            assert_eq!(zombie.held(), held, "{zombie}: {told:?}");
        });
    }
}

/// Another run has put its output there and let the source go: ours is not needed.
pub(crate) fn stopped_when_another_replaced_it() {
    for keep_backup in [false, true] {
        for then in [Then::GoesOn, Then::Dies] {
            watched(move || {
                let variant = Variant::new("film.mp4", keep_backup, Names::Exchanges);
                let replaces = Fault::Event("journal_synced", Event::AnotherReplaces);
                let mut zombie = Zombie::stopped_at(variant, "withdraw", &[replaces]);
                let told = zombie.revoke();
                assert_eq!(told, Revocation::Revoked, "{zombie}");
                zombie.end(then);
                zombie.recover_twice();
                let held: Vec<_> = zombie.held().into_keys().collect();
                assert_eq!(held, [TARGET], "{zombie}");
            });
        }
    }
}

/// How a revocation that was cut off is gone on with.
const WAYS: [Way; 4] = [
    Way::RevokedAgain,
    Way::RecoveredWhileStopped,
    Way::GoesOnAndIsRecovered,
    Way::DiesAndIsRecovered,
];

#[derive(Clone, Copy, Debug)]
enum Way {
    RevokedAgain,
    RecoveredWhileStopped,
    GoesOnAndIsRecovered,
    DiesAndIsRecovered,
}

/// The revoker is killed at each of its steps, and each of the ways tried; or, for a
/// quick run, a part of them that is another one for each variant.
pub(crate) fn revoker_killed(variant: Variant, part: &Part) {
    for (state, point) in meetings(&STATES) {
        for way in WAYS {
            if part.takes() {
                watched(move || revoker_killed_at(variant, state, point, way));
            }
        }
    }
}

/// Each state with each point of a revoker.
fn meetings(states: &[&'static str]) -> impl Iterator<Item = (&'static str, &'static str)> {
    states.iter().flat_map(|state| {
        let points = POINTS.into_iter().chain(SHARED_POINTS);
        points.map(|point| (*state, point))
    })
}

/// Which of many cases are tried: one of every so many.
pub(crate) struct Part {
    every: usize,
    next: AtomicUsize,
}

impl Part {
    pub(crate) fn new(every: usize, first: usize) -> Self {
        let next = AtomicUsize::new(first);
        Self { every, next }
    }

    pub(crate) fn takes(&self) -> bool {
        self.next
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(self.every)
    }
}

fn revoker_killed_at(variant: Variant, state: &'static str, point: &'static str, way: Way) {
    let mut zombie = Zombie::stopped_at(variant, state, &[]);
    zombie.revoke_and_die(point);
    zombie.assert_never_without_a_film();
    match way {
        Way::RevokedAgain => {
            let told = zombie.revoke();
            zombie.assert_holds(&told, "when it was revoked again");
            zombie.end(Then::GoesOn);
            zombie.assert_settled(Some(&told));
        }
        Way::RecoveredWhileStopped => {
            let found = recover(zombie.folder()).expect("recovered");
            let failed = |one: &Recovered| matches!(one.recovery, Recovery::Failed { .. });
            assert!(!found.iter().any(failed), "{zombie}, {point}: {found:?}");
            zombie.assert_never_without_a_film();
            zombie.end(Then::GoesOn);
            zombie.assert_settled(None);
        }
        Way::GoesOnAndIsRecovered => {
            zombie.end(Then::GoesOn);
            zombie.assert_settled(None);
        }
        Way::DiesAndIsRecovered => {
            zombie.end(Then::Dies);
            zombie.assert_settled(None);
        }
    }
}

/// The revoker is stopped at each of its steps, the zombie goes on to its end or, first,
/// to another step, and then the revoker does.
pub(crate) fn both_go_on(variant: Variant, part: &Part) {
    for (state, point) in meetings(&STATES) {
        for stops_again in [None, Some("synced"), Some("aside"), Some("gone")] {
            if part.takes() {
                watched(move || both_go_on_from(variant, state, point, stops_again));
            }
        }
    }
}

fn both_go_on_from(
    variant: Variant,
    state: &'static str,
    point: &'static str,
    stops_again: Option<&'static str>,
) {
    let more: Vec<_> = stops_again.map(Fault::Stop).into_iter().collect();
    let mut zombie = Zombie::stopped_at(variant, state, &more);
    let mut revoker = zombie.start_revoker(&[Fault::Stop(point)]);
    revoker.wait_for_stop();
    if stops_again.is_some() {
        zombie.process.go_on();
        zombie.process.wait_for_stop();
    } else {
        zombie.end(Then::GoesOn);
    }
    zombie.assert_never_without_a_film();
    revoker.go_on();
    let told = zombie.told_by(revoker);
    zombie.assert_never_without_a_film();
    if stops_again.is_some() {
        zombie.end(Then::GoesOn);
    }
    zombie.assert_settled(Some(&told));
}

/// Which journals a revoker leaves, since a recovery needs them: the zombie is killed at a
/// later step than the one at which it was revoked.
pub(crate) fn killed_further_on() {
    // It links the backup of a source that it cannot replace any more.
    let links = Variant::new("film.mkv", true, Names::Renames);
    watched(move || {
        let mut zombie = Zombie::stopped_at(links, "backup", &[Fault::Stop("backed_up")]);
        let told = zombie.revoke();
        assert_eq!(told, Revocation::Revoked, "{zombie}");
        zombie.process.go_on();
        zombie.process.wait_for_stop();
        let backup = zombie.backup();
        assert!(zombie.held().contains_key(&backup), "{zombie}: no backup");
        zombie.end(Then::Dies);
        zombie.assert_settled(Some(&told));
    });
    // It takes the source aside when the revoker has seen to it that there is nothing to
    // let go.
    let takes_aside = Variant::new("film.mp4", true, Names::Exchanges);
    watched(move || {
        let mut zombie = Zombie::stopped_at(takes_aside, "committed", &[Fault::Stop("aside")]);
        let mut revoker = zombie.start_revoker(&[Fault::Stop("synced")]);
        revoker.wait_for_stop();
        zombie.process.go_on();
        zombie.process.wait_for_stop();
        revoker.go_on();
        let told = zombie.told_by(revoker);
        assert_eq!(told, zombie.committed(), "{zombie}");
        zombie.end(Then::Dies);
        zombie.assert_settled(Some(&told));
    });
}

/// A process that replaces a film, stopped at one of the steps, or at its end where its
/// way does not lead there.
struct Zombie {
    library: Library,
    variant: Variant,
    point: &'static str,
    process: Process,
    staged: u64,
    token: String,
    bytes: String,
    said: String,
}

impl Zombie {
    fn stopped_at(variant: Variant, point: &'static str, more: &[Fault]) -> Self {
        let library = Library::new(variant.source, variant.keep_backup);
        let mut faults = variant.faults();
        faults.extend_from_slice(more);
        faults.push(Fault::Stop(point));
        let mut process = library.start(&faults);
        process.wait_for_stop();
        let said = process.said();
        let line = said.lines().next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        let ["staged", hash, token, bytes] = words[..] else {
            panic!("{point}: said {line:?}");
        };
        Self {
            library,
            variant,
            point,
            staged: u64::from_str_radix(hash, 16).expect("a hash"),
            token: token.to_owned(),
            bytes: bytes.to_owned(),
            said: String::new(),
            process,
        }
    }

    fn folder(&self) -> PathBuf {
        self.library.folder()
    }

    fn start_revoker(&self, faults: &[Fault]) -> Process {
        let mut all = self.variant.faults();
        all.extend_from_slice(faults);
        let source = self.folder().join(self.variant.source);
        let (token, bytes) = (&self.token, &self.bytes);
        let (source, faults) = (source.display(), to_lines(&all));
        Process::start(&format!("revoke\n{source}\n{token}\n{bytes}\n{faults}"))
    }

    fn revoke(&self) -> Revocation {
        if self.variant.names == Names::Exchanges {
            return self.revoke_here();
        }
        // Something has to fail for it, which takes a process of its own.
        self.told_by(self.start_revoker(&[]))
    }

    fn revoke_here(&self) -> Revocation {
        let source = self.folder().join(self.variant.source);
        let bytes = self.bytes.parse().expect("a number");
        let told = av1core::revoke(source, &self.token, bytes);
        told.unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    fn revoke_and_die(&self, at: &'static str) {
        self.start_revoker(&[Fault::Kill(at)]).wait();
    }

    fn told_by(&self, mut revoker: Process) -> Revocation {
        revoker.wait();
        let said = revoker.said();
        let said = said.trim();
        match said.split_once(' ').unwrap_or((said, "")) {
            ("revoked", _) => Revocation::Revoked,
            ("nothing", _) => Revocation::Nothing,
            ("committed", path) => Revocation::Committed { path: path.into() },
            _ => panic!("{self}: the revoker said {said:?}"),
        }
    }

    /// Lets it go on to its end, or ends it.
    fn end(&mut self, then: Then) {
        if then == Then::Dies {
            self.process.kill();
        }
        self.process.go_on();
        self.process.wait();
        let said = self.process.said();
        self.said = said
            .split_once('\n')
            .map_or("", |(_, rest)| rest)
            .to_owned();
    }

    /// The folder shows what was told; the zombie may still hold files of its own.
    fn assert_holds(&self, told: &Revocation, when: &str) {
        let films: BTreeMap<_, _> = self
            .held()
            .into_iter()
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        let mut lawful = vec![self.lawful(told)];
        if *told == Revocation::Revoked && self.variant.keep_backup {
            // A second name of the source, which its process or a recovery takes back.
            let mut backed_up = self.lawful(told);
            backed_up.insert(self.backup(), self.library.original);
            lawful.push(backed_up);
        }
        assert!(
            lawful.contains(&films),
            "{self}, {told:?} {when}: {films:x?}"
        );
        let dots = names(&self.folder());
        let staged = |name: &&String| name.ends_with(".av1part") || name.ends_with(".av1revoked");
        assert_eq!(dots.iter().find(staged), None, "{self}, {told:?} {when}");
    }

    /// It has cleared away what was its own, and what it said was not a lie.
    fn assert_tidy(&self, told: &Revocation) {
        let names = names(&self.folder());
        let litter = names.iter().find(|name| name.starts_with('.'));
        assert_eq!(litter, None, "{self}, {told:?}");
        let replaced = self.said.starts_with("replaced");
        let committed = matches!(told, Revocation::Committed { .. });
        assert_eq!(replaced, committed, "{self}, {told:?}");
    }

    /// Recovery finds an end, once, and it is the one that was told.
    fn assert_settled(&self, told: Option<&Revocation>) {
        let first = self.recover_twice();
        let held = self.held();
        let lawful = match told {
            Some(told) => vec![self.lawful(told)],
            None => vec![self.replaced(), self.untouched()],
        };
        assert!(
            lawful.contains(&held),
            "{self}, {told:?}: {held:x?}, {first:?}"
        );
    }

    fn recover_twice(&self) -> Vec<Recovered> {
        let first = recover(self.folder()).expect("recovered");
        let second = recover(self.folder()).expect("recovered again");
        assert!(second.is_empty(), "{self}: {first:?}, then {second:?}");
        first
    }

    fn assert_never_without_a_film(&self) {
        let good = [self.library.original, self.staged];
        let held = self.held();
        let film = [self.variant.source, TARGET]
            .into_iter()
            .filter_map(|name| held.get(name))
            .any(|film| good.contains(film));
        assert!(film, "{self}: no film among {held:x?}");
    }

    fn held(&self) -> BTreeMap<String, u64> {
        let folder = self.folder();
        let hash = |name: &String| fingerprint(&folder.join(name));
        names(&folder)
            .into_iter()
            .map(|name| (name.clone(), hash(&name)))
            .collect()
    }

    fn lawful(&self, told: &Revocation) -> BTreeMap<String, u64> {
        match told {
            Revocation::Committed { .. } => {
                assert_eq!(*told, self.committed(), "{self}");
                self.replaced()
            }
            _ => self.untouched(),
        }
    }

    fn committed(&self) -> Revocation {
        let path = self.folder().join(TARGET);
        Revocation::Committed { path }
    }

    fn untouched(&self) -> BTreeMap<String, u64> {
        [(self.variant.source.to_owned(), self.library.original)].into()
    }

    fn replaced(&self) -> BTreeMap<String, u64> {
        let mut held = BTreeMap::from([(TARGET.to_owned(), self.staged)]);
        if self.variant.keep_backup {
            held.insert(self.backup(), self.library.original);
        }
        held
    }

    fn backup(&self) -> String {
        format!("{}.bak", self.variant.source)
    }
}

impl fmt::Display for Zombie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variant,
            point,
            said,
            ..
        } = self;
        write!(f, "{}, stopped at {point}, said {said:?}", variant.name())
    }
}

/// Revokes.
pub(crate) fn run(order: &str) {
    let mut lines = order.lines();
    let source = lines.next().expect("a source");
    let token = lines.next().expect("a token");
    let bytes = lines.next().expect("a size").parse().expect("a number");
    for fault in lines.map(Fault::from_line) {
        fault.arm();
    }
    match av1core::revoke(Path::new(source), token, bytes) {
        Ok(Revocation::Revoked) => println!("revoked"),
        Ok(Revocation::Committed { path }) => println!("committed {}", path.display()),
        Ok(Revocation::Nothing) => println!("nothing"),
        other => println!("failed {other:?}"),
    }
}
