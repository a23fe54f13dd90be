//! Tells the code which FFmpeg it is built against, as far as its C declarations
//! differ. What differs in behaviour alone is asked at run time.

use std::env;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(ffmpeg_6_1)");
    // Told by ffmpeg-sys-next's build script, which reads the headers.
    if env::var_os("DEP_FFMPEG_FFMPEG_6_1").is_some_and(|value| value == "true") {
        println!("cargo:rustc-cfg=ffmpeg_6_1");
    }
}
