//! A media file being read.

use std::fs::File;
use std::io;
use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::{Packet, codec, media};

use super::dictionary;
use super::io::{Ledger, Tracked};
use crate::cancel::CancelToken;
use crate::media::Tags;
use crate::units::TimeBase;

/// Containers that are opened, by libavformat's names. What is not here is either
/// no film (text, subtitles) or opens further files (playlists, `image2`). Pictures are
/// opened to be called by their name.
const DEMUXERS: &str = "aac,ac3,aiff,asf,av1,avi,dv,eac3,flac,flv,gxf,h264,hevc,ivf,live_flv,\
    m4v,matroska,mlv,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,wav,wtv,\
    bmp_pipe,j2k_pipe,jpeg_pipe,jpegxl_pipe,png_pipe,tiff_pipe,webp_pipe";

/// Bytes asked of the file at once: enough that a share is not asked for crumbs.
const READ_BYTES: usize = 256 * 1024;

/// Damaged packets in a row after which a file is taken to have ended.
const MOST_BAD_READS: u32 = 1000;

/// By such a name libavformat takes a file for one of a series (`image2`), whatever
/// is in it.
fn is_named_like_a_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let extension = extension.to_string_lossy();
    PICTURES.contains(&&*extension)
}

const PICTURES: [&str; 10] = [
    "bmp", "j2k", "jp2", "jpeg", "jpg", "jxl", "png", "tif", "tiff", "webp",
];

/// A demuxer over one file. It opens nothing else.
pub(crate) struct Demuxer {
    input: Input,
    ledger: Ledger,
}

/// A packet, as a container's index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Time of decoding in the stream's time base.
    pub(crate) ticks: i64,
    /// Size.
    pub(crate) bytes: u32,
    /// Whether decoding can begin with it.
    pub(crate) is_key: bool,
}

impl Demuxer {
    /// Opens `file`; `path` is a hint for the container's probe alone.
    pub(crate) fn open(
        file: File,
        path: &Path,
        cancel: &CancelToken,
    ) -> Result<Self, (ffmpeg::Error, Option<io::Error>)> {
        super::init();
        let (tracked, ledger) = Tracked::new(file);
        let fail = |error| (error, ledger.take_error());
        let io = StreamIo::from_read_seek_with_capacity(tracked, READ_BYTES).map_err(fail)?;
        let options = dictionary::from_pairs([
            ("format_whitelist", DEMUXERS),
            // No demuxer may follow a reference into another file or the network.
            ("protocol_whitelist", "none"),
            // A stream that starts late in a broadcast is only known when its first
            // packet is seen: look further than the default 5 s and 5 MB. Files that
            // declare their streams are not read further for it.
            ("analyzeduration", "60000000"),
            ("probesize", "64000000"),
        ]);
        let hint = path
            .file_name()
            .filter(|_| !is_named_like_a_picture(path))
            .map(|name| name.to_string_lossy().replace('\0', ""));
        let cancel = cancel.clone();
        let input = ffmpeg::format::input_from_stream_with_interrupt(
            io,
            hint.as_deref(),
            Some(options),
            move || cancel.is_cancelled(),
        )
        .map_err(fail)?;
        // The container was recognised in spite of it.
        ledger.clear();
        Ok(Self { input, ledger })
    }

    pub(crate) fn container(&self) -> String {
        // SAFETY: an opened input has a demuxer, whose name is a static string.
        let name = unsafe { std::ffi::CStr::from_ptr((*(*self.input.as_ptr()).iformat).name) };
        name.to_string_lossy().into_owned()
    }

    /// Duration and start of the file in microseconds, where it declares them.
    pub(crate) fn duration_and_start_us(&self) -> (Option<i64>, Option<i64>) {
        // SAFETY: the context is live for as long as `self`.
        let (duration, start) = unsafe {
            (
                (*self.input.as_ptr()).duration,
                (*self.input.as_ptr()).start_time,
            )
        };
        let known = |t: i64| (t != ffmpeg::ffi::AV_NOPTS_VALUE).then_some(t);
        (known(duration).filter(|d| *d > 0), known(start))
    }

    /// Whether the duration is guessed from bit rates.
    pub(crate) fn duration_is_guess(&self) -> bool {
        // SAFETY: the context is live for as long as `self`.
        let method = unsafe { (*self.input.as_ptr()).duration_estimation_method };
        method == ffmpeg::ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE
    }

    pub(crate) fn tags(&self) -> Tags {
        // SAFETY: the dictionary belongs to the live context.
        unsafe { dictionary::read((*self.input.as_ptr()).metadata) }
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.input.nb_streams() as usize
    }

    /// The stream's codec parameters; they keep what they belong to alive.
    pub(crate) fn parameters(&self, index: usize) -> Option<codec::Parameters> {
        self.input.stream(index).map(|stream| stream.parameters())
    }

