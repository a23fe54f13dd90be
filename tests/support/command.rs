//! The `ffmpeg` and `ffprobe` commands: independent of the code under test, and
//! what the inputs are made with.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

/// Runs a command and returns what it printed on stdout; anything on stderr and
/// any other exit code than 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = outcome(command);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{command:?} ended with {}: {complaint}",
        output.status
    );
    output.stdout
}

/// Runs a command to its end.
pub(crate) fn outcome(command: &mut Command) -> Output {
    // SVT-AV1 prints its banner on stderr otherwise.
    command.stdin(Stdio::null()).env("SVT_LOG", "0");
    match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!(
            "the tests need the command {:?}; `./dev test` installs it (Debian: apt install ffmpeg)",
            command.get_program()
        ),
        Err(error) => panic!("{command:?} does not start: {error}"),
    }
}

/// An `ffmpeg` that prints errors alone and asks nothing.
pub(crate) fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-y", "-v", "error"]);
    command
}

/// Runs `ffmpeg` with arguments that are separated by spaces, and a file to write.
pub(crate) fn make(arguments: &str, output: impl AsRef<OsStr>) {
    run(ffmpeg().args(words(arguments)).arg(output));
}

/// An `ffprobe` that prints JSON.
pub(crate) fn ffprobe() -> Command {
    let mut command = Command::new("ffprobe");
    command.args(["-hide_banner", "-v", "error", "-of", "json"]);
    command
}

/// Splits at spaces, but not within single quotes.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether `ffmpeg` has an encoder.
pub(crate) fn has_encoder(name: &str) -> bool {
    let listed = run(ffmpeg().args(["-encoders"]));
    let listed = String::from_utf8_lossy(&listed);
    listed
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(name))
}
