//! Parts of a film through one encoder, to see how many bytes they take. Nothing is
//! written.
//!
//! ```text
//! for each sample: demux -> decode -> filter -\
//!                     \-> sound --------------|-> counted (the caller's thread)
//! all samples: one encoder -------------------/
//! ```
//!
//! Setting SVT-AV1 up takes up to a second, and below 4.1 a process has one encoder at a
//! time. So all samples are one film to it, each as long as its distance of keyframes:
//! with closed GOPs each begins with a keyframe of its own, and none looks back at the
//! one before.

use std::thread;
use std::time::Duration;

use ffmpeg_next::frame::Video;

use super::bound::Kept;
use super::demux::{self, Route, packet_queue};
use super::mux::{Muxed, muxer_queue};
use super::queue::{Receiver, Sender, Stop};
use super::setup::{Voice, audio_encoder_error, open_decoder, video_encoder_error};
use super::turn::Turn;
use super::{Halt, Job, Run, audio, decode, encode, filter, join, new_run};
use crate::clock::Pace;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::{Event, Sampling};
use crate::ffi::{Demuxer, OpusEncoder, VideoEncoder};
use crate::plan::{Action, AudioSettings, VideoSettings};
use crate::probe;
use crate::segment::Segment;

/// What is to be encoded, and how it is cut.
pub(crate) struct Samples<'a> {
    /// The parts of the film.
    pub(crate) segments: &'a [Segment],
    /// Frames of each; a part with fewer is filled up with its last frame, which takes
    /// hardly a byte and is not counted. `None` takes all frames of one part.
    pub(crate) frames_each: Option<u32>,
    /// Frames in all, to show how far it is.
    pub(crate) frames_total: u64,
}

/// What one part took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sampled {
    /// Frames of the film in it.
    pub(crate) frames: u64,
    pub(crate) key_frames: u64,
    pub(crate) key_bytes: u64,
    /// Bytes of the frames that are not keyframes.
    pub(crate) inter_bytes: u64,
    /// Its sound, a pair (Opus packets, bytes) for each track that is encoded.
    pub(crate) sound: Vec<(u64, u64)>,
}

/// Pictures are counted on this track; each sample's sounds have tracks behind it.
const VIDEO_TRACK: usize = 0;

/// Time between two events.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Encodes the samples one after the other, and counts what they take.
pub(crate) fn sample(
    job: &Job<'_>,
    samples: &Samples<'_>,
    observer: &mut dyn FnMut(&Event),
) -> Result<Vec<Sampled>> {
    let stop = Stop::new(job.cancel.clone());
    let Ok(turn) = Turn::take(&stop, observer) else {
        return Err(Error::cancelled(Stage::Encode, job.source));
    };
    let run = new_run(job, &Segment::WHOLE, job.source, stop);
    let Some((_, planned)) = run.video() else {
        let message = "the plan has no video";
        return Err(run.error(ErrorKind::NoVideo, Stage::Plan, message));
    };
    let settings = VideoSettings {
        keyframe_interval_frames: samples
            .frames_each
            .unwrap_or(planned.keyframe_interval_frames),
        ..planned.clone()
    };
    let encoder = VideoEncoder::open(&settings, run.video_base())
        .map_err(|e| video_encoder_error(&run, e))?;
    let (to_muxer, muxed) = muxer_queue(&run.stop);
    let (frames_in, frames) = decode::frame_queue(&run.stop);
    let task = encode::Task {
        shared: run.shared.clone(),
        encoder: Some(encoder),
        base: run.video_base(),
        turn: Some(turn),
        frames,
        muxer: to_muxer.clone(),
        track: VIDEO_TRACK,
    };
    let tracks = sound_tracks(&run);
    let (fed, counted) = thread::scope(|scope| {
        let encoding = task.spawn();
        let feeder = Feeder {
            run: &run,
            samples,
            to_encoder: frames_in,
            to_muxer,
            frames_sent: 0,
        };
        let feeder = scope.spawn(move || run_feeder(feeder));
        let counted = run.guard(count(&run, samples, tracks, &muxed, observer));
        drop(muxed);
        let fed = join(feeder);
        encoding.join(&run);
        (fed, counted)
    });
    run.verdict()?;
    match (fed, counted) {
        (Some(frames), Some(counted)) => Ok(counted.attribute(&frames, samples.frames_each)),
        _ => Err(run.error(ErrorKind::Library, Stage::Encode, "a step ended early")),
    }
}

