//! What the output shows against what the source showed. Pure.

use super::Difference;
use super::read::Reading;
use crate::ffi::{OPUS_FRAME_SAMPLES, OPUS_RATE_HZ};
use crate::plan::{Action, Plan};
use crate::units::TimeBase;
use crate::witness::{Packets, Pictures, Sound, Witness};

/// Levels of 256 by which a picture may differ from its source, in the mean of its
/// cells. Cells average 64 samples, so what an encoder does to detail is not in
/// them.
const MOST_PICTURE_DISTANCE: f32 = 24.0;

/// Levels from which on a picture that is nearer to its neighbour's source than to
/// its own counts as the neighbour's; below it an encoder may have kept a still
/// picture still. Brightness is left out: seen in a fade at preset 13, a frame that
/// was 6 levels darker than it should be, as dark as the one before.
const LEAST_NEIGHBOUR_DISTANCE: f32 = 8.0;

/// Microseconds between the time of a copied packet and the source's: both
/// containers may round to a millisecond.
const MOST_PACKET_SHIFT_US: i64 = 1_000;

/// Loudness of a second that counts as sound, and how much less of it may be left:
/// -40 dB of full scale, and 20 dB. What Opus masks is quieter or lies lower.
const AUDIBLE: f32 = 0.01;
const MOST_LOSS: f32 = 0.1;
/// How much louder a second may become, and what of it is no matter.
const MOST_GAIN: f32 = 3.0;

pub(super) fn compare(plan: &Plan, source: &Witness, reading: &Reading) -> Vec<Difference> {
    let shift_us = plan.timestamp_shift_ms.saturating_mul(1000);
    let found = &reading.witness;
    let mut differences = Vec::new();
    for (index, _) in &reading.pairs.tracks {
        let planned = plan.streams.iter().find(|s| s.index == *index);
        match planned.map(|s| &s.action) {
            Some(Action::EncodeVideo(settings)) => {
                let (source, found) = (&source.pictures, &found.pictures);
                differences.extend(pictures(*index, source, found, shift_us));
                if settings.dolby_vision.is_some() {
                    differences.extend(dolby_vision(*index, source, found));
                }
            }
            Some(Action::EncodeAudio(settings)) => differences.extend(sound(
                *index,
                (source.sound.get(index), found.sound.get(index)),
                shift_us,
                low_frequency_channel(settings.layout.as_deref()),
            )),
            _ => {}
        }
        // Of encoded streams there is nothing to compare where nothing was encoded.
        if let (Some(expected), Some(found)) = (source.packets.get(index), found.packets.get(index))
            && !(expected.hashes.is_empty() && is_encoded(plan, *index))
        {
            differences.extend(packets(*index, expected, found));
        }
    }
    for (index, hash) in &source.attachments {
        if found
            .attachments
            .get(index)
            .is_some_and(|found| found != hash)
        {
            differences.push(Difference::of_stream(
                *index,
                "the attached file's content is not the source's",
            ));
        }
    }
    differences
}

fn is_encoded(plan: &Plan, index: usize) -> bool {
    let planned = plan.streams.iter().find(|s| s.index == index);
    planned.is_some_and(|s| matches!(s.action, Action::EncodeVideo(_) | Action::EncodeAudio(_)))
}

/// Number, times and content of the frames.
fn pictures(index: usize, source: &Pictures, found: &Pictures, shift_us: i64) -> Vec<Difference> {
    let (shown, planned) = (found.ticks.len(), source.ticks.len());
    let mut differences = Vec::new();
    if shown != planned {
        let what = format!("it has {shown} frames, and the source shows {planned}");
        differences.push(Difference::of_stream(index, what));
    }
    // The container's ticks are coarser than the source's: half a tick is rounding,
    // and a microsecond is our own.
    let tolerance_us = found.base.micros(1) / 2 + 1;
    let expected_us = |frame| source.time_us(frame).saturating_add(shift_us);
    let astray = (0..shown.min(planned))
        .find(|i| (found.time_us(*i) - expected_us(*i)).abs() > tolerance_us);
    if let Some(i) = astray {
        let (is_us, should_us) = (found.time_us(i), expected_us(i));
        let near = |a: i64, b: i64| (a - b).abs() <= tolerance_us;
        let what = if i + 1 < planned && near(is_us, expected_us(i + 1)) {
            format!("frame {i} of the source is missing")
        } else if i + 1 < shown && near(found.time_us(i + 1), should_us) {
            format!("frame {i} is not in the source")
        } else {
            format!(
                "frame {i} is shown at {:.6} s instead of {:.6} s",
                is_us as f64 / 1e6,
                should_us as f64 / 1e6
            )
        };
        differences.push(Difference::of_stream(index, what).at(should_us));
    }
    // Behind a missing frame every picture is another one's.
    if differences.is_empty() {
        differences.extend(content(index, source, found));
    }
    differences
}

/// The first frame that has not the Dolby Vision metadata of the source's.
fn dolby_vision(index: usize, source: &Pictures, found: &Pictures) -> Option<Difference> {
    let pairs = source.dolby_vision.iter().zip(&found.dolby_vision);
    let astray = pairs.enumerate().find(|(_, (should, is))| should != is);
    astray.map(|(i, (_, is))| {
        let what = match is {
            Some(_) => format!("the Dolby Vision metadata of frame {i} is not the source's"),
            None => format!("the Dolby Vision metadata of frame {i} is lost"),
        };
        Difference::of_stream(index, what).at(found.time_us(i))
    })
}

