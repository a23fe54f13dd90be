//! How large an output will be, before hours are spent on it.
//!
//! ```text
//! walk (sizes and times of packets) -> choose (which parts) -> encode them -> estimate
//! ```
//!
//! The video is predicted from samples that are encoded with the plan's own settings.
//! The rest is added by arithmetic: copied streams by their bytes, sound by what the
//! samples' sound took (libopus codes at a variable rate), the container by its packets.

mod choose;
mod estimate;
mod rest;
mod walk;

use std::path::Path;

use serde::{Deserialize, Serialize};

use self::choose::{Stratum, choose, windows};
use self::estimate::{Estimate, Measured, estimate, in_film, t95};
use self::rest::Rest;
use self::walk::{Walk, walk};
use crate::cancel::CancelToken;
use crate::clock::Stopwatch;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::Event;
use crate::media::MediaInfo;
use crate::pipeline::{self, Job, Sampled, Samples, encoder_name};
use crate::plan::{Action, Plan, VideoSettings};
use crate::segment::Segment;

/// How large an output will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Prediction {
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// The output, most likely, in bytes.
    pub bytes: u64,
    /// The lower end of an interval that holds the output's size 9 times in 10, in bytes.
    pub low_bytes: u64,
    /// The upper end of that interval, in bytes.
    pub high_bytes: u64,
    /// The video's share of `bytes`.
    pub video_bytes: u64,
    /// The share of everything else: sound, copied streams, attachments, container.
    pub other_bytes: u64,
    /// Parts of the film that were encoded.
    pub samples: u32,
    /// Video frames that were encoded.
    pub sampled_frames: u64,
    /// Video frames of the whole film, as far as the samples tell.
    pub frames: u64,
    /// Whether the whole film was encoded: it is short, or cannot be entered in the middle.
    pub whole: bool,
    /// Time that the prediction took, in microseconds.
    pub elapsed_us: u64,
    /// The video encoder with its version.
    pub encoder: String,
}

/// Whether an encode is worth its while, by a [`Prediction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Worth {
    /// The output will be small enough.
    Worthwhile,
    /// The largest output that is allowed lies within the interval.
    Unknown,
    /// The output will be too large.
    NotWorthwhile,
}

impl Prediction {
    /// Whether an output of at most `most_bytes` ([`Plan::most_bytes`]) is to be expected.
    /// Of what it is sure of, one in twenty is otherwise.
    #[must_use]
    pub fn verdict(&self, most_bytes: u64) -> Worth {
        if self.low_bytes > most_bytes {
            Worth::NotWorthwhile
        } else if self.high_bytes <= most_bytes {
            Worth::Worthwhile
        } else {
            Worth::Unknown
        }
    }
}

/// Length of a sample: long enough that the encoder looks as far ahead as in the film.
const SAMPLE_S: f64 = 3.5;

/// Frames of SVT-AV1's longest mini-GOP (hierarchical levels 5). A sample is a keyframe
/// and some of these, as most of the film is: what is left over would be coded in shorter
/// ones, which cost more.
const MINI_GOP_FRAMES: f64 = 32.0;

/// The share of the film that is encoded: with decoding from the keyframe before and
/// setting up, the prediction then takes at most 3 % of the encode's time.
const SHARE: f64 = 0.018;

/// Fewer samples say too little of their own spread; more than the most make the
/// interval no narrower than the model's own error.
const FEWEST_SAMPLES: f64 = 6.0;
const MOST_SAMPLES: f64 = 24.0;

/// Samples of a film shorter than [`LONG_FILM_S`], whose encode takes minutes. Sixteen
/// films in one, encoded whole and sampled at 400 offsets: 6 samples were off by 6.3 %
/// in the median, 9 by 3.7 %, 12 by no less; the interval held 96 and 98 times in 100.
const SAMPLES_OF_SHORT_FILM: f64 = 9.0;

/// A film from which on the cost is what counts, in seconds.
const LONG_FILM_S: f64 = 1200.0;

/// What the model itself is off by, as a share of the video (standard deviation): a sample
/// is not looked beyond its end, and its window's source keyframes, cuts and leftovers of
/// mini-GOPs are not those of the film. Of 24 films at preset 10 (`benches/predict.rs`) those
/// whose samples agree within a few percent were off by 0.4 to 3.9 %, which their samples'
/// variance does not explain; with it 23 of 24 were inside.
const MODEL_ERROR: f64 = 0.03;

/// What an encode of the whole film is off by, as a share.
const WHOLE_ERROR: f64 = 0.005;

