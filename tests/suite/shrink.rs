//! `av1cli shrink`: folders of one machine, without a network, to their end; and the
//! master that does the same with a page.

use std::borrow::BorrowMut;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::cli::{Run, Running, av1cli};
use crate::support::command::outcome;
use crate::support::scratch::{fingerprint, names};
use crate::support::{Scratch, fast_preset, recipe, tests_folder, watched};

/// Lossless, so that there is something to save.
const LOSSLESS: &str = "-c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p";

/// Long enough to be caught at work.
const SECONDS: f64 = 30.0;

/// A library with a state folder of its own.
struct Home {
    scratch: Scratch,
}

impl Home {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.folder("films");
        Self { scratch }
    }

    fn films(&self) -> PathBuf {
        self.scratch.file("films")
    }

    fn film(&self, name: &str, seconds: f64) -> PathBuf {
        let name = format!("films/{name}");
        recipe::film(&self.scratch, &name, (25, seconds), LOSSLESS)
    }

    /// A command with this home, for films that were made a moment ago and are small.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.settling(words);
        command.args(["--settle", "0"]);
        command
    }

    /// The same for films that are not all to be touched at once.
    fn settling(&self, words: &[&str]) -> Command {
        let mut command = av1cli();
        command.env("XDG_STATE_HOME", self.scratch.file("state"));
        command.args(words);
        command.args(["--min-bytes", "0", "--min-duration", "0"]);
        command.args(["--preset", &fast_preset().to_string()]);
        command
    }

    fn shrink(&self, flags: &[&str]) -> Command {
        let mut command = self.command(&["shrink"]);
        command.args(flags).arg(self.films());
        command
    }

    /// Names of the films; what is ours has dot names.
    fn visible(&self) -> Vec<String> {
        let mut names = names(&self.films());
        names.retain(|name| !name.starts_with('.'));
        names
    }

    /// Nothing is left of an encode that did not come to its end.
    fn assert_no_litter(&self) {
        let marker = |name: &String| name.starts_with('.') && !name.contains("root");
        let litter: Vec<_> = names(&self.films()).into_iter().filter(marker).collect();
        assert_eq!(litter, [""; 0]);
    }
}

fn run(mut command: impl BorrowMut<Command>) -> Run {
    let output = outcome(command.borrow_mut());
    Run {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
    }
}

fn start(mut command: impl BorrowMut<Command>) -> Running {
    let command = command.borrow_mut();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().expect("av1cli starts"))
}

fn ended(mut running: Running) -> (ExitStatus, String) {
    let mut stdout = String::new();
    let mut pipe = running.0.stdout.take().expect("piped");
    pipe.read_to_string(&mut stdout).expect("UTF-8");
    (running.0.wait().expect("an end"), stdout)
}

fn is_av1(path: &Path) -> bool {
    let info = av1core::probe(path).expect("a film");
    info.streams.iter().any(|stream| stream.codec == "av1")
}

/// Waits until a child of this process encodes, and names it.
fn child_at_work(child: &Child) -> u32 {
    loop {
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let children = fs::read_to_string(children).expect("a process that runs");
        // The kernel lists those of the thread that made them: look through all.
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("threads");
        let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
        let mut all: Vec<String> = tasks.filter_map(|task| of_task(task.ok()?)).collect();
        all.push(children);
        let pids = all.iter().flat_map(|text| text.split_whitespace());
        for pid in pids.filter_map(|pid| pid.parse::<u32>().ok()) {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.contains("encode-child") {
                return pid;
            }
        }
        std::thread::yield_now();
    }
}

fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z")
}

