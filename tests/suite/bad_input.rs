//! Bad input is told in one line that names the file and the cause, with an exit
//! code of its own, and nothing is left behind. Each case goes through the library
//! and through the programme.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use av1core::{Destination, ErrorKind};

use crate::support::cli;
use crate::support::command::make;
use crate::support::encode::failure;
use crate::support::mount::Tmpfs;
use crate::support::scratch::{assert_holds, fingerprint, names};
use crate::support::{Scratch, clip, fast, recipe, watched};

/// The library's kind and the programme's exit code.
type Expected = (ErrorKind, i32);

const UNREADABLE: i32 = 6;
const UNFIT: i32 = 7;
const DAMAGED: i32 = 8;
const OUTPUT_REFUSED: i32 = 9;

/// `source` into a fresh folder: refused, and the folder stays empty.
fn refused(source: &Path, expected: Expected) {
    let folder = Scratch::new();
    refused_into(source, &folder.file("out.mkv"), source, expected);
    assert_holds(folder.path(), &[]);
}

/// `source` into `output` is refused with a line that names `culprit`.
fn refused_into(source: &Path, output: &Path, culprit: &Path, (kind, code): Expected) {
    let error = failure(source, &Destination::new(output), &fast());
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.path(), culprit, "{error:?}");
    let told = error.to_string();
    assert_eq!(told.lines().count(), 1, "{told}");
    let name = culprit.file_name().expect("a name").to_string_lossy();
    assert!(told.contains(&*name), "{told} does not name {name}");
    refused_by_programme(source, output, &[], (&name, code));
}

fn refused_by_programme(source: &Path, output: &Path, flags: &[&str], (name, code): (&str, i32)) {
    let mut arguments = vec!["transcode".into(), source.into(), output.into()];
    arguments.extend(["--preset", "12"].map(PathBuf::from));
    arguments.extend(flags.iter().map(PathBuf::from));
    let run = cli::run(&arguments);
    run.assert_code(code);
    assert_eq!(run.stdout, "");
    let errors: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("warning: "))
        .collect();
    assert_eq!(errors.len(), 1, "one line: {}", run.stderr);
    assert!(errors[0].contains(name), "{} in {}", name, errors[0]);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

#[test]
fn a_missing_file() {
    watched(|| {
        let folder = Scratch::new();
        refused(
            &folder.file("nowhere.mkv"),
            (ErrorKind::NotFound, UNREADABLE),
        );
    });
}

#[test]
fn an_empty_file() {
    watched(|| {
        let folder = Scratch::new();
        refused(&folder.write("empty.mkv", ""), (ErrorKind::Empty, UNFIT));
    });
}

#[test]
fn a_text_file_whatever_it_is_called() {
    watched(|| {
        let folder = Scratch::new();
        for name in ["notes.txt", "notes.mkv", "notes.mp4", "notes"] {
            let text = "To whom it may concern:\nthis is no film.\n".repeat(200);
            refused(&folder.write(name, text), (ErrorKind::NotMedia, UNFIT));
        }
    });
}

/// A playlist names other files; a film it is not.
#[test]
fn a_playlist_opens_no_other_file() {
    watched(|| {
        let folder = Scratch::new();
        let film = clip("bbb-aac-5.1.mp4");
        let list = format!("ffconcat version 1.0\nfile '{}'\n", film.display());
        refused(
            &folder.write("list.mkv", list),
            (ErrorKind::NotMedia, UNFIT),
        );
        let list = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{}\n#EXT-X-ENDLIST\n",
            film.display()
        );
        refused(
            &folder.write("list.m3u8", list),
            (ErrorKind::NotMedia, UNFIT),
        );
    });
}

#[test]
fn a_folder() {
    watched(|| {
        let folder = Scratch::new();
        refused(
            &folder.folder("films.mkv"),
            (ErrorKind::NotAFile, UNREADABLE),
        );
    });
}

/// A pipe without a writer would be waited for, for ever.
#[test]
fn a_pipe_does_not_hang() {
    watched(|| {
        let folder = Scratch::new();
        let pipe = folder.file("pipe.mkv");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        refused(&pipe, (ErrorKind::NotAFile, UNREADABLE));
    });
}

