//! The streams of the output, and all that is said of them, against the plan. Pure.

use super::Difference;
use super::read::Reading;
use crate::container::Container;
use crate::media::{
    AudioInfo, Chroma, Colour, Disposition, FieldOrder, MediaInfo, Orientation, StreamInfo,
    StreamKind, Tags, VideoInfo,
};
use crate::pipeline::kept_tags;
use crate::plan::{Action, AudioSettings, BitDepth, Plan, VideoSettings};

/// Chapters and durations may be rounded to a millisecond by either container.
const MOST_ROUNDING_US: i64 = 1_000;

pub(super) fn compare(source: &MediaInfo, plan: &Plan, reading: &Reading) -> Vec<Difference> {
    let output = &reading.info;
    let mut found = Found(Vec::new());
    for index in &reading.pairs.missing {
        found.note(Some(*index), "it is missing from the output");
    }
    for index in &reading.pairs.extra {
        let codec = output.streams.get(*index).map_or("?", |s| &s.codec);
        found.note(
            None,
            format!("stream {index} of the output ({codec}) is in no plan"),
        );
    }
    for (from, to) in &reading.pairs.tracks {
        let planned = plan.streams.iter().find(|s| s.index == *from);
        if let (Some(planned), Some(before), Some(after)) =
            (planned, source.streams.get(*from), output.streams.get(*to))
        {
            track(&mut found, (&planned.action, plan.container), before, after);
        }
    }
    for (from, to) in &reading.pairs.attachments {
        let planned = plan.streams.iter().find(|s| s.index == *from);
        if let (Some(Action::Attach { file_name, .. }), Some(after)) =
            (planned.map(|s| &s.action), output.streams.get(*to))
        {
            let is = attached_name(after);
            found.same(
                Some(*from),
                "the attached file's name",
                Some(file_name.as_str()),
                is,
            );
        }
    }
    let held = source.tags.iter();
    let held = held.filter(|(key, _)| plan.container.holds_tag(key));
    let held = held.map(|(key, value)| (key.clone(), value.clone()));
    tags(&mut found, None, &held.collect(), &output.tags);
    chapters(&mut found, source, plan, output);
    found.0
}

struct Found(Vec<Difference>);

impl Found {
    fn note(&mut self, stream: Option<usize>, what: impl Into<String>) {
        let what = what.into();
        self.0.push(match stream {
            Some(index) => Difference::of_stream(index, what),
            None => Difference::of_file(what),
        });
    }

    fn same<T: PartialEq + Shown>(&mut self, stream: Option<usize>, what: &str, should: T, is: T) {
        if should != is {
            let (is, should) = (is.shown(), should.shown());
            self.note(stream, format!("{what} is {is} instead of {should}"));
        }
    }
}

/// How a value reads in a sentence.
trait Shown {
    fn shown(self) -> String;
}

impl Shown for Option<&str> {
    fn shown(self) -> String {
        self.map_or("not set".to_owned(), |text| format!("\"{text}\""))
    }
}

impl Shown for &str {
    fn shown(self) -> String {
        self.to_owned()
    }
}

impl Shown for String {
    fn shown(self) -> String {
        self
    }
}

impl Shown for bool {
    fn shown(self) -> String {
        if self { "set" } else { "not set" }.to_owned()
    }
}

fn track(
    found: &mut Found,
    (action, container): (&Action, Container),
    before: &StreamInfo,
    after: &StreamInfo,
) {
    let index = Some(before.index);
    let codec = match action {
        Action::EncodeVideo(_) => "av1",
        Action::EncodeAudio(_) => "opus",
        Action::ConvertSubtitle => container.text_subtitles(),
        _ => before.codec.as_str(),
    };
    found.same(index, "its codec", codec, after.codec.as_str());
    found.same(index, "its language", before.language(), after.language());
    match container {
        Container::Matroska => tags(found, index, &before.tags, &after.tags),
        Container::Mp4 => {
            // Of a track's tags MP4 keeps the title alone, here.
            let is = after.tag("handler_name");
            if let Some(title) = before.title() {
                found.same(index, "its title", Some(title), is);
            }
        }
    }
    disposition(
        found,
        index,
        container,
        (before.disposition, after.disposition),
    );
    match (action, &after.kind) {
        (Action::EncodeVideo(settings), StreamKind::Video(video)) => {
            picture(found, index, settings, video);
        }
        (Action::EncodeAudio(settings), StreamKind::Audio(audio)) => {
            sound(found, index, settings, audio);
        }
        _ => {}
    }
}

