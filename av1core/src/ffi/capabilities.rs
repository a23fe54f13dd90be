//! What the linked libraries are and can do, found out at run time.

use std::ffi::{CStr, c_char};

use ffmpeg_next::{encoder, ffi, filter};
use serde::Serialize;

/// What the linked libraries are and can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// FFmpeg's release, such as `5.1.9-0+deb12u1`.
    pub ffmpeg: String,
    /// Version of libavcodec.
    pub libavcodec: String,
    /// Version of libavformat.
    pub libavformat: String,
    /// Version of libavfilter.
    pub libavfilter: String,
    /// Version of SVT-AV1, where it can be found out.
    pub svt_av1: Option<String>,
    /// Whether libavcodec has the video encoder.
    pub has_libsvtav1: bool,
    /// Whether libavcodec has the audio encoder.
    pub has_libopus: bool,
    /// Whether libavfilter has the deinterlacer.
    pub has_bwdif: bool,
    /// Encodes in one process take turns. SVT-AV1 below 4.1 rewrites tables at each
    /// initialisation that running encoders read: two with different presets
    /// deadlock (seen with 1.4.1; not with 2.3.0).
    pub one_encoder_a_process: bool,
    /// Presets above 10 run on one thread of the encoder's. Those of SVT-AV1 2.3
    /// damage pictures with more (seen with 2.3.0).
    pub one_thread_above_preset_10: bool,
}

/// Asks the linked libraries.
#[must_use]
pub fn capabilities() -> Capabilities {
    super::init();
    let svt_av1 = svt_av1_version();
    // SAFETY: a static string.
    let ffmpeg = unsafe { CStr::from_ptr(ffi::av_version_info()) };
    Capabilities {
        ffmpeg: ffmpeg.to_string_lossy().into_owned(),
        libavcodec: version(ffmpeg_next::codec::version()),
        libavformat: version(ffmpeg_next::format::version()),
        libavfilter: version(filter::version()),
        has_libsvtav1: encoder::find_by_name("libsvtav1").is_some(),
        has_libopus: encoder::find_by_name("libopus").is_some(),
        has_bwdif: filter::find("bwdif").is_some(),
        one_thread_above_preset_10: svt_av1
            .as_deref()
            .map(release)
            .is_some_and(has_racing_presets),
        one_encoder_a_process: !svt_av1.as_deref().map(release).is_some_and(is_reentrant),
        svt_av1,
    }
}

/// Tells SVT-AV1 to print errors only: its banner goes to stderr otherwise, and
/// the environment (`SVT_LOG`) is the only way to tell versions before 3.
///
/// Call it first thing in `main`. It does nothing and returns `false` once the
/// process has more than one thread, where changing the environment is unsound,
/// and where it cannot tell how many there are. A value set by the user stays.
pub fn quiet_encoder_log() -> bool {
    if std::env::var_os("SVT_LOG").is_some() {
        return true;
    }
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    if !matches!(threads, Ok(1)) {
        return false;
    }
    // SAFETY: this is the process's only thread (checked above), so nobody reads
    // the environment at the same time. 0 is "fatal" in SVT-AV1's EbLog.c.
    unsafe { std::env::set_var("SVT_LOG", "0") };
    true
}

/// The encoder was made safe to run several times in a process in 4.1.
fn is_reentrant(release: (u32, u32)) -> bool {
    release >= (4, 1)
}

/// Presets above 10 damage pictures when the encoder works on several threads.
pub(super) fn has_racing_presets(release: (u32, u32)) -> bool {
    release == (2, 3)
}

/// Release of SVT-AV1, where it can be found out.
pub(super) fn svt_av1_release() -> Option<(u32, u32)> {
    svt_av1_version().as_deref().map(release)
}

/// Major and minor number of a version such as `v2.3.0`.
fn release(version: &str) -> (u32, u32) {
    let mut parts = version
        .trim_start_matches('v')
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// libavcodec does not tell the encoder's version; the library it is linked to does.
fn svt_av1_version() -> Option<String> {
    #[cfg(unix)]
    {
        type GetVersion = unsafe extern "C" fn() -> *const c_char;
        let process = libloading::os::unix::Library::this();
        // SAFETY: the symbol, where it exists, is SVT-AV1's function of this very
        // type (EbSvtAv1Enc.h, since 0.8.7), and returns a static string or null.
        unsafe {
            let function = process.get::<GetVersion>(c"svt_av1_get_version").ok()?;
            let version = function();
            (!version.is_null()).then(|| {
                CStr::from_ptr(version)
                    .to_string_lossy()
                    .trim_start_matches('v')
                    .to_owned()
            })
        }
    }
    #[cfg(not(unix))]
    None
}

fn version(number: u32) -> String {
    format!("{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_4_1_and_later_take_several_encoders_a_process() {
        for old in ["1.4.1", "v2.3.0", "4.0.9", "", "unknown"] {
            assert!(!is_reentrant(release(old)), "{old}");
        }
        for new in ["4.1.0", "v4.2.0-rc1", "5.0", "10.0.0"] {
            assert!(is_reentrant(release(new)), "{new}");
        }
    }

    #[test]
    fn the_linked_libraries_name_themselves() {
        let found = capabilities();
        assert!(found.libavcodec.starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(found.svt_av1.is_some(), found.has_libsvtav1);
    }
}
