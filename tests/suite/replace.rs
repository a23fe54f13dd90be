//! `transcode --replace`, `recover` and `restore`: the library's file is the new one
//! afterwards, with all that belonged to it, or it is the old one, untouched.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use av1core::{
    CancelToken, Container, DecisionKey, ErrorKind, Event, InPlace, Shrink, Shrunk, SkipReason,
    Verdict,
};

use crate::support::cli::{Run, run};
use crate::support::mount::Mounted;
use crate::support::scratch::{assert_holds, fingerprint};
use crate::support::{Scratch, clip, fast, fast_preset, quality, recipe, watched};

/// Lossless, so that there is something to save.
const LOSSLESS: &str = "-c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p";

fn film(folder: &Scratch, name: &str) -> PathBuf {
    recipe::film(folder, name, (25, 1.0), LOSSLESS)
}

/// `transcode --replace` of a film that was made a moment ago and is small.
fn replace(film: &Path, arguments: &[&str]) -> Run {
    let preset = fast_preset().to_string();
    let mut words = vec!["transcode", "--replace", "--preset", &preset];
    for flag in ["--settle", "--min-size", "--min-duration"] {
        if !arguments.contains(&flag) {
            words.extend([flag, "0"]);
        }
    }
    words.extend(arguments);
    words.push(film.to_str().expect("UTF-8"));
    run(words)
}

fn is_av1(path: &Path) -> bool {
    let info = av1core::probe(path).expect("a film");
    info.streams.iter().any(|stream| stream.codec == "av1")
}

#[test]
fn a_film_takes_its_source_s_place_with_all_that_belonged_to_it() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let copy = Scratch::new();
        let kept = copy.file("film.mp4");
        fs::copy(&source, &kept).expect("copied");
        let modified = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        fs::set_permissions(&source, Permissions::from_mode(0o640)).expect("a mode");
        // Where this is not root's, everything has one owner.
        let owner = chown(&source, Some(1234), Some(2345)).map_or(None, |()| Some((1234, 2345)));
        let has_xattrs = xattr::set(&source, "user.note", b"mine").is_ok();
        let times = FileTimes::new().set_modified(modified);
        let opened = File::options().append(true).open(&source).expect("opened");
        opened.set_times(times).expect("times");
        drop(opened);

        let run = replace(&source, &[]);
        run.assert_code(0);
        assert_holds(folder.path(), &["film.mkv"]);
        let output = folder.file("film.mkv");
        assert!(is_av1(&output));
        quality::assert_same_pictures(&kept, &output, 25);
        let meta = fs::metadata(&output).expect("there");
        assert_eq!(meta.mode() & 0o7777, 0o640);
        assert_eq!(meta.modified().expect("a time"), modified);
        if let Some(owner) = owner {
            assert_eq!((meta.uid(), meta.gid()), owner);
        }
        if has_xattrs {
            let note = xattr::get(&output, "user.note").expect("attributes");
            assert_eq!(note.as_deref(), Some(&b"mine"[..]));
        }
        assert_eq!(run.stderr, "");
    });
}

#[test]
fn a_matroska_film_keeps_its_name() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.MKV");
        replace(&source, &[]).assert_code(0);
        assert_holds(folder.path(), &["film.MKV"]);
        assert!(is_av1(&source));
    });
}

#[test]
fn an_access_control_list_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        // user::rw-, user:1234:r--, group::r--, mask::r--, other::--- (acl(5)), version 2.
        let entry = |tag: u16, perm: u16, id: u32| {
            let mut bytes = tag.to_le_bytes().to_vec();
            bytes.extend(perm.to_le_bytes());
            bytes.extend(id.to_le_bytes());
            bytes
        };
        let none = u32::MAX;
        let acl = [
            2_u32.to_le_bytes().to_vec(),
            entry(1, 6, none),
            entry(2, 4, 1234),
            entry(4, 4, none),
            entry(16, 4, none),
            entry(32, 0, none),
        ]
        .concat();
        let name = "system.posix_acl_access";
        if xattr::set(&source, name, &acl).is_err() {
            eprintln!("skipped: the file system has no access control lists");
            return;
        }
        replace(&source, &[]).assert_code(0);
        let kept = xattr::get(&source, name).expect("attributes");
        assert_eq!(kept, Some(acl));
    });
}