/// The first frame that shows something else than the source does.
fn content(index: usize, source: &Pictures, found: &Pictures) -> Option<Difference> {
    let pairs = source.thumbs.iter().zip(&found.thumbs).enumerate();
    for (i, (expected, shown)) in pairs {
        let distance = shown.distance(expected);
        let own = shown.structural_distance(expected);
        let other = [i.checked_sub(1), Some(i + 1)]
            .into_iter()
            .flatten()
            .filter_map(|n| Some((n, source.thumbs.get(n)?)))
            // Nearer by more than half: compression moves a picture a little, to
            // anywhere, and never onto its neighbour.
            .find(|(_, thumb)| {
                own > LEAST_NEIGHBOUR_DISTANCE && shown.structural_distance(thumb) * 2.0 < own
            });
        let what = match other {
            Some((n, _)) => format!("frame {i} shows the picture of frame {n}"),
            None if distance > MOST_PICTURE_DISTANCE => format!(
                "frame {i} does not show the source's picture (it is {distance:.0} of 255 levels off)"
            ),
            None => continue,
        };
        return Some(Difference::of_stream(index, what).at(found.time_us(i)));
    }
    None
}

const OPUS_SAMPLE: TimeBase = TimeBase {
    num: 1,
    den: OPUS_RATE_HZ as i32,
};

/// Start, end and loudness of a track.
fn sound(
    index: usize,
    (source, found): (Option<&Sound>, Option<&Sound>),
    shift_us: i64,
    quiet_channel: Option<usize>,
) -> Vec<Difference> {
    let Some(source) = source.filter(|sound| sound.samples > 0) else {
        return Vec::new();
    };
    let Some(found) = found else {
        return vec![Difference::of_stream(index, "nothing of the sound decodes")];
    };
    let seconds = |samples: i64| samples as f64 / f64::from(OPUS_RATE_HZ);
    let shift = TimeBase::MICROS.rescale(shift_us, OPUS_SAMPLE);
    let mut differences = Vec::new();
    let bounds = [
        ("starts", found.start, source.start + shift),
        ("ends", found.end(), source.end() + shift),
    ];
    for (verb, is, should) in bounds {
        // To within one Opus frame.
        if (is - should).abs() > OPUS_FRAME_SAMPLES as i64 {
            let what = format!(
                "the sound {verb} at {:.3} s instead of {:.3} s",
                seconds(is),
                seconds(should)
            );
            differences.push(Difference::of_stream(index, what).at(OPUS_SAMPLE.micros(should)));
        }
    }
    differences.extend(levels(index, source, found, quiet_channel));
    differences
}

/// The first second of each channel that became silent or much louder.
fn levels(
    index: usize,
    source: &Sound,
    found: &Sound,
    quiet_channel: Option<usize>,
) -> Vec<Difference> {
    let channels = source.channels;
    let seconds = source
        .levels
        .chunks(channels)
        .zip(found.levels.chunks(channels));
    let mut told = vec![false; channels];
    let mut differences = Vec::new();
    for (second, (expected, is)) in seconds.enumerate() {
        for (channel, (expected, is)) in expected.iter().zip(is).enumerate() {
            let lost =
                *expected > AUDIBLE && *is < expected * MOST_LOSS && quiet_channel != Some(channel);
            let loud = *is > expected * MOST_GAIN + AUDIBLE * 2.0;
            if !(lost || loud) || told[channel] {
                continue;
            }
            told[channel] = true;
            let how = if lost { "nearly silent" } else { "much louder" };
            let what = format!(
                "channel {channel} is {how}: a level of {is:.4} where the source has {expected:.4}"
            );
            let start = found.start + (second as i64) * i64::from(OPUS_RATE_HZ);
            differences.push(Difference::of_stream(index, what).at(OPUS_SAMPLE.micros(start)));
        }
    }
    differences
}

/// The channel for low frequencies: Opus keeps nothing else of it.
fn low_frequency_channel(layout: Option<&str>) -> Option<usize> {
    matches!(layout, Some("5.1" | "6.1" | "7.1")).then_some(3)
}

/// Number, times and content of a track's packets.
fn packets(index: usize, source: &Packets, found: &Packets) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (is, should) = (found.hashes.len(), source.hashes.len());
    if is != should {
        let what = format!("it has {is} packets instead of {should}");
        differences.push(Difference::of_stream(index, what));
    }
    let changed = source
        .hashes
        .iter()
        .zip(&found.hashes)
        .position(|(expected, is)| expected.is_some() && expected != is);
    if let Some(i) = changed {
        let what = format!("packet {i} is not what was written");
        let at = found.times_us.get(i).copied().unwrap_or(0);
        differences.push(Difference::of_stream(index, what).at(at));
    }
    let times = source.times_us.iter().zip(&found.times_us).enumerate();
    let mut before = i64::MIN;
    for (i, (expected, is)) in times {
        // Subtitles that come out of order wait for the one before; nothing is
        // shown before the film begins.
        let held_back = *is == before && expected < is;
        let at_zero = *expected < 0 && *is == 0;
        if (is - expected).abs() > MOST_PACKET_SHIFT_US && !held_back && !at_zero {
            let what = format!(
                "packet {i} is at {:.3} s instead of {:.3} s",
                *is as f64 / 1e6,
                *expected as f64 / 1e6
            );
            differences.push(Difference::of_stream(index, what).at(*is));
            break;
        }
        before = *is;
    }
    differences
}

#[cfg(test)]
mod tests;
