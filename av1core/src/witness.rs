//! What a film shows, in little: enough to tell whether another file shows the same.
//!
//! A [`Witness`] is taken from the source while it is decoded, and from the output
//! when it is read back; [`verify`](crate::verify()) holds one against the other. A
//! frame leaves 96 bytes and a packet 16: a film of three hours about 45 MB.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use xxhash_rust::xxh3::xxh3_64;

use crate::ffi::{self, OPUS_RATE_HZ};
use crate::units::TimeBase;

/// What a film shows. Streams go by their index in the source.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) pictures: Pictures,
    pub(crate) sound: BTreeMap<usize, Sound>,
    /// Packets as they were handed to the muxer, or as they are read back.
    pub(crate) packets: BTreeMap<usize, Packets>,
    /// XXH3 of each attached file.
    pub(crate) attachments: BTreeMap<usize, u64>,
}

/// The frames of the video, in presentation order.
#[derive(Debug)]
pub(crate) struct Pictures {
    /// Unit of `ticks`.
    pub(crate) base: TimeBase,
    /// Presentation times.
    pub(crate) ticks: Vec<i64>,
    pub(crate) thumbs: Vec<Thumb>,
    /// XXH3 of each frame's Dolby Vision metadata, where it has any.
    pub(crate) dolby_vision: Vec<Option<NonZeroU64>>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self::new(TimeBase::MICROS)
    }
}

impl Pictures {
    pub(crate) fn new(base: TimeBase) -> Self {
        Self {
            base,
            ticks: Vec::new(),
            thumbs: Vec::new(),
            dolby_vision: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, frame: &Video, ticks: i64) {
        self.ticks.push(ticks);
        self.thumbs.push(Thumb::of(frame));
        let metadata = ffi::dolby_vision(frame).map(xxh3_64);
        self.dolby_vision.push(metadata.and_then(NonZeroU64::new));
    }

    /// Presentation time of a frame in microseconds.
    pub(crate) fn time_us(&self, frame: usize) -> i64 {
        let ticks = self.ticks.get(frame).copied().unwrap_or(0);
        self.base.micros(ticks)
    }
}

/// Luma is averaged over 8 by 8 cells, chroma over 2 by 2.
const LUMA_CELLS: usize = 8;
const CHROMA_CELLS: usize = 2;

/// Samples of a plane that are looked at, in each direction: enough that noise and
/// film grain average out of a cell, few enough to cost nothing (4,096 of a frame).
const LUMA_POINTS: usize = 64;
const CHROMA_POINTS: usize = 16;

/// A frame in 72 bytes: the average levels of its cells, at 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thumb {
    luma: [u8; LUMA_CELLS * LUMA_CELLS],
    chroma: [u8; 2 * CHROMA_CELLS * CHROMA_CELLS],
}

impl Thumb {
    /// Of a frame in 4:2:0 at 8 or 10 bits with planes that lie top to bottom.
    pub(crate) fn of(frame: &Video) -> Self {
        let mut thumb = Self {
            luma: [0; LUMA_CELLS * LUMA_CELLS],
            chroma: [0; 2 * CHROMA_CELLS * CHROMA_CELLS],
        };
        if frame.planes() < 3 {
            return thumb;
        }
        average(frame, 0, LUMA_POINTS, LUMA_CELLS, &mut thumb.luma);
        let (blue, red) = thumb.chroma.split_at_mut(CHROMA_CELLS * CHROMA_CELLS);
        average(frame, 1, CHROMA_POINTS, CHROMA_CELLS, blue);
        average(frame, 2, CHROMA_POINTS, CHROMA_CELLS, red);
        thumb
    }

    /// How far two frames are apart, in levels of 256: the mean over the cells, of
    /// luma or of chroma, whichever is further.
    pub(crate) fn distance(&self, other: &Self) -> f32 {
        let mean = |a: &[u8], b: &[u8]| {
            let sum: u32 = a
                .iter()
                .zip(b)
                .map(|(a, b)| u32::from(a.abs_diff(*b)))
                .sum();
            sum as f32 / a.len() as f32
        };
        mean(&self.luma, &other.luma).max(mean(&self.chroma, &other.chroma))
    }
}

