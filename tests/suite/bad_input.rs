//! Bad input is told in one line that names the file and the cause, with an exit
//! code of its own, and nothing is left behind. Each case goes through the library
//! and through the programme.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use av1core::ErrorKind;

use crate::support::cli;
use crate::support::command::make;
use crate::support::refuse::{DAMAGED, UNFIT, UNREADABLE, refused};
use crate::support::scratch::assert_holds;
use crate::support::{Scratch, clip, encode, fast, fast_preset, recipe, watched};

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
            for seed in 0..5 {
                let damaged = folder.write(format!("damaged-{name}"), damage(&bytes, seed));
                let out = Scratch::new();
                let output = out.file("out.mkv");
                let run = cli::run(
                    ["transcode", "--preset", &fast_preset().to_string(), "-q"]
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
    let reach = if seed.is_multiple_of(2) {
        600
    } else {
        bytes.len()
    };
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

/// Sound that begins past what the probe reads (a minute) has no track in the plan;
/// it is not left out in silence.
#[test]
fn a_stream_that_appears_late_is_told() {
    watched(|| {
        let folder = Scratch::new();
        let silent = folder.file("silent.ts");
        let picture = |seconds| format!("-f lavfi -i testsrc2=s=64x64:r=5:d={seconds}");
        let codec = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
        make(&format!("{} {codec}", picture(70)), &silent);
        let loud = folder.file("loud.ts");
        let sound = "-f lavfi -i sine=d=5 -c:a mp2 -output_ts_offset 70";
        make(&format!("{} {sound} {codec}", picture(5)), &loud);
        let mut bytes = fs::read(silent).expect("read");
        bytes.extend(fs::read(loud).expect("read"));
        let source = folder.write("late.ts", bytes);
        refused(&source, (ErrorKind::Damaged, DAMAGED));
        let told = cli::run(["plan".as_ref(), source.as_path()]).stderr;
        assert!(told.contains("a remux shows it from the start"), "{told}");
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
            let encoded = encode(&source, &fast());
            encoded.assert_same_times(&source);
        }
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
