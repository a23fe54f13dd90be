//! A film that lies encoded beside its place, complete, and proved by nobody yet.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::Event;
use crate::media::MediaInfo;
use crate::output::{Destination, Staged};
use crate::pipeline::{self, Finished, Job, encoder_name};
use crate::plan::Plan;
use crate::segment::Segment;

/// How an encode went.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The finished file. In serialized form characters that are not UTF-8 are replaced.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// Video frames in it; as many as the source shows.
    pub frames: u64,
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// Size of the output in bytes.
    pub output_bytes: u64,
    /// Time the encode took, in microseconds, without the verification.
    pub elapsed_us: u64,
    /// Time the verification took, in microseconds.
    pub verify_us: u64,
    /// Length of the video from its first to its last frame, in microseconds.
    pub film_us: i64,
    /// Packets and frames of the source that did not decode as they should.
    pub decode_errors: u64,
    /// The video encoder with its version: presets do not compare across versions.
    pub encoder: String,
    /// What became of each stream.
    pub plan: Plan,
    /// What the viewer of the result might notice.
    pub warnings: Vec<String>,
}

fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// An encoded film under a dot name beside its destination. Only
/// [`verify`](crate::verify()) takes it further; dropping it removes the file.
#[derive(Debug)]
pub struct Encoded {
    staged: Staged,
    file: File,
    destination: Destination,
    source: PathBuf,
    source_bytes: u64,
    plan: Plan,
    finished: Finished,
    encoder: String,
}

/// Encodes `source` by its plan into a staged file beside `destination`.
///
/// Blocks for as long as the encode takes; `observer` is called on this thread.
///
/// # Errors
///
/// Any [`ErrorKind`]; nothing of the output is left on disk then.
pub fn encode(
    source: impl AsRef<Path>,
    info: &MediaInfo,
    plan: &Plan,
    destination: &Destination,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Encoded> {
    let source = source.as_ref();
    destination.check(source)?;
    if destination.container() != Some(plan.container) {
        let message = format!("the plan is for {}, the name is not", plan.container.name());
        return Err(Error::new(
            ErrorKind::OutputFormat,
            Stage::Plan,
            destination.path(),
            message,
        ));
    }
    let (staged, file) = Staged::create(destination)?;
    observer(&Event::Created(staged.path().to_owned()));
    let output_error = |e| Error::output_io(Stage::Mux, destination.path(), e);
    let target = (destination.path(), file.try_clone().map_err(output_error)?);
    let job = Job {
        source,
        info,
        plan,
        cancel,
    };
    let finished = pipeline::run(&job, &Segment::WHOLE, target, &mut observer)?;
    Ok(Encoded {
        staged,
        file,
        destination: destination.clone(),
        source: source.to_owned(),
        source_bytes: info.size_bytes,
        plan: plan.clone(),
        finished,
        encoder: encoder_name(),
    })
}

impl Encoded {
    /// What another encoder made, copied into a staged file at the source's place.
    /// `finished` tells what the source shows.
    pub(crate) fn adopted(
        (staged, file): (Staged, File),
        destination: &Destination,
        (source, source_bytes): (&Path, u64),
        plan: Plan,
        finished: Finished,
        encoder: String,
    ) -> Self {
        Self {
            staged,
            file,
            destination: destination.clone(),
            source: source.to_owned(),
            source_bytes,
            plan,
            finished,
            encoder,
        }
    }

    /// The file under its dot name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// What became of each stream, if the file is what it should be.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }

    pub(crate) fn finished(&self) -> &Finished {
        &self.finished
    }

    pub(crate) fn staged(&self) -> &Staged {
        &self.staged
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Makes the file durable and gives it its name.
    pub(crate) fn publish(self, verify_us: u64) -> Result<Report> {
        // What is the source by now must not be written over.
        self.destination.check(&self.source)?;
        let destination = self.destination.clone();
        let (staged, file, report) = self.into_parts(verify_us);
        staged.publish(&file, &destination)?;
        Ok(report)
    }

    /// The staged file, the handle that holds its lock, and the report.
    pub(crate) fn into_parts(self, verify_us: u64) -> (Staged, File, Report) {
        let report = Report {
            output: self.destination.path().to_owned(),
            frames: self.finished.witness.pictures.ticks.len() as u64,
            source_bytes: self.source_bytes,
            output_bytes: self.finished.bytes,
            elapsed_us: self.finished.elapsed_us,
            verify_us,
            film_us: self.finished.film_us,
            decode_errors: self.finished.decode_errors,
            encoder: self.encoder,
            plan: self.plan,
            warnings: self.finished.warnings,
        };
        (self.staged, self.file, report)
    }
}
