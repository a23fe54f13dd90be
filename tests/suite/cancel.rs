//! A tripped token ends a run within two seconds, wherever the run is, and leaves
//! nothing on disk.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use av1core::{CancelToken, Destination, Error, ErrorKind, Event, Options, Preset};

use crate::support::scratch::{assert_holds, fingerprint};
use crate::support::watchdog::now;
use crate::support::{Scratch, clip, encode, recipe, watched};

/// What the library promises.
const PROMISE: Duration = Duration::from_secs(2);

/// Runs until `moment` says so, trips the token, and measures the rest. The moment
/// comes.
fn cancelled_at(source: &Path, options: &Options, moment: impl FnMut(&Event) -> bool) {
    assert!(cancelled_if(source, options, moment), "no such moment");
}

/// As [`cancelled_at`]; `false` where the run was over before the moment came.
fn cancelled_if(source: &Path, options: &Options, mut moment: impl FnMut(&Event) -> bool) -> bool {
    let before = fingerprint(source);
    let folder = Scratch::new();
    let output = Destination::new(folder.file("out.mkv"));
    let cancel = CancelToken::new();
    let mut since = None;
    let outcome = av1core::transcode(source, &output, options, &cancel, |event| {
        if since.is_none() && moment(event) {
            cancel.cancel();
            since = Some(now());
        }
    });
    let Some(since) = since else {
        assert!(outcome.is_ok(), "{outcome:?}");
        return false;
    };
    let took = since.elapsed();
    let error = outcome.expect_err("a cancelled run does not end well");
    assert_cancelled(&error, source);
    assert!(took < PROMISE, "ended {took:?} after the token was tripped");
    assert_holds(folder.path(), &[]);
    assert_eq!(fingerprint(source), before, "the source changed");
    true
}

fn assert_cancelled(error: &Error, source: &Path) {
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    assert_eq!(error.path(), source);
    assert!(!error.is_retryable() && !error.is_source_damaged());
}

fn preset(number: u8) -> Options {
    let mut options = Options::default();
    options.preset = Preset::new(number).ok();
    options
}

fn frames_done(event: &Event) -> u64 {
    match event {
        Event::Progress(progress) => progress.frames_done,
        _ => 0,
    }
}

/// Ten points: the plan, and nine of the way by progress events. These come five
/// times a second, so the preset must be slow enough for this machine.
#[test]
fn cancelled_at_ten_points_nothing_is_left() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 16.0), recipe::H264);
        let mut events = 0;
        let mut options = Options::default();
        for number in [12, 10, 8, 6, 5, 4] {
            options = preset(number);
            events = encode(&source, &options).progress().len();
            if events >= 12 {
                break;
            }
        }
        assert!(events >= 10, "only {events} events");
        cancelled_at(&source, &options, |event| {
            matches!(event, Event::Planned(_))
        });
        for tenth in 0..9 {
            let mut skipped = events * tenth / 10;
            let cancelled_after = |skipped| {
                let mut left = skipped;
                cancelled_if(&source, &options, |event| {
                    let comes = matches!(event, Event::Progress(_));
                    let now = comes && left == 0;
                    left -= usize::from(comes && left > 0);
                    now
                })
            };
            // A machine that became quicker has fewer events; the first one it has.
            while !cancelled_after(skipped) {
                skipped /= 2;
            }
        }
    });
}

/// At slow presets the encoder holds a whole mini-GOP before it gives anything.
#[test]
fn a_slow_encoder_is_stopped_as_quickly() {
    watched(|| {
        let source = clip("sintel-bframes-aac.mp4");
        cancelled_at(&source, &preset(6), |event| {
            matches!(event, Event::Progress(_))
        });
    });
}

#[test]
fn a_token_tripped_before_the_start_starts_nothing() {
    watched(|| {
        let source = clip("sintel-bframes-aac.mp4");
        let folder = Scratch::new();
        let cancel = CancelToken::new();
        cancel.cancel();
        let output = Destination::new(folder.file("out.mkv"));
        let started = now();
        let error = av1core::transcode(&source, &output, &preset(12), &cancel, |event| {
            panic!("started: {event:?}")
        })
        .expect_err("cancelled");
        assert!(started.elapsed() < PROMISE);
        assert_cancelled(&error, &source);
        assert_holds(folder.path(), &[]);
    });
}

/// The last event comes when the file is complete and not yet in its place.
#[test]
fn a_token_tripped_at_the_last_event_either_cancels_or_comes_too_late() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 0.4), recipe::H264);
        let out = Scratch::new();
        let output = Destination::new(out.file("out.mkv"));
        let cancel = CancelToken::new();
        let outcome = av1core::transcode(&source, &output, &preset(12), &cancel, |event| {
            if frames_done(event) == 10 {
                cancel.cancel();
            }
        });
        match outcome {
            Ok(_) => assert_holds(out.path(), &["out.mkv"]),
            Err(error) => {
                assert_cancelled(&error, &source);
                assert_holds(out.path(), &[]);
            }
        }
    });
}

/// What stood under the output's name stays until the new file is complete.
#[test]
fn an_old_output_survives_a_cancelled_overwrite() {
    watched(|| {
        let source = clip("bbb-aac-5.1.mp4");
        let folder = Scratch::new();
        let old = folder.write("out.mkv", "the old one");
        let output = Destination::new(&old).overwrite(true);
        let cancel = CancelToken::new();
        let error = av1core::transcode(&source, &output, &preset(12), &cancel, |event| {
            if frames_done(event) > 0 {
                cancel.cancel();
            }
        })
        .expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_holds(folder.path(), &["out.mkv"]);
        assert_eq!(std::fs::read(&old).expect("still there"), b"the old one");
    });
}

/// The token is tripped by another thread, while the observer is not called.
#[test]
fn any_thread_may_cancel() {
    watched(|| {
        let source = clip("bbb-bframes-mp3.mp4");
        let folder = Scratch::new();
        let output = Destination::new(folder.file("out.mkv"));
        let cancel = CancelToken::new();
        let (planned, begun) = mpsc::channel();
        let other = thread::spawn({
            let cancel = cancel.clone();
            move || {
                begun.recv().expect("begun");
                cancel.cancel();
                now()
            }
        });
        let outcome = av1core::transcode(&source, &output, &preset(6), &cancel, |event| {
            if matches!(event, Event::Planned(_)) {
                planned.send(()).expect("heard");
            }
        });
        let took = other.join().expect("ended").elapsed();
        assert_cancelled(&outcome.expect_err("cancelled"), &source);
        assert!(took < PROMISE, "{took:?}");
        assert_holds(folder.path(), &[]);
    });
}

/// An observer that panics ends the run, and nothing is left either.
#[test]
fn a_panic_of_the_observer_leaves_nothing() {
    watched(|| {
        let source = clip("bbb-aac-5.1.mp4");
        let folder = Scratch::new();
        let output = folder.file("out.mkv");
        let run = thread::spawn(move || {
            av1core::transcode(
                &source,
                &Destination::new(output),
                &preset(12),
                &CancelToken::new(),
                |event| assert!(!matches!(event, Event::Progress(_)), "on purpose"),
            )
        });
        assert!(run.join().is_err(), "the panic came through");
        assert_holds(folder.path(), &[]);
    });
}
