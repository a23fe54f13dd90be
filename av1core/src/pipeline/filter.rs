//! The third step: decoded frames to what the encoder takes, and of those the ones
//! that belong to the segment.
//!
//! Frames that only need more bits are widened here, exactly; everything else
//! (deinterlacing, turning, other formats, a size that changes within the stream)
//! goes through a libavfilter graph.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Rational;
use ffmpeg_next::filter;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use super::decode::frame_bytes;
use super::queue::{Receiver, Sender};
use super::{Halt, Run};
use crate::error::{ErrorKind, Stage};
use crate::ffi;
use crate::plan::{BitDepth, VideoFilter, VideoSettings};
use crate::segment::{Selector, Side};
use crate::units::TimeBase;

pub(super) fn filter(
    run: &Run<'_>,
    settings: &VideoSettings,
    decoded: &Receiver<Video>,
    frames: &Sender<Video>,
) -> Result<Selector, Halt> {
    let mut shaper = Shaper::new(settings, run.video_base());
    let mut selector = Selector::new(run.segment);
    let mut ready = Vec::new();
    let failed = |e| {
        run.library_error(
            ErrorKind::Library,
            Stage::Filter,
            "cannot convert frames",
            e,
        )
    };
    loop {
        let more = match decoded.receive()? {
            Some(frame) => shaper.put(run, frame, &mut ready).map(|()| true),
            None => shaper.finish(&mut ready).map(|()| false),
        };
        let more = more.map_err(failed)?;
        for frame in ready.drain(..) {
            match selector.side(&frame) {
                Side::Before | Side::After => {}
                Side::Inside => {
                    let bytes = frame_bytes(&frame);
                    frames.send(frame, bytes)?;
                }
                Side::Enough => return Ok(selector),
            }
        }
        if !more {
            return Ok(selector);
        }
    }
}

/// Brings frames into the encoder's shape.
struct Shaper<'a> {
    settings: &'a VideoSettings,
    base: TimeBase,
    target: Pixel,
    graph: Option<Graph>,
    /// Whether interlaced frames are deinterlaced: as planned, or from the first one
    /// on that appears behind those the probe looked at.
    deinterlaces: bool,
    /// Shape of the first frame on the screen, to notice when it changes.
    first_shape: Option<(u32, u32, Rational)>,
}

impl<'a> Shaper<'a> {
    fn new(settings: &'a VideoSettings, base: TimeBase) -> Self {
        Self {
            settings,
            base,
            target: match settings.bit_depth {
                BitDepth::Eight => Pixel::YUV420P,
                BitDepth::Ten => Pixel::YUV420P10LE,
            },
            graph: None,
            deinterlaces: settings.filters.contains(&VideoFilter::Deinterlace),
            first_shape: None,
        }
    }

    /// Notes what the probe could not see. AV1 cannot say "interlaced", so combing
    /// would stay for good.
    fn look(&mut self, run: &Run<'_>, frame: &Video) -> bool {
        let shape = (frame.width(), frame.height(), frame.aspect_ratio());
        if *self.first_shape.get_or_insert(shape) != shape {
            run.counters.shape_changes.store(true, Ordering::Relaxed);
        }
        let late = frame.is_interlaced() && !self.deinterlaces;
        if late {
            self.deinterlaces = true;
            run.counters.late_interlacing.store(true, Ordering::Relaxed);
        }
        late
    }

    fn put(
        &mut self,
        run: &Run<'_>,
        mut frame: Video,
        ready: &mut Vec<Video>,
    ) -> Result<(), ffmpeg::Error> {
        if self.look(run, &frame) {
            // A graph without the deinterlacer gives what it holds and goes.
            self.finish(ready)?;
        }
        let right_size =
            frame.width() == self.settings.width && frame.height() == self.settings.height;
        let plain = ffi::has_plain_planes(&frame);
        let untouched = self.settings.filters.is_empty() && !self.deinterlaces;
        if self.graph.is_none() && untouched && right_size && plain {
            match (frame.format(), self.target) {
                (from, to) if from == to => {
                    ready.push(frame);
                    return Ok(());
                }
                // The same samples; the range stands in the encoder's settings.
                (Pixel::YUVJ420P, Pixel::YUV420P) => {
                    frame.set_format(Pixel::YUV420P);
                    ready.push(frame);
                    return Ok(());
                }
                (Pixel::YUV420P | Pixel::YUVJ420P, Pixel::YUV420P10LE) => {
                    let wide = run
                        .spare_frames
                        .take(self.target, frame.width(), frame.height());
                    ready.push(widen(&frame, wide, self.is_full_range()));
                    return Ok(());
                }
                _ => {}
            }
        }
        let shape = Shape::of(&frame);
        if self.graph.as_ref().is_none_or(|graph| graph.shape != shape) {
            // The stream changed within itself: what the old graph holds comes first.
            self.finish(ready)?;
            self.graph = Some(Graph::new(shape, &self.spec(shape), self.base)?);
        }
        if let Some(graph) = &mut self.graph {
            graph.put(&frame)?;
            graph.take(self.base, ready)?;
        }
        Ok(())
    }

