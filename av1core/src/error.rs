//! What can go wrong: one closed kind to act on, one line to read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::not_worthwhile::NotWorthwhile;
use crate::verify::Difference;

/// Any failure of this crate. Its `Display` is one line that names the file, the
/// cause and, where there is one, the remedy; the wording is not part of the API,
/// [`Error::kind`] is.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    stage: Stage,
    path: PathBuf,
    message: String,
    stream: Option<usize>,
    stream_is_named: bool,
    library: Option<ffmpeg_next::Error>,
    io: Option<io::Error>,
    differences: Vec<Difference>,
    discovery: Option<Discovery>,
    not_worthwhile: Option<NotWorthwhile>,
}

/// What a run found out too late. With it the film can be planned again.
pub(crate) enum Discovery {
    /// Sound grows within its stream.
    MoreChannels {
        stream: usize,
        channels: u32,
        layout: String,
    },
    /// Not every frame of the video has Dolby Vision's metadata.
    DolbyVisionGap,
}

/// What went wrong, to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The source does not exist.
    NotFound,
    /// The source is a folder, a device or another thing that is not a file.
    NotAFile,
    /// The source is empty.
    Empty,
    /// The source could not be read (permission, I/O).
    Unreadable,
    /// The source is no media file that is understood here.
    NotMedia,
    /// The source has no stream of moving pictures.
    NoVideo,
    /// The source is encrypted.
    Encrypted,
    /// A stream's codec is unknown, or the libraries have no decoder for it.
    UnknownCodec,
    /// The source ends before the end that it declares.
    Truncated,
    /// Too much of the source does not decode.
    Damaged,
    /// The output exists and may not be overwritten.
    OutputExists,
    /// The output is the source, perhaps by another name.
    OutputIsSource,
    /// The output's folder does not exist, or the output is a folder.
    OutputFolder,
    /// The output's name belongs to a container that is not written here.
    OutputFormat,
    /// The output's folder may not be written to.
    OutputDenied,
    /// No space is left where the output goes.
    DiskFull,
    /// Writing the output failed for another reason.
    OutputIo,
    /// The libraries lack an encoder that is needed.
    EncoderMissing,
    /// An encoder refused its settings.
    EncoderRefused,
    /// The source is not what it was when the run began, or is gone.
    SourceChanged,
    /// The output does not hold what the plan declares.
    Mismatch,
    /// The output saves less than is asked for.
    NotWorthwhile,
    /// The cancel token was tripped.
    Cancelled,
    /// A library failed in a way that has no kind of its own.
    Library,
}
impl ErrorKind {
    /// Its name in JSON, such as `disk_full`. It never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotAFile => "not_a_file",
            Self::Empty => "empty",
            Self::Unreadable => "unreadable",
            Self::NotMedia => "not_media",
            Self::NoVideo => "no_video",
            Self::Encrypted => "encrypted",
            Self::UnknownCodec => "unknown_codec",
            Self::Truncated => "truncated",
            Self::Damaged => "damaged",
            Self::OutputExists => "output_exists",
            Self::OutputIsSource => "output_is_source",
            Self::OutputFolder => "output_folder",
            Self::OutputFormat => "output_format",
            Self::OutputDenied => "output_denied",
            Self::DiskFull => "disk_full",
            Self::OutputIo => "output_io",
            Self::EncoderMissing => "encoder_missing",
            Self::EncoderRefused => "encoder_refused",
            Self::SourceChanged => "source_changed",
            Self::Mismatch => "mismatch",
            Self::NotWorthwhile => "not_worthwhile",
            Self::Cancelled => "cancelled",
            Self::Library => "library",
        }
    }
}

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Looking into the source.
    Probe,
    /// Deciding what becomes of it.
    Plan,
    /// Reading packets.
    Demux,
    /// Decoding.
    Decode,
    /// Converting frames.
    Filter,
    /// Encoding.
    Encode,
    /// Writing packets.
    Mux,
    /// Reading the output back.
    Verify,
    /// Putting the finished file in its place.
    Publish,
    /// Putting it in the source's place.
    Replace,
    /// Joining segments.
    Join,
}

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        stage: Stage,
        path: &Path,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            stage,
            path: path.to_owned(),
            message: message.into(),
            stream: None,
            stream_is_named: false,
            library: None,
            io: None,
            differences: Vec::new(),
            discovery: None,
            not_worthwhile: None,
        }))
    }

    /// An output that saves too little.
    pub(crate) fn not_worthwhile_output(source: &Path, found: NotWorthwhile) -> Self {
        let message = format!(
            "not worthwhile: the output weighs at least {} of the source's {} bytes, and {} were \
             allowed; left alone",
            found.least_bytes, found.source_bytes, found.most_bytes
        );
        let mut error = Self::new(ErrorKind::NotWorthwhile, Stage::Mux, source, message);
        error.0.not_worthwhile = Some(found);
        error
    }

    pub(crate) fn with_stream(mut self, index: usize) -> Self {
        self.0.stream = Some(index);
        self
    }

    /// For a message that names the stream by itself.
    pub(crate) fn at_stream(mut self, index: usize) -> Self {
        self.0.stream = Some(index);
        self.0.stream_is_named = true;
        self
    }

    pub(crate) fn with_library(mut self, error: ffmpeg_next::Error) -> Self {
        self.0.library = Some(error);
        self
    }

    pub(crate) fn with_io(mut self, error: io::Error) -> Self {
        self.0.io = Some(error);
        self
    }

    pub(crate) fn with_discovery(mut self, found: Discovery) -> Self {
        self.0.discovery = Some(found);
        self
    }

    pub(crate) fn discovery(&self) -> Option<&Discovery> {
        self.0.discovery.as_ref()
    }

    pub(crate) fn cancelled(stage: Stage, path: &Path) -> Self {
        Self::new(ErrorKind::Cancelled, stage, path, "cancelled")
    }

    pub(crate) fn source_changed(source: &Path) -> Self {
        let message = "changed while it was encoded, and was left as it is; try again";
        Self::new(ErrorKind::SourceChanged, Stage::Replace, source, message)
    }

    /// A source that was planned again and again.
    pub(crate) fn keeps_changing(source: &Path) -> Self {
        let message = "what it holds changes again and again";
        Self::new(ErrorKind::Mismatch, Stage::Plan, source, message)
    }

    /// What is free is less than what is needed.
    pub(crate) fn no_space(path: &Path, needed_bytes: u64, free_bytes: u64) -> Self {
        let message = format!(
            "no space for it there: {free_bytes} bytes are free, and it needs at least \
             {needed_bytes} beside its source; free some"
        );
        Self::new(ErrorKind::DiskFull, Stage::Plan, path, message)
    }

    /// An output of `source` that is not what it should be.
    pub(crate) fn mismatch(source: &Path, differences: Vec<Difference>) -> Self {
        let more = match differences.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let first = differences.first().map(ToString::to_string);
        let message = format!(
            "the output was read back and is not right, so it was removed: {}{more}",
            first.unwrap_or_default()
        );
        let mut error = Self::new(ErrorKind::Mismatch, Stage::Verify, source, message);
        error.0.differences = differences;
        error
    }

    /// A failed write, told apart by what the caller can do about it.
    pub(crate) fn output_io(stage: Stage, path: &Path, error: io::Error) -> Self {
        let (kind, message) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                ErrorKind::DiskFull,
                "no space left there; free some or choose another folder",
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
                ErrorKind::OutputDenied,
                "the folder may not be written to; check its permissions",
            ),
            io::ErrorKind::NotFound => (
                ErrorKind::OutputFolder,
                "the folder does not exist; create it first",
            ),
            _ => (ErrorKind::OutputIo, "cannot be written"),
        };
        Self::new(kind, stage, path, message).with_io(error)
    }

    /// What went wrong, to act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it went wrong.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The file that it went wrong with.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Index of the source stream concerned, where there is one.
    #[must_use]
    pub fn stream(&self) -> Option<usize> {
        self.0.stream
    }

    /// Everything in which an output is not what it should be; empty for any other
    /// kind than [`ErrorKind::Mismatch`].
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        &self.0.differences
    }

    /// The sizes, for an error of kind [`ErrorKind::NotWorthwhile`].
    #[must_use]
    pub fn not_worthwhile(&self) -> Option<NotWorthwhile> {
        self.0.not_worthwhile
    }

    /// Whether the same call may succeed later without a change to the source
    /// (space, permissions, a share that went away).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use ErrorKind as K;
        matches!(
            self.0.kind,
            K::Unreadable
                | K::OutputFolder
                | K::OutputDenied
                | K::DiskFull
                | K::OutputIo
                | K::SourceChanged
                | K::Library
        )
    }

    /// Whether the source itself is at fault.
    #[must_use]
    pub fn is_source_damaged(&self) -> bool {
        use ErrorKind as K;
        matches!(
            self.0.kind,
            K::Empty | K::NotMedia | K::Truncated | K::Damaged
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", one_line(&self.0.path), self.0.message)?;
        if let Some(index) = self.0.stream.filter(|_| !self.0.stream_is_named) {
            write!(f, " (stream {index})")?;
        }
        match (&self.0.io, &self.0.library) {
            (Some(error), _) => write!(f, ": {error}"),
            (None, Some(error)) => write!(f, ": {error}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}: {self}", self.0.kind, self.0.stage)
    }
}

impl std::error::Error for Error {}

/// A path as text on one line: control characters are escaped, so that a name
/// from a file system can neither break a log line nor drive a terminal.
fn one_line(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_file_name_stays_on_one_line() {
        let path = Path::new("a\nb\u{1b}[31m.mkv");
        let error = Error::new(ErrorKind::NotMedia, Stage::Probe, path, "not a media file");
        assert_eq!(error.to_string(), "a\\nb\\u{1b}[31m.mkv: not a media file");
    }

    #[test]
    fn write_failures_are_told_apart() {
        let path = Path::new("out.mkv");
        let kind =
            |errno| Error::output_io(Stage::Mux, path, io::Error::from_raw_os_error(errno)).kind();
        assert_eq!(kind(28), ErrorKind::DiskFull); // ENOSPC
        assert_eq!(kind(30), ErrorKind::OutputDenied); // EROFS
        assert_eq!(kind(5), ErrorKind::OutputIo); // EIO
    }
}