#[test]
fn a_folder_is_shrunk_and_then_there_is_nothing_to_do() {
    watched(|| {
        let home = Home::new();
        home.film("one.mp4", 1.0);
        home.film("two\u{1b}[2J.mkv", 1.0);
        let av1 = home.films().join("av1.mkv");
        fs::copy(tests_folder().join("media/av1-srt.mkv"), &av1).expect("copied");
        let before = fingerprint(&av1);

        let first = run(home.shrink(&[]));
        first.assert_code(0);
        assert_eq!(home.visible(), ["av1.mkv", "one.mkv", "two\u{1b}[2J.mkv"]);
        assert!(is_av1(&home.films().join("one.mkv")));
        assert_eq!(fingerprint(&av1), before, "left alone");
        home.assert_no_litter();
        for expected in [
            "3 films to look into",
            "one.mkv: ",
            "% smaller",
            "two\\u{1b}[2J.mkv: ",
            "av1.mkv: left alone: ",
        ] {
            assert!(
                first.stdout.contains(expected),
                "{expected}: {}",
                first.stdout
            );
        }
        assert!(
            !first.stdout.contains('\u{1b}'),
            "a name drives no terminal"
        );

        let second = run(home.shrink(&[]));
        second.assert_code(0);
        assert!(
            second.stdout.contains("There is nothing to do"),
            "{}",
            second.stdout
        );
        fs::remove_file(home.films().join("one.mkv")).expect("removed");
        let third = run(home.shrink(&[]));
        let told = third
            .assert_code(0)
            .stdout
            .contains("There is nothing to do");
        assert!(told, "what is gone is no film: {}", third.stdout);
        let json = run(home.shrink(&["--json"]));
        let lines = json.assert_code(0).lines();
        assert_eq!(lines.len(), 1, "nothing new: {}", json.stdout);
        assert_eq!(lines[0]["event"], "summary");

        home.film("three.mkv", 1.0);
        let json = run(home.shrink(&["--json"]));
        let lines = json.assert_code(0).lines();
        let events: Vec<_> = lines.iter().map(|line| line["event"].clone()).collect();
        assert_eq!(events, ["film", "summary"], "{}", json.stdout);
        assert_eq!(lines[0]["path"], "three.mkv");
        assert_eq!(lines[0]["state"], "completed");
        assert_eq!(lines[1]["shrunk"], 1);
        assert_eq!(lines[1]["left"], 0);
    });
}

/// Gives a file a time so many seconds ahead of this machine's clock, which is waited for.
fn date_ahead(path: &Path, seconds: u64) {
    let file = fs::File::options().append(true).open(path);
    let file = file.expect("opened");
    let modified = file.metadata().and_then(|meta| meta.modified());
    let ahead = modified.expect("a time") + std::time::Duration::from_secs(seconds);
    file.set_modified(ahead).expect("a time");
}

/// The scan has not come to its end while a film may still be written to, and the others
/// are shrunk meanwhile.
#[test]
fn what_is_done_before_the_scan_ends_is_counted() {
    watched(|| {
        let home = Home::new();
        home.film("old.mkv", 1.0);
        date_ahead(&home.film("new.mkv", 1.0), 6);
        let mut shrink = home.settling(&["shrink", "--settle", "1"]);
        let told = run(shrink.arg(home.films()));
        told.assert_code(0);
        let counted = told.stdout.contains("2 films to look into");
        assert!(counted, "{}", told.stdout);
    });
}

/// The first film's replacement is seen by the watch, and what it has looked at then is no
/// word about the other one.
#[test]
fn a_scan_of_a_part_forgets_nobody_who_waits_elsewhere() {
    watched(|| {
        let home = Home::new();
        home.film("old.mkv", 1.0);
        fs::create_dir(home.films().join("later")).expect("a folder");
        let new = home.film("later/new.mkv", 1.0);
        date_ahead(&new, 15);
        let words = ["master", "--local-worker", "--until-done", "--settle", "1"];
        let mut master = home.settling(&words);
        master.args(["--web-port", "0", "--bind-address", "127.0.0.1"]);
        run(master.arg(home.films())).assert_code(0);
        assert!(is_av1(&new), "it ended before its turn");
    });
}