    fn finish(&mut self, ready: &mut Vec<Video>) -> Result<(), ffmpeg::Error> {
        match self.graph.take() {
            Some(mut graph) => {
                graph.end()?;
                graph.take(self.base, ready)
            }
            None => Ok(()),
        }
    }

    fn is_full_range(&self) -> bool {
        self.settings.colour.range.as_deref() == Some("pc")
    }

    /// The graph in libavfilter's words. Turns are made of `hflip` and `transpose`
    /// alone: `vflip` hands out planes that lie upside down in memory.
    fn spec(&self, shape: Shape) -> String {
        let mut steps = Vec::new();
        // Fields are rows: before any turn. Frames that are flagged progressive in a
        // mixed stream stay as they are.
        if self.deinterlaces {
            steps.push("bwdif=mode=send_frame:parity=auto:deint=interlaced".to_owned());
        }
        for filter in &self.settings.filters {
            match filter {
                VideoFilter::Deinterlace => {}
                VideoFilter::Turn(turn) => {
                    if turn.mirrored {
                        steps.push("hflip".to_owned());
                    }
                    steps.extend((0..turn.quarter_turns).map(|_| "transpose=dir=clock".to_owned()));
                }
            }
        }
        let range = if self.is_full_range() { "pc" } else { "tv" };
        // Left to itself `scale` would make BT.601 of RGB; the plan says BT.709.
        let matrix = if shape.is_rgb() {
            ":out_color_matrix=bt709"
        } else {
            ""
        };
        steps.push(format!(
            "scale=w={}:h={}:flags=bicubic+accurate_rnd+full_chroma_int\
             :in_range={range}:out_range={range}{matrix}",
            self.settings.width, self.settings.height
        ));
        steps.push(match self.target {
            Pixel::YUV420P => "format=pix_fmts=yuv420p".to_owned(),
            _ => "format=pix_fmts=yuv420p10le".to_owned(),
        });
        steps.join(",")
    }
}

/// What a graph is configured for.
#[derive(Clone, Copy, PartialEq)]
struct Shape {
    width: u32,
    height: u32,
    format: Pixel,
}

impl Shape {
    fn of(frame: &Video) -> Self {
        Self {
            width: frame.width(),
            height: frame.height(),
            format: frame.format(),
        }
    }

    fn is_rgb(&self) -> bool {
        let name = self.format.descriptor().map_or("", |d| d.name());
        ["rgb", "bgr", "gbr", "pal"]
            .iter()
            .any(|rgb| name.contains(rgb))
    }
}

/// A configured libavfilter graph with one way in and one way out.
struct Graph {
    graph: filter::Graph,
    shape: Shape,
}

impl Graph {
    fn new(shape: Shape, spec: &str, base: TimeBase) -> Result<Self, ffmpeg::Error> {
        let missing = ffmpeg::Error::FilterNotFound;
        let mut graph = filter::Graph::new();
        let format = shape.format.descriptor().map_or("yuv420p", |d| d.name());
        let args = format!(
            "video_size={}x{}:pix_fmt={format}:time_base={}/{}:pixel_aspect=1/1",
            shape.width, shape.height, base.num, base.den
        );
        graph.add(&filter::find("buffer").ok_or(missing)?, "in", &args)?;
        graph.add(&filter::find("buffersink").ok_or(missing)?, "out", "")?;
        graph.output("in", 0)?.input("out", 0)?.parse(spec)?;
        graph.validate()?;
        Ok(Self { graph, shape })
    }

    fn put(&mut self, frame: &Video) -> Result<(), ffmpeg::Error> {
        let mut source = self.graph.get("in").ok_or(ffmpeg::Error::Bug)?;
        source.source().add(frame)
    }

    fn end(&mut self) -> Result<(), ffmpeg::Error> {
        let mut source = self.graph.get("in").ok_or(ffmpeg::Error::Bug)?;
        source.source().flush()
    }