#[test]
fn testing_keeps_the_source_and_restore_puts_it_back() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let original = fingerprint(&source);
        replace(&source, &["--testing"]).assert_code(0);
        assert_holds(folder.path(), &["film.mkv", "film.mp4.bak"]);
        assert_eq!(fingerprint(&folder.file("film.mp4.bak")), original);

        run(["restore".as_ref(), folder.file("film.mkv").as_os_str()]).assert_code(0);
        assert_holds(folder.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&source), original);

        // Under its own name, beside an older backup that stays what it is.
        let source = folder.file("film.mkv");
        fs::rename(folder.file("film.mp4"), &source).expect("renamed");
        let older = folder.write("film.mkv.bak", b"older");
        replace(&source, &["--testing"]).assert_code(0);
        assert_holds(
            folder.path(),
            &["film.mkv", "film.mkv.bak", "film.mkv.bak.1"],
        );
        assert_eq!(fs::read(&older).expect("read"), b"older");
        let backup = folder.file("film.mkv.bak.1");
        assert_eq!(fingerprint(&backup), original);
        run(["restore".as_ref(), backup.as_os_str()]).assert_code(0);
        assert_holds(folder.path(), &["film.mkv", "film.mkv.bak"]);
        assert_eq!(fingerprint(&source), original);
    });
}

#[test]
fn restore_overwrites_nothing_that_is_not_our_own_work() {
    watched(|| {
        let folder = Scratch::new();
        let other = film(&folder, "film.mkv");
        let (there, backup) = (fingerprint(&other), folder.write("film.mkv.bak", b"backup"));
        let run_restore = |path: &Path| run(["restore".as_ref(), path.as_os_str()]);
        let refused = run_restore(&backup);
        refused.assert_code(4);
        assert!(
            refused.stderr.contains("move it away"),
            "{}",
            refused.stderr
        );
        assert_eq!(fingerprint(&other), there);
        assert_holds(folder.path(), &["film.mkv", "film.mkv.bak"]);
        run_restore(&folder.file("other.mkv")).assert_code(6);
    });
}

/// `A.mkv` and `A.mp4` both want to be `A.mkv` (the original's `<stem>.av1`).
#[test]
fn two_films_of_one_name_do_not_meet() {
    watched(|| {
        let folder = Scratch::new();
        let (first, second) = (film(&folder, "film.mp4"), film(&folder, "film.avi"));
        replace(&first, &[]).assert_code(0);
        let (taken, left) = (fingerprint(&folder.file("film.mkv")), fingerprint(&second));
        let refused = replace(&second, &[]);
        refused.assert_code(4);
        assert!(
            refused.stderr.contains("another film"),
            "{}",
            refused.stderr
        );
        assert_holds(folder.path(), &["film.avi", "film.mkv"]);
        assert_eq!(fingerprint(&folder.file("film.mkv")), taken);
        assert_eq!(fingerprint(&second), left);
    });
}

#[test]
fn a_dry_run_writes_nothing_and_says_what_would_be() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let before = fingerprint(&source);
        let told = replace(&source, &["--dry-run"]);
        told.assert_code(0);
        assert!(told.stdout.contains("would become"), "{}", told.stdout);
        let told = replace(&source, &["--dry-run", "--json"]);
        let last = told.lines().pop().expect("a line");
        assert_eq!(last["event"], "would_replace");
        assert!(last["output"].as_str().expect("text").ends_with("film.mkv"));
        assert_holds(folder.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&source), before);
    });
}

