//! Colour tags and HDR metadata, read back from the output's bitstream as well as
//! from its container.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::command::{has_encoder, make};
use crate::support::probe::{ask, inventory, streams};
use crate::support::{Scratch, clip, encode, fast, recipe, watched};

/// The tags as a file's stream has them.
fn container_tags(path: &Path) -> Vec<String> {
    tags_of(&streams(&inventory(path), "video")[0])
}

/// The tags as the decoder finds them, with no container to tell it.
fn bitstream_tags(folder: &Scratch, path: &Path) -> Vec<String> {
    tags_of(&ask(&bitstream(folder, path), "-show_streams")["streams"][0])
}

/// The video alone, in a file that holds nothing but the bitstream's own words.
fn bitstream(folder: &Scratch, path: &Path) -> PathBuf {
    let bare = folder.file("bare.obu");
    make(&format!("-i {} -map 0:V -c copy", path.display()), &bare);
    bare
}

fn tags_of(stream: &Value) -> Vec<String> {
    [
        "color_range",
        "color_primaries",
        "color_transfer",
        "color_space",
    ]
    .iter()
    .map(|key| stream[*key].as_str().unwrap_or("-").to_owned())
    .collect()
}

fn tagged(folder: &Scratch, colour: [&str; 4], codec: &str) -> PathBuf {
    let [range, primaries, transfer, matrix] = colour;
    // Said twice: the command of FFmpeg 5.1 tells the encoder what its options say,
    // that of 7 what the frames say.
    recipe::film(
        folder,
        "tagged.mkv",
        (25, 0.4),
        &format!(
            "-vf setparams=range={range}:color_primaries={primaries}:color_trc={transfer}:\
             colorspace={matrix} {codec} -color_range {range} -color_primaries {primaries} \
             -color_trc {transfer} -colorspace {matrix}"
        ),
    )
}

#[test]
fn colour_tags_stand_in_container_and_bitstream() {
    watched(|| {
        for colour in [
            ["tv", "bt709", "bt709", "bt709"],
            ["tv", "smpte170m", "smpte170m", "smpte170m"],
            ["tv", "bt470bg", "smpte170m", "bt470bg"],
        ] {
            let folder = Scratch::new();
            let source = tagged(&folder, colour, recipe::H264);
            let encoded = encode(&source, &fast());
            assert_eq!(container_tags(&encoded.output), container_tags(&source));
            assert_eq!(bitstream_tags(&folder, &encoded.output), colour);
        }
    });
}

/// Nothing is made up where the source says nothing.
#[test]
fn what_is_untagged_stays_untagged() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 0.4), recipe::H264);
        let encoded = encode(&source, &fast());
        let tags = container_tags(&encoded.output);
        for tag in &tags[1..] {
            assert!(tag == "-" || tag == "unknown", "{tags:?}");
        }
    });
}

#[test]
fn the_place_of_the_chroma_samples_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        // 2 is "top left" (H.264, table E-1); the command's own option is for
        // FFmpeg 5.1, whose muxer asks the encoder's context.
        let codec = format!(
            "{} -chroma_sample_location topleft -x264-params chromaloc=2",
            recipe::H264
        );
        let source = recipe::film(&folder, "film.mkv", (25, 0.2), &codec);
        let before = streams(&inventory(&source), "video")[0]["chroma_location"].clone();
        assert_eq!(before, "topleft");
        let encoded = encode(&source, &fast());
        let after = streams(&inventory(&encoded.output), "video")[0]["chroma_location"].clone();
        assert_eq!(after, "topleft");
    });
}

const MASTERING: &str = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)";

