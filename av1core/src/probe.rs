//! Path -> [`MediaInfo`]: what the container says, and what the first frames say.
//!
//! Headers lie: frames are interlaced where the header says progressive, HDR
//! metadata stands in the bitstream alone, the first frame is not where the
//! container starts. So the first frames of each video are decoded.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use ffmpeg_next::Packet;
use ffmpeg_next::frame::Video;
use ffmpeg_next::packet::side_data::Type as SideType;

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::ffi::{self, Decoder, Demuxer, FrameFacts, Received};
use crate::media::{FieldOrder, MediaInfo, StreamInfo, StreamKind, VideoInfo};

/// Frames of each video that are looked at: captions and HDR10+ come with every
/// frame, and a telecined film shows a first interlaced frame within a cycle of five.
const FRAMES_LOOKED_AT: usize = 6;

/// Packets read in search of those frames; a GOP of ten seconds at 60 frames/s,
/// with as many audio packets beside it, lies within.
const MOST_PACKETS: usize = 2000;

/// Looks into a media file.
///
/// Reads the header and a few frames: milliseconds for most files. Nothing is written.
///
/// ```no_run
/// let info = av1core::probe("film.mkv")?;
/// for stream in &info.streams {
///     println!("{}: {} {}", stream.index, stream.codec, stream.language().unwrap_or(""));
/// }
/// # Ok::<(), av1core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`NotAFile`](ErrorKind::NotAFile), [`Empty`](ErrorKind::Empty),
/// [`Unreadable`](ErrorKind::Unreadable) and [`NotMedia`](ErrorKind::NotMedia).
pub fn probe(path: impl AsRef<Path>) -> Result<MediaInfo> {
    probe_cancellable(path.as_ref(), &CancelToken::new())
}

pub(crate) fn probe_cancellable(path: &Path, cancel: &CancelToken) -> Result<MediaInfo> {
    let mut demuxer = open(path, Stage::Probe, cancel)?;
    let size_bytes = fs::metadata(path).map_err(|e| unreadable(path, e))?.len();
    let (duration_us, start_us) = demuxer.duration_and_start_us();
    let mut info = MediaInfo {
        container: demuxer.container(),
        size_bytes,
        duration_us,
        duration_is_guess: demuxer.duration_is_guess(),
        start_us,
        streams: demuxer
            .input()
            .streams()
            .map(|s| ffi::stream_info(&s))
            .collect(),
        chapters: ffi::chapters(demuxer.input()),
        tags: demuxer.tags(),
    };
    look_at_frames(&mut demuxer, &mut info.streams);
    if info.streams.iter().any(StreamInfo::is_unknown_sound) {
        look_for_sound(path, cancel, &mut info.streams)?;
    }
    if cancel.is_cancelled() {
        return Err(Error::cancelled(Stage::Probe, path));
    }
    Ok(info)
}

/// Opens a source for reading, with errors that say what is wrong with it.
pub(crate) fn open(path: &Path, stage: Stage, cancel: &CancelToken) -> Result<Demuxer> {
    let fail = |kind, message: &str| Err(Error::new(kind, stage, path, message));
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fail(ErrorKind::NotFound, "no such file");
        }
        Err(error) => return Err(unreadable(path, error)),
    };
    if meta.is_dir() {
        return fail(ErrorKind::NotAFile, "is a folder; name a media file");
    }
    if !meta.is_file() {
        return fail(ErrorKind::NotAFile, "is not a regular file");
    }
    if meta.len() == 0 {
        return fail(ErrorKind::Empty, "the file is empty");
    }
    let file = File::open(path).map_err(|e| unreadable(path, e))?;
    Demuxer::open(file, path, cancel).map_err(|(error, io)| match io {
        _ if cancel.is_cancelled() => Error::cancelled(stage, path),
        Some(io) => unreadable(path, io),
        None => Error::new(
            ErrorKind::NotMedia,
            stage,
            path,
            "not a video file that is understood here, or cut short before its index",
        )
        .with_library(error),
    })
}

pub(crate) fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unreadable, Stage::Probe, path, "cannot be read").with_io(error)
}

