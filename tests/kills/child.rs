//! The child process: encodes, verifies and replaces one film, with faults on its way.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use av1core::{CancelToken, Container, InPlace, Recovered, Recovery, Verdict};
use rustix::process::{Signal, getpid, kill_process};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::support;

/// What a child is to do.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) source: PathBuf,
    pub(crate) keep_backup: bool,
    pub(crate) faults: Vec<Fault>,
}

/// What happens at a fault point.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill(&'static str),
    /// SIGSTOP, the first time.
    Stop(&'static str),
    /// The file system says that it is full.
    Fail(&'static str),
    /// Somebody else does something to the folder.
    Event(&'static str, Event),
}

/// What somebody else does to the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    SourceChanges,
    SourceGoes,
    /// Somebody's file takes the name that the output is to get.
    StrangerComes,
    /// Another run puts its output there, and lets the source go.
    AnotherReplaces,
    FolderGoes,
    /// Nobody may write to the folder any more.
    FolderCloses,
    /// Somebody recovers the folder.
    RecoveryRuns,
}

/// What a stranger's file holds.
pub(crate) const STRANGER: &[u8] = b"a stranger's film";
/// What is added to a source that changes.
pub(crate) const ADDED: &[u8] = b"more";

impl Order {
    /// As text.
    pub(crate) fn to_text(&self) -> String {
        let (source, keep_backup) = (self.source.display(), self.keep_backup);
        format!("{source}\n{keep_backup}\n{}", to_lines(&self.faults))
    }

    fn from_text(order: &str) -> Self {
        let mut lines = order.lines();
        let source = lines.next().expect("a source").into();
        let keep_backup = lines.next() == Some("true");
        Self {
            source,
            keep_backup,
            faults: lines.map(Fault::from_line).collect(),
        }
    }
}

/// Faults as text, one a line.
pub(crate) fn to_lines(faults: &[Fault]) -> String {
    let lines = faults.iter().map(|fault| match fault {
        Fault::Kill(at) => format!("kill {at}"),
        Fault::Stop(at) => format!("stop {at}"),
        Fault::Fail(at) => format!("fail {at}"),
        Fault::Event(at, event) => format!("{event:?} {at}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Fault {
    pub(crate) fn from_line(line: &str) -> Self {
        let (what, at) = line.split_once(' ').expect("a fault");
        // The child ends soon: nothing is lost by leaking a name.
        let at: &'static str = at.to_owned().leak();
        match what {
            "kill" => Self::Kill(at),
            "stop" => Self::Stop(at),
            "fail" => Self::Fail(at),
            _ => Self::Event(at, event(what)),
        }
    }
}

fn event(name: &str) -> Event {
    crate::EVENTS
        .into_iter()
        .find(|event| format!("{event:?}") == name)
        .expect("an event")
}

/// Does as ordered. Prints `staged HASH TOKEN BYTES` before it replaces and `replaced` or
/// the error's kind after.
pub(crate) fn run(order: &str) {
    let order = &Order::from_text(order);
    av1core::quiet_encoder_log();
    let cancel = CancelToken::new();
    let place = InPlace::of(&order.source, Container::Matroska)
        .expect("a place")
        .keep_backup(order.keep_backup);
    let info = av1core::probe(&order.source).expect("a film");
    // One thread each: most of a child's time goes into setting threads up.
    let mut options = support::fast();
    options.encoder_threads = Some(1);
    options.decoder_threads = Some(1);
    let Verdict::Transcode(plan) = av1core::plan(&info, &options) else {
        panic!("not to be encoded");
    };
    let destination = place.destination();
    let encoded = av1core::encode(&order.source, &info, &plan, destination, &cancel, |_| {});
    let encoded = encoded.expect("encoded");
    let verified = av1core::verify(encoded, &info, &cancel, |_| {}).expect("verified");
    let hash = support::scratch::fingerprint(verified.path());
    let bytes = fs::metadata(verified.path()).expect("there").len();
    let name = verified.path().display().to_string();
    let token = name.rsplit('.').nth(1).expect("a token");
    println!("staged {hash:x} {token} {bytes}");
    for fault in &order.faults {
        arm(fault, order, destination.path());
    }
    match av1core::replace(verified, &place) {
        Ok(replaced) => println!("replaced {}", replaced.refused.join("; ")),
        Err(error) => println!("failed {:?}: {error}", error.kind()),
    }
}

fn arm(fault: &Fault, order: &Order, target: &Path) {
    let (source, target) = (order.source.clone(), target.to_owned());
    match fault {
        // At a meddler's point it dies after the meddler's turn.
        Fault::Kill(at) if is_taken(at, order) => {}
        Fault::Event(at, event) => {
            let event = *event;
            let dies = order
                .faults
                .iter()
                .any(|f| matches!(f, Fault::Kill(k) if k == at));
            let armed = fail::cfg_callback(point(at), move || {
                meddle(event, &source, &target);
                if dies {
                    die();
                }
            });
            armed.expect("armed");
        }
        fault => fault.arm(),
    }
}

impl Fault {
    /// For what needs to know nothing of the film.
    pub(crate) fn arm(&self) {
        let armed = match self {
            Self::Kill(at) => fail::cfg_callback(point(at), die),
            Self::Stop(at) => {
                let stopped = AtomicBool::new(false);
                fail::cfg_callback(point(at), move || {
                    if !stopped.swap(true, Ordering::Relaxed) {
                        kill_process(getpid(), Signal::STOP).expect("stopped");
                    }
                })
            }
            Self::Fail(at) => fail::cfg(point(at), "return"),
            Self::Event(..) => panic!("takes a film"),
        };
        armed.expect("armed");
    }
}

/// A fault point's whole name.
fn point(at: &str) -> String {
    if at.contains("::") {
        at.to_owned()
    } else {
        format!("replace::{at}")
    }
}

fn is_taken(at: &str, order: &Order) -> bool {
    let mut faults = order.faults.iter();
    faults.any(|fault| matches!(fault, Fault::Event(taken, _) if *taken == at))
}

fn die() {
    kill_process(getpid(), Signal::KILL).expect("killed");
}

/// Root may write everywhere, until it lays that right down.
fn obey_modes() {
    let mut sets = capabilities(None).expect("capabilities");
    sets.effective.remove(CapabilitySet::DAC_OVERRIDE);
    set_capabilities(None, sets).expect("laid down");
}

fn meddle(event: Event, source: &Path, target: &Path) {
    match event {
        Event::SourceChanges => {
            let mut file = OpenOptions::new().append(true).open(source);
            // After the commit the source's name may be gone.
            if let Ok(file) = &mut file {
                file.write_all(ADDED).expect("written");
            }
        }
        Event::SourceGoes => {
            let _ = fs::remove_file(source);
        }
        Event::StrangerComes => {
            // Another program saves by renaming, as careful programs do.
            let new = source.with_file_name("download.tmp");
            fs::write(&new, STRANGER).expect("written");
            fs::rename(&new, target).expect("renamed");
        }
        Event::AnotherReplaces => {
            meddle(Event::StrangerComes, source, target);
            if source != target {
                meddle(Event::SourceGoes, source, target);
            }
        }
        Event::FolderGoes => {
            let folder = source.parent().expect("a folder");
            fs::rename(folder, folder.with_extension("moved")).expect("renamed");
        }
        Event::RecoveryRuns => {
            let folder = source.parent().expect("a folder");
            let found = av1core::recover(folder).expect("recovered");
            // A lock is an open file's own, so it holds within a process as well.
            let in_use = |one: &Recovered| one.recovery == Recovery::InUse;
            assert!(found.iter().all(in_use), "{found:?}");
        }
        Event::FolderCloses => {
            let folder = source.parent().expect("a folder");
            fs::set_permissions(folder, Permissions::from_mode(0o555)).expect("a mode");
            obey_modes();
        }
    }
}
