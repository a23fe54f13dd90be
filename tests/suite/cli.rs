//! The programme as people and scripts use it: lines, exit codes, names, signals.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use av1core::EncoderLimits;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::cli::{self, Run, Running, av1cli};
use crate::support::probe::{frame_times, inventory};
use crate::support::scratch::{assert_holds, fingerprint};
use crate::support::watchdog::now;
use crate::support::{Scratch, clip, fast_preset, recipe, watched};

/// `av1cli transcode` at the quickest preset.
fn transcode(source: &Path, output: &Path, flags: &[&str]) -> Run {
    cli::run(arguments(source, output, flags))
}

fn arguments(source: &Path, output: &Path, flags: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["transcode".into(), source.into(), output.into()];
    arguments.extend(["--preset".into(), fast_preset().to_string().into()]);
    arguments.extend(flags.iter().map(OsString::from));
    arguments
}

/// A second of film.
fn short_film(folder: &Scratch) -> PathBuf {
    recipe::film(folder, "film.mkv", (25, 1.0), recipe::H264)
}

#[test]
fn a_film_goes_through_with_one_line_at_the_end() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("bbb-aac-5.1.mp4");
        let output = folder.file("out.mkv");
        let run = transcode(&source, &output, &[]);
        run.assert_code(0);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
        assert!(run.stdout.contains("132 frames"), "{}", run.stdout);
        assert!(run.stdout.contains("SVT-AV1"), "{}", run.stdout);
        assert_eq!(run.stderr, "", "no bar without a terminal, no banner");
        assert_eq!(frame_times(&output).ticks.len(), 132);
        assert_holds(folder.path(), &["out.mkv"]);
    });
}

/// Fields of each event by the table in `transcode --help`.
fn documented() -> BTreeMap<String, Vec<String>> {
    let help = cli::run(["transcode", "--help"]);
    help.assert_code(0);
    let mut events = BTreeMap::new();
    let mut event = String::new();
    let table = help.stdout.split("JSON lines (--json)").nth(1);
    for line in table.expect("the table of JSON lines").lines().skip(1) {
        if line.starts_with("Exit codes") {
            break;
        }
        let indent = line.len() - line.trim_start().len();
        let word = line.split_whitespace().next().unwrap_or("");
        match indent {
            2 if line.contains(": ") => {
                event = word.trim_end_matches(':').to_owned();
                events.insert(event.clone(), Vec::new());
            }
            4 => {
                let fields = events.get_mut(&event).expect("an event");
                fields.push(word.to_owned());
            }
            _ => {}
        }
    }
    events
}

/// The fields at the top of each line are those of the documentation.
#[test]
fn json_lines_have_the_documented_fields() {
    watched(|| {
        let documented = documented();
        assert!(documented.contains_key("progress"), "{documented:?}");
        let folder = Scratch::new();
        let source = clip("sintel-bframes-aac.mp4");
        let run = transcode(&source, &folder.file("out.mkv"), &["--json"]);
        run.assert_code(0);
        let lines = run.lines();
        for line in &lines {
            let object = line.as_object().expect("an object");
            let event = object["event"].as_str().expect("an event");
            let fields = documented.get(event).expect("a documented event");
            let tops: Vec<_> = fields
                .iter()
                .map(|field| field.split(['.', '[']).next().unwrap_or(field))
                .collect();
            for key in object.keys().filter(|key| *key != "event") {
                assert!(tops.contains(&key.as_str()), "{event}.{key}");
            }
            for top in tops {
                assert!(object.contains_key(top), "{event}.{top} is missing");
            }
        }
        assert_run_in_lines(&lines, &folder.file("out.mkv"));
        assert_holds(folder.path(), &["out.mkv"]);
    });
}

fn assert_run_in_lines(lines: &[Value], output: &Path) {
    assert_eq!(lines[0]["event"], "planned");
    let progress: Vec<_> = lines.iter().filter(|l| l["event"] == "progress").collect();
    let frames: Vec<_> = progress.iter().map(|l| l["frames_done"].as_u64()).collect();
    assert!(frames.is_sorted(), "{frames:?}");
    let last = progress.last().expect("progress");
    assert_eq!(last["frames_total"]["kind"], "exact");
    assert_eq!(last["frames_total"]["frames"], 208);
    assert_eq!(last["frames_done"], 208);
    let done = lines.last().expect("a last line");
    assert_eq!(done["event"], "done");
    assert_eq!(done["frames"], 208);
    let size = fs::metadata(output).expect("an output").len();
    assert_eq!(done["output_bytes"], size);
    assert_eq!(last["bytes_written"], size);
    assert_eq!(done["output"], output.to_string_lossy().as_ref());
}