fn run_feeder(mut feeder: Feeder<'_, '_>) -> Option<Vec<u64>> {
    let run = feeder.run;
    run.guard(feeder.feed())
}

fn sound_tracks(run: &Run<'_>) -> usize {
    let streams = run.job.plan.streams.iter();
    streams
        .filter(|stream| matches!(stream.action, Action::EncodeAudio(_)))
        .count()
}

/// What came out of the encoders.
struct Counted {
    /// Size of each video packet, and whether it is a keyframe.
    pictures: Vec<(u64, bool)>,
    /// By sample: packets and bytes of each track.
    sound: Vec<Vec<(u64, u64)>>,
}

/// Takes all packets; runs on the caller's thread.
fn count(
    run: &Run<'_>,
    samples: &Samples<'_>,
    tracks: usize,
    muxed: &Receiver<Muxed>,
    observer: &mut dyn FnMut(&Event),
) -> Result<Counted, Halt> {
    let mut counted = Counted {
        pictures: Vec::new(),
        sound: vec![vec![(0, 0); tracks]; samples.segments.len()],
    };
    let mut pace = Pace::new(REPORT_EVERY);
    while let Some(muxed) = muxed.receive()? {
        if pace.is_due() {
            let frames_done = counted.pictures.len() as u64;
            observer(&Event::Sampling(Sampling {
                frames_done,
                frames_total: samples.frames_total.max(frames_done),
            }));
        }
        let (track, Some(packet)) = muxed.into_parts() else {
            continue;
        };
        let content = packet.data().unwrap_or_default();
        if track == VIDEO_TRACK {
            // As it will lie in the file.
            let bytes = Kept::Av1.bytes(content);
            counted.pictures.push((bytes, packet.is_key()));
        } else {
            let (sample, track) = ((track - 1) / tracks, (track - 1) % tracks);
            let (packets, bytes) = &mut counted.sound[sample][track];
            *packets += 1;
            *bytes += content.len() as u64;
        }
    }
    run.stop.check()?;
    Ok(counted)
}

impl Counted {
    /// What each sample took, of whose frames `frames` are the film's.
    fn attribute(self, frames: &[u64], frames_each: Option<u32>) -> Vec<Sampled> {
        let each = frames_each.map_or(self.pictures.len(), |frames| frames as usize);
        let mut pictures = self.pictures.chunks(each.max(1));
        let sampled = frames.iter().zip(self.sound).map(|(&frames, sound)| {
            let mut sampled = Sampled {
                sound,
                ..Sampled::default()
            };
            // A sample that no frame came of was not filled up either.
            let mine = if frames == 0 { None } else { pictures.next() };
            let mine = mine.unwrap_or_default();
            for &(bytes, is_key) in mine.iter().take(frames as usize) {
                sampled.frames += 1;
                if is_key {
                    sampled.key_frames += 1;
                    sampled.key_bytes += bytes;
                } else {
                    sampled.inter_bytes += bytes;
                }
            }
            sampled
        });
        sampled.collect()
    }
}

/// Brings the samples' frames to the encoder, and their sound to the counting.
struct Feeder<'r, 'a> {
    run: &'r Run<'a>,
    samples: &'r Samples<'r>,
    to_encoder: Sender<Video>,
    to_muxer: Sender<Muxed>,
    frames_sent: i64,
}

impl Feeder<'_, '_> {
    /// Feeds all samples; returns how many frames of the film each has.
    fn feed(&mut self) -> Result<Vec<u64>, Halt> {
        let samples = self.samples.segments.iter().enumerate();
        samples
            .map(|(number, segment)| self.feed_one(number, segment))
            .collect()
    }