#[test]
fn a_file_that_may_not_be_read() {
    watched(|| {
        if rustix::process::geteuid().is_root() {
            eprintln!("skipped: root may read any file");
            return;
        }
        let folder = Scratch::new();
        let secret = folder.write("secret.mkv", "secret");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("permissions");
        refused(&secret, (ErrorKind::Unreadable, UNREADABLE));
    });
}

#[test]
fn sound_without_a_picture() {
    watched(|| {
        let folder = Scratch::new();
        for (name, codec) in [
            ("song.mka", "flac"),
            ("song.mp3", "libmp3lame"),
            ("song.m4a", "aac"),
        ] {
            let song = folder.file(name);
            make(&format!("-f lavfi -i sine=d=1 -c:a {codec}"), &song);
            refused(&song, (ErrorKind::NoVideo, UNFIT));
        }
    });
}

/// A song whose only picture is its cover is not a film.
#[test]
fn a_song_with_a_cover() {
    watched(|| {
        let folder = Scratch::new();
        let art = folder.file("cover.png");
        make("-f lavfi -i testsrc2=s=128x128 -frames:v 1 -update 1", &art);
        let song = folder.file("song.m4a");
        make(
            &format!(
                "-f lavfi -i sine=d=1 -i {} -map 0 -map 1 -c:a aac -c:v copy \
                 -disposition:v attached_pic",
                art.display()
            ),
            &song,
        );
        refused(&song, (ErrorKind::NoVideo, UNFIT));
    });
}

/// An MP4 file without its index, which stands at its end.
#[test]
fn an_mp4_cut_before_its_index() {
    watched(|| {
        let folder = Scratch::new();
        let whole = recipe::film(&folder, "whole.mp4", (25, 2.0), recipe::H264);
        let bytes = fs::read(whole).expect("read");
        let index = recipe::find(&bytes, b"moov").expect("an index");
        let cut = folder.write("cut.mp4", &bytes[..index - 4]);
        refused(&cut, (ErrorKind::NotMedia, UNFIT));
    });
}

/// The index is there and promises twice the film.
#[test]
fn an_mp4_whose_second_half_is_missing() {
    watched(|| {
        let folder = Scratch::new();
        let codec = format!("{} -movflags +faststart", recipe::H264);
        let whole = recipe::film(&folder, "whole.mp4", (25, 10.0), &codec);
        let bytes = fs::read(whole).expect("read");
        let cut = folder.write("cut.mp4", &bytes[..bytes.len() / 2]);
        refused(&cut, (ErrorKind::Truncated, DAMAGED));
    });
}

#[test]
fn a_matroska_file_whose_second_half_is_missing() {
    watched(|| {
        let folder = Scratch::new();
        let codec = format!("{} -g 25", recipe::H264);
        let whole = recipe::film(&folder, "whole.mkv", (25, 10.0), &codec);
        let bytes = fs::read(whole).expect("read");
        let cut = folder.write("cut.mkv", &bytes[..bytes.len() / 2]);
        refused(&cut, (ErrorKind::Truncated, DAMAGED));
    });
}

/// Every eighth byte of the pictures is another one.
#[test]
fn a_film_full_of_errors_is_left_alone() {
    watched(|| {
        let folder = Scratch::new();
        let codec = format!("{} -g 25 -movflags +faststart", recipe::H264);
        let whole = recipe::film(&folder, "whole.mp4", (25, 4.0), &codec);
        let mut bytes = fs::read(whole).expect("read");
        let pictures = recipe::find(&bytes, b"mdat").expect("the pictures") + 2000;
        for byte in bytes[pictures..].iter_mut().step_by(97) {
            *byte ^= 0x5a;
        }
        let damaged = folder.write("damaged.mp4", bytes);
        refused(&damaged, (ErrorKind::Damaged, DAMAGED));
    });
}

