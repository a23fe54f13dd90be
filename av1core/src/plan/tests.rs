use super::*;
use crate::media::{
    AttachmentInfo, AudioInfo, Chroma, Colour, DolbyVision, FieldOrder, Hdr, Orientation,
    SubtitleInfo, VideoInfo,
};
use crate::units::{Crf, Preset, Ratio};
use proptest::prelude::*;

fn video() -> VideoInfo {
    VideoInfo {
        width: 1280,
        height: 720,
        pixel_format: "yuv420p".to_owned(),
        bit_depth: 8,
        chroma: Chroma::Yuv420,
        alpha: false,
        sample_aspect_ratio: None,
        average_frame_rate: Ratio::new(24, 1),
        nominal_frame_rate: Ratio::new(24, 1),
        field_order: FieldOrder::Progressive,
        colour: Colour::default(),
        hdr: Hdr::default(),
        orientation: Orientation::default(),
        embedded_captions: false,
        first_frame_ticks: Some(0),
    }
}

fn stream(index: usize, codec: &str, kind: StreamKind) -> StreamInfo {
    StreamInfo {
        index,
        codec: codec.to_owned(),
        profile: None,
        decodable: true,
        matroska_holds: true,
        encrypted: false,
        is_empty: false,
        time_base: TimeBase::new(1, 90_000),
        start_us: Some(0),
        duration_us: Some(10_000_000),
        declared_frames: None,
        bit_rate_bps: None,
        disposition: Disposition::default(),
        tags: crate::media::Tags::new(),
        kind,
    }
}

fn audio(channels: u32, layout: &str) -> StreamKind {
    StreamKind::Audio(AudioInfo {
        sample_rate_hz: 48_000,
        channels,
        layout: layout.to_owned(),
        begins_as: None,
    })
}

fn file(streams: Vec<StreamInfo>) -> MediaInfo {
    MediaInfo {
        container: "matroska,webm".to_owned(),
        size_bytes: 1,
        duration_us: Some(10_000_000),
        duration_is_guess: false,
        start_us: Some(0),
        streams,
        chapters: Vec::new(),
        tags: crate::media::Tags::new(),
    }
}

pub(crate) fn film(change: impl FnOnce(&mut VideoInfo)) -> MediaInfo {
    let mut facts = video();
    change(&mut facts);
    file(vec![
        stream(0, "h264", StreamKind::Video(facts)),
        stream(1, "ac3", audio(6, "5.1(side)")),
    ])
}

fn transcode(info: &MediaInfo, options: &Options) -> Plan {
    match plan(info, options) {
        Verdict::Transcode(plan) => plan,
        other => panic!("not transcoded: {other:?}"),
    }
}

fn skip(info: &MediaInfo, options: &Options) -> SkipReason {
    match plan(info, options) {
        Verdict::Skip { reason } => reason,
        other => panic!("not skipped: {other:?}"),
    }
}

fn video_settings(plan: &Plan) -> &VideoSettings {
    match &plan.streams[0].action {
        Action::EncodeVideo(settings) => settings,
        other => panic!("not a video: {other:?}"),
    }
}

#[test]
fn a_film_keeps_its_picture_and_its_surround() {
    let plan = transcode(&film(|_| {}), &Options::default());
    let settings = video_settings(&plan);
    assert_eq!((settings.width, settings.height), (1280, 720));
    assert_eq!(settings.keyframe_interval_frames, 240);
    let Action::EncodeAudio(sound) = &plan.streams[1].action else {
        panic!("not encoded: {:?}", plan.streams[1]);
    };
    assert_eq!(sound.layout.as_deref(), Some("5.1"));
    assert_eq!((sound.channels, sound.bitrate_kbps), (6, 256));
    assert_eq!(plan.estimated_frames, Some(240));
    assert_eq!(plan.timestamp_shift_ms, 0);
}

