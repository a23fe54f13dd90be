//! Pictures compared one by one, and files played to their end.

use std::path::Path;

use super::Scratch;
use super::command::{ffmpeg, run, words};

/// Decibels below which a picture is another picture. Encodes at the tests'
/// settings stay above 33; a picture that is one frame off is below 25.
pub(crate) const SAME_PICTURE_DB: f64 = 29.0;

/// Luma PSNR of every frame of `output` against the frame of the same number of
/// `source`, in dB, both as a player shows them (turned upright, in limited range).
pub(crate) fn psnr(source: &Path, output: &Path) -> Vec<f64> {
    psnr_through(source, "null", output)
}

/// As [`psnr`], the source filtered first.
pub(crate) fn psnr_through(source: &Path, filter: &str, output: &Path) -> Vec<f64> {
    let folder = Scratch::new();
    let stats = folder.file("psnr.log");
    // Counted frames, so that a frame is never compared with its neighbour's time.
    let shape = "scale=out_range=tv:flags=bicubic+accurate_rnd,format=yuv420p10le,\
                 setsar=1,settb=1/1000,setpts=N*40";
    let graph = format!(
        "[0:V:0]{filter},{shape}[a];[1:V:0]{shape}[b];[b][a]psnr=shortest=0:repeatlast=0:stats_file={}",
        stats.display()
    );
    run(ffmpeg()
        .args(["-fflags", "+genpts", "-i"])
        .arg(source)
        .arg("-i")
        .arg(output)
        .args(["-lavfi", &graph])
        .args(words(
            "-an -fps_mode passthrough -enc_time_base 1/1000 -f null -",
        )));
    let text = std::fs::read_to_string(stats).expect("the statistics of psnr");
    text.lines()
        .map(|line| {
            let value = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("psnr_y:"));
            let value = value.expect("a frame's PSNR");
            value.parse().unwrap_or(f64::INFINITY)
        })
        .collect()
}

/// Every frame of `output` is the frame of the same number of `source`.
pub(crate) fn assert_same_pictures(source: &Path, output: &Path, frames: usize) {
    assert_all_alike(&psnr(source, output), frames);
}

/// There are so many values, and all of them are those of equal pictures.
pub(crate) fn assert_all_alike(psnr: &[f64], frames: usize) {
    assert_eq!(psnr.len(), frames, "frames compared");
    let (worst, db) = psnr
        .iter()
        .copied()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("a frame");
    assert!(
        db >= SAME_PICTURE_DB,
        "frame {worst} is another picture: {db:.1} dB"
    );
}

/// Another decoder plays the file to its end and has nothing to say.
pub(crate) fn assert_plays(path: &Path) {
    run(ffmpeg()
        .args(["-xerror", "-err_detect", "explode", "-i"])
        .arg(path)
        .args(words(
            "-map 0:V -map 0:a? -fps_mode passthrough -enc_time_base:v 1/1000 -f null -",
        )));
}
