//! Any file that JSON can describe: its plan has every stream exactly once, with a
//! reason, and is the same when asked for again.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use av1core::{Action, MediaInfo, Options, Verdict};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// A file, as `probe` could tell of it.
#[derive(Debug)]
struct File(MediaInfo);

impl<'a> Arbitrary<'a> for File {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let streams = (0..u.int_in_range(0..=6)?)
            .map(|index| stream(u, index))
            .collect::<Result<Vec<_>>>()?;
        let info = json!({
            "container": u.choose(&["matroska,webm", "mov,mp4", "mpegts", ""])?,
            "size_bytes": u64::arbitrary(u)?,
            "duration_us": Option::<i64>::arbitrary(u)?,
            "duration_is_guess": bool::arbitrary(u)?,
            "start_us": Option::<i64>::arbitrary(u)?,
            "streams": streams,
            "chapters": [],
            "tags": {},
        });
        Ok(Self(
            serde_json::from_value(info).expect("the shape of a file"),
        ))
    }
}

fn stream(u: &mut Unstructured<'_>, index: usize) -> Result<Value> {
    let codecs = [
        "h264", "av1", "opus", "aac", "subrip", "mov_text", "png", "none", "eia_608", "",
    ];
    Ok(json!({
        "index": index,
        "codec": u.choose(&codecs)?,
        "profile": Option::<String>::arbitrary(u)?,
        "decodable": bool::arbitrary(u)?,
        "encrypted": u.ratio(1, 8)?,
        "time_base": { "num": u.int_in_range(1..=i32::MAX)?, "den": u.int_in_range(1..=i32::MAX)? },
        "start_us": Option::<i64>::arbitrary(u)?,
        "duration_us": Option::<i64>::arbitrary(u)?,
        "declared_frames": Option::<u64>::arbitrary(u)?,
        "bit_rate_bps": Option::<u64>::arbitrary(u)?,
        "disposition": {
            "default": bool::arbitrary(u)?,
            "forced": bool::arbitrary(u)?,
            "original": bool::arbitrary(u)?,
            "dub": bool::arbitrary(u)?,
            "commentary": bool::arbitrary(u)?,
            "hearing_impaired": bool::arbitrary(u)?,
            "visual_impaired": bool::arbitrary(u)?,
            "attached_picture": u.ratio(1, 4)?,
        },
        "tags": { "filename": String::arbitrary(u)? },
        "kind": kind(u)?,
    }))
}

fn kind(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=5)? {
        0 | 1 => video(u)?,
        2 => json!({
            "type": "audio",
            "sample_rate_hz": u32::arbitrary(u)?,
            "channels": u32::arbitrary(u)?,
            "layout": String::arbitrary(u)?,
        }),
        3 => json!({ "type": "subtitle" }),
        4 => json!({
            "type": "attachment",
            "file_name": Option::<String>::arbitrary(u)?,
            "mime_type": Option::<String>::arbitrary(u)?,
            "size_bytes": u64::arbitrary(u)?,
        }),
        _ => json!({ "type": "data" }),
    })
}

fn video(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(json!({
        "type": "video",
        "width": u32::arbitrary(u)?,
        "height": u32::arbitrary(u)?,
        "pixel_format": String::arbitrary(u)?,
        "bit_depth": u8::arbitrary(u)?,
        "chroma": u.choose(&["yuv420", "yuv420", "yuv422", "yuv444", "gray", "rgb", "other"])?,
        "alpha": u.ratio(1, 8)?,
        "sample_aspect_ratio": ratio(u)?,
        "average_frame_rate": ratio(u)?,
        "nominal_frame_rate": ratio(u)?,
        "field_order": u.choose(&["progressive", "top_first", "bottom_first"])?,
        "colour": { "transfer": Option::<String>::arbitrary(u)? },
        "hdr": {
            "dolby_vision_profile": Option::<u8>::arbitrary(u)?,
            "hdr10_plus": u.ratio(1, 8)?,
        },
        "orientation": {
            "quarter_turns": u.int_in_range(0..=3)?,
            "mirrored": bool::arbitrary(u)?,
            "odd_angle": u.ratio(1, 8)?,
        },
        "embedded_captions": bool::arbitrary(u)?,
        "first_frame_ticks": Option::<i64>::arbitrary(u)?,
    }))
}

fn ratio(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(if bool::arbitrary(u)? {
        json!({ "num": u.int_in_range(1..=i32::MAX)?, "den": u.int_in_range(1..=i32::MAX)? })
    } else {
        Value::Null
    })
}

fuzz_target!(|asked: (File, [bool; 5], u32)| {
    let (File(info), [av1, chroma, depth, alpha, hdr], seconds) = asked;
    let mut options = Options::default();
    options.keyframe_interval_s = seconds;
    options.allow.av1 = av1;
    options.allow.chroma_loss = chroma;
    options.allow.depth_loss = depth;
    options.allow.alpha_loss = alpha;
    options.allow.dynamic_hdr_loss = hdr;
    let verdict = av1core::plan(&info, &options);
    assert_eq!(verdict, av1core::plan(&info, &options));
    match verdict {
        Verdict::Transcode(plan) => {
            let planned: Vec<_> = plan.streams.iter().map(|stream| stream.index).collect();
            assert_eq!(planned, (0..info.streams.len()).collect::<Vec<_>>());
            assert!(plan.streams.iter().all(|stream| !stream.reason.is_empty()));
            let encodes = plan
                .streams
                .iter()
                .filter(|stream| matches!(stream.action, Action::EncodeVideo(_)));
            assert_eq!(encodes.count(), 1);
        }
        Verdict::Skip { reason } => assert!(!reason.to_string().is_empty()),
        Verdict::Reject { reason } => assert!(!reason.to_string().is_empty()),
        _ => panic!("a verdict that this target does not know"),
    }
});
