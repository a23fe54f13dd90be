//! The programme itself.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::command::outcome;

/// The programme, with nothing of our own environment that it would obey.
pub(crate) fn av1cli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_av1cli"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AV1") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// How a run ended.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().expect("an exit code, not a signal")
    }

    /// The lines of `--json`.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).expect("a line of JSON");
        self.stdout.lines().map(parse).collect()
    }

    /// Ended as expected, and printed why where not.
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code(),
            code,
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A programme that runs; killed when dropped, so that a failed test leaves none.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = av1cli();
        command.args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("av1cli starts"))
    }

    /// Reads JSON lines until one is of this kind.
    pub(crate) fn wait_for(&mut self, event: &str) {
        let stdout = self.0.stdout.as_mut().expect("piped");
        for line in BufReader::new(stdout).lines() {
            let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            if line["event"] == event {
                return;
            }
        }
        panic!("ended without {event}");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).expect("a signal sent");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the programme to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    let output = outcome(av1cli().args(arguments));
    Run {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
    }
}
