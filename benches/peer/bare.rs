//! The bare encoder: libsvtav1 fed with frames that lie in memory, in a process of
//! its own (SVT-AV1 below 4.1 takes one encoder a process). It has no decoder to
//! share the processors with and writes no file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use av1core::VideoSettings;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Packet, Rational, codec, decoder, encoder, format, media};
use serde_json::json;

use super::Result;
use super::run::{Parameters, now};

/// What the encoder alone took.
pub(super) struct Bare {
    /// Opening it.
    pub(super) open_s: f64,
    /// From the first frame to the closed encoder.
    pub(super) encode_s: f64,
    /// User and system of both; `None` where there is no `/proc`.
    pub(super) cpu_s: Option<f64>,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// Runs [`child`] and reads what it says.
pub(super) fn spawn(clip: &Path, preset: u8, crf: u8) -> Result<Bare> {
    let done = Command::new(std::env::current_exe()?)
        .arg("--run-bare")
        .arg(clip)
        .args([preset.to_string(), crf.to_string()])
        .env("SVT_LOG", "0")
        .stdin(Stdio::null())
        .output()?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        return Err(format!("the bare encoder: {}: {told}", done.status).into());
    }
    let told: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    let number = |key: &str| told[key].as_f64().ok_or(format!("no {key}"));
    Ok(Bare {
        open_s: number("open_s")?,
        encode_s: number("encode_s")?,
        cpu_s: told["cpu_s"].as_f64(),
        frames: told["frames"].as_u64().ok_or("no frames")?,
        bytes: told["bytes"].as_u64().ok_or("no bytes")?,
    })
}

/// Decodes `clip` into memory, encodes that and prints what it took.
pub(super) fn child(clip: &Path, preset: u8, crf: u8) -> Result<()> {
    let settings = Parameters::of(clip, preset, crf)?.video;
    let (frames, base) = decode(clip)?;
    let bare = encode(&frames, base, &settings)?;
    let told = json!({
        "open_s": bare.open_s,
        "encode_s": bare.encode_s,
        "cpu_s": bare.cpu_s,
        "frames": bare.frames,
        "bytes": bare.bytes,
    });
    println!("{told}");
    Ok(())
}

/// All frames as the encoder takes them, and the unit of their times.
fn decode(clip: &Path) -> Result<(Vec<Video>, Rational)> {
    ffmpeg::init()?;
    let mut input = format::input(clip)?;
    let stream = input.streams().best(media::Type::Video).ok_or("no video")?;
    let (index, base) = (stream.index(), stream.time_base());
    let context = codec::Context::from_parameters(stream.parameters())?;
    let mut decoder = context.decoder().video()?;
    let mut converter = scaling::Context::get(
        decoder.format(),
        decoder.width(),
        decoder.height(),
        Pixel::YUV420P10LE,
        decoder.width(),
        decoder.height(),
        scaling::Flags::BICUBIC,
    )?;
    let mut frames = Vec::new();
    for (stream, packet) in input.packets() {
        if stream.index() == index {
            decoder.send_packet(&packet)?;
            take_frames(&mut decoder, &mut converter, &mut frames)?;
        }
    }
    decoder.send_eof()?;
    take_frames(&mut decoder, &mut converter, &mut frames)?;
    Ok((frames, base))
}

fn take_frames(
    decoder: &mut decoder::Video,
    converter: &mut scaling::Context,
    frames: &mut Vec<Video>,
) -> Result<()> {
    let mut decoded = Video::empty();
    while more(decoder.receive_frame(&mut decoded))? {
        let mut frame = Video::empty();
        converter.run(&decoded, &mut frame)?;
        frame.set_pts(decoded.timestamp());
        frames.push(frame);
    }
    Ok(())
}

/// The settings are those of the engine, but for tags that change no sample.
fn encode(frames: &[Video], base: Rational, settings: &VideoSettings) -> Result<Bare> {
    let (start, cpu_before) = (now(), cpu_seconds());
    let found = encoder::find_by_name("libsvtav1").ok_or("no libsvtav1")?;
    let mut video = codec::Context::new_with_codec(found).encoder().video()?;
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(Pixel::YUV420P10LE);
    video.set_time_base(base);
    let rate = settings.frame_rate;
    video.set_frame_rate(Some(Rational::new(rate.num, rate.den)));
    video.set_gop(settings.keyframe_interval_frames);
    video.set_flags(codec::Flags::GLOBAL_HEADER);
    let mut options = ffmpeg::Dictionary::new();
    options.set("preset", &settings.preset.get().to_string());
    options.set("crf", &settings.crf.get().to_string());
    let mut encoder = video.open_with(options)?;
    let open_s = start.elapsed().as_secs_f64();

    let (mut count, mut bytes) = (0, 0);
    let mut packet = Packet::empty();
    for frame in frames {
        encoder.send_frame(frame)?;
        while more(encoder.receive_packet(&mut packet))? {
            (count, bytes) = (count + 1, bytes + packet.size() as u64);
        }
    }
    encoder.send_eof()?;
    while more(encoder.receive_packet(&mut packet))? {
        (count, bytes) = (count + 1, bytes + packet.size() as u64);
    }
    drop(encoder);
    let cpu_after = cpu_seconds();
    Ok(Bare {
        open_s,
        encode_s: start.elapsed().as_secs_f64() - open_s,
        cpu_s: cpu_before.zip(cpu_after).map(|(from, to)| to - from),
        frames: count,
        bytes,
    })
}

/// Whether a codec gave something; wanting input and being at the end is no error.
fn more(received: Result<(), ffmpeg::Error>) -> Result<bool> {
    match received {
        Ok(()) => Ok(true),
        Err(ffmpeg::Error::Eof) => Ok(false),
        Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// User and system time of this process and its threads so far.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, and may hold anything;
    // fields 14 and 15 are counted in 1/100 s (proc(5), USER_HZ).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}