#[test]
fn what_the_rules_say_is_left_alone_with_the_reason() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let before = fingerprint(&source);
        let skipped = |file: &Path, arguments: &[&str], reason: &str| {
            let run = replace(file, arguments);
            run.assert_code(3);
            assert!(run.stderr.contains(reason), "{}", run.stderr);
        };
        skipped(&source, &["--min-size", "10GB"], "--min-size 0 takes it");
        skipped(&source, &["--min-duration", "60"], "is 1 s short");
        skipped(&source, &["--min-bits-per-pixel", "99"], "bits a pixel");
        skipped(&source, &["--exclude", "*.mkv"], "is excluded (by *.mkv)");
        let link = folder.file("link.mkv");
        symlink(&source, &link).expect("linked");
        skipped(&link, &[], "is a symbolic link");
        fs::remove_file(&link).expect("removed");
        let writer = File::options().append(true).open(&source).expect("opened");
        if av1core::FileFacts::of(&source, None)
            .expect("facts")
            .open_for_writing
            == Some(true)
        {
            skipped(&source, &[], "is open for writing");
        }
        drop(writer);
        let other = folder.file("other.mkv");
        fs::hard_link(&source, &other).expect("linked");
        skipped(&source, &[], "--hardlinks break takes it");
        assert_eq!(fingerprint(&source), before);

        replace(&source, &["--hardlinks", "break"]).assert_code(0);
        assert_holds(folder.path(), &["film.mkv", "other.mkv"]);
        assert!(is_av1(&source));
        assert_eq!(fingerprint(&other), before);
        // What is AV1 is done.
        skipped(&source, &[], "AV1 already");
    });
}

#[test]
fn a_film_that_would_not_shrink_stays() {
    watched(|| {
        let folder = Scratch::new();
        let path = folder.file("film.mp4");
        fs::copy(clip("sintel-bframes-aac.mp4"), &path).expect("copied");
        let before = fingerprint(&path);
        let run = replace(&path, &["--crf", "1", "--min-bits-per-pixel", "0"]);
        run.assert_code(14);
        assert_holds(folder.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&path), before);
    });
}

/// Who names a file that was copied a moment ago gets it done all the same.
#[test]
fn a_film_that_was_just_copied_is_waited_for() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let run = replace(&source, &["--settle", "2"]);
        run.assert_code(0);
        assert!(is_av1(&source));
    });
}

#[test]
fn a_film_that_keeps_changing_is_left_alone() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let (done, ended) = mpsc::channel::<()>();
        let path = source.clone();
        let writer = thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(50))
            {
                let mode = Permissions::from_mode(0o644);
                fs::set_permissions(&path, mode).expect("touched");
            }
        });
        let run = replace(&source, &["--settle", "2"]);
        drop(done);
        writer.join().expect("a writer");
        run.assert_code(3);
        assert!(
            run.stderr.contains("may still be written to"),
            "{}",
            run.stderr
        );
        assert!(!is_av1(&source));
    });
}

/// Long films are predicted, which costs seconds and not the whole encode.
#[test]
fn a_hopeless_film_is_left_alone_before_it_is_encoded() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mkv");
        let picture = recipe::picture("160x96", 25, 130.0);
        let codec = "-c:v libx264 -preset veryfast -crf 38 -pix_fmt yuv420p";
        crate::support::command::make(&format!("{picture} {codec}"), &source);
        let before = fingerprint(&source);
        let arguments = "--crf 8 --min-bits-per-pixel 0 --predict-from 60 --json";
        let arguments: Vec<_> = arguments.split(' ').collect();
        let run = replace(&source, &arguments);
        run.assert_code(14);
        let events: Vec<_> = run.lines().iter().map(|l| l["event"].clone()).collect();
        assert!(events.iter().any(|e| e == "predicted"), "{events:?}");
        assert!(!events.iter().any(|e| e == "progress"), "{events:?}");
        let last = run.lines().pop().expect("a line");
        assert_eq!(last["event"], "not_worthwhile");
        assert_eq!(last["predicted"], true);
        assert_holds(folder.path(), &["film.mkv"]);
        assert_eq!(fingerprint(&source), before);
    });
}