fn disposition(
    found: &mut Found,
    index: Option<usize>,
    container: Container,
    (before, after): (Disposition, Disposition),
) {
    // MP4 says which tracks are played (and plays the first where none is) and has no
    // word for the original language; Matroska has none for a dub.
    if container == Container::Matroska {
        let name = "its flag \"default\"";
        found.same(index, name, before.default, after.default);
        let name = "its flag \"original\"";
        found.same(index, name, before.original, after.original);
    }
    let flags = [
        ("forced", before.forced, after.forced),
        ("commentary", before.commentary, after.commentary),
        (
            "hearing impaired",
            before.hearing_impaired,
            after.hearing_impaired,
        ),
        (
            "visual impaired",
            before.visual_impaired,
            after.visual_impaired,
        ),
    ];
    for (name, before, after) in flags {
        found.same(index, &format!("its flag \"{name}\""), before, after);
    }
}

fn picture(found: &mut Found, index: Option<usize>, settings: &VideoSettings, video: &VideoInfo) {
    let size = |width: u32, height: u32| format!("{width}x{height}");
    found.same(
        index,
        "its size",
        size(settings.width, settings.height),
        size(video.width, video.height),
    );
    let ratio = |ratio: Option<crate::units::Ratio>| {
        ratio.map_or_else(|| "1:1".to_owned(), |r| format!("{}:{}", r.num, r.den))
    };
    found.same(
        index,
        "its pixels' shape",
        ratio(settings.sample_aspect_ratio),
        ratio(video.sample_aspect_ratio),
    );
    let bits = match settings.bit_depth {
        BitDepth::Eight => 8,
        BitDepth::Ten => 10,
    };
    found.same(
        index,
        "its depth",
        format!("{bits} bits"),
        format!("{} bits", video.bit_depth),
    );
    if video.chroma != Chroma::Yuv420 {
        let what = format!("its pixel format is {}", video.pixel_format);
        found.note(index, what);
    }
    if video.field_order != FieldOrder::Progressive {
        found.note(index, "its frames are interlaced");
    }
    if video.orientation != Orientation::default() {
        found.note(index, "it is to be turned, and was turned already");
    }
    colour(found, index, &settings.colour, &video.colour);
    hdr(found, index, settings, video);
}

fn colour(found: &mut Found, index: Option<usize>, should: &Colour, is: &Colour) {
    let tags = [
        ("primaries", &should.primaries, &is.primaries),
        ("transfer", &should.transfer, &is.transfer),
        ("matrix", &should.matrix, &is.matrix),
    ];
    for (name, should, is) in tags {
        let name = format!("its colour {name}");
        found.same(index, &name, should.as_deref(), is.as_deref());
    }
    // AV1 always says one or the other; untagged video is limited by convention.
    let range = should.range.as_deref().unwrap_or("tv");
    let found_range = is.range.as_deref().unwrap_or("tv");
    found.same(index, "its colour range", range, found_range);
    // AV1 knows two places of the chroma samples (`chroma_sample_position`).
    if let Some(place @ ("left" | "topleft")) = should.chroma_location.as_deref() {
        let is = is.chroma_location.as_deref();
        found.same(index, "its chroma location", Some(place), is);
    }
}