impl Thumb {
    /// How far two frames are apart in what they show, whatever their brightness: in
    /// a fade an encoder may lag behind by a few levels.
    pub(crate) fn structural_distance(&self, other: &Self) -> f32 {
        let mean = |thumb: &Self| {
            let sum: u32 = thumb.luma.iter().map(|cell| u32::from(*cell)).sum();
            sum as f32 / thumb.luma.len() as f32
        };
        let (mean_a, mean_b) = (mean(self), mean(other));
        let cells = self.luma.iter().zip(&other.luma);
        let sum: f32 = cells
            .map(|(a, b)| ((f32::from(*a) - mean_a) - (f32::from(*b) - mean_b)).abs())
            .sum();
        sum / self.luma.len() as f32
    }
}

fn average(frame: &Video, plane: usize, points: usize, cells: usize, out: &mut [u8]) {
    let wide = frame.format() == Pixel::YUV420P10LE;
    let (width, height) = (
        frame.plane_width(plane) as usize,
        frame.plane_height(plane) as usize,
    );
    let (data, stride) = (frame.data(plane), frame.stride(plane));
    let mut sums = [0u32; LUMA_CELLS * LUMA_CELLS];
    for y in 0..points {
        let row = (2 * y + 1) * height / (2 * points);
        let row = data.get(row * stride..).unwrap_or_default();
        for x in 0..points {
            let column = (2 * x + 1) * width / (2 * points);
            let level = if wide {
                match row.get(2 * column..2 * column + 2) {
                    Some(&[low, high]) => u32::from(u16::from_le_bytes([low, high]) >> 2),
                    _ => 0,
                }
            } else {
                row.get(column).copied().map_or(0, u32::from)
            };
            sums[y * cells / points * cells + x * cells / points] += level;
        }
    }
    let per_cell = (points / cells * (points / cells)) as u32;
    for (cell, sum) in out.iter_mut().zip(sums) {
        *cell = u8::try_from(sum / per_cell).unwrap_or(u8::MAX);
    }
}

/// Samples over which loudness is measured: a second.
pub(crate) const LEVEL_SAMPLES: usize = OPUS_RATE_HZ as usize;

/// A track's sound at 48 kHz.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sound {
    /// Time of the first sample, in samples.
    pub(crate) start: i64,
    /// Number of samples of each channel.
    pub(crate) samples: i64,
    pub(crate) channels: usize,
    /// Root mean square by second and channel; full scale is 1.
    pub(crate) levels: Vec<f32>,
    squares: Vec<f64>,
    counted: usize,
}

impl Sound {
    pub(crate) fn new(start: i64, channels: usize) -> Self {
        Self {
            start,
            samples: 0,
            channels: channels.max(1),
            levels: Vec::new(),
            squares: vec![0.0; channels.max(1)],
            counted: 0,
        }
    }

    /// Adds packed samples.
    pub(crate) fn add(&mut self, packed: &[f32]) {
        for sample in packed.chunks_exact(self.channels) {
            for (sum, value) in self.squares.iter_mut().zip(sample) {
                *sum += f64::from(*value) * f64::from(*value);
            }
            self.samples += 1;
            self.counted += 1;
            if self.counted == LEVEL_SAMPLES {
                self.close_window();
            }
        }
    }

    /// Measures the last second, which may be a short one. A few milliseconds are too
    /// few: what a codec rings on for would be all that is in them.
    pub(crate) fn finish(mut self) -> Self {
        let enough = self.counted * 10 >= LEVEL_SAMPLES || self.levels.is_empty();
        if self.counted > 0 && enough {
            self.close_window();
        }
        self
    }

