//! What the linked libraries are and can do, found out at run time.

use std::ffi::{CStr, c_char};

use ffmpeg_next::{decoder, encoder, ffi, filter};
use serde::Serialize;

use crate::plan::EncoderLimits;
use crate::units::Preset;

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
    /// The fastest preset that is used; it takes the place of faster ones. 13, but 10
    /// with SVT-AV1 2.3, which damages pictures at 11 to 13 (seen with 2.3.0).
    pub fastest_preset: u8,
    /// What the video encoder takes, and what it keeps.
    pub encoder_limits: EncoderLimits,
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
        fastest_preset: fastest_preset(svt_av1.as_deref().map(release)),
        encoder_limits: EncoderLimits {
            drops_dolby_vision: !carries_dolby_vision(),
            ..encoder_limits(svt_av1.as_deref().map(release))
        },
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

/// Presets 11 to 13 of 2.3.0 are one, and what it writes is not what it means: of a
/// clip of 2 s one frame always came out as another picture (16 dB; 40 dB at preset
/// 10), and of 20 encodes on two busy cores 6 had frames that do not decode.
fn fastest_preset(release: Option<(u32, u32)>) -> u8 {
    if release == Some((2, 3)) { 10 } else { 13 }
}

/// Whether libavcodec's wrapper of SVT-AV1 has an option of its own.
fn has_encoder_option(name: &CStr) -> bool {
    let Some(codec) = encoder::find_by_name("libsvtav1") else {
        return false;
    };
    // SAFETY: the codec and its class are static; AV_OPT_SEARCH_FAKE_OBJ takes the
    // address of a pointer to a class in the place of an object (opt.h), and nothing of
    // it is written to. What is returned is compared with null alone.
    unsafe {
        let class: *const ffi::AVClass = (*codec.as_ptr()).priv_class;
        !class.is_null()
            && !ffi::av_opt_find(
                (&raw const class).cast_mut().cast(),
                name.as_ptr(),
                std::ptr::null(),
                0,
                ffi::AV_OPT_SEARCH_FAKE_OBJ,
            )
            .is_null()
    }
}

/// Dolby Vision's metadata is coded by the wrapper of FFmpeg 7.1 and later. A decoder has
/// to read it back, or no output would be published: libdav1d's wrapper does, which came
/// with it; libaom's and the hardware's do not.
fn carries_dolby_vision() -> bool {
    let decoder = decoder::find(ffmpeg_next::codec::Id::AV1);
    has_encoder_option(c"dolbyvision") && decoder.is_some_and(|found| found.name() == "libdav1d")
}

/// Sizes below 64 came back with 3.0 (SVT-AV1 merge request 2356); what versions before
/// 4.2 make of them, and of odd sizes, is not known here.
fn encoder_limits(release: Option<(u32, u32)>) -> EncoderLimits {
    if release >= Some((4, 2)) {
        EncoderLimits::NONE
    } else {
        EncoderLimits::STRICTEST
    }
}

/// The preset that is used where `wanted` is asked for.
pub(crate) fn used_preset(wanted: Preset) -> u8 {
    wanted.get().min(fastest_preset(svt_av1_release()))
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
    fn the_fastest_presets_of_2_3_are_not_used() {
        assert_eq!(fastest_preset(Some((2, 3))), 10);
        for other in [None, Some((1, 4)), Some((3, 1)), Some((4, 2))] {
            assert_eq!(fastest_preset(other), 13);
        }
    }

    #[test]
    fn only_4_2_and_later_take_any_size() {
        for old in [None, Some((1, 4)), Some((2, 3)), Some((4, 1))] {
            assert_eq!(encoder_limits(old), EncoderLimits::STRICTEST);
        }
        assert_eq!(encoder_limits(Some((4, 2))), EncoderLimits::NONE);
    }

    #[test]
    fn the_linked_libraries_name_themselves() {
        let found = capabilities();
        assert!(found.libavcodec.starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(found.svt_av1.is_some(), found.has_libsvtav1);
    }
}