#[test]
fn quiet_says_nothing_where_all_is_well() {
    watched(|| {
        let folder = Scratch::new();
        let source = short_film(&folder);
        let run = transcode(&source, &folder.file("out.mkv"), &["--quiet"]);
        run.assert_code(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
        // Errors come all the same.
        let run = transcode(&source, &folder.file("out.mkv"), &["-q"]);
        run.assert_code(4);
        assert_eq!(run.stdout, "");
        assert_eq!(run.stderr.lines().count(), 1);
    });
}

#[test]
fn nothing_is_overwritten_unasked() {
    watched(|| {
        let folder = Scratch::new();
        let source = short_film(&folder);
        let output = folder.write("out.mkv", "somebody's");
        let run = transcode(&source, &output, &[]);
        run.assert_code(4);
        assert!(run.stderr.contains("--overwrite"), "{}", run.stderr);
        assert_eq!(fs::read(&output).expect("there"), b"somebody's");
        transcode(&source, &output, &["--overwrite"]).assert_code(0);
        assert_eq!(frame_times(&output).ticks.len(), 25);
        assert_holds(folder.path(), &["film.mkv", "out.mkv"]);
    });
}

#[test]
fn a_skip_has_its_own_code_and_names_its_flag() {
    watched(|| {
        let folder = Scratch::new();
        let output = folder.file("out.mkv");
        for (name, flag, kind) in [
            ("av1-srt.mkv", "--allow-av1", "already_av1"),
            (
                "bbb-six-srt-444p10.mkv",
                "--allow-chroma-loss",
                "chroma_loss",
            ),
        ] {
            let source = clip(name);
            let run = transcode(&source, &output, &[]);
            run.assert_code(3);
            assert_eq!(run.stdout, "");
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
            assert!(
                run.stderr.contains(flag) && run.stderr.contains(name),
                "{}",
                run.stderr
            );
            assert_holds(folder.path(), &[]);

            let run = transcode(&source, &output, &["--json"]);
            run.assert_code(3);
            let line = run.lines().pop().expect("a line");
            assert_eq!(line["event"], "skipped");
            assert_eq!(line["reason"]["kind"], kind);
            assert_eq!(line["allowed_by"], flag);

            let run = cli::run([OsStr::new("plan"), source.as_os_str()]);
            run.assert_code(3);

            transcode(&source, &output, &[flag]).assert_code(0);
            let video = &inventory(&output)["streams"][0];
            assert_eq!(video["codec_name"], "av1");
            fs::remove_file(&output).expect("removed");
        }
    });
}

/// A skip that no flag lifts names none.
#[test]
fn an_odd_picture_is_left_alone_whatever_is_allowed_or_keeps_its_size() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("city-mpeg2-odd-height.mpg");
        let output = folder.file("out.mkv");
        let run = transcode(&source, &output, &[]);
        if av1core::capabilities().encoder_limits == EncoderLimits::NONE {
            run.assert_code(0);
            let info = av1core::probe(&output).expect("a film");
            let video = info.main_video().and_then(|v| v.video()).expect("a video");
            assert_eq!((video.width, video.height), (720, 405));
            return;
        }
        run.assert_code(3);
        assert!(run.stderr.contains("720x405"), "{}", run.stderr);
        assert!(!run.stderr.contains("--allow"), "{}", run.stderr);
        assert_holds(folder.path(), &[]);
    });
}

/// Ctrl-C, and what `kill` sends.
#[test]
fn signals_cancel_and_leave_nothing() {
    watched(|| {
        let source = clip("sintel-bframes-aac.mp4");
        let before = fingerprint(&source);
        for (signal, moment) in [
            (Signal::INT, "planned"),
            (Signal::INT, "progress"),
            (Signal::TERM, "progress"),
        ] {
            let folder = Scratch::new();
            let output = folder.file("out.mkv");
            let mut running = Running::start(arguments(&source, &output, &["--json"]));
            running.wait_for(moment);
            let sent = now();
            running.signal(signal);
            let status = running.0.wait().expect("ended");
            let took = sent.elapsed();
            assert_eq!(status.code(), Some(130), "{signal:?} at {moment}");
            assert!(took < Duration::from_secs(2), "{took:?}");
            assert_holds(folder.path(), &[]);
            let mut told = String::new();
            let stderr = running.0.stderr.as_mut().expect("piped");
            stderr.read_to_string(&mut told).expect("UTF-8");
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(told.contains("cancelled"), "{told}");
        }
        assert_eq!(fingerprint(&source), before);
    });
}

