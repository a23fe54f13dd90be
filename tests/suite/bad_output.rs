//! An output that cannot be is told as bad input is: one line, a code of its own,
//! nothing left behind, nobody's file touched. So are settings that the encoder
//! refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use av1core::{CancelToken, Destination, ErrorKind};

use crate::support::command::make;
use crate::support::encode::failure;
use crate::support::mount::Mounted;
use crate::support::refuse::{OUTPUT_REFUSED, refused_by_programme, refused_into};
use crate::support::scratch::{assert_holds, fingerprint, names};
use crate::support::{Scratch, clip, fast, watched};

#[test]
fn an_output_that_exists_is_left_as_it_is() {
    watched(|| {
        let folder = Scratch::new();
        let output = folder.write("there.mkv", "somebody's");
        let source = clip("bbb-aac-5.1.mp4");
        refused_into(&source, &output, &output, (ErrorKind::OutputExists, 4));
        assert_eq!(fs::read(&output).expect("there"), b"somebody's");
        // A link to nowhere is somebody's too.
        let dangling = folder.file("dangling.mkv");
        symlink("nowhere", &dangling).expect("a link");
        refused_into(&source, &dangling, &dangling, (ErrorKind::OutputExists, 4));
        assert_holds(folder.path(), &["dangling.mkv", "there.mkv"]);
    });
}

/// By its own name, through a link of either kind, and with --overwrite.
#[test]
fn an_output_that_is_the_input() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mkv");
        fs::copy(clip("bbb-attachment.mkv"), &source).expect("copied");
        let (soft, hard) = (folder.file("soft.mkv"), folder.file("hard.mkv"));
        symlink("film.mkv", &soft).expect("a link");
        fs::hard_link(&source, &hard).expect("a link");
        let detour = folder.folder("sub").join("../film.mkv");
        let before = fingerprint(&source);
        for output in [&source, &soft, &hard, &detour] {
            let expected = (ErrorKind::OutputIsSource, 5);
            refused_into(&source, output, output, expected);
            let destination = Destination::new(output).overwrite(true);
            let error = failure(&source, &destination, &fast());
            assert_eq!(error.kind(), ErrorKind::OutputIsSource, "{error:?}");
            let name = output.file_name().expect("a name").to_string_lossy();
            refused_by_programme(&source, output, &["--overwrite"], (&name, 5));
        }
        // And the other way round: the input is the link.
        refused_into(&soft, &source, &source, (ErrorKind::OutputIsSource, 5));
        assert_eq!(fingerprint(&source), before);
        assert!(soft.is_symlink());
        assert_holds(folder.path(), &["film.mkv", "hard.mkv", "soft.mkv", "sub"]);
    });
}

/// While it runs, the output has a dot name that no media server takes for a film;
/// a stranger who takes the final name in the meantime keeps it.
#[test]
fn an_output_that_appears_while_the_encode_runs() {
    watched(|| {
        let folder = Scratch::new();
        let output = folder.file("out.mkv");
        let source = clip("bbb-attachment.mkv");
        let destination = Destination::new(&output);
        let cancel = CancelToken::new();
        let mut seen = Vec::new();
        let error = av1core::transcode(&source, &destination, &fast(), &cancel, |event| {
            if matches!(event, av1core::Event::Progress(_)) && !output.exists() {
                seen = names(folder.path());
                fs::write(&output, "somebody's").expect("written");
            }
        })
        .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::OutputExists, "{error:?}");
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(
            seen[0].starts_with(".out.mkv.") && seen[0].ends_with(".av1part"),
            "{seen:?}"
        );
        assert_eq!(fs::read(&output).expect("there"), b"somebody's");
        assert_holds(folder.path(), &["out.mkv"]);
    });
}

#[test]
fn an_output_folder_that_is_missing() {
    watched(|| {
        let folder = Scratch::new();
        let output = folder.file("missing").join("out.mkv");
        let source = clip("bbb-aac-5.1.mp4");
        let expected = (ErrorKind::OutputFolder, OUTPUT_REFUSED);
        refused_into(&source, &output, &output, expected);
        assert_holds(folder.path(), &[]);
    });
}

#[test]
fn an_output_that_is_a_folder() {
    watched(|| {
        let folder = Scratch::new();
        let output = folder.folder("out.mkv");
        let source = clip("bbb-aac-5.1.mp4");
        let expected = (ErrorKind::OutputFolder, OUTPUT_REFUSED);
        refused_into(&source, &output, &output, expected);
        // A file where a folder should be.
        let file = folder.write("file", "");
        let output = file.join("out.mkv");
        let error = failure(&source, &Destination::new(&output), &fast());
        assert_eq!(error.kind(), ErrorKind::OutputFolder, "{error:?}");
        assert_holds(folder.path(), &["file", "out.mkv"]);
        assert_eq!(names(&folder.file("out.mkv")), Vec::<String>::new());
    });
}

