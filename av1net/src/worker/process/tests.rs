//! Real processes: shell scripts that speak as an encode's process does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::job::{FileId, StagedFile};
use crate::proto::{TaskProgress, WorkSettings};
use crate::worker::orders::{ChildPhase, EncodedFilm};

/// A test that takes longer hangs: each is done in a second or two.
const LIMIT: Duration = Duration::from_secs(60);

/// A line of a script that says `event`.
pub(in crate::worker) fn say(event: &ChildEvent) -> String {
    let json = serde_json::to_string(event).expect("text");
    assert!(!json.contains('\''), "{json} has a quote");
    format!("echo '{json}'\n")
}

/// A line of a script that waits for a line which has `text` in it.
pub(in crate::worker) fn expect(text: &str) -> String {
    format!(
        "read -r line || exit 90\ncase $line in *'{text}'*) ;; *) echo \"got $line\" >&2; exit 91 ;; esac\n"
    )
}

pub(in crate::worker) fn phase(phase: ChildPhase) -> ChildEvent {
    ChildEvent::Phase { phase }
}

pub(in crate::worker) fn progress(frames_done: u64) -> ChildEvent {
    let progress = TaskProgress {
        frames_done,
        ..TaskProgress::default()
    };
    ChildEvent::Progress { progress }
}

pub(in crate::worker) fn asking() -> ChildEvent {
    let key = "the content".to_owned();
    ChildEvent::Asking { key }
}

pub(in crate::worker) fn staged() -> ChildEvent {
    let token = "0123456789abcdef".to_owned();
    let staged = StagedFile { token, bytes: 5 };
    ChildEvent::Staged { staged }
}

pub(in crate::worker) fn ended(end: ChildEnd) -> ChildEvent {
    ChildEvent::Ended { end }
}

pub(in crate::worker) fn film(path: &Path) -> EncodedFilm {
    EncodedFilm {
        path: path.into(),
        file: FileId {
            bytes: 5,
            modified_ns: 1,
            inode: 2,
        },
        source_bytes: 10,
        frames: 30,
        elapsed_ms: 4,
        encoder: "SVT-AV1 1.4.1".to_owned(),
        warnings: Vec::new(),
    }
}

/// A program that is this script, in `folder`.
pub(in crate::worker) fn program(folder: &Path, script: &str) -> ChildProgram {
    let program = folder.join("child");
    fs::write(&program, format!("#!/bin/sh\n{script}")).expect("writes");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("may run");
    // By the shell's hand: a file that a fork of another test still holds open for
    // writing cannot be executed (ETXTBSY).
    ChildProgram {
        program: Some("/bin/sh".into()),
        arguments: vec![program.into()],
    }
}

pub(in crate::worker) fn short_patience() -> Patience {
    Patience {
        stall: Duration::from_millis(400),
        stop: Duration::from_millis(400),
        farewell: Duration::from_millis(400),
    }
}

fn order() -> ChildOrder {
    ChildOrder::InPlace {
        source: Path::new("/media/film.mkv").into(),
        root: None,
        work: WorkSettings::default(),
        threads: None,
    }
}

struct Trial {
    process: Process,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    niceness: watch::Sender<u8>,
    _folder: tempfile::TempDir,
}

async fn start(script: &str, patience: Patience) -> Trial {
    let folder = tempfile::tempdir().expect("a folder");
    let (niceness, nice) = watch::channel(0);
    let conduct = Conduct {
        program: program(folder.path(), script),
        niceness: nice,
        io_class: IoClassKey::Normal,
        patience,
    };
    let process = Process::start(&conduct, &order()).await.expect("starts");
    let (tell, told) = mpsc::unbounded_channel();
    Trial {
        process,
        tell,
        told,
        niceness,
        _folder: folder,
    }
}

impl Trial {
    async fn step(&mut self) -> Step {
        timeout(LIMIT, self.process.next(&mut self.told))
            .await
            .expect("no hang")
    }

    async fn event(&mut self) -> ChildEvent {
        match self.step().await {
            Step::Event(event) => event,
            Step::Over(ending) => panic!("over: {ending:?}"),
        }
    }

    /// How it ends, whatever it says before.
    async fn ending(&mut self) -> Ending {
        loop {
            if let Step::Over(ending) = self.step().await {
                return ending;
            }
        }
    }

    fn answer(&self, answer: Answer) {
        self.tell.send(Told::Answer(answer)).expect("is heard");
    }
}