/// Names that trip programmes up. The output's name is as strange as the input's.
#[test]
fn strange_names_are_names_like_any_other() {
    watched(|| {
        let folder = Scratch::new();
        let film = short_film(&folder);
        let names: [&[u8]; 7] = [
            b"two words.mkv",
            b"new\nline.mkv",
            b"not \xff utf-8.mkv",
            "Ünïcödé – 漢字.mkv".as_bytes(),
            b"100%d%s.mkv",
            b"-leading-dash.mkv",
            b"concat:file:a|b.mkv",
        ];
        for name in names {
            let inner = Scratch::new();
            let name = OsStr::from_bytes(name);
            fs::copy(&film, inner.file(name)).expect("copied");
            let mut output = OsString::from("out ");
            output.push(name);
            // Relative names, as a person types them; `--` ends the flags.
            let preset = fast_preset().to_string();
            let words = ["transcode", "--preset", &preset, "--"].map(OsStr::new);
            let run = av1cli()
                .current_dir(inner.path())
                .args(words)
                .args([name, output.as_os_str()])
                .output()
                .expect("av1cli starts");
            let told = String::from_utf8_lossy(&run.stderr);
            assert_eq!(run.status.code(), Some(0), "{name:?}: {told}");
            assert_eq!(told, "");
            let line = String::from_utf8(run.stdout).expect("UTF-8");
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(frame_times(&inner.file(&output)).ticks.len(), 25);
            assert_eq!(fs::read_dir(inner.path()).expect("listed").count(), 2);
        }
    });
}

/// A reader that goes away does not end the encode.
#[test]
fn a_closed_pipe_does_not_end_the_encode() {
    watched(|| {
        let folder = Scratch::new();
        let source = short_film(&folder);
        let output = folder.file("out.mkv");
        let mut running = Running::start(arguments(&source, &output, &["--json"]));
        drop(running.0.stdout.take());
        assert_eq!(running.0.wait().expect("ended").code(), Some(0));
        assert_eq!(frame_times(&output).ticks.len(), 25);
    });
}

#[test]
fn the_summary_holds_the_outcome() {
    watched(|| {
        let folder = Scratch::new();
        let source = short_film(&folder);
        let (output, summary) = (folder.file("out.mkv"), folder.file("summary"));
        let path = summary.to_str().expect("UTF-8");
        let read = || fs::read_to_string(&summary).expect("a summary");
        transcode(&source, &output, &["--summary", path]).assert_code(0);
        assert!(read().starts_with("done: "), "{}", read());
        transcode(&source, &output, &["--summary", path]).assert_code(4);
        assert!(read().starts_with("failed: "), "{}", read());
        assert_eq!(read().lines().count(), 1);
        let av1 = clip("av1-srt.mkv");
        transcode(&av1, &folder.file("2.mkv"), &["--summary", path]).assert_code(3);
        assert_eq!(read(), "skipped: the video is AV1 already\n");
        // The source is not a place to write to.
        let before = fingerprint(&source);
        let onto = source.to_str().expect("UTF-8");
        transcode(&source, &folder.file("3.mkv"), &["--summary", onto]).assert_code(2);
        assert_eq!(fingerprint(&source), before);
        assert_holds(folder.path(), &["film.mkv", "out.mkv", "summary"]);
    });
}

#[test]
fn wrong_usage_has_its_own_code() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("bbb-attachment.mkv");
        let output = folder.file("out.mkv");
        for flags in [
            ["--crf", "99"],
            ["--preset", "fast"],
            ["--svtav1-params", "nonsense"],
            ["--no-such-flag", "1"],
        ] {
            let run = transcode(&source, &output, &flags);
            run.assert_code(2);
            assert_eq!(run.stdout, "");
            assert!(run.stderr.contains(flags[0]), "{}", run.stderr);
        }
        assert_holds(folder.path(), &[]);
        cli::run(["transcode"]).assert_code(2);
        cli::run([""; 0]).assert_code(2);
    });
}