fn hdr(found: &mut Found, index: Option<usize>, settings: &VideoSettings, video: &VideoInfo) {
    if settings.content_light != video.hdr.content_light {
        let what = match video.hdr.content_light {
            Some(_) => "its content light level is not the source's",
            None => "its content light level is lost",
        };
        found.note(index, what);
    }
    let same = match (settings.mastering_display, video.hdr.mastering_display) {
        (None, None) => true,
        (Some(should), Some(is)) => should.is_near(&is),
        _ => false,
    };
    if !same {
        let what = match video.hdr.mastering_display {
            Some(_) => "its mastering display is not the source's",
            None => "its mastering display is lost",
        };
        found.note(index, what);
    }
    dolby_vision(found, index, settings, video);
}

fn dolby_vision(
    found: &mut Found,
    index: Option<usize>,
    settings: &VideoSettings,
    video: &VideoInfo,
) {
    let Some(should) = settings.dolby_vision else {
        if video.hdr.dolby_vision_profile.is_some() {
            found.note(index, "it says that it is Dolby Vision, and is not");
        }
        return;
    };
    let name = |profile: u8, compatibility: u8| format!("profile {profile}.{compatibility}");
    let is = match (
        video.hdr.dolby_vision_profile,
        video.hdr.dolby_vision_compatibility,
    ) {
        (Some(profile), Some(compatibility)) => name(profile, compatibility),
        _ => "not said".to_owned(),
    };
    let should = name(should.profile, should.compatibility);
    found.same(index, "its Dolby Vision", should, is);
}

fn sound(found: &mut Found, index: Option<usize>, settings: &AudioSettings, audio: &AudioInfo) {
    let channels = |n: u32| format!("{n} channels");
    found.same(
        index,
        "its sound",
        channels(settings.channels),
        channels(audio.channels),
    );
    if let Some(layout) = settings.layout.as_deref() {
        found.same(index, "its channel layout", layout, audio.layout.as_str());
    }
}

/// Tags that are told apart, or that libavformat's muxer writes by itself.
const OWN_TAGS: [&str; 4] = ["encoder", "filename", "language", "mimetype"];

/// Tags that Matroska has for the whole file alone (matroskaenc.c,
/// `mkv_check_tag_name`): a stream's are its container's, and go.
const FILE_TAGS: [&str; 2] = ["creation_time", "encoding_tool"];

/// Every tag that still holds is there. Matroska spells their names in capitals.
fn tags(found: &mut Found, index: Option<usize>, before: &Tags, after: &Tags) {
    for (key, value) in kept_tags(before) {
        let is_one_of = |list: &[&str]| list.iter().any(|k| key.eq_ignore_ascii_case(k));
        let of_file = index.is_some() && is_one_of(&FILE_TAGS);
        if is_one_of(&OWN_TAGS) || of_file || value.is_empty() {
            continue;
        }
        let is = after
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(&key))
            .map(|(_, value)| value.as_str());
        found.same(index, &format!("the tag {key}"), Some(value.as_str()), is);
    }
}

fn chapters(found: &mut Found, source: &MediaInfo, plan: &Plan, output: &MediaInfo) {
    let (should, is) = (source.chapters.len(), output.chapters.len());
    if should != is {
        found.note(None, format!("it has {is} chapters instead of {should}"));
        return;
    }
    let shift_us = plan.timestamp_shift_ms.saturating_mul(1000);
    for (i, (before, after)) in source.chapters.iter().zip(&output.chapters).enumerate() {
        let number = i + 1;
        let near =
            |a: i64, b: i64| (a.saturating_add(shift_us).max(0) - b).abs() <= MOST_ROUNDING_US;
        if !near(before.start_us, after.start_us) {
            let what = format!(
                "chapter {number} starts at {:.3} s instead of {:.3} s",
                after.start_us as f64 / 1e6,
                (before.start_us + shift_us) as f64 / 1e6
            );
            found.note(None, what);
        }
        let title = |title: &Option<String>| title.clone().unwrap_or_default();
        found.same(
            None,
            &format!("the title of chapter {number}"),
            title(&before.title),
            title(&after.title),
        );
    }
}

fn attached_name(stream: &StreamInfo) -> Option<&str> {
    match &stream.kind {
        StreamKind::Attachment(facts) => facts.file_name.as_deref(),
        _ => stream
            .tags
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("filename"))
            .map(|(_, name)| name.as_str()),
    }
}
