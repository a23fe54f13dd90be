//! The process of one encode, as a worker runs it: whatever the worker says or whenever
//! it dies, the film is replaced as it was told to, or untouched with nothing beside it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use av1core::Revocation;
use av1net::job::{Reason, StagedFile};
use av1net::proto::WorkSettings;
use av1net::worker::orders::{
    ChildCommand, ChildEnd, ChildEvent, ChildOrder, ChildPhase, EncodedFilm,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::cli::av1cli;
use crate::support::scratch::{assert_holds, fingerprint};
use crate::support::watchdog::now;
use crate::support::{Scratch, fast, quality, recipe, watched};

/// Lossless, so that there is something to save.
const LOSSLESS: &str = "-c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p";

/// The child promises two seconds; a loaded machine gets some more.
const PROMISE: Duration = Duration::from_secs(6);

fn film(folder: &Scratch, name: &str) -> PathBuf {
    recipe::film(folder, name, (25, 1.0), LOSSLESS)
}

/// For films that were made a moment ago and are small.
fn work() -> WorkSettings {
    WorkSettings {
        options: fast(),
        min_bytes: Some(0),
        settle_s: Some(0),
        ..WorkSettings::default()
    }
}

fn in_place(source: &Path, work: WorkSettings) -> ChildOrder {
    ChildOrder::InPlace {
        source: source.into(),
        root: None,
        work,
        threads: Some(1),
    }
}

/// A child that is spoken with; killed when dropped.
struct Talk {
    child: Child,
    commands: Option<ChildStdin>,
    events: std::io::Lines<BufReader<ChildStdout>>,
}

impl Talk {
    fn about(order: &ChildOrder) -> Self {
        Self::begun_with(&serde_json::to_string(order).expect("a line"))
    }

    fn begun_with(line: &str) -> Self {
        let mut child = av1cli()
            .arg("encode-child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut commands = child.stdin.take().expect("piped");
        writeln!(commands, "{line}").expect("told");
        let events = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self {
            child,
            commands: Some(commands),
            events,
        }
    }

    fn say(&mut self, command: &ChildCommand) {
        let line = serde_json::to_string(command).expect("a line");
        let commands = self.commands.as_mut().expect("open");
        writeln!(commands, "{line}").expect("told");
    }

    /// The parent is gone.
    fn hang_up(&mut self) {
        self.commands = None;
    }

    fn next(&mut self) -> Option<ChildEvent> {
        let line = self.events.next()?.expect("a line");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Goes on until a moment has come, answering that nothing was decided.
    fn until(&mut self, moment: Moment) -> Vec<ChildEvent> {
        let mut heard = Vec::new();
        loop {
            let event = self
                .next()
                .unwrap_or_else(|| panic!("{moment:?} after {heard:?}"));
            let has_come = moment.is_it(&event);
            let asks = matches!(event, ChildEvent::Asking { .. });
            heard.push(event);
            if has_come {
                return heard;
            }
            if asks {
                self.say(&ChildCommand::Proceed);
            }
        }
    }

    fn staged(&mut self) -> StagedFile {
        match self.until(Moment::Staged).pop() {
            Some(ChildEvent::Staged { staged }) => staged,
            other => panic!("{other:?}"),
        }
    }

    /// Its last word; the process has ended well after that.
    fn end(&mut self) -> ChildEnd {
        let end = match self.until(Moment::Ended).pop() {
            Some(ChildEvent::Ended { end }) => end,
            other => panic!("{other:?}"),
        };
        assert_eq!(self.next(), None, "after {end:?}");
        let status = self.child.wait().expect("an end");
        assert!(status.success(), "{status} after {end:?}");
        end
    }

    /// Ends within the time that is promised, with or without a word.
    fn ends_soon(&mut self) {
        let since = now();
        while self.next().is_some() {}
        self.child.wait().expect("an end");
        let took = since.elapsed();
        assert!(took < PROMISE, "it took {took:?}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalled");
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Asking,
    Phase(ChildPhase),
    Progress,
    Staged,
    Ended,
}

impl Moment {
    fn is_it(self, event: &ChildEvent) -> bool {
        match event {
            ChildEvent::Asking { .. } => self == Self::Asking,
            ChildEvent::Phase { phase } => self == Self::Phase(*phase),
            ChildEvent::Progress { .. } => self == Self::Progress,
            ChildEvent::Staged { .. } => self == Self::Staged,
            ChildEvent::Ended { .. } => self == Self::Ended,
            ChildEvent::Warning { .. } => false,
        }
    }
}

/// When the parent may fall silent with nothing done.
const MOMENTS: [Moment; 5] = [
    Moment::Asking,
    Moment::Phase(ChildPhase::Encoding),
    Moment::Progress,
    Moment::Phase(ChildPhase::Verifying),
    Moment::Staged,
];

fn replaced(end: ChildEnd) -> EncodedFilm {
    match end {
        ChildEnd::Replaced { film, .. } => film,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_film_is_asked_about_encoded_staged_and_replaced_when_it_is_permitted() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let (before, bytes) = (
            fingerprint(&source),
            fs::metadata(&source).expect("there").len(),
        );
        let copy = Scratch::new();
        fs::copy(&source, copy.file("film.mp4")).expect("copied");
        let order = ChildOrder::InPlace {
            source: source.as_path().into(),
            root: Some(folder.path().into()),
            work: WorkSettings {
                testing_mode: true,
                ..work()
            },
            threads: Some(1),
        };
        let mut talk = Talk::about(&order);
        let heard = talk.until(Moment::Staged);
        let Some(ChildEvent::Asking { key }) = heard.first() else {
            panic!("{heard:?}");
        };
        let known = av1core::DecisionKey::of(&source, &fast()).expect("a key");
        assert_eq!(*key, known.to_string());
        let phases: Vec<_> = heard
            .iter()
            .filter_map(|event| match event {
                ChildEvent::Phase { phase } => Some(*phase),
                _ => None,
            })
            .collect();
        assert_eq!(phases, [ChildPhase::Encoding, ChildPhase::Verifying]);
        let Some(ChildEvent::Staged { staged }) = heard.last() else {
            panic!("{heard:?}");
        };
        let name = format!(".film.mkv.{}.av1part", staged.token);
        assert_holds(folder.path(), &[&name, "film.mp4"]);
        assert_eq!(
            fs::metadata(folder.file(&name)).expect("there").len(),
            staged.bytes
        );
        assert_eq!(fingerprint(&source), before);

        talk.say(&ChildCommand::Commit);
        let ChildEnd::Replaced { film, backup } = talk.end() else {
            panic!("not replaced");
        };
        let output = folder.file("film.mkv");
        assert_eq!(film.path.as_ref(), output);
        assert_eq!(backup, Some(folder.file("film.mp4.bak").into()));
        assert_holds(folder.path(), &["film.mkv", "film.mp4.bak"]);
        assert_eq!((film.frames, film.source_bytes), (25, bytes));
        assert_eq!(film.file.bytes, staged.bytes);
        use std::os::unix::fs::MetadataExt;
        assert_eq!(film.file.inode, fs::metadata(&output).expect("there").ino());
        assert!(film.encoder.starts_with("SVT-AV1"), "{}", film.encoder);
        quality::assert_same_pictures(&copy.file("film.mp4"), &output, 25);
    });
}

#[test]
fn a_parent_that_dies_leaves_the_film_untouched_and_nothing_beside_it() {
    at_each_moment(Talk::hang_up);
}

#[test]
fn a_cancelled_child_leaves_the_film_untouched_and_nothing_beside_it() {
    at_each_moment(|talk| talk.say(&ChildCommand::Cancel));
}

#[test]
fn a_terminated_child_leaves_the_film_untouched_and_nothing_beside_it() {
    at_each_moment(|talk| talk.signal(Signal::TERM));
}

fn at_each_moment(stop: fn(&mut Talk)) {
    for moment in MOMENTS {
        watched(move || {
            let folder = Scratch::new();
            // Long enough to be in the middle of it.
            let source = recipe::film(&folder, "film.mkv", (25, 6.0), LOSSLESS);
            let before = fingerprint(&source);
            let mut talk = Talk::about(&in_place(&source, work()));
            talk.until(moment);
            stop(&mut talk);
            talk.ends_soon();
            assert_holds(folder.path(), &["film.mkv"]);
            assert_eq!(fingerprint(&source), before, "{moment:?}");
        });
    }
}

#[test]
fn it_says_that_it_was_stopped() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut talk = Talk::about(&in_place(&source, work()));
        talk.until(Moment::Staged);
        talk.say(&ChildCommand::Cancel);
        assert_eq!(talk.end(), ChildEnd::Cancelled);
    });
}