#[test]
fn an_output_in_a_container_that_is_not_written() {
    watched(|| {
        let folder = Scratch::new();
        let output = folder.file("out.avi");
        let source = clip("bbb-aac-5.1.mp4");
        let expected = (ErrorKind::OutputFormat, OUTPUT_REFUSED);
        refused_into(&source, &output, &output, expected);
        assert_holds(folder.path(), &[]);
    });
}

#[test]
fn an_output_folder_that_may_not_be_written_to() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("bbb-aac-5.1.mp4");
        let expected = (ErrorKind::OutputDenied, OUTPUT_REFUSED);
        if rustix::process::geteuid().is_root() {
            // Root may write anywhere but to a file system that is read-only.
            let Some(mounted) = Mounted::tmpfs(&folder, "read-only", "ro") else {
                return;
            };
            let output = mounted.path().join("out.mkv");
            refused_into(&source, &output, &output, expected);
        } else {
            let locked = folder.folder("locked");
            fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("permissions");
            let output = locked.join("out.mkv");
            refused_into(&source, &output, &output, expected);
            assert_holds(&locked, &[]);
        }
    });
}

#[test]
fn a_disk_that_is_full() {
    watched(|| {
        let folder = Scratch::new();
        let Some(mounted) = Mounted::tmpfs(&folder, "small", "size=200k") else {
            return;
        };
        let source = clip("sintel-bframes-aac.mp4");
        let before = fingerprint(&source);
        let output = mounted.path().join("out.mkv");
        refused_into(&source, &output, &output, (ErrorKind::DiskFull, 10));
        assert_holds(mounted.path(), &[]);
        // There is room again: nothing was left open either.
        let filled = mounted.path().join("filled");
        fs::write(&filled, vec![0; 150 * 1024]).expect("there is room again");
        assert_eq!(fingerprint(&source), before);
    });
}

/// A sixteenth of a small disk, 64 MiB of a large one, is left for others.
#[test]
fn a_disk_is_not_filled_to_its_last_byte() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("noise.mkv");
        make(
            "-f lavfi -i nullsrc=s=640x360:r=25:d=2,geq=random(1)*255:128:128,format=yuv420p \
             -c:v ffv1",
            &source,
        );
        let Some(mounted) = Mounted::tmpfs(&folder, "small", "size=8m") else {
            return;
        };
        let free = || {
            let found = rustix::fs::statvfs(mounted.path()).expect("asked");
            found.f_bavail * found.f_frsize
        };
        let mut options = fast();
        options.crf = av1core::Crf::new(1).ok();
        let output = Destination::new(mounted.path().join("out.mkv"));
        let mut least_free = u64::MAX;
        let outcome = av1core::transcode(&source, &output, &options, &CancelToken::new(), |_| {
            least_free = least_free.min(free());
        });
        let error = outcome.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        // The system's own refusal has its number.
        assert!(!error.to_string().contains("os error"), "{error}");
        assert!(least_free < 6 * 1024 * 1024, "it wrote next to nothing");
        assert_holds(mounted.path(), &[]);
    });
}

/// The disk is full before the first byte: not even the header fits.
#[test]
fn a_disk_that_was_full_before() {
    watched(|| {
        let folder = Scratch::new();
        let Some(mounted) = Mounted::tmpfs(&folder, "full", "size=40k") else {
            return;
        };
        let filled = mounted.path().join("filled");
        // As much as goes in; the error is the point.
        let _ = fs::write(&filled, vec![0; 64 * 1024]);
        let source = clip("bbb-attachment.mkv");
        let output = mounted.path().join("out.mkv");
        refused_into(&source, &output, &output, (ErrorKind::DiskFull, 10));
        assert_holds(mounted.path(), &["filled"]);
    });
}

#[test]
fn parameters_that_the_encoder_refuses() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("bbb-attachment.mkv");
        for (key, value) in [("no-such-parameter", "1"), ("tune", "99")] {
            let mut options = fast();
            options.svtav1_params = vec![(key.to_owned(), value.to_owned())];
            let output = folder.file("out.mkv");
            let error = failure(&source, &Destination::new(&output), &options);
            assert_eq!(error.kind(), ErrorKind::EncoderRefused, "{error:?}");
            let parameter = format!("{key}={value}");
            refused_by_programme(
                &source,
                &output,
                &["--svtav1-params", &parameter],
                ("bbb-attachment.mkv", 12),
            );
        }
        assert_holds(folder.path(), &[]);
    });
}