fn failure(ending: Ending) -> Failure {
    match ending {
        Ending::Died(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Whether no process has this number, or only one that is dead.
fn is_gone(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| {
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
        after_name.is_none_or(|rest| rest.starts_with('Z') || rest.starts_with('X'))
    })
}

/// Waits until a process that was killed is gone: the system takes its time.
pub(in crate::worker) async fn gone(process: u32) {
    let gone = async {
        while !is_gone(process) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = timeout(LIMIT, gone).await;
    assert!(gone.is_ok(), "{process} lives on");
}

#[tokio::test]
async fn a_process_is_asked_and_answered_to_its_end() {
    let end = ChildEnd::Replaced {
        film: film(Path::new("/media/film.mkv")),
        backup: None,
    };
    let script = [
        expect("in_place"),
        say(&asking()),
        expect("proceed"),
        say(&phase(ChildPhase::Encoding)),
        say(&progress(7)),
        say(&staged()),
        expect("commit"),
        say(&ended(end.clone())),
    ];
    let mut trial = start(&script.concat(), Patience::default()).await;
    assert_eq!(trial.event().await, asking());
    trial.answer(Answer::Proceed);
    assert_eq!(trial.event().await, phase(ChildPhase::Encoding));
    assert_eq!(trial.event().await, progress(7));
    assert_eq!(trial.event().await, staged());
    trial.answer(Answer::Commit);
    assert_eq!(trial.ending().await, Ending::Said(end));
}

#[tokio::test]
async fn a_process_that_dies_by_a_signal_is_told_with_its_last_words() {
    let script = "echo 'assertion x > 0 failed' >&2; kill -SEGV $$";
    let failure = failure(start(script, Patience::default()).await.ending().await);
    assert!(failure.crashed && failure.retryable);
    let message = &failure.reason.message;
    assert!(message.contains("SIGSEGV"), "{message}");
    assert!(message.contains("assertion x > 0 failed"), "{message}");
}

#[tokio::test]
async fn a_process_that_leaves_without_a_word_has_crashed() {
    let failure = failure(start("exit 0", Patience::default()).await.ending().await);
    assert!(failure.crashed);
    assert!(
        failure.reason.message.contains("exit code 0"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn an_end_counts_whatever_the_exit_code_says() {
    let script = say(&ended(ChildEnd::Cancelled)) + "exit 3";
    let ending = start(&script, Patience::default()).await.ending().await;
    assert_eq!(ending, Ending::Said(ChildEnd::Cancelled));
}

#[tokio::test]
async fn a_process_that_stands_still_is_killed() {
    let script =
        say(&phase(ChildPhase::Encoding)) + "while sleep 0.05; do " + &say(&progress(7)) + "done";
    let mut trial = start(&script, short_patience()).await;
    let number = trial.process.number;
    let failure = failure(trial.ending().await);
    assert_eq!(failure.reason.kind, "stalled");
    assert!(failure.crashed && failure.retryable);
    gone(number).await;
}

#[tokio::test]
async fn progress_keeps_a_slow_process_alive() {
    let mut script = say(&phase(ChildPhase::Encoding));
    for frames in 0..10 {
        script += "sleep 0.1\n";
        script += &say(&progress(frames));
    }
    script += &say(&ended(ChildEnd::Cancelled));
    let ending = start(&script, short_patience()).await.ending().await;
    assert_eq!(ending, Ending::Said(ChildEnd::Cancelled));
}

#[tokio::test]
async fn who_waits_for_an_answer_does_not_stand_still() {
    let script = [
        expect("in_place"),
        say(&staged()),
        expect("commit"),
        say(&ended(ChildEnd::Cancelled)),
    ];
    let script = script.concat();
    let mut trial = start(&script, short_patience()).await;
    assert_eq!(trial.event().await, staged());
    let longer = short_patience().stall * 2;
    let waits = timeout(longer, trial.process.next(&mut trial.told)).await;
    assert!(waits.is_err(), "{waits:?}");
    trial.answer(Answer::Commit);
    assert_eq!(trial.ending().await, Ending::Said(ChildEnd::Cancelled));
}

#[tokio::test]
async fn a_process_that_is_told_to_stop_says_so() {
    let script = expect("in_place") + &expect("cancel") + &say(&ended(ChildEnd::Cancelled));
    let mut trial = start(&script, Patience::default()).await;
    trial.tell.send(Told::Stop).expect("is heard");
    assert_eq!(trial.ending().await, Ending::Said(ChildEnd::Cancelled));
}

#[tokio::test]
async fn a_process_that_does_not_stop_is_killed_with_all_that_it_started() {
    // Progress all the time: only the stop's own patience may end it.
    let script = "sleep 1000 & echo \"$!\" >&2\n".to_owned()
        + &say(&phase(ChildPhase::Encoding))
        + "i=0; while sleep 0.05; do i=$((i+1)); echo '{\"event\":\"progress\",\"progress\":{\"frames_done\":'$i'}}'; done";
    let mut trial = start(&script, short_patience()).await;
    assert_eq!(trial.event().await, phase(ChildPhase::Encoding));
    let begun = Instant::now();
    trial.tell.send(Told::Stop).expect("is heard");
    assert_eq!(trial.ending().await, Ending::Killed);
    assert!(begun.elapsed() >= short_patience().stop);
    let grandchild: u32 = {
        let words = trial.process.words.lock().expect("not poisoned");
        let first = words.all().next().expect("a word");
        first.parse().expect("its number")
    };
    gone(grandchild).await;
}

#[tokio::test]
async fn the_word_to_stop_is_the_end_of_who_could_say_it_too() {
    let script = expect("in_place") + &expect("cancel") + &say(&ended(ChildEnd::Cancelled));
    let mut trial = start(&script, Patience::default()).await;
    let (_, closed) = mpsc::unbounded_channel();
    trial.told = closed;
    assert_eq!(trial.ending().await, Ending::Said(ChildEnd::Cancelled));
}

#[tokio::test]
async fn a_process_that_lingers_after_its_end_is_killed_and_its_end_counts() {
    let script = say(&ended(ChildEnd::Cancelled)) + "exec sleep 1000";
    let mut trial = start(&script, short_patience()).await;
    let number = trial.process.number;
    assert_eq!(trial.ending().await, Ending::Said(ChildEnd::Cancelled));
    gone(number).await;
}

#[tokio::test]
async fn a_process_that_writes_what_is_no_event_is_killed() {
    for gibberish in [
        "echo hello; sleep 1000",
        "head -c 3000000 /dev/zero; sleep 1000",
    ] {
        let failure = failure(start(gibberish, Patience::default()).await.ending().await);
        assert!(failure.crashed);
        let message = &failure.reason.message;
        assert!(message.contains("does not make sense"), "{message}");
    }
}

#[tokio::test]
async fn an_orphan_that_holds_the_pipe_does_not_hold_up_the_end() {
    let script = say(&ended(ChildEnd::Cancelled)) + "sleep 1000 & exit 0";
    let mut trial = start(&script, Patience::default()).await;
    let ending = timeout(Duration::from_secs(10), trial.ending()).await;
    assert_eq!(
        ending.expect("no wait for the orphan"),
        Ending::Said(ChildEnd::Cancelled)
    );
    let group = priority::pid(trial.process.number).expect("a number");
    let _ = kill_process_group(group, Signal::KILL);
}

#[tokio::test]
async fn a_process_s_input_ends_with_its_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = folder.path().join("ended");
    // What is killed on drop is the group's leader; whoever reads the same input shows
    // that it has ended.
    let script = format!(
        "exec 3<&0; ({}while read -r line; do :; done; echo > '{}') <&3 &\nexec sleep 1000",
        say(&asking()),
        ended.display()
    );
    let mut trial = start(&script, Patience::default()).await;
    assert_eq!(trial.event().await, asking(), "it reads");
    drop(trial);
    let seen = async {
        while !ended.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, seen).await.expect("the input ends");
}

/// The niceness of each thread of a process (proc(5): the 19th field).
fn niceness_of(process: u32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    let stats = threads.map(|thread| thread.expect("a thread").path().join("stat"));
    let niceness = stats.map(|stat| {
        let stat = fs::read_to_string(stat).expect("a thread's numbers");
        let (_, after_name) = stat.rsplit_once(") ").expect("a name");
        let field = after_name.split(' ').nth(16).expect("a niceness");
        field.parse().expect("a number")
    });
    niceness.collect()
}

#[tokio::test]
async fn niceness_changes_while_the_process_runs() {
    let script = say(&phase(ChildPhase::Encoding)) + "exec sleep 1000";
    let mut trial = start(&script, Patience::default()).await;
    let before = niceness_of(trial.process.number)[0];
    trial.event().await;
    trial.niceness.send(15).expect("is heard");
    let number = trial.process.number;
    let changed = async {
        tokio::select! {
            step = trial.process.next(&mut trial.told) => panic!("{step:?}"),
            () = async {
                while niceness_of(number) != [15] {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            } => {}
        }
    };
    timeout(LIMIT, changed).await.expect("it changes");
    assert_ne!(before, 15);
}

/// Not a test: the process with several threads for the one below.
#[test]
#[ignore = "run by the test below, as a process of its own"]
fn a_process_with_threads() {
    if std::env::var_os("AV1_TEST_THREADS").is_some() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| std::thread::sleep(LIMIT)))
            .collect();
        println!("ready");
        for thread in threads {
            thread.join().expect("sleeps");
        }
    }
}

#[tokio::test]
async fn niceness_is_set_for_every_thread() {
    use tokio::io::{AsyncBufReadExt, BufReader};

    let name = concat!(module_path!(), "::a_process_with_threads");
    let name = name.split_once("::").expect("a crate's name").1;
    let mut child = Command::new(std::env::current_exe().expect("a test"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("AV1_TEST_THREADS", "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.expect("reads") {
            if line.contains("ready") {
                return;
            }
        }
        panic!("it never has its threads");
    };
    timeout(LIMIT, ready).await.expect("no hang");
    let number = child.id().expect("it runs");
    priority::set_niceness(number, 13).expect("raises it");
    let niceness = niceness_of(number);
    assert!(niceness.len() >= 5, "{niceness:?}");
    assert!(niceness.iter().all(|n| *n == 13), "{niceness:?}");
}

#[tokio::test]
async fn an_io_class_is_set_or_the_reason_told() {
    let child = Command::new("sleep")
        .arg("1000")
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let number = child.id().expect("it runs");
    match priority::set_io_class(number, IoClassKey::Idle).await {
        Ok(()) => {
            let shown = Command::new("ionice")
                .args(["-p", &number.to_string()])
                .output()
                .await
                .expect("runs");
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            assert!(shown.contains("idle"), "{shown}");
        }
        Err(why) => assert!(why.contains("ionice"), "{why}"),
    }
}