#[test]
fn each_loss_is_a_skip_that_names_its_flag_and_the_flag_lifts_it() {
    type Change = fn(&mut VideoInfo);
    type Permit = fn(&mut Allow);
    let cases: [(Change, &str, Permit); 6] = [
        (
            |v| v.chroma = Chroma::Yuv444,
            "--allow-chroma-loss",
            |a| a.chroma_loss = true,
        ),
        (
            |v| v.chroma = Chroma::Yuv422,
            "--allow-chroma-loss",
            |a| a.chroma_loss = true,
        ),
        (
            |v| v.bit_depth = 12,
            "--allow-depth-loss",
            |a| a.depth_loss = true,
        ),
        (
            |v| v.alpha = true,
            "--allow-alpha-loss",
            |a| a.alpha_loss = true,
        ),
        (
            |v| v.hdr.hdr10_plus = true,
            "--allow-dynamic-hdr-loss",
            |a| a.dynamic_hdr_loss = true,
        ),
        (
            |v| v.hdr.dolby_vision_profile = Some(5),
            "--allow-dynamic-hdr-loss",
            |a| a.dynamic_hdr_loss = true,
        ),
    ];
    for (change, flag, permit) in cases {
        let info = film(change);
        assert_eq!(skip(&info, &Options::default()).allowed_by(), Some(flag));
        let mut options = Options::default();
        permit(&mut options.allow);
        transcode(&info, &options);
    }
    let mut av1 = film(|_| {});
    "av1".clone_into(&mut av1.streams[0].codec);
    assert_eq!(skip(&av1, &Options::default()), SkipReason::AlreadyAv1);
}

#[test]
fn ten_bits_are_too_many_where_eight_are_asked_for() {
    let options = Options {
        bit_depth: BitDepth::Eight,
        ..Options::default()
    };
    let info = film(|v| v.bit_depth = 10);
    assert_eq!(skip(&info, &options), SkipReason::DepthLoss { bits: 10 });
}

#[test]
fn rgb_becomes_bt709_and_says_so() {
    let mut options = Options::default();
    options.allow.chroma_loss = true;
    let info = film(|v| {
        v.chroma = Chroma::Rgb;
        v.colour.matrix = Some("gbr".to_owned());
        v.colour.range = Some("pc".to_owned());
    });
    let plan = transcode(&info, &options);
    let colour = &video_settings(&plan).colour;
    assert_eq!(colour.matrix.as_deref(), Some("bt709"));
    assert_eq!(colour.range.as_deref(), Some("tv"));
}

#[test]
fn what_the_encoder_cannot_take_is_left_alone() {
    let small = film(|v| (v.width, v.height) = (64, 62));
    assert!(matches!(
        skip(&small, &Options::default()),
        SkipReason::PictureTooSmall { .. }
    ));
    let odd = film(|v| v.height = 405);
    assert!(matches!(
        skip(&odd, &Options::default()),
        SkipReason::OddSize { .. }
    ));
    let any = Options {
        encoder_limits: Some(EncoderLimits::NONE),
        ..Options::default()
    };
    for info in [small, odd] {
        let settings = transcode(&info, &any);
        let video = info.streams[0].video().expect("a video");
        let planned = video_settings(&settings);
        assert_eq!((planned.width, planned.height), (video.width, video.height));
    }
}