#[test]
fn a_source_that_changes_during_the_encode_stays_as_it_is_then() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut how = Shrink::default();
        how.rules.least_bytes = 0;
        how.rules.settling_us = 0;
        let mut changed = None;
        let shrunk = av1core::shrink(&source, &how, &fast(), &CancelToken::new(), |event| {
            if matches!(event, Event::Verifying(_)) && changed.is_none() {
                let mut bytes = fs::read(&source).expect("read");
                bytes.extend_from_slice(b"more");
                fs::write(&source, bytes).expect("written");
                changed = Some(fingerprint(&source));
            }
        });
        let error = shrunk.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
        assert_holds(folder.path(), &["film.mkv"]);
        assert_eq!(Some(fingerprint(&source)), changed);
    });
}

#[test]
fn without_space_for_it_the_source_stays() {
    watched(|| {
        let folder = Scratch::new();
        let film = film(&folder, "film.mkv");
        let bytes = fs::metadata(&film).expect("there").len();
        // Room for the source, and next to nothing beside it.
        let options = format!("size={}k", bytes / 1024 + 16);
        let Some(disk) = Mounted::tmpfs(&folder, "disk", &options) else {
            return;
        };
        let source = disk.path().join("film.mkv");
        fs::copy(&film, &source).expect("copied");
        let run = replace(&source, &[]);
        run.assert_code(10);
        assert!(run.stderr.contains("free some"), "{}", run.stderr);
        assert_holds(disk.path(), &["film.mkv"]);
        assert_eq!(fingerprint(&source), fingerprint(&film));
    });
}

#[test]
fn recover_removes_what_killed_runs_left_and_nothing_else() {
    watched(|| {
        let folder = Scratch::new();
        let deep = folder.folder("show");
        let token = "0123456789abcdef";
        let names = [
            format!("show/.film.mkv.{token}.av1part"),
            format!(".film.mkv.{token}.av1copy"),
            format!(".film.mkv.{token}.av1journal"),
        ];
        for name in &names {
            folder.write(name, b"left");
        }
        // Another program's, and one of ours that is at work.
        let others = [".film.mkv.part", ".film.mkv.0123.av1part", "film.mkv.bak"];
        for name in others {
            folder.write(name, b"not ours");
        }
        let busy = format!(".busy.mkv.{token}.av1part");
        let at_work = File::open(folder.write(&busy, b"busy")).expect("opened");
        rustix::fs::flock(&at_work, rustix::fs::FlockOperation::LockExclusive).expect("locked");

        let recover = || run(["recover".as_ref(), folder.path().as_os_str()]);
        let first = recover();
        first.assert_code(0);
        assert!(
            first.stdout.contains("in use by a run at work"),
            "{}",
            first.stdout
        );
        let mut left = others.to_vec();
        left.extend([busy.as_str(), "show"]);
        assert_holds(folder.path(), &left);
        assert_holds(&deep, &[]);
        drop(at_work);
        recover().assert_code(0);
        let last = recover();
        assert!(
            last.stdout.contains("nothing to recover"),
            "{}",
            last.stdout
        );
        run(["recover", "/nowhere/at/all"]).assert_code(9);
    });
}