/// Predicts how large the output of a plan will be. Nothing is written to disk.
///
/// Reads all packets, unless the container's index tells their sizes, and encodes 6 to 24
/// parts of 3 to 4 s with the plan's settings: about 2 % of a film of 20 minutes and more,
/// nine parts of a shorter one. A film of less than 50 s or so, of which six parts would
/// be more than half, is encoded whole, and so is one that cannot be entered in the
/// middle (its clock jumps, or it has no times).
///
/// Blocks; `observer` is called on this thread ([`Event::Sampling`],
/// [`Event::WaitingForEncoder`]). As [`transcode`](crate::transcode()), it takes the
/// process's one turn of the encoder below SVT-AV1 4.1.
///
/// ```no_run
/// use av1core::{CancelToken, Options, Saving, Verdict, Worth};
///
/// let info = av1core::probe("film.mkv")?;
/// let mut options = Options::default();
/// options.min_saving_percent = Saving::new(5).ok();
/// if let Verdict::Transcode(plan) = av1core::plan(&info, &options) {
///     let cancel = CancelToken::new();
///     let found = av1core::predict("film.mkv", &info, &plan, &cancel, |_| {})?;
///     println!("{} bytes, {} to {}", found.bytes, found.low_bytes, found.high_bytes);
///     let hopeless = plan.most_bytes.map(|most| found.verdict(most)) == Some(Worth::NotWorthwhile);
/// #   let _ = hopeless;
/// }
/// # Ok::<(), av1core::Error>(())
/// ```
///
/// # Errors
///
/// As [`transcode`](crate::transcode()) for reading, decoding and encoding;
/// [`ErrorKind::Damaged`] where no sample has a frame; [`ErrorKind::Cancelled`].
pub fn predict(
    source: impl AsRef<Path>,
    info: &MediaInfo,
    plan: &Plan,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Prediction> {
    let clock = Stopwatch::start();
    let source = source.as_ref();
    let settings = plan.streams.iter().find_map(|s| match &s.action {
        Action::EncodeVideo(settings) => Some(settings),
        _ => None,
    });
    let fail = |kind, stage, message: &str| Err(Error::new(kind, stage, source, message));
    let Some(settings) = settings else {
        return fail(ErrorKind::NoVideo, Stage::Plan, "the plan has no video");
    };
    let walk = walk(source, info, plan, cancel)?;
    let job = Job {
        source,
        info,
        plan,
        cancel,
    };
    let parts = Parts::of(&walk, settings);
    let sampled = pipeline::sample(&job, &parts.samples(), &mut observer)?;
    let Some((video, frames)) = parts.video(&walk, &sampled, settings) else {
        return fail(
            ErrorKind::Damaged,
            Stage::Decode,
            "no frame of the video decodes",
        );
    };
    let rest = Rest::of((info, plan), &walk, &sampled, frames);
    let whole = parts.strata.is_empty();
    let total = Total::of(video, &rest, whole);
    Ok(Prediction {
        source_bytes: info.size_bytes,
        bytes: total.bytes as u64,
        low_bytes: total.low_bytes as u64,
        high_bytes: total.high_bytes as u64,
        video_bytes: video.value as u64,
        other_bytes: (total.bytes as u64).saturating_sub(video.value as u64),
        samples: sampled.iter().map(|s| u32::from(s.frames > 0)).sum(),
        sampled_frames: sampled.iter().map(|s| s.frames).sum(),
        frames: frames as u64,
        whole,
        elapsed_us: u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX),
        encoder: encoder_name(),
    })
}

/// Which parts of the film are encoded.
#[derive(Debug)]
struct Parts {
    /// Empty where the whole film is.
    strata: Vec<Stratum>,
    segments: Vec<Segment>,
    frames_each: usize,
    packets: usize,
}

impl Parts {
    fn of(walk: &Walk, settings: &VideoSettings) -> Self {
        let packets = &walk.video;
        let frames_each = sample_frames(settings.frame_rate.as_f64());
        let count = sample_count(packets.len(), frames_each, settings.frame_rate.as_f64());
        let mut parts = Self {
            strata: Vec::new(),
            segments: vec![Segment::WHOLE],
            frames_each,
            packets: packets.len(),
        };
        if walk.can_be_entered && count * frames_each * 2 <= packets.len() {
            parts.strata = choose(windows(packets, frames_each), frames_each, count);
            let strata = parts.strata.iter();
            parts.segments = strata.map(|s| segment(walk, s)).collect();
        }
        parts
    }