/// Reads the whole file, in the rare case that it is not known whether declared sound
/// is in it at all. What comes late stays unknown; what never comes is empty.
fn look_for_sound(path: &Path, cancel: &CancelToken, streams: &mut [StreamInfo]) -> Result<()> {
    let mut demuxer = open(path, Stage::Probe, cancel)?;
    let mut silent: BTreeSet<usize> = streams
        .iter()
        .filter(|stream| stream.is_unknown_sound())
        .map(|stream| stream.index)
        .collect();
    let mut damaged = 0;
    while !silent.is_empty() {
        match demuxer.read(&mut damaged) {
            Ok(Some(packet)) => silent.remove(&packet.stream()),
            Ok(None) => break,
            // Nothing is proved of a file that cannot be read to its end.
            Err(_) => return Ok(()),
        };
    }
    for index in silent {
        streams[index].is_empty = damaged == 0;
    }
    Ok(())
}

/// A video stream whose first frames are looked at.
struct Look {
    index: usize,
    decoder: Decoder,
    frames: usize,
}

fn look_at_frames(demuxer: &mut Demuxer, streams: &mut [StreamInfo]) {
    let mut looks: Vec<Look> = streams
        .iter()
        .filter(|stream| stream.video().is_some() && stream.decodable)
        .filter_map(|stream| {
            let parameters = demuxer.parameters(stream.index)?;
            // One thread: frames come out sooner, and a probe should be modest.
            let decoder = ffi::open_decoder(parameters, stream.time_base, Some(1)).ok()?;
            Some(Look {
                index: stream.index,
                decoder,
                frames: 0,
            })
        })
        .collect();
    let mut damaged = 0;
    for _ in 0..MOST_PACKETS {
        if looks.iter().all(|look| look.frames >= FRAMES_LOOKED_AT) {
            return;
        }
        let Ok(Some(packet)) = demuxer.read(&mut damaged) else {
            break;
        };
        if is_encrypted(&packet)
            && let Some(stream) = streams.get_mut(packet.stream())
        {
            stream.encrypted = true;
        }
        if let Some(look) = looks.iter_mut().find(|look| look.index == packet.stream()) {
            // A packet that does not decode is counted by the encode, not here.
            let _ = look.decoder.send(&packet);
            look.take_frames(&mut streams[look.index]);
        }
    }
    // A short file: what the decoders still hold.
    for look in &mut looks {
        if look.decoder.send_end().is_ok() {
            look.take_frames(&mut streams[look.index]);
        }
    }
}

impl Look {
    fn take_frames(&mut self, stream: &mut StreamInfo) {
        let mut frame = Video::empty();
        while let Ok(Received::Frame) = self.decoder.receive(&mut frame) {
            self.frames += 1;
            if let StreamKind::Video(video) = &mut stream.kind {
                note(video, &ffi::facts(&frame), frame.timestamp());
            }
        }
    }
}

/// Adds what a frame says to what the container said.
fn note(video: &mut VideoInfo, facts: &FrameFacts, ticks: Option<i64>) {
    let is_first = video.first_frame_ticks.is_none();
    if video.first_frame_ticks.is_none() {
        video.first_frame_ticks = Some(ticks.unwrap_or(0));
    }
    if facts.interlaced && video.field_order == FieldOrder::Progressive {
        video.field_order = if facts.top_first {
            FieldOrder::TopFirst
        } else {
            FieldOrder::BottomFirst
        };
    }
    let hdr = &mut video.hdr;
    hdr.mastering_display = hdr.mastering_display.or(facts.mastering_display);
    hdr.content_light = hdr.content_light.or(facts.content_light);
    hdr.hdr10_plus |= facts.hdr10_plus;
    hdr.dolby_vision_rpus = facts.dolby_vision_parsed && (is_first || hdr.dolby_vision_rpus);
    if facts.dolby_vision && hdr.dolby_vision_profile.is_none() {
        // The frame's metadata does not name the profile; 0 stands for "some".
        hdr.dolby_vision_profile = Some(0);
    }
    video.embedded_captions |= facts.captions;
}

fn is_encrypted(packet: &Packet) -> bool {
    packet.side_data().any(|data| {
        matches!(
            data.kind(),
            SideType::EncryptionInfo | SideType::EncryptionInitInfo
        )
    })
}