    fn take(&mut self, base: TimeBase, ready: &mut Vec<Video>) -> Result<(), ffmpeg::Error> {
        let mut sink = self.graph.get("out").ok_or(ffmpeg::Error::Bug)?;
        let mut sink = sink.sink();
        // Filters may count in finer ticks (bwdif halves them).
        let ticks = sink.time_base();
        let ticks = TimeBase::new(ticks.numerator(), ticks.denominator());
        loop {
            let mut frame = Video::empty();
            match sink.frame(&mut frame) {
                Ok(()) => {
                    let pts = frame.pts().map(|pts| ticks.rescale(pts, base));
                    frame.set_pts(pts);
                    ready.push(frame);
                }
                Err(ffmpeg::Error::Eof) => return Ok(()),
                Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// One frame through a graph of these steps, in libavfilter's words.
pub(crate) fn convert(frame: &Video, spec: &str) -> Result<Video, ffmpeg::Error> {
    let mut graph = Graph::new(Shape::of(frame), spec, TimeBase::MICROS)?;
    graph.put(frame)?;
    graph.end()?;
    let mut ready = Vec::new();
    graph.take(TimeBase::MICROS, &mut ready)?;
    ready.pop().ok_or(ffmpeg::Error::Bug)
}

/// Frames to be used again: a fresh one costs a page fault for every 4 KiB.
#[derive(Default)]
pub(super) struct SpareFrames(Mutex<Vec<Video>>);

/// As many as are on their way between two steps.
const MOST_SPARE_FRAMES: usize = 4;

impl SpareFrames {
    /// Keeps a frame that may be used again.
    pub(super) fn put(&self, mut frame: Video) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST_SPARE_FRAMES && ffi::is_writable(&mut frame) {
            spare.push(frame);
        }
    }

    /// A frame of that shape, with any content.
    fn take(&self, format: Pixel, width: u32, height: u32) -> Video {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match spare.pop() {
            Some(frame)
                if Shape::of(&frame)
                    == (Shape {
                        width,
                        height,
                        format,
                    }) =>
            {
                frame
            }
            _ => Video::new(format, width, height),
        }
    }
}

/// An 8-bit 4:2:0 frame at 10 bits. Limited range scales by 4 exactly (16..235
/// becomes 64..940); full range fills the low bits so that 255 becomes 1023.
/// Both are what swscale does for the same formats.
fn widen(frame: &Video, mut wide: Video, full_range: bool) -> Video {
    wide.set_pts(frame.pts());
    for plane in 0..3 {
        let width = frame.plane_width(plane) as usize;
        let (from_stride, to_stride) = (frame.stride(plane), wide.stride(plane));
        // swscale fills the low bits of luma alone.
        let fill = full_range && plane == 0;
        let from = frame.data(plane).chunks(from_stride);
        let to = wide.data_mut(plane).chunks_mut(to_stride);
        for (from, to) in from.zip(to) {
            let samples = from[..width]
                .iter()
                .zip(to[..width * 2].chunks_exact_mut(2));
            if fill {
                for (&s, t) in samples {
                    t.copy_from_slice(&(u16::from(s) << 2 | u16::from(s) >> 6).to_le_bytes());
                }
            } else {
                for (&s, t) in samples {
                    t.copy_from_slice(&(u16::from(s) << 2).to_le_bytes());
                }
            }
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32) -> Video {
        let mut frame = Video::new(Pixel::YUV420P, width, height);
        frame.set_pts(Some(7));
        for plane in 0..3 {
            for (i, byte) in frame.data_mut(plane).iter_mut().enumerate() {
                *byte = (i * 31 + plane * 7) as u8;
            }
        }
        frame
    }

    /// The first `width` samples of each row.
    fn samples(frame: &Video, plane: usize) -> Vec<u16> {
        let width = frame.plane_width(plane) as usize;
        frame
            .data(plane)
            .chunks(frame.stride(plane))
            .flat_map(|row| row[..width * 2].chunks_exact(2))
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn widening_is_what_swscale_does() {
        for full_range in [false, true] {
            let narrow = frame(70, 38);
            let wide = widen(&narrow, Video::new(Pixel::YUV420P10LE, 70, 38), full_range);
            let shape = Shape::of(&narrow);
            let range = if full_range { "pc" } else { "tv" };
            let spec = format!("scale=in_range={range}:out_range={range},format=yuv420p10le");
            let base = TimeBase::new(1, 25);
            let mut graph = Graph::new(shape, &spec, base).expect("graph");
            graph.put(&frame(70, 38)).expect("put");
            graph.end().expect("end");
            let mut scaled = Vec::new();
            graph.take(base, &mut scaled).expect("take");
            for plane in 0..3 {
                assert_eq!(
                    samples(&wide, plane),
                    samples(&scaled[0], plane),
                    "plane {plane}, full range {full_range}"
                );
            }
            assert_eq!(wide.pts(), Some(7));
        }
    }

    #[test]
    fn a_quarter_turn_clockwise_moves_the_top_left_corner_to_the_top_right() {
        let mut source = Video::new(Pixel::YUV420P, 64, 32);
        for plane in 0..3 {
            source.data_mut(plane).fill(0);
        }
        source.data_mut(0)[0] = 200;
        let base = TimeBase::new(1, 25);
        let mut graph = Graph::new(Shape::of(&source), "transpose=dir=clock", base).expect("graph");
        graph.put(&source).expect("put");
        graph.end().expect("end");
        let mut turned = Vec::new();
        graph.take(base, &mut turned).expect("take");
        assert_eq!((turned[0].width(), turned[0].height()), (32, 64));
        assert_eq!(turned[0].data(0)[31], 200);
    }
}
