//! How a process that did not end as it should is told of.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::lines::LastWords;
use crate::job::{Failure, Reason};

/// It ended without a word.
pub(crate) fn died(status: ExitStatus, words: &LastWords) -> Failure {
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => by_signal(signal),
        (None, Some(code)) => format!("ended with exit code {code} and said nothing about it"),
        (None, None) => "ended in a way that the system does not tell".to_owned(),
    };
    crashed("crashed", &format!("the encode's process {how}"), words)
}

/// It stood still.
pub(crate) fn stalled(stall: Duration, words: &LastWords) -> Failure {
    let message = format!(
        "the encode made no progress for {} s and was ended (`stall_s`)",
        stall.as_secs_f64()
    );
    crashed("stalled", &message, words)
}

/// It wrote what is no event.
pub(crate) fn gibberish(what: &str, words: &LastWords) -> Failure {
    let message = format!("the encode's process does not make sense: {what}");
    crashed("crashed", &message, words)
}

fn crashed(kind: &str, message: &str, words: &LastWords) -> Failure {
    Failure {
        reason: Reason {
            kind: kind.to_owned(),
            message: format!("{message}{}", words.told()),
        },
        retryable: true,
        crashed: true,
    }
}

fn by_signal(signal: i32) -> String {
    // By Linux's numbers on the common processors (signal(7)); SIGBUS and SIGSYS differ
    // on others, and are told by number there.
    let name = match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 if cfg!(target_os = "linux") => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 if cfg!(target_os = "linux") => "SIGSYS",
        _ => "",
    };
    let hint = match name {
        "SIGKILL" => ": not by this worker; the system does so when memory runs out",
        "SIGSYS" => ": it asked the system for something that an encode has no need of",
        "SIGXCPU" | "SIGXFSZ" => ": a limit of the system's (`ulimit`)",
        _ => "",
    };
    let name = if name.is_empty() {
        format!("signal {signal}")
    } else {
        name.to_owned()
    };
    format!("was ended by {name}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_by_its_signal_or_code_and_the_last_words() {
        let mut words = LastWords::default();
        words.push("assertion failed".to_owned());
        let failure = died(ExitStatus::from_raw(11), &words);
        assert_eq!(
            failure.reason.message,
            "the encode's process was ended by SIGSEGV; it last wrote: assertion failed"
        );
        assert!(failure.crashed && failure.retryable);
        let failure = died(ExitStatus::from_raw(3 << 8), &LastWords::default());
        assert_eq!(
            failure.reason.message,
            "the encode's process ended with exit code 3 and said nothing about it"
        );
    }
}
