//! `av1cli doctor`

use av1core::Capabilities;
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::exit::Exit;
use crate::out;
use crate::render::table::Table;

/// Where FFmpeg with both encoders comes from. The names of the packages that hold
/// the shared libraries, as the distributions of 2026 spell them.
const PACKAGES: [(&str, &str); 5] = [
    ("Debian, Ubuntu", "apt install ffmpeg"),
    (
        "Fedora",
        "dnf install ffmpeg-free (or ffmpeg of RPM Fusion)",
    ),
    ("Arch", "pacman -S ffmpeg svt-av1"),
    ("Alpine", "apk add ffmpeg svt-av1-libs"),
    ("Homebrew", "brew install ffmpeg"),
];

/// What was found.
#[derive(Serialize)]
struct Findings<'a> {
    av1cli: &'static str,
    #[serde(flatten)]
    capabilities: &'a Capabilities,
    /// Names of what is needed and not there.
    missing: Vec<&'static str>,
    /// What works less well than it could, and why.
    notes: Vec<String>,
}

impl<'a> Findings<'a> {
    fn new(capabilities: &'a Capabilities) -> Self {
        Self {
            av1cli: env!("CARGO_PKG_VERSION"),
            capabilities,
            missing: missing(capabilities),
            notes: notes(capabilities),
        }
    }
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let capabilities = av1core::capabilities();
    let findings = Findings::new(&capabilities);
    if args.json {
        out::json_pretty(&findings)?;
    } else {
        for line in describe(&findings) {
            out::say(&line)?;
        }
    }
    Ok(if findings.missing.is_empty() {
        Exit::DONE
    } else {
        Exit::ENCODER
    })
}

fn missing(capabilities: &Capabilities) -> Vec<&'static str> {
    let needed = [
        ("libsvtav1", capabilities.has_libsvtav1),
        ("libopus", capabilities.has_libopus),
    ];
    let absent = needed.iter().filter(|(_, there)| !there);
    absent.map(|(name, _)| *name).collect()
}

fn notes(capabilities: &Capabilities) -> Vec<String> {
    let mut notes = Vec::new();
    if capabilities.has_libsvtav1 && capabilities.one_encoder_a_process {
        let version = match &capabilities.svt_av1 {
            Some(version) => format!("SVT-AV1 {version} is older than 4.1"),
            None => "the version of SVT-AV1 cannot be found out, so it is taken for one before 4.1"
                .to_owned(),
        };
        notes.push(format!(
            "{version}. It is slower than later releases at the same quality. And its encoders share tables within a process, where two of them \
             may deadlock: encodes in one process take turns."
        ));
    }
    if capabilities.has_libsvtav1 && capabilities.fastest_preset < 13 {
        notes.push(format!(
            "This SVT-AV1 damages pictures at presets above {0}: preset {0} takes their place.",
            capabilities.fastest_preset
        ));
    }
    let limits = capabilities.encoder_limits;
    if capabilities.has_libsvtav1 && limits.even_sizes_only {
        let side = limits.least_side_pixels;
        notes.push(format!(
            "This SVT-AV1 takes no picture below {side}x{side} and none of odd width or height: \
             such films are skipped. SVT-AV1 4.2 takes them."
        ));
    }
    if capabilities.has_libsvtav1 {
        notes.push(hdr_note(limits.drops_dolby_vision));
    }
    if !capabilities.has_bwdif {
        notes.push(
            "libavfilter has no bwdif filter: interlaced films cannot be encoded, all others can."
                .to_owned(),
        );
    }
    notes
}

fn hdr_note(drops_dolby_vision: bool) -> String {
    let dolby_vision = if drops_dolby_vision {
        "Dolby Vision and HDR10+ films are skipped, so that their dynamic metadata is not lost; \
         FFmpeg 7.1 and later carry that of Dolby Vision's profiles 5 and 8 (with libdav1d)."
    } else {
        "Dolby Vision of the profiles 5 and 8 becomes profile 10 with the metadata of every \
         frame. Films of its other profiles and of HDR10+ are skipped, so that their dynamic \
         metadata is not lost."
    };
    format!("{dolby_vision} HDR10's static metadata and HLG are kept.")
}