/// What `replace` is for alone: no other code can write to, rename or remove a source.
#[test]
fn nothing_but_the_replacement_touches_files_that_are_there() {
    let allowed = [
        // Its own staged file, and names that are free or that the user said to overwrite.
        "av1core/src/output.rs",
        // `--summary FILE`, refused where that is the source or the output.
        "av1cli/src/render/summary.rs",
    ];
    let writes = [
        "fs::rename",
        "fs::remove_file",
        "fs::write",
        "fs::copy",
        "fs::hard_link",
        "renameat",
        "unlink",
        "File::create",
        "File::options",
        "OpenOptions",
        ".set_len(",
        "set_permissions",
        "set_times",
    ];
    let root = crate::support::tests_folder().join("..");
    let mut found = Vec::new();
    for folder in ["av1core/src", "av1cli/src"] {
        for file in sources(&root.join(folder)) {
            let name = file
                .strip_prefix(&root)
                .expect("below")
                .display()
                .to_string();
            let text = fs::read_to_string(&file).expect("read");
            // Tests stand at the end of a file, or in one of their own.
            let code = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .expect("a part");
            let exempt = allowed.contains(&name.as_str())
                || name.starts_with("av1core/src/replace/")
                || name.ends_with("tests.rs");
            if let Some(what) = writes.iter().find(|what| !exempt && code.contains(**what)) {
                found.push(format!("{name}: {what}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// No endless loops: who remembers the verdict is not asked for hours again.
#[test]
fn what_was_decided_before_is_not_decided_again() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut how = Shrink::default();
        how.rules.least_bytes = 0;
        how.rules.settling_us = 0;
        let mut options = fast();
        options.min_saving_percent = av1core::Saving::new(99).ok();
        let key = DecisionKey::of(&source, &options).expect("a key");
        let ended = av1core::shrink(&source, &how, &options, &CancelToken::new(), |_| {});
        assert!(matches!(ended, Ok(Shrunk::NotWorthwhile(_))), "{ended:?}");
        assert_eq!(DecisionKey::of(&source, &options).expect("a key"), key);

        how.decided = Some("not worthwhile".to_owned());
        let ended = av1core::shrink(&source, &how, &options, &CancelToken::new(), |event| {
            panic!("{event:?}");
        });
        let decided = matches!(ended, Ok(Shrunk::Skipped(SkipReason::DecidedBefore { .. })));
        assert!(decided, "{ended:?}");
    });
}

/// What is staged for a source's place goes there by `replace` alone, and there alone.
#[test]
fn what_is_staged_for_one_place_goes_to_no_other() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let other = folder.file("other.mkv");
        fs::copy(&source, &other).expect("copied");
        let before = fingerprint(&source);
        let cancel = CancelToken::new();
        let place = InPlace::of(&source, Container::Matroska).expect("a place");
        let elsewhere = InPlace::of(&other, Container::Matroska).expect("a place");
        let info = av1core::probe(&source).expect("a film");
        let Verdict::Transcode(plan) = av1core::plan(&info, &fast()) else {
            panic!("not to be encoded");
        };
        let verified = || {
            let to = place.destination();
            let encoded = av1core::encode(&source, &info, &plan, to, &cancel, |_| {});
            av1core::verify(encoded.expect("encoded"), &info, &cancel, |_| {}).expect("verified")
        };
        let error = verified().publish().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::OutputIsSource, "{error}");
        let error = av1core::replace(verified(), &elsewhere).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::OutputIsSource, "{error}");
        assert_holds(folder.path(), &["film.mkv", "other.mkv"]);
        assert_eq!(fingerprint(&source), before);
        assert_eq!(fingerprint(&other), before);
    });
}

#[test]
fn an_embedder_gets_the_same_in_one_call() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mkv");
        let mut how = Shrink::default();
        how.rules.least_bytes = 0;
        how.rules.settling_us = 0;
        how.keep_backup = true;
        let shrunk = av1core::shrink(&source, &how, &fast(), &CancelToken::new(), |_| {});
        let Ok(Shrunk::Replaced(replaced)) = shrunk else {
            panic!("{shrunk:?}");
        };
        assert_eq!(replaced.report.output, source);
        assert_eq!(replaced.backup, Some(folder.file("film.mkv.bak")));
        assert!(replaced.refused.is_empty(), "{:?}", replaced.refused);
        assert_holds(folder.path(), &["film.mkv", "film.mkv.bak"]);
    });
}
