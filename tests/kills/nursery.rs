//! Processes without the start of one.
//!
//! The matrix has thousands of children that live for a few hundredths of a second, and
//! three quarters of what each cost went into linking with FFmpeg's libraries (on Debian 12
//! there are a hundred). So they are forked from the nursery: a process of this binary that
//! is linked already, has one thread, as a fork needs, and does nothing else.
//!
//! An order goes to the nursery over a socket. The process that it forks for it forks the
//! child, and says over the same socket what becomes of that one.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::OnceLock;

use fork::Fork;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getppid, kill_process,
    set_parent_process_death_signal, wait, waitid,
};
use tempfile::NamedTempFile;

use crate::support::Scratch;

/// Tells a process that it is the nursery, and whose.
const VARIABLE: &str = "AV1_KILLS_NURSERY";

/// Where the nursery takes orders.
static ADDRESS: OnceLock<PathBuf> = OnceLock::new();

/// The nursery, for as long as this lives.
pub(crate) struct Nursery {
    process: process::Child,
    _scratch: Scratch,
}

impl Nursery {
    /// Starts it; on the main thread, since it ends with the thread that started it.
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new();
        let address = scratch.file("nursery");
        let listener = UnixListener::bind(&address).expect("a socket");
        let process = Command::new(env::current_exe().expect("this binary"))
            .env(VARIABLE, process::id().to_string())
            // Every function is looked up now, and not by each child.
            .env("LD_BIND_NOW", "1")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .expect("a nursery");
        ADDRESS.set(address).expect("one nursery");
        Self {
            process,
            _scratch: scratch,
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where this process was started as the nursery: forks a child for each order until it is
/// killed. Returns in the children as well, when `carry_out` has.
pub(crate) fn run_if_ordered(carry_out: fn(&str)) -> Option<ExitCode> {
    let parent = env::var(VARIABLE).ok()?.parse().expect("a number");
    end_with(parent);
    let listener = io::stdin().as_fd().try_clone_to_owned();
    let listener = UnixListener::from(listener.expect("a socket"));
    loop {
        let (connection, _) = listener.accept().expect("an order");
        let nursery = process::id();
        if let Fork::Child = fork::fork().expect("a process") {
            end_with(nursery);
            tend(connection, carry_out);
            return Some(ExitCode::SUCCESS);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

/// Forks the child of one order, and tells what becomes of it.
fn tend(mut connection: UnixStream, carry_out: fn(&str)) {
    let mut order = Vec::new();
    let mut reader = BufReader::new(&connection);
    reader.read_until(END, &mut order).expect("an order");
    let order = String::from_utf8(order).expect("text");
    let order = order.trim_end_matches(char::from(END));
    let (said, order) = order.split_once('\n').expect("a file for what it says");
    let (errors, order) = order.split_once('\n').expect("a file for its errors");
    let tender = process::id();
    let child = match fork::fork().expect("a process") {
        Fork::Child => {
            end_with(tender);
            drop(connection);
            let open = |path| File::options().append(true).open(path).expect("a file");
            rustix::stdio::dup2_stdout(open(said)).expect("redirected");
            rustix::stdio::dup2_stderr(open(errors)).expect("redirected");
            return carry_out(order);
        }
        Fork::Parent(pid) => Pid::from_raw(pid).expect("a child"),
    };
    writeln!(connection, "{}", child.as_raw_nonzero()).expect("told");
    let stops = WaitIdOptions::STOPPED;
    let ends = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        let status = waitid(WaitId::Pid(child), stops | ends).expect("a child");
        let status = status.expect("news of it");
        if status.stopped() {
            // It may go on, or be over, before its stop is taken note of.
            let _ = waitid(WaitId::Pid(child), stops | WaitIdOptions::NOHANG);
            writeln!(connection, "stopped").expect("told");
            continue;
        }
        match status.exit_status() {
            Some(code) => writeln!(connection, "exited {code}"),
            None => writeln!(connection, "killed"),
        }
        .expect("told");
        // Nobody else is given its number while somebody may still signal it.
        let _ = connection.read(&mut [0]);
        let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED);
        return;
    }
}

/// Whatever kills the tests, no process stays behind: this one ends with its parent, and
/// now where that is gone already, which no signal tells.
fn end_with(parent: u32) {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a signal");
    let is_there =
        getppid().is_some_and(|pid| pid.as_raw_nonzero().get().cast_unsigned() == parent);
    if !is_there {
        process::exit(1);
    }
}

/// Ends an order.
const END: u8 = 0;

/// A child of the nursery; it is killed where this is dropped before it ends.
pub(crate) struct Process {
    pid: Pid,
    news: BufReader<UnixStream>,
    said: NamedTempFile,
    errors: NamedTempFile,
    end: Option<End>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exited(i32),
    Killed,
}

impl Process {
    /// Has the nursery make a child that carries this out.
    pub(crate) fn start(order: &str) -> Self {
        let [said, errors] = [(); 2].map(|()| NamedTempFile::new().expect("a file"));
        let address = ADDRESS.get().expect("a nursery");
        let mut connection = UnixStream::connect(address).expect("a line to the nursery");
        let (out, err) = (said.path().display(), errors.path().display());
        let whole = format!("{out}\n{err}\n{order}\0");
        connection.write_all(whole.as_bytes()).expect("ordered");
        let mut news = BufReader::new(connection);
        let pid = line(&mut news).parse().ok().and_then(Pid::from_raw);
        Self {
            pid: pid.expect("a number"),
            news,
            said,
            errors,
            end: None,
        }
    }

    /// Waits until it is stopped, or is over.
    pub(crate) fn wait_for_stop(&mut self) {
        if self.end.is_none() {
            self.end = end(&line(&mut self.news));
        }
    }

    /// Waits until it is over: killed, or through. A child that panics has found something.
    #[track_caller]
    pub(crate) fn wait(&mut self) {
        let end = loop {
            match self.end {
                Some(end) => break end,
                None => self.wait_for_stop(),
            }
        };
        let lawful = matches!(end, End::Killed | End::Exited(0));
        assert!(lawful, "{end:?}: {}", self.errors());
    }

    /// Lets it go on, where it was stopped.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// It may be over, and has its number still.
    fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.said.path()).expect("text")
    }

    /// What it has said on stderr.
    pub(crate) fn errors(&self) -> String {
        let errors = fs::read(self.errors.path()).expect("read");
        String::from_utf8_lossy(&errors).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.kill();
            // Its files go with this; nothing writes to them any more then.
            while self.end.is_none() && !self.news.fill_buf().is_ok_and(<[u8]>::is_empty) {
                self.wait_for_stop();
            }
        }
    }
}

fn line(news: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    news.read_line(&mut line).expect("news");
    assert!(line.ends_with('\n'), "the nursery is gone");
    line.trim_end().to_owned()
}

fn end(news: &str) -> Option<End> {
    match news.split_once(' ') {
        _ if news == "stopped" => None,
        _ if news == "killed" => Some(End::Killed),
        Some(("exited", code)) => Some(End::Exited(code.parse().expect("a number"))),
        _ => panic!("the nursery said {news:?}"),
    }
}