    /// Time behind the last sample, in samples.
    pub(crate) fn end(&self) -> i64 {
        self.start.saturating_add(self.samples)
    }

    fn close_window(&mut self) {
        for sum in &mut self.squares {
            self.levels.push((*sum / self.counted as f64).sqrt() as f32);
            *sum = 0.0;
        }
        self.counted = 0;
    }
}

/// The packets of a track, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packets {
    /// Presentation times in microseconds.
    pub(crate) times_us: Vec<i64>,
    /// XXH3 of the content; `None` where the muxer frames it anew.
    pub(crate) hashes: Vec<Option<NonZeroU64>>,
}

impl Packets {
    pub(crate) fn add(&mut self, time_us: i64, content: &[u8]) {
        // An empty text: MP4 fills the time between subtitles with it.
        if content == [0, 0] {
            return;
        }
        self.times_us.push(time_us);
        // The temporal delimiter before an AV1 frame is the stream's and not the
        // file's: containers leave it out (AV1 in ISOBMFF, 2.4; AV1 in Matroska, 4.5).
        let content = content.strip_prefix(&[0x12, 0x00]).unwrap_or(content);
        // Copied H.264 and H.265 of a broadcast: start codes become lengths (Annex B, and
        // ISO/IEC 14496-15).
        let is_byte_stream = content.starts_with(&[0, 0, 1]) || content.starts_with(&[0, 0, 0, 1]);
        let hash = (!is_byte_stream).then(|| xxh3_64(content));
        self.hashes.push(hash.and_then(NonZeroU64::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(format: Pixel, level: impl Fn(usize, usize) -> u16) -> Video {
        let mut frame = Video::new(format, 128, 96);
        for plane in 0..3 {
            let (stride, width) = (frame.stride(plane), frame.plane_width(plane) as usize);
            for (y, row) in frame.data_mut(plane).chunks_mut(stride).enumerate() {
                for x in 0..width {
                    let value = if plane == 0 { level(x, y) } else { 128 };
                    if format == Pixel::YUV420P {
                        row[x] = value as u8;
                    } else {
                        row[2 * x..2 * x + 2].copy_from_slice(&(value << 2).to_le_bytes());
                    }
                }
            }
        }
        frame
    }

    #[test]
    fn depth_and_noise_do_not_matter_but_the_picture_does() {
        let ramp = |x: usize, _| x as u16;
        let narrow = Thumb::of(&frame(Pixel::YUV420P, ramp));
        let wide = Thumb::of(&frame(Pixel::YUV420P10LE, ramp));
        assert_eq!(narrow, wide);
        let noisy = frame(Pixel::YUV420P, |x, y| {
            (x as u16) + ((x * 7 + y * 13) % 3) as u16
        });
        assert!(narrow.distance(&Thumb::of(&noisy)) < 2.0);
        let mirrored = frame(Pixel::YUV420P, |x, _| 127 - x as u16);
        assert!(narrow.distance(&Thumb::of(&mirrored)) > 30.0);
    }

    #[test]
    fn loudness_is_measured_by_second_and_channel() {
        let mut sound = Sound::new(-312, 2);
        let samples: Vec<f32> = (0..LEVEL_SAMPLES * 3 / 2)
            .flat_map(|_| [0.5, 0.0])
            .collect();
        sound.add(&samples);
        let sound = sound.finish();
        assert_eq!(sound.samples, LEVEL_SAMPLES as i64 * 3 / 2);
        assert_eq!(sound.end(), LEVEL_SAMPLES as i64 * 3 / 2 - 312);
        assert_eq!(sound.levels, [0.5, 0.0, 0.5, 0.0]);
    }

    #[test]
    fn a_temporal_delimiter_is_no_content() {
        let (mut written, mut read) = (Packets::default(), Packets::default());
        written.add(0, &[0x12, 0x00, 0x0a, 0x0b]);
        read.add(0, &[0x0a, 0x0b]);
        assert_eq!(written, read);
    }
}