#[test]
fn a_film_that_fails_ends_it_with_a_code_of_its_own() {
    watched(|| {
        let home = Home::new();
        home.film("good.mkv", 1.0);
        let bad = home.film("bad.mkv", 2.0);
        let whole = fs::read(&bad).expect("read");
        fs::write(&bad, &whole[..whole.len() / 2]).expect("cut short");
        let before = fingerprint(&bad);
        let told = run(home.shrink(&["--retry-wait", "0"]));
        told.assert_code(19);
        assert_eq!(fingerprint(&bad), before, "left alone");
        assert!(is_av1(&home.films().join("good.mkv")));
        assert!(told.stdout.contains("bad.mkv: failed"), "{}", told.stdout);
        home.assert_no_litter();
    });
}

#[test]
fn stopped_it_leaves_nothing_and_goes_on_when_started_again() {
    watched(|| {
        let home = Home::new();
        let film = home.film("film.mkv", SECONDS);
        let before = fingerprint(&film);
        let running = start(home.shrink(&[]));
        let child = child_at_work(&running.0);
        running.signal(Signal::INT);
        let (status, stdout) = ended(running);
        assert_eq!(status.code(), Some(130), "{stdout}");
        assert!(!is_alive(child), "the encode's process has ended");
        assert!(stdout.contains("1 film left"), "{stdout}");
        assert_eq!(fingerprint(&film), before);
        home.assert_no_litter();
        run(home.shrink(&[])).assert_code(0);
        assert!(is_av1(&film));
    });
}

#[test]
fn killed_again_and_again_it_still_goes_on() {
    watched(|| {
        let home = Home::new();
        let film = home.film("film.mkv", SECONDS);
        for _ in 0..4 {
            let running = start(home.shrink(&[]));
            child_at_work(&running.0);
            running.signal(Signal::KILL);
            assert_eq!(ended(running).0.signal(), Some(Signal::KILL.as_raw()));
        }
        run(home.shrink(&[])).assert_code(0);
        assert!(is_av1(&film));
        home.assert_no_litter();
    });
}

#[test]
fn two_of_one_folder_do_not_run_at_once() {
    watched(|| {
        let home = Home::new();
        home.film("film.mkv", SECONDS);
        let running = start(home.shrink(&[]));
        child_at_work(&running.0);
        let second = run(home.shrink(&[]));
        second.assert_code(20);
        assert!(
            second.stderr.contains("shrunk already"),
            "{}",
            second.stderr
        );
        running.signal(Signal::TERM);
        assert_eq!(ended(running).0.code(), Some(130));
    });
}

#[test]
fn what_cannot_be_meant_is_told_before_anything_is_done() {
    watched(|| {
        let home = Home::new();
        let film = home.film("film.mkv", 1.0);
        let film = film.to_str().expect("UTF-8");
        for (words, expected) in [
            (vec!["/nowhere/at/all"], "no folder"),
            (vec![film], "--replace"),
            (vec![".", "--order", "best"], "largest_saving"),
        ] {
            let words: Vec<_> = ["shrink"].into_iter().chain(words).collect();
            let told = run(home.command(&words));
            told.assert_code(2);
            assert!(told.stderr.contains(expected), "{}", told.stderr);
        }
        assert!(!home.scratch.file("state").exists());
    });
}

/// The address that a master prints first.
fn address_of(running: &mut Running) -> String {
    let stdout = running.0.stdout.as_mut().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    let page = lines.find_map(|line| {
        let line = line.expect("a line");
        let at = line.find("http://")?;
        let address = line[at..].split_whitespace().next()?;
        Some(address.to_owned())
    });
    page.expect("an address")
}

