//! Which stream of the output stands for which stream of the source.

use crate::container::Container;
use crate::media::{MediaInfo, StreamInfo, StreamKind};
use crate::plan::{Action, Plan};

/// Planned streams with the output's, by their indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    /// Source index, output index.
    pub(super) tracks: Vec<(usize, usize)>,
    /// Attached files: source index, output index.
    pub(super) attachments: Vec<(usize, usize)>,
    /// Source streams that the plan keeps and the output lacks.
    pub(super) missing: Vec<usize>,
    /// Output streams that nobody planned.
    pub(super) extra: Vec<usize>,
}

/// What a stream is, as far as pairs go: the nth sound is the nth sound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Video,
    Audio,
    Subtitle,
    Attached,
    Other,
}

impl Kind {
    fn of(stream: &StreamInfo) -> Self {
        match stream.kind {
            // An attached picture is shown as video by libavformat.
            StreamKind::Video(_) if stream.disposition.attached_picture => Self::Attached,
            StreamKind::Attachment(_) => Self::Attached,
            StreamKind::Video(_) => Self::Video,
            StreamKind::Audio(_) => Self::Audio,
            StreamKind::Subtitle(_) => Self::Subtitle,
            _ => Self::Other,
        }
    }
}

impl Pairs {
    pub(super) fn new(plan: &Plan, source: &MediaInfo, output: &MediaInfo) -> Self {
        let mut pairs = Self::default();
        let mut free: Vec<_> = output
            .streams
            .iter()
            .map(|s| (Kind::of(s), s.index))
            .collect();
        for planned in plan.streams.iter().filter(|s| s.action != Action::Drop) {
            let stream = source.streams.get(planned.index);
            let kind = match planned.action {
                Action::Attach { .. } => Kind::Attached,
                _ => stream.map_or(Kind::Other, Kind::of),
            };
            match free.iter().position(|(free, _)| *free == kind) {
                Some(at) => {
                    let (_, index) = free.remove(at);
                    if kind == Kind::Attached {
                        pairs.attachments.push((planned.index, index));
                    } else {
                        pairs.tracks.push((planned.index, index));
                    }
                }
                None => pairs.missing.push(planned.index),
            }
        }
        // MP4 keeps its chapters in a track of their own.
        let chapters = plan.container == Container::Mp4 && !source.chapters.is_empty();
        pairs.extra = free
            .into_iter()
            .filter(|(kind, _)| !(chapters && *kind == Kind::Other))
            .map(|(_, index)| index)
            .collect();
        pairs
    }

    /// The source stream that an output stream stands for.
    pub(super) fn source_of(&self, output: usize) -> Option<usize> {
        self.tracks
            .iter()
            .find_map(|(source, index)| (*index == output).then_some(*source))
    }
}