    fn samples(&self) -> Samples<'_> {
        let whole = self.strata.is_empty();
        let frames = if whole {
            self.packets
        } else {
            self.frames_each * self.segments.len()
        };
        Samples {
            segments: &self.segments,
            frames_each: (!whole).then(|| u32::try_from(self.frames_each).unwrap_or(u32::MAX)),
            frames_total: frames as u64,
        }
    }

    /// The video of the whole film, and how many frames it has.
    fn video(
        &self,
        walk: &Walk,
        sampled: &[Sampled],
        settings: &VideoSettings,
    ) -> Option<(Estimate, f64)> {
        if self.strata.is_empty() {
            let whole = sampled.first().filter(|whole| whole.frames > 0)?;
            let value = (whole.key_bytes + whole.inter_bytes) as f64;
            let estimate = Estimate {
                value,
                freedom: f64::INFINITY,
                ..Estimate::default()
            };
            return Some((estimate, whole.frames as f64));
        }
        // Packets are not frames: two fields may be a frame, and some are not shown.
        let mut frames: Vec<u64> = sampled.iter().map(|s| s.frames).collect();
        frames.sort_unstable();
        let frames_a_sample = *frames.get(frames.len() / 2)? as f64;
        let film_frames = walk.video.len() as f64 * frames_a_sample / self.frames_each as f64;
        let interval = f64::from(settings.keyframe_interval_frames.max(1));
        let keyframes = (film_frames / interval).ceil() / film_frames;
        let measured: Vec<Measured> = self
            .strata
            .iter()
            .zip(sampled)
            .filter(|(_, sampled)| sampled.frames > 0)
            .map(|(stratum, sampled)| Measured {
                stands_for: stratum.weight,
                windows: stratum.windows,
                source_bytes: stratum.sample.weight,
                bytes: in_film(sampled, keyframes, frames_a_sample),
            })
            .collect();
        // A sample that shows nothing leaves its stratum to the others.
        let all: f64 = self.strata.iter().map(|stratum| stratum.weight).sum();
        let seen: f64 = measured.iter().map(|m| m.stands_for).sum();
        let mut video = estimate(&measured)?;
        video.value *= all / seen;
        video.variance *= (all / seen).powi(2);
        Some((video, film_frames))
    }
}

/// Frames of a sample: a keyframe and the number of mini-GOPs that comes nearest to
/// [`SAMPLE_S`].
fn sample_frames(frame_rate: f64) -> usize {
    let mini_gops = (SAMPLE_S * frame_rate / MINI_GOP_FRAMES).round().max(1.0);
    1 + (mini_gops * MINI_GOP_FRAMES) as usize
}

/// How many samples are taken of a film that is not too short for any.
fn sample_count(film_frames: usize, frames_each: usize, frame_rate: f64) -> usize {
    let (film, each) = (film_frames as f64, frames_each as f64);
    let count = if film / frame_rate < LONG_FILM_S {
        // No more than half of the film.
        SAMPLES_OF_SHORT_FILM.min((film / each / 2.0).floor())
    } else {
        (film * SHARE / each).round()
    };
    count.clamp(FEWEST_SAMPLES, MOST_SAMPLES) as usize
}

fn segment(walk: &Walk, stratum: &Stratum) -> Segment {
    let (first, packets) = (stratum.sample.first, stratum.sample.packets);
    let before = walk.video[..=first].iter().rev();
    Segment {
        first: Some(walk.video[first].ticks),
        end: walk.video.get(first + packets).map(|p| p.ticks),
        decode_from: before.into_iter().find(|p| p.is_key).map(|p| p.ticks),
    }
}

/// The output with its interval, in bytes.
struct Total {
    bytes: f64,
    low_bytes: f64,
    high_bytes: f64,
}

impl Total {
    fn of(video: Estimate, rest: &Rest, whole: bool) -> Self {
        let sound: f64 = rest.sound.iter().map(|track| track.value).sum();
        let bytes = video.value + sound + rest.fixed_bytes as f64;
        let share = if whole { WHOLE_ERROR } else { MODEL_ERROR };
        let model = Estimate {
            variance: (share * video.value).powi(2),
            freedom: f64::INFINITY,
            value: 0.0,
        };
        // The parts' errors have nothing to do with each other.
        let parts = rest.sound.iter().chain([&video, &model]);
        let half = parts.map(|part| t95(part.freedom).powi(2) * part.variance);
        let half = half.sum::<f64>().sqrt();
        Self {
            bytes,
            low_bytes: (bytes - half).max(rest.fixed_bytes as f64),
            high_bytes: bytes + half,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_last_three_to_four_seconds() {
        let seconds = |rate: f64| sample_frames(rate) as f64 / rate;
        for rate in [23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0] {
            let seconds = seconds(rate);
            assert!((3.0..4.1).contains(&seconds), "{rate}: {seconds}");
        }
        assert_eq!(sample_frames(1.0), 33);
    }

    #[test]
    fn long_films_cost_three_percent_and_short_ones_have_enough_samples() {
        let samples = |minutes: usize| sample_count(minutes * 60 * 24, 97, 24.0);
        assert_eq!([1, 2, 19].map(samples), [7, 9, 9]);
        assert_eq!([20, 45, 120, 300].map(samples), [6, 12, 24, 24]);
    }

    #[test]
    fn only_what_is_certain_is_not_worthwhile() {
        let prediction: Prediction = serde_json::from_str(
            r#"{"source_bytes":1000,"bytes":960,"low_bytes":940,"high_bytes":980,
                "video_bytes":900,"other_bytes":60,"samples":6,"sampled_frames":582,
                "frames":28800,"whole":false,"elapsed_us":1,"encoder":"e"}"#,
        )
        .expect("a prediction");
        assert_eq!(prediction.verdict(939), Worth::NotWorthwhile);
        assert_eq!(prediction.verdict(940), Worth::Unknown);
        assert_eq!(prediction.verdict(979), Worth::Unknown);
        assert_eq!(prediction.verdict(980), Worth::Worthwhile);
    }
}
