//! A stream of a file in a few words.

use av1core::{
    AttachmentInfo, AudioInfo, Colour, Disposition, FieldOrder, Hdr, StreamInfo, StreamKind,
    VideoInfo,
};

use crate::text;

/// What kind of stream it is.
pub(crate) fn kind(stream: &StreamInfo) -> &'static str {
    match &stream.kind {
        StreamKind::Video(_) if stream.disposition.attached_picture => "cover",
        StreamKind::Video(_) => "video",
        StreamKind::Audio(_) => "audio",
        StreamKind::Subtitle(_) => "subtitle",
        StreamKind::Attachment(_) => "attachment",
        StreamKind::Data => "data",
        _ => "other",
    }
}

/// Its codec, with the profile where one is known.
pub(crate) fn codec(stream: &StreamInfo) -> String {
    match &stream.profile {
        Some(profile) => format!("{} ({profile})", stream.codec),
        None => stream.codec.clone(),
    }
}

/// Kind, codec and what tells it from its like: `audio aac 5.1 eng`.
pub(crate) fn brief(stream: &StreamInfo) -> String {
    let words = match &stream.kind {
        StreamKind::Video(video) => Some(size(video)),
        StreamKind::Audio(audio) => Some(audio.layout.clone()),
        _ => None,
    };
    let language = stream.language().map(ToOwned::to_owned);
    let always = [kind(stream).to_owned(), stream.codec.clone()];
    let parts: Vec<_> = always.into_iter().chain(words).chain(language).collect();
    parts.join(" ")
}

/// What only its kind has: `1280x720 24 fps yuv420p bt709`, `5.1 48 kHz 192 kbit/s`.
pub(crate) fn details(stream: &StreamInfo) -> Vec<String> {
    let mut parts = match &stream.kind {
        StreamKind::Video(info) if stream.disposition.attached_picture => vec![size(info)],
        StreamKind::Video(info) => video(info),
        StreamKind::Audio(info) => audio(info),
        StreamKind::Attachment(info) => attachment(info),
        _ => Vec::new(),
    };
    if let Some(bps) = stream.bit_rate_bps {
        parts.push(format!("{} kbit/s", bps.div_ceil(1000)));
    }
    parts
}

/// What it is for, and what stands in its way.
pub(crate) fn flags(stream: &StreamInfo) -> String {
    // Every field by name: one that is added later is not to be forgotten here. The
    // type may still grow, hence the dots.
    let Disposition {
        default,
        forced,
        original,
        dub,
        commentary,
        hearing_impaired,
        visual_impaired,
        descriptions,
        captions,
        lyrics,
        karaoke,
        clean_effects,
        dependent,
        attached_picture: _,
        ..
    } = stream.disposition;
    let needs_decoder = stream.video().is_some() || stream.audio().is_some();
    let flags = [
        (default, "default"),
        (forced, "forced"),
        (original, "original"),
        (dub, "dub"),
        (commentary, "commentary"),
        (hearing_impaired, "hearing impaired"),
        (visual_impaired, "visual impaired"),
        (descriptions, "descriptions"),
        (captions, "captions"),
        (lyrics, "lyrics"),
        (karaoke, "karaoke"),
        (clean_effects, "clean effects"),
        (dependent, "dependent"),
        (stream.encrypted, "encrypted"),
        (needs_decoder && !stream.decodable, "no decoder here"),
    ];
    let set: Vec<_> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    set.join(", ")
}

fn size(video: &VideoInfo) -> String {
    format!("{}x{}", video.width, video.height)
}

fn video(video: &VideoInfo) -> Vec<String> {
    let mut parts = vec![size(video)];
    if let Some(sar) = video.sample_aspect_ratio.filter(|sar| sar.num != sar.den) {
        parts.push(format!("SAR {}:{}", sar.num, sar.den));
    }
    if let Some(rate) = video.average_frame_rate.or(video.nominal_frame_rate) {
        parts.push(format!("{} fps", text::short(rate.as_f64(), 3)));
    }
    parts.push(video.pixel_format.clone());
    parts.extend(colour(&video.colour));
    parts.extend(hdr(&video.hdr, &video.colour));
    if video.field_order != FieldOrder::Progressive {
        parts.push("interlaced".to_owned());
    }
    if video.orientation.quarter_turns != 0 {
        let degrees = u32::from(video.orientation.quarter_turns) * 90;
        parts.push(format!("turned by {degrees} degrees"));
    }
    if video.orientation.mirrored {
        parts.push("mirrored".to_owned());
    }
    if video.embedded_captions {
        parts.push("captions inside".to_owned());
    }
    parts
}

/// One name where all three agree, as they do in most files; `-` where one is unknown.
fn colour(colour: &Colour) -> Vec<String> {
    let names = [&colour.primaries, &colour.transfer, &colour.matrix];
    let full = (colour.range.as_deref() == Some("pc")).then(|| "full range".to_owned());
    let [first, second, third] = names.map(|name| name.as_deref().unwrap_or("-"));
    let named = if first == second && second == third {
        (first != "-").then(|| first.to_owned())
    } else {
        Some(format!("{first}/{second}/{third}"))
    };
    named.into_iter().chain(full).collect()
}

fn hdr(hdr: &Hdr, colour: &Colour) -> Vec<String> {
    let mut parts = Vec::new();
    match colour.transfer.as_deref() {
        Some("smpte2084") if hdr.mastering_display.is_some() => parts.push("HDR10".to_owned()),
        Some("smpte2084") => parts.push("PQ".to_owned()),
        Some("arib-std-b67") => parts.push("HLG".to_owned()),
        _ => {}
    }
    if hdr.hdr10_plus {
        parts.push("HDR10+".to_owned());
    }
    if let Some(profile) = hdr.dolby_vision_profile {
        let base = hdr.dolby_vision_compatibility;
        let base = base.map_or_else(String::new, |layer| format!(".{layer}"));
        parts.push(format!("Dolby Vision {profile}{base}"));
    }
    parts
}

/// Empty where the header is damaged and says nothing.
fn audio(audio: &AudioInfo) -> Vec<String> {
    if audio.channels == 0 || audio.sample_rate_hz == 0 {
        return Vec::new();
    }
    let kilohertz = f64::from(audio.sample_rate_hz) / 1000.0;
    vec![
        audio.layout.clone(),
        format!("{} kHz", text::short(kilohertz, 3)),
    ]
}

fn attachment(attachment: &AttachmentInfo) -> Vec<String> {
    let named = [&attachment.file_name, &attachment.mime_type];
    let size = text::bytes(attachment.size_bytes);
    named.into_iter().flatten().cloned().chain([size]).collect()
}