fn describe(findings: &Findings<'_>) -> Vec<String> {
    let found = findings.capabilities;
    let dolby_vision = if found.encoder_limits.drops_dolby_vision {
        "not carried"
    } else {
        "carried (profiles 5 and 8)"
    };
    let yes_no = |there| if there { "yes" } else { "MISSING" }.to_owned();
    let svt_av1 = found
        .svt_av1
        .clone()
        .unwrap_or_else(|| "unknown".to_owned());
    let mut table = Table::new();
    for (name, value) in [
        ("av1cli", findings.av1cli.to_owned()),
        ("FFmpeg", found.ffmpeg.clone()),
        ("libavcodec", found.libavcodec.clone()),
        ("libavformat", found.libavformat.clone()),
        ("libavfilter", found.libavfilter.clone()),
        ("SVT-AV1", svt_av1),
        ("libsvtav1 (AV1 encoder)", yes_no(found.has_libsvtav1)),
        ("libopus (Opus encoder)", yes_no(found.has_libopus)),
        ("bwdif (deinterlacer)", yes_no(found.has_bwdif)),
        ("Dolby Vision", dolby_vision.to_owned()),
    ] {
        table.row(&[name.to_owned(), value]);
    }
    let mut lines: Vec<_> = table.lines().collect();
    for note in &findings.notes {
        lines.extend([String::new(), format!("note: {note}")]);
    }
    lines.push(String::new());
    if findings.missing.is_empty() {
        lines.push("Everything that is needed is here.".to_owned());
    } else {
        lines.extend(remedy(findings));
    }
    lines
}

/// How to get what is missing.
fn remedy(findings: &Findings<'_>) -> Vec<String> {
    let mut lines = vec![format!(
        "libavcodec {} was built without {}. These packages bring one that has both encoders; \
         a build of your own needs --enable-libsvtav1 --enable-libopus:",
        findings.capabilities.libavcodec,
        findings.missing.join(" and "),
    )];
    let mut table = Table::new();
    for (system, command) in PACKAGES {
        table.row(&[format!("  {system}"), command.to_owned()]);
    }
    lines.extend(table.lines());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_where_to_get_it() {
        let mut capabilities = av1core::capabilities();
        capabilities.has_libopus = false;
        capabilities.has_bwdif = false;
        let findings = Findings::new(&capabilities);
        assert_eq!(findings.missing, ["libopus"]);
        let text = describe(&findings).join("\n");
        for expected in [
            "without libopus",
            "apt install",
            "dnf install",
            "pacman -S",
            "apk add",
            "brew install",
            "no bwdif",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn what_becomes_of_dolby_vision_is_told() {
        let mut capabilities = av1core::capabilities();
        capabilities.has_libsvtav1 = true;
        for (drops, words) in [
            (true, "FFmpeg 7.1 and later"),
            (false, "becomes profile 10"),
        ] {
            capabilities.encoder_limits.drops_dolby_vision = drops;
            let notes = notes(&capabilities);
            assert!(notes.iter().any(|note| note.contains(words)), "{notes:?}");
        }
    }

    #[test]
    fn an_old_or_unknown_encoder_is_told_with_the_reason() {
        let mut capabilities = av1core::capabilities();
        capabilities.has_libsvtav1 = true;
        capabilities.one_encoder_a_process = true;
        capabilities.svt_av1 = Some("1.4.1".to_owned());
        assert!(notes(&capabilities)[0].starts_with("SVT-AV1 1.4.1 is older than 4.1."));
        capabilities.svt_av1 = None;
        assert!(notes(&capabilities)[0].contains("cannot be found out"));
        capabilities.one_encoder_a_process = false;
        assert!(!notes(&capabilities).iter().any(|note| note.contains("4.1")));
        capabilities.fastest_preset = 10;
        let notes = notes(&capabilities);
        assert!(notes.iter().any(|note| note.contains("presets above 10")));
    }
}