#[test]
fn a_master_with_a_worker_does_the_same_and_ends_when_all_is_done() {
    watched(|| {
        let home = Home::new();
        home.film("one.mkv", 1.0);
        let mut command = home.command(&["master", "--local-worker", "--until-done"]);
        command.args(["--web-port", "0", "--bind-address", "127.0.0.1"]);
        command.arg(home.films());
        let told = run(command);
        told.assert_code(0);
        assert!(is_av1(&home.films().join("one.mkv")));
        for expected in [
            "http://127.0.0.1:",
            "av1cli worker http://",
            "1 shrunk",
            "one.mkv: ",
        ] {
            assert!(
                told.stdout.contains(expected),
                "{expected}: {}",
                told.stdout
            );
        }
        let token = |line: &str| line.contains("av1a_");
        assert!(
            !told.stdout.lines().any(token),
            "no log keeps what may do everything"
        );
        home.assert_no_litter();
    });
}

#[test]
fn a_master_is_driven_from_a_terminal_of_its_machine() {
    watched(|| {
        let home = Home::new();
        home.film("one.mkv", 1.0);
        let mut command = home.command(&["master", "--web-port", "0"]);
        command
            .args(["--bind-address", "127.0.0.1"])
            .arg(home.films());
        let mut master = start(command);
        let address = address_of(&mut master);
        let drive = |words: &[&str]| {
            let mut command = av1cli();
            command.env("XDG_STATE_HOME", home.scratch.file("state"));
            run(command.args(words))
        };
        // Neither address nor token is given: both are found.
        let mut jobs = Value::Null;
        while jobs["total"] != 1 {
            let told = drive(&["jobs", "--json"]);
            jobs = serde_json::from_str(&told.assert_code(0).stdout).expect("JSON");
        }
        assert_eq!(jobs["jobs"][0]["state"], "pending");
        let film = home.films().join("one.mkv");
        let film = film.to_str().expect("UTF-8");
        drive(&["priority", "7", film]).assert_code(0);
        drive(&["skip", film]).assert_code(0);
        let told = drive(&["jobs", "one.mkv"]);
        assert!(
            told.assert_code(0).stdout.contains("skipped"),
            "{}",
            told.stdout
        );
        drive(&["retry", "--state", "skipped"]).assert_code(0);
        drive(&["cancel", "--all"]).assert_code(0);
        // The counts come with the feed, which tells twice a second.
        let status = || drive(&["status", "--master", &address]);
        while !status().assert_code(0).stdout.contains("1 cancelled") {}
        drive(&["pause"]).assert_code(0);
        drive(&["resume"]).assert_code(0);
        drive(&["scan"]).assert_code(0);
        drive(&["workers"]).assert_code(0);

        let mut stranger = av1cli();
        stranger.env("XDG_STATE_HOME", home.scratch.file("elsewhere"));
        let told = run(stranger.args(["status", "--master", &address]));
        told.assert_code(17);

        master.signal(Signal::TERM);
        assert_eq!(ended(master).0.code(), Some(0));
        drive(&["status", "--master", &address]).assert_code(16);
    });
}

#[test]
fn a_worker_of_the_same_machine_needs_no_word_of_its_master() {
    watched(|| {
        let home = Home::new();
        let film = home.film("one.mkv", 1.0);
        let mut command = home.command(&["master", "--web-port", "0", "--until-done"]);
        command
            .args(["--bind-address", "127.0.0.1"])
            .arg(home.films());
        let mut master = start(command);
        address_of(&mut master);
        let mut worker = av1cli();
        worker.env("XDG_STATE_HOME", home.scratch.file("state"));
        worker.env("AV1_TEMP_DIRECTORY", home.scratch.file("temp"));
        let worker = start(worker.arg("worker"));
        let (status, _) = ended(master);
        assert_eq!(status.code(), Some(0));
        assert!(is_av1(&film));
        // Its master is gone; it waits for it until it is told not to.
        worker.signal(Signal::TERM);
        let (status, stdout) = ended(worker);
        assert_eq!(status.code(), Some(0), "{stdout}");
        assert!(stdout.contains("1 film shrunk"), "{stdout}");
    });
}