/// What a terminal sends to all that runs in it is the worker's matter.
#[test]
fn a_key_pressed_at_the_terminal_does_not_stop_it() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut talk = Talk::about(&in_place(&source, work()));
        talk.until(Moment::Phase(ChildPhase::Encoding));
        talk.signal(Signal::INT);
        talk.signal(Signal::HUP);
        talk.staged();
        talk.say(&ChildCommand::Commit);
        replaced(talk.end());
    });
}

#[test]
fn a_parent_that_dies_after_the_permit_does_not_stop_the_replacement() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let mut talk = Talk::about(&in_place(&source, work()));
        talk.staged();
        talk.say(&ChildCommand::Commit);
        talk.say(&ChildCommand::Cancel);
        talk.hang_up();
        replaced(talk.end());
        assert_holds(folder.path(), &["film.mkv"]);
    });
}

/// The engine hangs (on a disk that does not answer, say) and heeds no token.
#[test]
fn a_child_that_hangs_ends_by_force_when_its_parent_dies() {
    watched(|| {
        let folder = Scratch::new();
        let pipe = folder.file("film.mkv");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .expect("a pipe that nobody writes to");
        let mut talk = Talk::about(&in_place(&pipe, work()));
        talk.hang_up();
        talk.ends_soon();
        assert_holds(folder.path(), &["film.mkv"]);
    });
}