/// Colours of side data, as fractions of `ffprobe`, as numbers.
fn mastering(of: &Value) -> Option<Vec<f64>> {
    let list = of["side_data_list"].as_array()?;
    let display = list
        .iter()
        .find(|data| data["side_data_type"] == "Mastering display metadata")?;
    let number = |key: &str| {
        let (num, den) = display[key].as_str()?.split_once('/')?;
        Some(num.parse::<f64>().ok()? / den.parse::<f64>().ok()?)
    };
    [
        "red_x",
        "red_y",
        "green_x",
        "green_y",
        "blue_x",
        "blue_y",
        "white_point_x",
        "white_point_y",
        "min_luminance",
        "max_luminance",
    ]
    .into_iter()
    .map(number)
    .collect()
}

fn light(of: &Value) -> Option<(i64, i64)> {
    let list = of["side_data_list"].as_array()?;
    let level = list
        .iter()
        .find(|data| data["side_data_type"] == "Content light level metadata")?;
    Some((
        level["max_content"].as_i64()?,
        level["max_average"].as_i64()?,
    ))
}

fn assert_near(found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        // The bitstream holds 16 bits of a fraction.
        assert!(
            (found - expected).abs() <= expected * 0.001 + 0.0001,
            "{found} is not {expected}"
        );
    }
    assert_eq!(found.len(), expected.len());
}

const DISPLAY: [f64; 10] = [
    0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.005, 1000.0,
];

#[test]
fn hdr10_comes_out_as_hdr10() {
    watched(|| {
        if !has_encoder("libx265") {
            eprintln!("skipped: this ffmpeg has no libx265 to make HDR10 with");
            return;
        }
        let folder = Scratch::new();
        let colour = ["tv", "bt2020", "smpte2084", "bt2020nc"];
        let codec = format!(
            "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params \
             log-level=none:hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:\
             range=limited:master-display={MASTERING}:max-cll=1000,400"
        );
        let source = tagged(&folder, colour, &codec);
        let encoded = encode(&source, &fast());
        assert_eq!(container_tags(&encoded.output), colour);
        assert_eq!(bitstream_tags(&folder, &encoded.output), colour);

        let info = av1core::probe(&encoded.output).expect("the output");
        let hdr = &info.streams[0].video().expect("a video").hdr;
        assert!(hdr.mastering_display.is_some() && hdr.content_light.is_some());
        // The container's own, before a frame is decoded.
        let stream = &streams(&inventory(&encoded.output), "video")[0];
        assert_near(&mastering(stream).expect("a mastering display"), &DISPLAY);
        assert_eq!(light(stream), Some((1000, 400)));
        // The bitstream's own, with the container gone.
        let bare = bitstream(&folder, &encoded.output);
        let frames = ask(&bare, "-show_frames -read_intervals %+#1");
        let frame = &frames["frames"][0];
        assert_near(&mastering(frame).expect("a mastering display"), &DISPLAY);
        assert_eq!(light(frame), Some((1000, 400)));
    });
}

#[test]
fn hlg_comes_out_as_hlg() {
    watched(|| {
        let folder = Scratch::new();
        let colour = ["tv", "bt2020", "arib-std-b67", "bt2020nc"];
        let source = tagged(
            &folder,
            colour,
            "-pix_fmt yuv420p10le -c:v libx264 -preset veryfast",
        );
        let encoded = encode(&source, &fast());
        assert_eq!(container_tags(&encoded.output), colour);
        assert_eq!(bitstream_tags(&folder, &encoded.output), colour);
    });
}

/// An old animation with HDR tags in the container alone.
#[test]
fn hdr_tags_of_the_container_reach_the_bitstream() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("hdr-tags-8bit.mkv");
        let encoded = encode(&source, &fast());
        let tags = bitstream_tags(&folder, &encoded.output);
        assert_eq!(tags[1..], ["bt2020", "smpte2084", "bt2020nc"]);
        let before = streams(&inventory(&source), "video")[0].clone();
        let expected = mastering(&before).expect("in the source");
        let bare = bitstream(&folder, &encoded.output);
        let frames = ask(&bare, "-show_frames -read_intervals %+#1");
        let frame = &frames["frames"][0];
        assert_near(&mastering(frame).expect("in the output"), &expected);
        assert_eq!(light(frame), light(&before));
    });
}
