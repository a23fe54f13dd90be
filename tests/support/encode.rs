//! The engine, called as an embedder calls it.

use std::path::{Path, PathBuf};

use av1core::{CancelToken, Destination, Error, Event, Options, Outcome, Preset, Progress, Report};

use super::probe::{Times, frame_times};
use super::{Scratch, quality};

/// The quickest preset that the encoder gets right.
pub(crate) fn fast_preset() -> u8 {
    av1core::capabilities().fastest_preset.min(12)
}

/// The quickest settings.
pub(crate) fn fast() -> Options {
    let mut options = Options::default();
    options.preset = Some(Preset::new(fast_preset()).expect("a preset"));
    options.encoder_limits = Some(av1core::capabilities().encoder_limits);
    options
}

/// An encode that went well.
pub(crate) struct Encode {
    /// Holds the output; removed with it.
    _folder: Scratch,
    pub(crate) output: PathBuf,
    pub(crate) report: Report,
    pub(crate) events: Vec<Event>,
}

/// Encodes `source` into a folder of its own.
pub(crate) fn encode(source: &Path, options: &Options) -> Encode {
    let folder = Scratch::new();
    let output = folder.file("out.mkv");
    let mut events = Vec::new();
    let outcome = av1core::transcode(
        source,
        &Destination::new(&output),
        options,
        &CancelToken::new(),
        |event| events.push(event.clone()),
    );
    let report = match outcome {
        Ok(Outcome::Done(report)) => report,
        Ok(other) => panic!("{}: {other:?}", source.display()),
        Err(error) => panic!("{error:?}"),
    };
    super::scratch::assert_holds(folder.path(), &["out.mkv"]);
    Encode {
        _folder: folder,
        output,
        report,
        events,
    }
}

/// The error that encoding `source` to `output` ends with.
pub(crate) fn failure(source: &Path, output: &Destination, options: &Options) -> Error {
    let outcome = av1core::transcode(source, output, options, &CancelToken::new(), |_| {});
    match outcome {
        Err(error) => error,
        Ok(outcome) => panic!("{} was taken: {outcome:?}", source.display()),
    }
}

impl Encode {
    pub(crate) fn progress(&self) -> Vec<Progress> {
        let progress = |event: &Event| match event {
            Event::Progress(progress) => Some(*progress),
            _ => None,
        };
        self.events.iter().filter_map(progress).collect()
    }

    /// The output has every frame of the source at its time, and no other.
    pub(crate) fn assert_same_times(&self, source: &Path) -> Times {
        self.assert_times(frame_times(source))
    }

    /// The output has every frame at its expected time in the source, and no other.
    pub(crate) fn assert_times(&self, expected: Times) -> Times {
        let shift = self.report.plan.timestamp_shift_ms;
        let moved: Vec<_> = expected.millis().iter().map(|ms| ms + shift).collect();
        let times = frame_times(&self.output).millis();
        assert_eq!(times.len(), moved.len(), "number of frames");
        assert_eq!(times, moved, "presentation times in ms");
        assert_eq!(self.report.frames, moved.len() as u64);
        expected
    }

    /// Times and pictures are the source's, and the file plays.
    pub(crate) fn assert_faithful(&self, source: &Path) {
        let times = self.assert_same_times(source);
        quality::assert_same_pictures(source, &self.output, times.ticks.len());
        quality::assert_plays(&self.output);
    }
}