/// Bytes changed at random: whatever comes of it, it ends, with a documented code and
/// at most one line, and a failed run leaves nothing.
#[test]
fn random_damage_neither_crashes_nor_hangs_nor_litters() {
    watched(|| {
        let folder = Scratch::new();
        let film = folder.file("film.mkv");
        make(
            &format!(
                "{} -f lavfi -i sine=d=1 {} -c:a libmp3lame",
                recipe::picture("128x96", 25, 1.0),
                recipe::H264
            ),
            &film,
        );
        for name in ["film.mkv", "film.mp4", "film.ts"] {
            let whole = folder.file(name);
            if whole != film {
                make(&format!("-i {} -c copy", film.display()), &whole);
            }
            let bytes = fs::read(&whole).expect("read");
            for seed in 0..8 {
                let damaged = folder.write(format!("damaged-{name}"), damage(&bytes, seed));
                let out = Scratch::new();
                let output = out.file("out.mkv");
                let run = cli::run(
                    ["transcode", "--preset", "12", "-q"]
                        .map(Path::new)
                        .into_iter()
                        .chain([damaged.as_path(), &output]),
                );
                let errors = run
                    .stderr
                    .lines()
                    .filter(|line| !line.starts_with("warning: "));
                let told = errors.count();
                match run.code() {
                    0 => {
                        assert_eq!(told, 0, "{name}, seed {seed}: {}", run.stderr);
                        assert_holds(out.path(), &["out.mkv"]);
                    }
                    3 | UNFIT | DAMAGED => {
                        assert_eq!(told, 1, "{name}, seed {seed}: {}", run.stderr);
                        assert_holds(out.path(), &[]);
                    }
                    code => panic!("{name}, seed {seed}: {code}: {}", run.stderr),
                }
            }
        }
    });
}

/// A few bytes changed, half of the times in the header alone (Knuth's MMIX generator).
fn damage(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut damaged = bytes.to_vec();
    let reach = if seed % 2 == 0 { 600 } else { bytes.len() };
    for _ in 0..=next() % 20 {
        let at = next() % reach.min(bytes.len());
        damaged[at] = next() as u8;
    }
    damaged
}

#[test]
fn a_real_file_that_is_too_damaged_to_open() {
    watched(|| {
        refused(
            &clip("damaged/unopenable.mkv"),
            (ErrorKind::NotMedia, UNFIT),
        );
    });
}

/// Two recordings one behind the other, as `cat` joins them: the clock runs back.
#[test]
fn a_clock_that_jumps_back_is_left_alone() {
    watched(|| {
        let folder = Scratch::new();
        let part = recipe::film(&folder, "part.ts", (25, 2.0), "-c:v mpeg2video -q:v 4");
        let mut bytes = fs::read(&part).expect("read");
        bytes.extend(bytes.clone());
        let joined = folder.write("joined.ts", bytes);
        refused(&joined, (ErrorKind::Damaged, DAMAGED));
    });
}

#[test]
fn a_codec_that_nobody_knows() {
    watched(|| {
        let folder = Scratch::new();
        let film = recipe::film(&folder, "film.avi", (25, 1.0), "-c:v mpeg4 -q:v 3");
        let mut bytes = fs::read(film).expect("read");
        assert!(recipe::patch(&mut bytes, b"FMP4", b"QQQQ") > 0);
        let unknown = folder.write("unknown.avi", bytes);
        refused(&unknown, (ErrorKind::UnknownCodec, UNFIT));

        let film = recipe::film(&folder, "film.mkv", (25, 1.0), recipe::H264);
        let mut bytes = fs::read(film).expect("read");
        let patched = recipe::patch(&mut bytes, b"V_MPEG4/ISO/AVC", b"V_QQQQ4/ISO/QQQ");
        assert!(patched > 0);
        let unknown = folder.write("unknown.mkv", bytes);
        refused(&unknown, (ErrorKind::UnknownCodec, UNFIT));
    });
}

#[test]
fn a_sound_track_that_nobody_knows() {
    watched(|| {
        let folder = Scratch::new();
        let film = folder.file("film.mkv");
        let picture = recipe::picture("128x96", 25, 1.0);
        make(
            &format!(
                "{picture} -f lavfi -i sine=d=1 {} -c:a libmp3lame",
                recipe::H264
            ),
            &film,
        );
        let mut bytes = fs::read(film).expect("read");
        assert!(recipe::patch(&mut bytes, b"A_MPEG/L3", b"A_QQQQ/QQ") > 0);
        let unknown = folder.write("unknown.mkv", bytes);
        refused(&unknown, (ErrorKind::UnknownCodec, UNFIT));
    });
}