/// Where every frame has metadata that AV1 has a place for, and the encoder codes it.
#[test]
fn dolby_vision_is_carried_where_it_can_be_and_left_alone_elsewhere() {
    let tagged = |profile, [matrix, primaries, transfer]: [&str; 3]| {
        film(|v| {
            v.bit_depth = 10;
            v.hdr.dolby_vision_profile = Some(profile);
            v.hdr.dolby_vision_rpus = true;
            let tag = |name: &str| (!name.is_empty()).then(|| name.to_owned());
            v.colour.matrix = tag(matrix);
            v.colour.primaries = tag(primaries);
            v.colour.transfer = tag(transfer);
        })
    };
    let able = Options {
        encoder_limits: Some(EncoderLimits::NONE),
        ..Options::default()
    };
    let hdr10 = ["bt2020nc", "bt2020", "smpte2084"];
    let carried = |info: &MediaInfo| video_settings(&transcode(info, &able)).dolby_vision;
    for (profile, tags, compatibility) in [
        (8, hdr10, 1),
        (8, ["bt2020nc", "bt2020", "arib-std-b67"], 4),
        (8, ["bt709"; 3], 2),
        (5, [""; 3], 0),
    ] {
        let info = tagged(profile, tags);
        let expected = DolbyVision {
            profile: 10,
            compatibility,
        };
        assert_eq!(carried(&info), Some(expected));
        let newer_carries = true;
        let reason = SkipReason::DolbyVision {
            profile,
            newer_carries,
        };
        assert_eq!(skip(&info, &Options::default()), reason);
    }
    let mut turned = tagged(8, hdr10);
    let mut gap = tagged(8, hdr10);
    let of = |info: &mut MediaInfo, change: fn(&mut VideoInfo)| match &mut info.streams[0].kind {
        StreamKind::Video(video) => change(video),
        _ => panic!("no video"),
    };
    of(&mut turned, |video| video.orientation.quarter_turns = 1);
    of(&mut gap, |video| video.hdr.dolby_vision_rpus = false);
    for info in [turned, gap, tagged(7, hdr10), tagged(8, ["", "bt2020", ""])] {
        let reason = skip(&info, &able);
        let newer_carries = false;
        assert!(
            matches!(reason, SkipReason::DolbyVision { newer_carries: is, .. } if is == newer_carries)
        );
        let mut allowed = able.clone();
        allowed.allow.dynamic_hdr_loss = true;
        assert_eq!(
            video_settings(&transcode(&info, &allowed)).dolby_vision,
            None
        );
    }
}

#[test]
fn a_film_that_lies_on_its_side_is_stood_up() {
    let info = film(|v| {
        v.orientation.quarter_turns = 1;
        v.sample_aspect_ratio = Ratio::new(4, 3);
        v.field_order = FieldOrder::TopFirst;
    });
    let plan = transcode(&info, &Options::default());
    let settings = video_settings(&plan);
    assert_eq!((settings.width, settings.height), (720, 1280));
    assert_eq!(settings.sample_aspect_ratio, Ratio::new(3, 4));
    // Fields are rows: deinterlacing comes before turning.
    assert!(matches!(
        settings.filters.as_slice(),
        [VideoFilter::Deinterlace, VideoFilter::Turn(_)]
    ));
}

#[test]
fn what_cannot_be_decoded_is_rejected_before_work_begins() {
    let rejected = |info: &MediaInfo| match plan(info, &Options::default()) {
        Verdict::Reject { reason } => reason,
        other => panic!("not rejected: {other:?}"),
    };
    assert_eq!(
        rejected(&file(vec![stream(0, "aac", audio(2, "stereo"))])),
        RejectReason::NoVideo
    );
    let mut encrypted = film(|_| {});
    encrypted.streams[1].encrypted = true;
    assert_eq!(rejected(&encrypted), RejectReason::Encrypted { index: 1 });
    let mut unknown = film(|_| {});
    unknown.streams[1].decodable = false;
    unknown.streams[1].matroska_holds = false;
    assert!(matches!(
        rejected(&unknown),
        RejectReason::UnknownCodec { index: 1, .. }
    ));
    let blind = film(|v| v.first_frame_ticks = None);
    assert_eq!(rejected(&blind), RejectReason::NoFrame { index: 0 });
}

#[test]
fn opus_is_copied_and_layouts_without_an_order_are_kept_apart() {
    let info = file(vec![
        stream(0, "h264", StreamKind::Video(video())),
        stream(1, "opus", audio(2, "stereo")),
        stream(2, "dts", audio(8, "7.1(wide)")),
        stream(3, "aac", audio(4, "4.0")),
    ]);
    let plan = transcode(&info, &Options::default());
    assert_eq!(plan.streams[1].action, Action::Copy);
    for kept_apart in &plan.streams[2..] {
        let Action::EncodeAudio(sound) = &kept_apart.action else {
            panic!("not encoded: {kept_apart:?}");
        };
        assert_eq!(sound.layout, None);
    }
}

fn action(plan: &Plan, index: usize) -> &Action {
    &plan.streams[index].action
}

fn subtitle(index: usize, codec: &str, (text, holds, decodable): (bool, bool, bool)) -> StreamInfo {
    StreamInfo {
        matroska_holds: holds,
        decodable,
        ..stream(index, codec, StreamKind::Subtitle(SubtitleInfo { text }))
    }
}

