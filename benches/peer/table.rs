//! Markdown tables for the README.

use std::thread;

use super::args::Args;
use super::bare::Bare;
use super::run::{Timed, Usage};

/// The engine against the `ffmpeg` command.
pub(super) struct CommandRow {
    pub(super) picture: String,
    pub(super) preset: u8,
    pub(super) frames: u64,
    pub(super) pairs: Vec<(Timed, Usage)>,
    pub(super) video_bytes: (u64, u64),
}

/// The engine against the bare encoder.
pub(super) struct BareRow {
    pub(super) picture: String,
    pub(super) preset: u8,
    pub(super) frames: u64,
    pub(super) pairs: Vec<(Timed, Bare)>,
    pub(super) video_bytes: (u64, u64),
}

/// What holds for every row.
pub(super) fn heading(args: &Args, command_version: &str) -> String {
    let found = av1core::capabilities();
    let command = if found.ffmpeg == command_version {
        "libraries and command".to_owned()
    } else {
        format!("libraries; NOT THE SAME as the command's {command_version}")
    };
    format!(
        "FFmpeg {} ({command}), SVT-AV1 {}, {} processors; CRF {}, 10 bit, {} s of {}, \
         {} pairs ABBA after a warm-up. Times are medians; ratios are ours by theirs: the ratio \
         of the medians (the median of the pairs' ratios, their least..their greatest).",
        found.ffmpeg,
        found.svt_av1.as_deref().unwrap_or("unknown"),
        thread::available_parallelism().map_or(0, usize::from),
        args.crf,
        args.seconds,
        args.clip
            .file_name()
            .unwrap_or(args.clip.as_os_str())
            .to_string_lossy(),
        args.pairs,
    )
}

pub(super) fn command(rows: &[CommandRow]) -> String {
    let mut lines = vec![
        "Against the `ffmpeg` command, whole processes. Our time is without the verification, \
         which the command does not do; its share is of the encode's time. CPU and memory are \
         with it.\n"
            .to_owned(),
        "| picture | preset | frames | ours s | ffmpeg s | time ratio | verify share | CPU ratio \
         | peak memory ours / theirs (MB) | ratio | video ours / theirs (kB) |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        let wall = Compared::of(&row.pairs, |(a, b)| Some((a.unverified_s(), b.wall_s)));
        let verify = Compared::of(&row.pairs, |(a, _)| Some((a.verify_s, a.encode_s)));
        let cpu = Compared::of(&row.pairs, |(a, b)| a.process.cpu_s.zip(b.cpu_s));
        let peak = Compared::of(&row.pairs, |(a, b)| a.process.peak_mb.zip(b.peak_mb));
        let (ours_s, theirs_s) = medians(wall.as_ref(), 2);
        let (ours_mb, theirs_mb) = medians(peak.as_ref(), 0);
        lines.push(format!(
            "| {} | {} | {} | {ours_s} | {theirs_s} | {} | {} | {} | {ours_mb} / {theirs_mb} | {} | {} |",
            row.picture,
            row.preset,
            row.frames,
            spread(wall.as_ref()),
            ratio(verify.as_ref()),
            ratio(cpu.as_ref()),
            ratio(peak.as_ref()),
            kilobytes(row.video_bytes),
        ));
    }
    lines.join("\n")
}

pub(super) fn bare(rows: &[BareRow]) -> String {
    let mut lines = vec![
        "Against the bare encoder fed from memory, a clip without sound. \"Encode\" is from the \
         opened encoder to the closed one on both sides (ours: `elapsed_us`, which decoding and \
         writing belong to). \"Whole\" is the stricter: our process from start to exit, without the \
         verification, against \
         the opening and the encode. CPU: our process against the opening and the encode.\n"
            .to_owned(),
        "| picture | preset | frames | ours s | bare s | encode time ratio | whole time ratio \
         | CPU ratio | video ours / bare (kB) |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        let encode = Compared::of(&row.pairs, |(a, b)| Some((a.encode_s, b.encode_s)));
        let whole = Compared::of(&row.pairs, |(a, b)| {
            Some((a.unverified_s(), b.open_s + b.encode_s))
        });
        let cpu = Compared::of(&row.pairs, |(a, b)| a.process.cpu_s.zip(b.cpu_s));
        let (ours_s, bare_s) = medians(encode.as_ref(), 2);
        lines.push(format!(
            "| {} | {} | {} | {ours_s} | {bare_s} | {} | {} | {} | {} |",
            row.picture,
            row.preset,
            row.frames,
            spread(encode.as_ref()),
            spread(whole.as_ref()),
            ratio(cpu.as_ref()),
            kilobytes(row.video_bytes),
        ));
    }
    lines.join("\n")
}

/// One quantity on both sides, over all pairs.
struct Compared {
    ours: f64,
    theirs: f64,
    /// Ours by theirs, one a pair, ascending.
    ratios: Vec<f64>,
}

impl Compared {
    /// `None` where a pair lacks the quantity, or there is no pair.
    fn of<P>(pairs: &[P], quantity: impl Fn(&P) -> Option<(f64, f64)>) -> Option<Self> {
        let values: Vec<(f64, f64)> = pairs.iter().map(quantity).collect::<Option<_>>()?;
        let ours = sorted(values.iter().map(|(ours, _)| *ours));
        let theirs = sorted(values.iter().map(|(_, theirs)| *theirs));
        let ratios = sorted(values.iter().map(|(ours, theirs)| ours / theirs));
        Some(Self {
            ours: median(&ours)?,
            theirs: median(&theirs)?,
            ratios,
        })
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median of ascending values: the middle one, or the mean of the middle two.
fn median(values: &[f64]) -> Option<f64> {
    let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[below], values[above]))
}

fn medians(compared: Option<&Compared>, digits: usize) -> (String, String) {
    let unknown = || ("?".to_owned(), "?".to_owned());
    compared.map_or_else(unknown, |c| {
        (
            format!("{:.digits$}", c.ours),
            format!("{:.digits$}", c.theirs),
        )
    })
}

fn ratio(compared: Option<&Compared>) -> String {
    compared.map_or("?".to_owned(), |c| format!("{:.3}", c.ours / c.theirs))
}

fn spread(compared: Option<&Compared>) -> String {
    let ratios = compared.map_or(&[][..], |c| &c.ratios);
    match (median(ratios), ratios.first(), ratios.last()) {
        (Some(middle), Some(least), Some(greatest)) => format!(
            "{} ({middle:.3}, {least:.3}..{greatest:.3})",
            ratio(compared)
        ),
        _ => "?".to_owned(),
    }
}

fn kilobytes((ours, theirs): (u64, u64)) -> String {
    format!("{:.1} / {:.1}", ours as f64 / 1e3, theirs as f64 / 1e3)
}