#[test]
fn an_encrypted_film() {
    watched(|| {
        let folder = Scratch::new();
        let film = recipe::film(&folder, "film.mp4", (25, 1.0), recipe::H264);
        let encrypted = folder.file("encrypted.mp4");
        make(
            &format!(
                "-i {} -c copy -encryption_scheme cenc-aes-ctr \
                 -encryption_key 76a6c65c5ea762046bd749a2e632ccbb \
                 -encryption_kid a7e61c373e219033c21091fa607bf3b8",
                film.display()
            ),
            &encrypted,
        );
        refused(&encrypted, (ErrorKind::Encrypted, UNFIT));
    });
}

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
        let cancel = av1core::CancelToken::new();
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
            seen[0].starts_with(".out.mkv.") && seen[0].ends_with(".part"),
            "{seen:?}"
        );
        assert_eq!(fs::read(&output).expect("there"), b"somebody's");
        assert_holds(folder.path(), &["out.mkv"]);
    });
}

/// A subtitle that lasts a minute does not make a film of two seconds one that is
/// cut short.
#[test]
fn a_long_subtitle_is_no_damage() {
    watched(|| {
        let folder = Scratch::new();
        let text = "1\n00:00:00,500 --> 00:01:00,000\nfor a minute\n\n";
        let subtitles = folder.write("in.srt", text);
        for name in ["film.mkv", "film.mp4"] {
            let source = folder.file(name);
            let codec = if name.ends_with("mp4") {
                "mov_text"
            } else {
                "srt"
            };
            make(
                &format!(
                    "{} -i {} {} -c:s {codec}",
                    recipe::picture("128x96", 25, 2.0),
                    subtitles.display(),
                    recipe::H264
                ),
                &source,
            );
            let encoded = crate::support::encode(&source, &fast());
            encoded.assert_same_times(&source);
        }
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
        let output = folder.file("out.mp4");
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
            let Some(mounted) = Tmpfs::mount(&folder, "read-only", "ro") else {
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
        let Some(mounted) = Tmpfs::mount(&folder, "small", "size=200k") else {
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

/// The disk is full before the first byte: not even the header fits.
#[test]
fn a_disk_that_was_full_before() {
    watched(|| {
        let folder = Scratch::new();
        let Some(mounted) = Tmpfs::mount(&folder, "full", "size=40k") else {
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

/// What is refused says so in JSON as well, on stdout, and on stderr in words.
#[test]
fn refusals_are_told_in_json_too() {
    watched(|| {
        let folder = Scratch::new();
        let run = cli::run([
            "transcode".into(),
            folder.file("nowhere.mkv"),
            folder.file("out.mkv"),
            "--json".into(),
        ]);
        run.assert_code(UNREADABLE);
        let lines = run.lines();
        assert_eq!(lines.len(), 1, "{}", run.stdout);
        assert_eq!(lines[0]["event"], "error");
        assert_eq!(lines[0]["kind"], "not_found");
        assert_eq!(lines[0]["exit_code"], UNREADABLE);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert_holds(folder.path(), &[]);
    });
}

/// `probe` and `plan` tell the same of what they cannot read.
#[test]
fn probe_and_plan_refuse_alike() {
    watched(|| {
        let folder = Scratch::new();
        let missing = folder.file("nowhere.mkv");
        let empty = folder.write("empty.mkv", "");
        let text = folder.write("notes.txt", "no film\n".repeat(100));
        for command in ["probe", "plan"] {
            for (path, code) in [(&missing, UNREADABLE), (&empty, UNFIT), (&text, UNFIT)] {
                let run = cli::run([command.as_ref(), path.as_path()]);
                run.assert_code(code);
                assert_eq!(run.stdout, "");
                assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
                assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
            }
        }
    });
}
