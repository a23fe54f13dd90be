//! Two encodes in one process: both come to their end, taking turns where the
//! encoder's version wants it (SVT-AV1 below 4.1 deadlocks otherwise).

use std::sync::mpsc;
use std::thread;

use av1core::{CancelToken, Destination, ErrorKind, Event, Options, Outcome, Preset};

use crate::support::scratch::assert_holds;
use crate::support::{Scratch, fast_preset, quality, recipe, watched};

fn preset(number: u8) -> Options {
    let mut options = Options::default();
    options.preset = Preset::new(number).ok();
    options
}

#[test]
fn two_encodes_with_different_presets_both_finish() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 2.0), recipe::H264);
        let out = Scratch::new();
        let (told, waiting) = mpsc::channel();
        thread::scope(|scope| {
            for number in [8, fast_preset()] {
                let (source, told) = (&source, told.clone());
                let output = Destination::new(out.file(format!("{number}.mkv")));
                scope.spawn(move || {
                    let cancel = CancelToken::new();
                    let outcome =
                        av1core::transcode(source, &output, &preset(number), &cancel, |event| {
                            if matches!(event, Event::WaitingForEncoder) {
                                told.send(number).expect("heard");
                            }
                        });
                    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
                });
            }
        });
        drop(told);
        let waited = waiting.iter().count();
        if av1core::capabilities().one_encoder_a_process {
            // Each says so once; under `cargo test` other tests hold the encoder too.
            assert!((1..=2).contains(&waited), "{waited} waited");
        }
        let names = [8, fast_preset()].map(|number| format!("{number}.mkv"));
        assert_holds(out.path(), &names.each_ref().map(String::as_str));
        for name in names {
            quality::assert_same_pictures(&source, &out.file(name), 50);
        }
    });
}

/// Who waits for the encoder can be cancelled as well.
#[test]
fn an_encode_that_waits_can_be_cancelled() {
    watched(|| {
        if !av1core::capabilities().one_encoder_a_process {
            return;
        }
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 12.0), recipe::H264);
        let out = Scratch::new();
        let (begun, running) = mpsc::channel();
        let (go_on, held) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (source, folder) = (&source, &out);
            let first = scope.spawn(move || {
                let output = Destination::new(folder.file("first.mkv"));
                let cancel = CancelToken::new();
                av1core::transcode(source, &output, &preset(fast_preset()), &cancel, |event| {
                    // Held here, the muxer takes no more, and the encoder, with more
                    // frames before it than the queues hold, cannot come to its end.
                    if matches!(event, Event::Progress(p) if p.frames_done > 0) {
                        let _ = begun.send(());
                        let _ = held.recv();
                    }
                })
            });
            running.recv().expect("the first runs");
            let cancel = CancelToken::new();
            let output = Destination::new(out.file("second.mkv"));
            let error =
                av1core::transcode(source, &output, &preset(fast_preset()), &cancel, |event| {
                    if matches!(event, Event::WaitingForEncoder) {
                        cancel.cancel();
                    }
                })
                .expect_err("cancelled");
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            drop(go_on);
            assert!(matches!(first.join(), Ok(Ok(Outcome::Done(_)))));
        });
        assert_holds(out.path(), &["first.mkv"]);
    });
}