#[test]
fn the_default_video_is_the_film_and_the_others_are_copied() {
    let mut info = film(|_| {});
    for (index, codec) in [(2, "h264"), (3, "mjpeg"), (4, "cinepak")] {
        info.streams
            .push(stream(index, codec, StreamKind::Video(video())));
    }
    info.streams[4].matroska_holds = false;
    info.streams[4].decodable = false;
    let plan = transcode(&info, &Options::default());
    assert!(matches!(action(&plan, 0), Action::EncodeVideo(_)));
    assert_eq!([action(&plan, 2), action(&plan, 3)], [&Action::Copy; 2]);
    assert_eq!(action(&plan, 4), &Action::Drop);

    info.streams[3].disposition.default = true;
    let plan = transcode(&info, &Options::default());
    assert!(matches!(action(&plan, 3), Action::EncodeVideo(_)));
    assert_eq!([action(&plan, 0), action(&plan, 2)], [&Action::Copy; 2]);
    assert!(plan.streams[0].reason.contains("only one is encoded"));
}

#[test]
fn a_picture_is_no_film() {
    let mut info = file(vec![stream(0, "png", StreamKind::Video(video()))]);
    "png_pipe".clone_into(&mut info.container);
    let reason = skip(&info, &Options::default());
    assert_eq!(reason.to_string(), "is a picture (png), not a film");
}

#[test]
fn sound_without_a_decoder_is_copied_where_matroska_holds_it() {
    let mut info = film(|_| {});
    info.streams[1].decodable = false;
    info.streams[1].kind = audio(0, "");
    let plan = transcode(&info, &Options::default());
    assert_eq!(action(&plan, 1), &Action::Copy);
    assert!(plan.streams[1].reason.contains("no decoder"));
}

#[test]
fn subtitles_are_kept_converted_or_dropped_by_what_can_be_done_with_them() {
    let mut info = film(|_| {});
    info.streams.extend([
        subtitle(2, "subrip", (true, true, true)),
        subtitle(3, "eia_608", (true, false, true)),
        subtitle(4, "ttml", (true, false, false)),
        subtitle(5, "xsub", (false, false, true)),
        subtitle(6, "hdmv_pgs_subtitle", (false, true, false)),
    ]);
    let plan = transcode(&info, &Options::default());
    let actions: Vec<_> = (2..7).map(|index| action(&plan, index)).collect();
    assert_eq!(
        actions,
        [
            &Action::Copy,
            &Action::ConvertSubtitle,
            &Action::Drop,
            &Action::Drop,
            &Action::Copy
        ]
    );
    assert!(plan.streams[4].reason.contains("no decoder"));
}

#[test]
fn a_role_without_a_flag_is_told() {
    let mut info = film(|_| {});
    info.streams[1].disposition.karaoke = true;
    info.streams[1].disposition.dub = true;
    let reason = &transcode(&info, &Options::default()).streams[1].reason;
    assert!(
        reason.contains("its role (karaoke) is not carried"),
        "{reason}"
    );
    info.streams[1].disposition.original = true;
    let reason = &transcode(&info, &Options::default()).streams[1].reason;
    assert!(
        reason.contains("original and dub at once, karaoke"),
        "{reason}"
    );
}

#[test]
fn starts_that_matroska_cannot_hold_move_to_zero() {
    let shift = |start_us: i64| {
        let info = film(|v| v.first_frame_ticks = Some(start_us * 9 / 100));
        let mut info = info;
        info.streams[1].start_us = Some(start_us);
        transcode(&info, &Options::default()).timestamp_shift_ms
    };
    assert_eq!(shift(0), 0);
    assert_eq!(shift(1_400_000), 0);
    assert_eq!(shift(-83_000), 83);
    assert_eq!(shift(59_857_336_000), -59_857_336);

    let mut opus = film(|_| {});
    "opus".clone_into(&mut opus.streams[1].codec);
    opus.streams[1].start_us = Some(-6_500);
    assert_eq!(
        transcode(&opus, &Options::default()).timestamp_shift_ms,
        0,
        "samples that are not heard move nothing"
    );
}

