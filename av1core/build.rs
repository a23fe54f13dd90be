//! Tells the code which FFmpeg it is built against, as far as its C declarations
//! differ. What differs in behaviour alone is asked at run time.

use std::env;

/// Releases whose declarations differ: names of ours, and of ffmpeg-sys-next's build
/// script, which reads the headers.
const RELEASES: [(&str, &str); 2] = [
    ("ffmpeg_6_1", "DEP_FFMPEG_FFMPEG_6_1"),
    ("ffmpeg_7_1", "DEP_FFMPEG_FFMPEG_7_1"),
];

fn main() {
    for (name, found) in RELEASES {
        println!("cargo:rustc-check-cfg=cfg({name})");
        if env::var_os(found).is_some_and(|value| value == "true") {
            println!("cargo:rustc-cfg={name}");
        }
    }
}