#[test]
fn what_was_decided_for_the_content_is_not_decided_again() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut strict = work();
        strict.options.min_saving_percent = av1core::Saving::new(99).ok();
        let mut talk = Talk::about(&in_place(&source, strict.clone()));
        let ChildEnd::LeftAlone { reason, key } = talk.end() else {
            panic!("not left alone");
        };
        assert_eq!(reason.kind, "not_worthwhile");
        let known = av1core::DecisionKey::of(&source, &strict.options).expect("a key");
        assert_eq!(key, Some(known.to_string()));

        let mut talk = Talk::about(&in_place(&source, strict));
        talk.until(Moment::Asking);
        talk.say(&ChildCommand::Decided {
            reason: reason.clone(),
        });
        let key = None;
        assert_eq!(talk.end(), ChildEnd::LeftAlone { reason, key });
        assert_holds(folder.path(), &["film.mkv"]);
    });
}

#[test]
fn what_is_for_the_moment_becomes_no_lasting_verdict() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let end = |work| Talk::about(&in_place(&source, work)).end();
        let settles = WorkSettings {
            // A clock's tick more than it takes to come here.
            settle_s: Some(2),
            ..work()
        };
        // Rather waited for than failed.
        let mut talk = Talk::about(&in_place(&source, settles));
        talk.staged();
        drop(talk);
        fs::read_dir(folder.path())
            .expect("listed")
            .for_each(|entry| {
                let path = entry.expect("an entry").path();
                if path != source {
                    fs::remove_file(path).expect("what the killed child left");
                }
            });

        let writer = fs::OpenOptions::new()
            .append(true)
            .open(&source)
            .expect("opened");
        let ended = end(work());
        // `LeftAlone` on a file system that does not tell who writes.
        if av1core::FileFacts::of(&source, None)
            .expect("facts")
            .open_for_writing
            == Some(true)
        {
            let ChildEnd::Failed { failure } = ended else {
                panic!("{ended:?}");
            };
            assert!(failure.retryable && !failure.crashed, "{failure:?}");
            assert_eq!(failure.reason.kind, "open_for_writing");
        }
        drop(writer);

        fs::hard_link(&source, folder.file("seeding.mkv")).expect("linked");
        let ended = end(work());
        let ChildEnd::LeftAlone { reason, key: None } = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(reason.kind, "hard_linked");
    });
}