fn any_kind() -> impl Strategy<Value = StreamKind> {
    let any_video = (
        (0u32..5000, 0u32..5000, 1u8..16, any::<bool>()),
        (
            prop::option::of((-1i32..100, -1i32..100)),
            0u8..4,
            any::<bool>(),
            any::<bool>(),
        ),
        prop::option::of(any::<i64>()),
    );
    prop_oneof![
        any_video.prop_map(
            |((width, height, bits, alpha), (rate, turns, odd, captions), first)| {
                StreamKind::Video(VideoInfo {
                    width,
                    height,
                    bit_depth: bits,
                    alpha,
                    average_frame_rate: rate.and_then(|(n, d)| Ratio::new(n, d)),
                    nominal_frame_rate: None,
                    orientation: Orientation {
                        quarter_turns: turns,
                        mirrored: captions,
                        odd_angle: odd,
                    },
                    embedded_captions: captions,
                    first_frame_ticks: first,
                    ..video()
                })
            }
        ),
        (any::<u32>(), "[a-z0-9.()]{0,8}").prop_map(|(channels, layout)| audio(channels, &layout)),
        any::<bool>().prop_map(|text| StreamKind::Subtitle(SubtitleInfo { text })),
        Just(StreamKind::Data),
        prop::option::of(".*").prop_map(|file_name| {
            StreamKind::Attachment(AttachmentInfo {
                file_name,
                mime_type: None,
                size_bytes: 0,
            })
        }),
    ]
}

fn any_file() -> impl Strategy<Value = MediaInfo> {
    let codec = prop::sample::select(vec![
        "h264", "av1", "opus", "aac", "subrip", "mov_text", "png", "none", "eia_608",
    ]);
    let one = (
        codec,
        any_kind(),
        any::<[bool; 5]>(),
        prop::option::of(any::<i64>()),
    );
    prop::collection::vec(one, 0..6).prop_map(|streams| {
        let numbered = streams.into_iter().enumerate();
        let made = numbered.map(
            |(index, (codec, kind, [cover, known, locked, held, first], start))| StreamInfo {
                disposition: Disposition {
                    attached_picture: cover,
                    default: first,
                    ..Disposition::default()
                },
                decodable: known,
                matroska_holds: held,
                encrypted: locked,
                is_empty: false,
                start_us: start,
                ..stream(index, codec, kind)
            },
        );
        file(made.collect())
    })
}

proptest! {
    /// Any file gets a plan with every stream in it once, or a reason; always the same.
    #[test]
    fn every_stream_is_planned_exactly_once(
        info in any_file(),
        crf in 1u8..=63,
        preset in 0u8..=13,
        allow in any::<bool>(),
    ) {
        let options = Options {
            crf: Crf::new(crf).ok(),
            preset: Preset::new(preset).ok(),
            allow: Allow {
                av1: allow,
                chroma_loss: allow,
                depth_loss: allow,
                alpha_loss: allow,
                dynamic_hdr_loss: allow,
            },
            ..Options::default()
        };
        let verdict = plan(&info, &options);
        prop_assert_eq!(&verdict, &plan(&info, &options));
        match verdict {
            Verdict::Transcode(plan) => {
                let indices: Vec<_> = plan.streams.iter().map(|s| s.index).collect();
                prop_assert_eq!(indices, (0..info.streams.len()).collect::<Vec<_>>());
                prop_assert!(plan.streams.iter().all(|s| !s.reason.is_empty()));
                let videos = plan.streams.iter().filter(|s| matches!(s.action, Action::EncodeVideo(_)));
                prop_assert_eq!(videos.count(), 1);
                for stream in &plan.streams {
                    // Never fewer channels than the source has.
                    if let (Action::EncodeAudio(to), Some(from)) = (&stream.action, info.streams[stream.index].audio()) {
                        prop_assert_eq!(to.channels, from.channels);
                    }
                }
            }
            Verdict::Skip { reason } => prop_assert!(!reason.to_string().is_empty()),
            Verdict::Reject { reason } => prop_assert!(!reason.to_string().is_empty()),
        }
    }
}