#[test]
fn help_names_the_exit_codes_and_the_groups() {
    watched(|| {
        for arguments in [
            &["--help"][..],
            &["transcode", "--help"],
            &["probe", "--help"],
        ] {
            let help = cli::run(arguments).stdout;
            let codes = help.split("Exit codes:").nth(1).expect("exit codes");
            for code in ["0", "3", "4", "10", "130"] {
                let listed = |line: &str| line.split_whitespace().next() == Some(code);
                assert!(codes.lines().any(listed), "{code} in {codes}");
            }
        }
        let help = cli::run(["transcode", "--help"]).stdout;
        for group in ["Video:", "Audio:", "Losses to accept", "Reporting:"] {
            assert!(help.contains(group), "{group}");
        }
        cli::run(["--version"]).assert_code(0);
    });
}

#[test]
fn completions_are_scripts() {
    watched(|| {
        for (shell, word) in [
            ("bash", "complete"),
            ("zsh", "#compdef"),
            ("fish", "complete"),
        ] {
            let run = cli::run(["completions", shell]);
            run.assert_code(0);
            assert!(run.stdout.contains(word), "{shell}");
            assert!(run.stdout.contains("transcode"), "{shell}");
        }
    });
}

#[test]
fn the_doctor_names_versions_and_what_is_missing() {
    watched(|| {
        let run = cli::run(["doctor", "--json"]);
        let found: Value = serde_json::from_str(&run.stdout).expect("JSON");
        let missing = found["missing"].as_array().expect("a list");
        run.assert_code(if missing.is_empty() { 0 } else { 12 });
        assert!(found["libavcodec"].is_string() && found["ffmpeg"].is_string());
        let run = cli::run(["doctor"]);
        for name in ["FFmpeg", "libavcodec", "SVT-AV1", "libopus"] {
            assert!(run.stdout.contains(name), "{}", run.stdout);
        }
        if found["one_encoder_a_process"] == true {
            assert!(run.stdout.contains("4.1"), "{}", run.stdout);
        }
    });
}

/// The table as it is printed, from inside the folder, so that no path is in it.
#[test]
fn probe_prints_a_table() {
    watched(|| {
        let media = clip("bbb-attachment.mkv");
        let folder = media.parent().expect("a folder");
        let mut tables = Vec::new();
        for name in [
            "sintel-bframes-aac.mp4",
            "bbb-six-srt-444p10.mkv",
            "hdr-tags-8bit.mkv",
        ] {
            let run = av1cli()
                .current_dir(folder)
                .args(["probe", name])
                .output()
                .expect("av1cli starts");
            assert!(run.status.success());
            tables.push(String::from_utf8(run.stdout).expect("UTF-8"));
        }
        insta::assert_snapshot!("probe", tables.join("\n"));
    });
}

#[test]
fn probe_in_json_is_what_the_library_says() {
    watched(|| {
        let source = clip("bbb-cover-chapters-444p10.mkv");
        let run = cli::run(["probe".as_ref(), source.as_os_str(), "--json".as_ref()]);
        run.assert_code(0);
        let info: av1core::MediaInfo = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!(info, av1core::probe(&source).expect("a film"));
        assert_eq!(info.chapters.len(), 4);
    });
}

#[test]
fn plan_tells_of_every_stream_and_writes_nothing() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mp4");
        fs::copy(clip("bbb-aac-5.1.mp4"), &source).expect("copied");
        let run = cli::run(["plan".as_ref(), source.as_os_str()]);
        run.assert_code(0);
        assert!(run.stdout.contains("h264 becomes AV1"), "{}", run.stdout);
        assert!(
            run.stdout.contains("becomes Opus at 256 kbit/s"),
            "{}",
            run.stdout
        );
        let run = cli::run(["plan".as_ref(), source.as_os_str(), "--json".as_ref()]);
        let verdict: Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!(verdict["verdict"], "transcode");
        assert_eq!(verdict["streams"].as_array().expect("streams").len(), 2);
        assert_holds(folder.path(), &["film.mp4"]);
    });
}

/// Flags come before the environment, and the environment before the default.
#[test]
fn the_environment_sets_what_no_flag_does() {
    watched(|| {
        let source = clip("bbb-attachment.mkv");
        let crf = |flags: &[&str]| {
            let mut command = av1cli();
            command.env("AV1CLI_CRF", "41").arg("plan").arg(&source);
            let run = command.arg("--json").args(flags).output().expect("starts");
            let verdict: Value = serde_json::from_slice(&run.stdout).expect("JSON");
            verdict["streams"][0]["crf"].clone()
        };
        assert_eq!(crf(&[]), 41);
        assert_eq!(crf(&["--crf", "22"]), 22);
    });
}