    /// The picture that is attached to the file as stream `index`.
    pub(crate) fn attached_picture(&self, index: usize) -> Option<Vec<u8>> {
        let stream = self.input.stream(index)?;
        // SAFETY: the stream is live; its attached packet is empty or holds `size`
        // bytes for as long as the stream lives.
        unsafe {
            let packet = &(*stream.as_ptr()).attached_pic;
            let size = usize::try_from(packet.size).ok()?;
            (!packet.data.is_null() && size > 0)
                .then(|| std::slice::from_raw_parts(packet.data, size).to_vec())
        }
    }

    /// The content of the attached file that is stream `index`.
    pub(crate) fn attached_file(&self, index: usize) -> Option<Vec<u8>> {
        let parameters = self.input.stream(index)?.parameters();
        // SAFETY: the parameters live as long as the stream; their extradata is
        // null or holds `extradata_size` bytes.
        unsafe {
            let par = &*parameters.as_ptr();
            let size = usize::try_from(par.extradata_size).ok()?;
            (!par.extradata.is_null() && size > 0)
                .then(|| std::slice::from_raw_parts(par.extradata, size).to_vec())
        }
    }

    pub(crate) fn time_base(&self, index: usize) -> TimeBase {
        self.input.stream(index).map_or(TimeBase::MICROS, |stream| {
            let base = stream.time_base();
            TimeBase::new(base.numerator(), base.denominator())
        })
    }

    /// What the container's index says of the stream's packets, in the order they are
    /// stored in, and what lies within the file's `file_bytes` alone.
    pub(crate) fn indexed(&self, index: usize, file_bytes: u64) -> Vec<IndexEntry> {
        let Some(stream) = self.input.stream(index) else {
            return Vec::new();
        };
        // SAFETY: the stream is live, libavformat checks the bounds of its index, and
        // an entry is read before anything else can change the index.
        let entry = |i| unsafe {
            let stream = stream.as_ptr().cast_mut();
            ffmpeg::ffi::avformat_index_get_entry(stream, i).as_ref()
        };
        (0..)
            .map_while(entry)
            // Marked as not to be shown (edit lists): perhaps never read.
            .filter(|entry| entry.flags() & ffmpeg::ffi::AVINDEX_DISCARD_FRAME == 0)
            .filter_map(|entry| {
                let position = u64::try_from(entry.pos).ok()?;
                let bytes = u32::try_from(entry.size()).ok()?;
                let end = position.checked_add(u64::from(bytes))?;
                (end <= file_bytes).then_some(IndexEntry {
                    ticks: entry.timestamp,
                    bytes,
                    is_key: entry.flags() & ffmpeg::ffi::AVINDEX_KEYFRAME != 0,
                })
            })
            .collect()
    }

    /// Whether the stream is neither seen, heard nor read.
    pub(crate) fn is_data(&self, index: usize) -> bool {
        let medium = self.input.stream(index).map(|s| s.parameters().medium());
        !matches!(
            medium,
            Some(media::Type::Video | media::Type::Audio | media::Type::Subtitle)
        )
    }

    /// Reads no packets of the streams that are not `wanted`.
    pub(crate) fn keep_only(&mut self, wanted: impl Fn(usize) -> bool) {
        for index in 0..self.stream_count() {
            if wanted(index) {
                continue;
            }
            // SAFETY: `index` is below `nb_streams`, so the pointer is a live
            // stream of the live context.
            unsafe {
                let stream = *(*self.input.as_mut_ptr()).streams.add(index);
                (*stream).discard = ffmpeg::ffi::AVDiscard::AVDISCARD_ALL;
            }
        }
    }

    /// The next packet of any stream, `None` at the end of the file. Damaged
    /// packets are passed over and counted into `damaged`.
    pub(crate) fn read(&mut self, damaged: &mut u64) -> Result<Option<Packet>, ffmpeg::Error> {
        let mut packet = Packet::empty();
        let mut in_a_row = 0;
        loop {
            match packet.read(&mut self.input) {
                Ok(()) => return Ok(Some(packet)),
                Err(ffmpeg::Error::Eof) => return Ok(None),
                // The demuxer can find its place again behind a damaged packet.
                Err(ffmpeg::Error::InvalidData) if in_a_row < MOST_BAD_READS => {
                    *damaged += 1;
                    in_a_row += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The operating system's error behind the last failure, if it was one.
    pub(crate) fn take_io_error(&self) -> Option<io::Error> {
        self.ledger.take_error()
    }

    /// Goes to the last keyframe of `index` at or before `ticks` of its time base.
    pub(crate) fn seek(&mut self, index: usize, ticks: i64) -> Result<(), ffmpeg::Error> {
        // SAFETY: the context is live; libavformat checks the stream's index.
        super::check(unsafe {
            ffmpeg::ffi::avformat_seek_file(
                self.input.as_mut_ptr(),
                index as i32,
                i64::MIN,
                ticks,
                ticks,
                0,
            )
        })
        .map(drop)
    }
}
