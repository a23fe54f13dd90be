//! One picture of a film, for people to look at.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Packet, Rational};

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::ffi::{self, Decoder, Demuxer, Received};
use crate::media::{StreamInfo, VideoInfo};
use crate::names::original_of;
use crate::pipeline::convert;
use crate::probe::{open, probe};
use crate::units::TimeBase;

/// Wider pictures are made smaller: nobody's window shows more, and a PNG of a 4K frame
/// has 20 MB.
const WIDEST: u32 = 1920;

/// A picture of a film.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Picture {
    /// 8-bit RGB, with square pixels, upright.
    pub png: Vec<u8>,
    /// When it is shown, in microseconds after the film's first frame.
    pub at_us: i64,
    /// The film's length in microseconds, where the container tells.
    pub duration_us: Option<i64>,
}

/// The frame that is on the screen at a moment, in microseconds after the first one. After
/// the end, it is the last one that is found.
///
/// Two films that [`compare`](crate::compare) equal show the same frame at the same moment.
/// HDR is not mapped to a screen's range: its pictures look flat, both of them alike.
///
/// # Errors
///
/// As [`probe`], and [`ErrorKind::Damaged`] where no frame is found.
pub fn picture(path: impl AsRef<Path>, at_us: i64) -> Result<Picture> {
    let path = path.as_ref();
    let info = probe(path)?;
    let found = info.main_video().and_then(|one| Some((one, one.video()?)));
    let (stream, video) = found.ok_or_else(|| {
        let message = "has no video that can be shown";
        Error::new(ErrorKind::NotMedia, Stage::Decode, path, message)
    })?;
    let begin = video.first_frame_ticks.unwrap_or(0);
    let wanted = begin.saturating_add(TimeBase::MICROS.rescale(at_us.max(0), stream.time_base));
    let frame = frame_at(path, stream, begin, wanted)?;
    let failed = |error| {
        Error::new(ErrorKind::Library, Stage::Filter, path, "cannot be shown").with_library(error)
    };
    let at = frame.timestamp().unwrap_or(wanted).saturating_sub(begin);
    Ok(Picture {
        png: png(&convert(&frame, &spec(video, &frame)).map_err(failed)?).map_err(failed)?,
        at_us: stream.time_base.micros(at),
        duration_us: info.duration_us,
    })
}

/// The source that a film has replaced, where it was kept (`NAME.bak`, testing mode): the
/// youngest backup in its folder of a file with its name, whatever the extension.
///
/// # Errors
///
/// The folder cannot be read.
pub fn kept_source(film: &Path) -> io::Result<Option<PathBuf>> {
    let folder = film
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut youngest = None;
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let is_its = original_of(&entry.file_name())
            .is_some_and(|name| Path::new(&name).file_stem() == film.file_stem());
        if !is_its {
            continue;
        }
        // The status change: a backup keeps its source's time of modification.
        let made = entry
            .metadata()
            .map(|meta| (meta.ctime(), meta.ctime_nsec()));
        let Ok(made) = made else { continue };
        if youngest.as_ref().is_none_or(|(other, _)| *other < made) {
            youngest = Some((made, entry.path()));
        }
    }
    Ok(youngest.map(|(_, path)| path))
}

/// The last frame at or before `wanted`; the first one there is where all are later.
fn frame_at(path: &Path, stream: &StreamInfo, begin: i64, wanted: i64) -> Result<Video> {
    let mut demuxer = open(path, Stage::Decode, &CancelToken::new())?;
    // What cannot be sought is read from the beginning.
    let sought = wanted > begin && demuxer.seek(stream.index, wanted).is_ok();
    if let Some(frame) = search(path, &mut demuxer, stream, wanted)? {
        return Ok(frame);
    }
    if sought {
        // Past the end, or behind an index that lies.
        demuxer = open(path, Stage::Decode, &CancelToken::new())?;
        if let Some(frame) = search(path, &mut demuxer, stream, wanted)? {
            return Ok(frame);
        }
    }
    let message = "no frame of it could be decoded";
    Err(Error::new(ErrorKind::Damaged, Stage::Decode, path, message))
}

fn search(
    path: &Path,
    demuxer: &mut Demuxer,
    stream: &StreamInfo,
    wanted: i64,
) -> Result<Option<Video>> {
    let failed = |error| {
        Error::new(ErrorKind::Library, Stage::Decode, path, "cannot be decoded").with_library(error)
    };
    let Some(parameters) = demuxer.parameters(stream.index) else {
        return Ok(None);
    };
    let mut decoder = ffi::open_decoder(parameters, stream.time_base, None).map_err(failed)?;
    demuxer.keep_only(|index| index == stream.index);
    let mut best = None;
    let mut damaged = 0;
    while let Ok(Some(packet)) = demuxer.read(&mut damaged) {
        if packet.stream() != stream.index {
            continue;
        }
        // A packet that does not decode is no reason to show nothing.
        let _ = decoder.send(&packet);
        if take(&mut decoder, wanted, &mut best) {
            return Ok(best);
        }
    }
    if decoder.send_end().is_ok() {
        take(&mut decoder, wanted, &mut best);
    }
    Ok(best)
}

/// Takes frames up to the wanted one; whether it is past it.
fn take(decoder: &mut Decoder, wanted: i64, best: &mut Option<Video>) -> bool {
    loop {
        let mut frame = Video::empty();
        let Ok(Received::Frame) = decoder.receive(&mut frame) else {
            return false;
        };
        let is_late = frame.timestamp().is_some_and(|ticks| ticks > wanted);
        if !is_late || best.is_none() {
            *best = Some(frame);
        }
        if is_late {
            return true;
        }
    }
}

/// What turns a frame upright, gives it square pixels and a bearable size.
fn spec(video: &VideoInfo, frame: &Video) -> String {
    let mut steps = Vec::new();
    let turn = video.orientation;
    if turn.mirrored {
        steps.push("hflip".to_owned());
    }
    steps.extend((0..turn.quarter_turns).map(|_| "transpose=dir=clock".to_owned()));
    let shape = video
        .sample_aspect_ratio
        .map_or(1.0, |ratio| ratio.as_f64());
    let mut width = f64::from(frame.width()) * shape;
    let mut height = f64::from(frame.height());
    if turn.quarter_turns % 2 == 1 {
        std::mem::swap(&mut width, &mut height);
    }
    let smaller = (f64::from(WIDEST) / width).min(1.0);
    let round = |length: f64| (length * smaller).round().max(1.0);
    steps.push(format!(
        "scale=w={}:h={}:flags=bicubic+accurate_rnd+full_chroma_int",
        round(width),
        round(height)
    ));
    steps.push("format=pix_fmts=rgb24".to_owned());
    steps.join(",")
}

fn png(frame: &Video) -> Result<Vec<u8>, ffmpeg::Error> {
    let found = ffmpeg::encoder::find(codec::Id::PNG).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut encoder = codec::Context::new_with_codec(found).encoder().video()?;
    encoder.set_width(frame.width());
    encoder.set_height(frame.height());
    encoder.set_format(Pixel::RGB24);
    encoder.set_time_base(Rational(1, 1));
    let mut encoder = encoder.open_as(found)?;
    encoder.send_frame(frame)?;
    encoder.send_eof()?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet)?;
    Ok(packet.data().unwrap_or_default().to_vec())
}
