//! Inputs made at test time.

use std::path::PathBuf;

use super::Scratch;
use super::command::make;

/// A moving picture that no two frames of are alike.
pub(crate) fn picture(size: &str, rate: u32, seconds: f64) -> String {
    format!("-f lavfi -i testsrc2=s={size}:r={rate}:d={seconds}")
}

/// Makes `name` in `folder`: a moving picture of 320x180, encoded with `codec`.
pub(crate) fn film(
    folder: &Scratch,
    name: &str,
    (rate, seconds): (u32, f64),
    codec: &str,
) -> PathBuf {
    let path = folder.file(name);
    let source = picture("320x180", rate, seconds);
    make(&format!("{source} {codec}"), &path);
    path
}

/// H.264 with open GOPs of 25 frames and three B-frames between references.
pub(crate) const OPEN_GOP: &str = "-c:v libx264 -preset veryfast -bf 3 -x264-params \
    open-gop=1:keyint=25:min-keyint=25:scenecut=0:bframes=3:b-adapt=0 -pix_fmt yuv420p";

/// H.264 that is made quickly, with B-frames.
pub(crate) const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -pix_fmt yuv420p";

/// A silent seek trap: 4:2:0 H.264 whose B-frames FFmpeg's decoder predicts as x264
/// did before build 34, once the message in the first packet names such a build. The
/// build named here is a lie. Decoded from the start the film is what its (wrong)
/// message makes of it; decoded from a later keyframe, where there is no message, it
/// gives other frames and no error. Returns the trap and the film without it.
pub(crate) fn silent_seek_trap(folder: &Scratch) -> (PathBuf, PathBuf) {
    let clean = folder.file("clean.mp4");
    make(
        "-f lavfi -i testsrc2=s=320x240:r=25:d=4 -c:v libx264 -pix_fmt yuv420p -x264-params \
         keyint=25:scenecut=0:bframes=3:b-adapt=0:direct=spatial -threads 1 -fflags +bitexact \
         -flags:v +bitexact",
        &clean,
    );
    let mut bytes = std::fs::read(&clean).expect("a film read");
    let message = b"x264 - core ";
    let at = find(&bytes, message).expect("the message of x264") + message.len();
    bytes[at..at + 3].copy_from_slice(b"033");
    let trap = folder.write("trap.mp4", bytes);
    (trap, clean)
}

/// Where `needle` first stands in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|at| at == needle)
}

/// Replaces every `from` by `to`, which is as long, and returns how many there were.
pub(crate) fn patch(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len());
    let mut patched = 0;
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + to.len()].copy_from_slice(to);
            patched += 1;
        }
    }
    patched
}