    fn feed_one(&mut self, number: usize, segment: &Segment) -> Result<u64, Halt> {
        let lead = self.run;
        // Its own bounds; everything else, the pool of frames too, is the run's.
        let run = &Run {
            job: lead.job,
            segment,
            output: lead.output,
            shared: lead.shared.clone(),
        };
        let Some((index, settings)) = run.video() else {
            return Ok(0);
        };
        let demuxer = probe::open(run.job.source, Stage::Demux, run.job.cancel)?;
        let decoder = open_decoder(run, &demuxer, index, settings.decoder_threads)?;
        let (packets_in, packets) = packet_queue(&run.stop);
        let (decoded_in, decoded) = decode::frame_queue(&run.stop);
        let (frames_in, frames) = decode::frame_queue(&run.stop);
        let mut voices = Vec::new();
        let mut packets_in = Some(packets_in);
        let mut routes = Vec::new();
        for stream in &run.job.plan.streams {
            let route = match &stream.action {
                Action::EncodeVideo(_) => packets_in.take().map(Route::Decode),
                Action::EncodeAudio(settings) => {
                    let track = 1 + number * sound_tracks(run) + voices.len();
                    let (voice, route) = voice(run, &demuxer, (stream.index, track), settings)?;
                    voices.push(voice);
                    Some(route)
                }
                _ => None,
            };
            routes.push(route.unwrap_or(Route::Discard));
        }
        thread::scope(|scope| {
            scope.spawn(move || run.guard(demux::demux(run, demuxer, routes)));
            scope.spawn(move || run.guard(decode::decode(run, decoder, &packets, &decoded_in)));
            scope.spawn(move || run.guard(filter::filter(run, settings, &decoded, &frames_in)));
            for voice in voices {
                let to_muxer = self.to_muxer.clone();
                // Sound that fails (damage, more channels than planned) is not measured;
                // the encode will say what there is to say.
                scope.spawn(move || {
                    let codecs = (voice.decoder, voice.encoder);
                    audio::transcode(run, &voice.track, codecs, &voice.packets, &to_muxer)
                        .map(drop)
                        .ok()
                });
            }
            self.pass_on(&frames)
        })
    }

    /// Passes a sample's frames on, each with the time it has among all that the encoder
    /// sees.
    fn pass_on(&mut self, frames: &Receiver<Video>) -> Result<u64, Halt> {
        let most = self.samples.frames_each.map_or(u64::MAX, u64::from);
        let mut passed = 0;
        // The last frame stays here, in case that it has to fill the sample up.
        let mut held: Option<Video> = None;
        while let Some(frame) = frames.receive()? {
            if passed == most {
                continue;
            }
            passed += 1;
            if let Some(before) = held.replace(frame) {
                self.send(before)?;
            }
        }
        let Some(last) = held else { return Ok(0) };
        if self.samples.frames_each.is_some() {
            for _ in passed..most {
                self.send(last.clone())?;
            }
        }
        self.send(last)?;
        Ok(passed)
    }

    fn send(&mut self, mut frame: Video) -> Result<(), Halt> {
        frame.set_pts(Some(self.frames_sent * self.run.frame_ticks()));
        self.frames_sent += 1;
        let bytes = decode::frame_bytes(&frame);
        self.to_encoder.send(frame, bytes)?;
        Ok(())
    }
}

fn voice<'a>(
    run: &Run<'a>,
    demuxer: &Demuxer,
    (index, track): (usize, usize),
    settings: &'a AudioSettings,
) -> Result<(Voice<'a>, Route)> {
    let encoder =
        OpusEncoder::open(settings).map_err(|e| audio_encoder_error(run, e).with_stream(index))?;
    let (packets_in, packets) = packet_queue(&run.stop);
    let voice = Voice {
        track: audio::Track {
            source_index: index,
            track,
            settings,
            base: demuxer.time_base(index),
        },
        decoder: open_decoder(run, demuxer, index, Some(1))?,
        encoder: Some(encoder),
        packets,
    };
    Ok((voice, Route::Decode(packets_in)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_belong_to_the_sample_they_came_in() {
        let counted = Counted {
            pictures: vec![
                (100, true),
                (10, false),
                (11, false),
                (90, true),
                (9, false),
                (1, false),
            ],
            sound: vec![vec![(3, 30)], vec![], vec![(1, 9)]],
        };
        // No frame came of the second, and the third was filled up with one frame.
        let sampled = counted.attribute(&[3, 0, 2], Some(3));
        let bytes = |i: usize| (sampled[i].key_bytes, sampled[i].inter_bytes);
        assert_eq!(sampled.len(), 3);
        assert_eq!((bytes(0), sampled[0].frames), ((100, 21), 3));
        assert_eq!((bytes(1), sampled[1].frames), ((0, 0), 0));
        assert_eq!((bytes(2), sampled[2].frames), ((90, 9), 2));
        assert_eq!(sampled[2].sound, [(1, 9)]);
    }
}
