//! What a user should know before hours are spent.

use super::tags::kept_tags;
use super::{Run, encoder_name};
use crate::ffi::used_preset;
use crate::plan::Action;

/// What the plan leaves out or changes without being asked.
pub(super) fn before(run: &Run<'_>) -> Vec<String> {
    let mut notices = Vec::new();
    if run.segment.is_whole() {
        notices.extend(dropped_streams(run));
        notices.extend(lost_captions(run));
        notices.extend(lost_tags(run));
    }
    notices.extend(replaced_preset(run));
    notices
}

fn dropped_streams(run: &Run<'_>) -> Vec<String> {
    let streams = run.job.plan.streams.iter();
    let dropped = streams.filter(|stream| stream.action == Action::Drop);
    dropped
        .map(|stream| format!("stream {} is dropped: {}", stream.index, stream.reason))
        .collect()
}

fn lost_captions(run: &Run<'_>) -> Option<String> {
    let index = run.video_index();
    let video = run.job.info.streams.get(index)?.video()?;
    video
        .embedded_captions
        .then(|| format!("captions (EIA-608/708) inside stream {index} are not carried"))
}

fn lost_tags(run: &Run<'_>) -> Option<String> {
    let container = run.container();
    let tags = kept_tags(&run.job.info.tags).into_keys();
    let lost: Vec<_> = tags.filter(|tag| !container.holds_tag(tag)).collect();
    (!lost.is_empty()).then(|| {
        let (name, lost) = (container.name(), lost.join(", "));
        format!("tags that {name} has no place for are dropped: {lost}")
    })
}

/// The plan is pure and knows no encoder; a preset that this one must not use is told.
fn replaced_preset(run: &Run<'_>) -> Option<String> {
    let (_, settings) = run.video()?;
    let (wanted, used) = (settings.preset.get(), used_preset(settings.preset));
    (used != wanted).then(|| {
        let name = encoder_name();
        format!("{name} damages pictures at preset {wanted}; preset {used} takes its place")
    })
}