#[test]
fn a_source_that_is_no_film_fails_for_good_and_one_that_cannot_be_read_does_not() {
    watched(|| {
        let folder = Scratch::new();
        let text = folder.write("text.mkv", b"not a film at all");
        let ChildEnd::Failed { failure } = Talk::about(&in_place(&text, work())).end() else {
            panic!("not failed");
        };
        assert_eq!(failure.reason.kind, "not_media");
        assert!(!failure.retryable && !failure.crashed, "{failure:?}");

        let gone = folder.file("gone.mkv");
        let ChildEnd::Failed { failure } = Talk::about(&in_place(&gone, work())).end() else {
            panic!("not failed");
        };
        assert_eq!(failure.reason.kind, "unreadable");

        let ended = Talk::begun_with("{\"order\": \"dance\"}").end();
        assert!(
            matches!(&ended, ChildEnd::Failed { failure } if failure.reason.kind == "bad_order"),
            "{ended:?}"
        );
        let mut rules = work();
        rules.exclude = vec!["[".to_owned()];
        let ended = Talk::about(&in_place(&text, rules)).end();
        assert!(
            matches!(&ended, ChildEnd::Failed { failure } if failure.reason.kind == "bad_settings"),
            "{ended:?}"
        );
        assert_holds(folder.path(), &["text.mkv"]);
    });
}

#[test]
fn a_film_that_was_fetched_is_encoded_and_adopted_where_its_source_lies() {
    watched(|| {
        let library = Scratch::new();
        let source = film(&library, "film.mp4");
        let temp = Scratch::new();
        let copy = temp.file("source.mp4");
        fs::copy(&source, &copy).expect("fetched");
        let output = temp.file("output.mkv");
        let mut talk = Talk::about(&ChildOrder::Fetched {
            source: copy.as_path().into(),
            output: output.as_path().into(),
            // Rules of the name and of the moment are for where the source lies.
            work: WorkSettings {
                settle_s: None,
                exclude: vec!["source.*".to_owned()],
                ..work()
            },
            threads: None,
        });
        let ChildEnd::Encoded { film } = talk.end() else {
            panic!("not encoded");
        };
        assert_eq!(film.path.as_ref(), output);
        assert_holds(temp.path(), &["output.mkv", "source.mp4"]);
        let encoded = fingerprint(&output);

        let mut talk = Talk::about(&ChildOrder::Adopt {
            source: source.as_path().into(),
            file: output.as_path().into(),
            root: Some(library.path().into()),
            work: work(),
        });
        let staged = talk.staged();
        assert_eq!(staged.bytes, film.file.bytes);
        talk.say(&ChildCommand::Commit);
        let adopted = replaced(talk.end());
        assert_eq!(adopted.encoder, film.encoder);
        assert_eq!(adopted.frames, 25);
        assert_holds(library.path(), &["film.mkv"]);
        assert_eq!(fingerprint(&library.file("film.mkv")), encoded);
        assert_holds(temp.path(), &["output.mkv", "source.mp4"]);
    });
}

#[test]
fn a_child_whose_right_was_taken_away_while_it_slept_replaces_nothing() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let before = fingerprint(&source);
        let mut talk = Talk::about(&in_place(&source, work()));
        let staged = talk.staged();
        talk.signal(Signal::STOP);
        talk.say(&ChildCommand::Commit);
        let told = av1core::revoke(&source, &staged.token, staged.bytes).expect("revoked");
        assert_eq!(told, Revocation::Revoked);
        talk.signal(Signal::CONT);
        let ended = talk.end();
        let ChildEnd::Failed { failure } = ended else {
            panic!("{ended:?}");
        };
        assert!(failure.retryable, "{failure:?}");
        assert_holds(folder.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&source), before);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn it_has_laid_rights_down() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut talk = Talk::about(&in_place(&source, work()));
        talk.until(Moment::Asking);
        let of = |file: &str| {
            let path = format!("/proc/{}/{file}", talk.child.id());
            fs::read_to_string(path).expect("read")
        };
        assert!(of("status").contains("NoNewPrivs:\t1"), "{}", of("status"));
        // Every thread of it is behind both walls: 2 is a filter of calls.
        let tasks = fs::read_dir(format!("/proc/{}/task", talk.child.id()));
        for task in tasks.expect("threads") {
            let status = fs::read_to_string(task.expect("a thread").path().join("status"));
            let status = status.expect("read");
            assert!(status.contains("Seccomp:\t2"), "{status}");
        }
        let limits = of("limits");
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<_> = core.expect("a limit").split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
        talk.say(&ChildCommand::Decided {
            reason: Reason {
                kind: "av1_already".to_owned(),
                message: "decided before".to_owned(),
            },
        });
        talk.end();
    });
}
