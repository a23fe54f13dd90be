//! Which films are taken, and which are left alone.

use std::os::unix::fs::symlink;

use super::*;

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn films_are_found_in_whatever_depth_and_order_and_only_once() {
    let mut library = Library::with(&[
        "b.mkv",
        "a/x.MKV",
        "a.mkv",
        "a b/x.mp4",
        "a.b/x.mkv",
        "a/b/c/d/e/f.mkv",
        "empty/",
        "a/x.txt",
        "a/x.nfo",
        "noext",
        "a/x.mkv.bak",
        "a/.hidden.mkv",
        "a/._x.mkv",
        "a/.x.mkv.0123456789abcdef.av1part",
        ".hidden/x.mkv",
        "#recycle/x.mkv",
        "@eaDir/x.mkv",
    ]);
    let report = library.scan();
    let expected = [
        "a b/x.mp4: pending",
        "a.b/x.mkv: pending",
        "a.mkv: pending",
        "a/b/c/d/e/f.mkv: pending",
        "a/x.MKV: pending",
        "b.mkv: pending",
    ];
    assert_eq!(library.known.lines(), expected);
    assert_eq!(report.end, ScanEnd::Complete);
    assert_eq!((report.counts.added, report.seen.films), (6, 6));
    assert_eq!(report.seen.folders, 9, "the root and eight below");
    assert_eq!((report.troubles_total, report.unsure), (0, 0));

    library.known.news();
    let report = library.scan();
    assert_eq!(library.known.news(), none());
    assert_eq!(report.counts, ScanCounts::default());
}

#[test]
fn names_need_not_be_text() {
    let library = Library::with(&[]);
    let long = format!("{}.mkv", "n".repeat(251));
    let names: [&[u8]; 6] = [
        b"\xff\xfe.mkv",
        b"new\nline.mkv",
        b"\x01.mkv",
        "日本/映画.mkv".as_bytes(),
        b"back\\slash.mkv",
        long.as_bytes(),
    ];
    for name in names {
        let path = library.root.path.join(std::ffi::OsStr::from_bytes(name));
        add_file(&path);
    }
    let mut library = library;
    library.scan();
    let known: Vec<_> = library
        .known
        .rows
        .keys()
        .map(|path| path.as_bytes().to_vec())
        .collect();
    let mut expected = names.map(<[u8]>::to_vec);
    expected.sort();
    assert_eq!(known, expected);
    library.known.news();
    library.scan();
    assert_eq!(library.known.news(), none());
}

#[test]
fn another_size_or_time_is_another_content_and_another_inode_is_not() {
    let mut library = Library::with(&[
        "size.mkv",
        "time.mkv",
        "inode.mkv",
        "done.mkv",
        "person.mkv",
    ]);
    library.scan();
    library.known.news();
    library.known.row_mut("done.mkv").state = JobState::Completed;
    library.known.row_mut("person.mkv").state = JobState::Cancelled;
    fs::write(
        library.path("size.mkv"),
        "longer than it was before, whatever its path",
    )
    .expect("written");
    set_modified(&library.path("time.mkv"), 1_000_000);
    set_modified(&library.path("done.mkv"), 1_000_000);
    // As a copy that keeps the times, on another disk.
    let (old, copy) = (library.path("inode.mkv"), library.path("copy"));
    let modified = fs::metadata(&old)
        .expect("there")
        .modified()
        .expect("known");
    fs::copy(&old, &copy).expect("copied");
    let file = File::options().write(true).open(&copy).expect("opened");
    file.set_modified(modified).expect("set");
    fs::rename(&copy, &old).expect("renamed");

    let report = library.scan();
    assert_eq!(
        library.known.news(),
        ["changed done.mkv", "changed size.mkv", "changed time.mkv"]
    );
    assert_eq!(report.counts.changed, 3);
    assert_eq!(library.known.row_mut("done.mkv").state, JobState::Pending);
}

#[test]
fn a_time_that_a_protocol_cut_short_is_the_same() {
    let mut library = Library::with(&["smb.mkv", "seconds.mkv", "other.mkv"]);
    library.scan();
    library.known.news();
    let mut cut = |name: &str, unit: i64, off: i64| {
        let row = library.known.row_mut(name);
        let whole = row.file.modified_ns - row.file.modified_ns.rem_euclid(unit);
        row.file.modified_ns = whole + off;
    };
    cut("smb.mkv", 100, 0);
    cut("seconds.mkv", 1_000_000_000, 0);
    cut("other.mkv", 1_000_000_000, -1_000_000_000);
    library.scan();
    assert_eq!(library.known.news(), ["changed other.mkv"]);
}

#[test]
fn hard_links_are_left_alone_until_they_are_none_or_may_be_broken() {
    let mut library = Library::with(&["a.mkv", "seeding.mkv"]);
    fs::hard_link(library.path("a.mkv"), library.path("b.mkv")).expect("linked");
    fs::hard_link(library.path("seeding.mkv"), library.outside("torrent.mkv")).expect("linked");
    library.scan();
    assert_eq!(
        library.known.lines(),
        [
            "a.mkv: skipped hard_linked",
            "b.mkv: skipped hard_linked",
            "seeding.mkv: skipped hard_linked"
        ]
    );
    library.known.news();
    library.scan();
    assert_eq!(library.known.news(), none());

    fs::remove_file(library.outside("torrent.mkv")).expect("removed");
    library.scan();
    assert_eq!(library.known.news(), ["changed seeding.mkv"]);
    assert_eq!(
        library.known.row_mut("seeding.mkv").state,
        JobState::Pending
    );

    library.config.hardlinks = crate::config::HardLinksKey::Break;
    library.scan();
    assert_eq!(library.known.news(), ["changed a.mkv", "changed b.mkv"]);

    library.config.hardlinks = crate::config::HardLinksKey::Skip;
    library.scan();
    assert_eq!(library.known.lines()[0], "a.mkv: skipped hard_linked");
}

#[test]
fn a_noav1_beside_a_film_or_in_a_folder_above_excludes_it_as_long_as_it_is_there() {
    // The names around it sort between a film and its sidecar.
    let mut library = Library::with(&[
        "a.mkv",
        "a.mkv (old).mkv",
        "a.mkv-x/y.mkv",
        "a.mkv.noav1",
        "show/-first.mkv",
        "show/s1/e1.mkv",
        "show/s2/e1.mkv",
        "show/s1/.noav1",
        "z.mkv",
    ]);
    library.scan();
    assert_eq!(
        library.known.lines(),
        [
            "a.mkv: skipped excluded",
            "a.mkv (old).mkv: pending",
            "a.mkv-x/y.mkv: pending",
            "show/-first.mkv: pending",
            "show/s1/e1.mkv: skipped excluded",
            "show/s2/e1.mkv: pending",
            "z.mkv: pending"
        ]
    );
    library.known.news();
    library.remove("a.mkv.noav1");
    library.remove("show/s1/.noav1");
    library.add("show/.noav1");
    library.add("z.mkv.noav1");
    library.scan();
    assert_eq!(
        library.known.news(),
        [
            "changed a.mkv",
            "changed show/-first.mkv",
            "changed show/s2/e1.mkv",
            "changed z.mkv"
        ]
    );
    library.remove("show/.noav1");
    library.scan();
    let expected = [
        "changed show/-first.mkv",
        "changed show/s1/e1.mkv",
        "changed show/s2/e1.mkv",
    ];
    assert_eq!(library.known.news(), expected);
}

#[test]
fn what_the_configuration_leaves_out_is_left_alone_and_taken_when_it_no_longer_does() {
    let mut library = Library::with(&["Extras/a.mkv", "film-sample.mkv", "film.ts", "film.mkv"]);
    library.config.exclude = vec!["extras/**".to_owned(), "*-sample.*".to_owned()];
    library.scan();
    assert_eq!(
        library.known.lines(),
        [
            "Extras/a.mkv: skipped excluded",
            "film-sample.mkv: skipped excluded",
            "film.mkv: pending",
            "film.ts: pending"
        ]
    );
    library.known.news();
    library.config.exclude.remove(0);
    library.config.min_bytes = 1_000_000;
    library.config.extensions = vec!["mkv".to_owned()];
    library.scan();
    assert_eq!(
        library.known.lines(),
        [
            "Extras/a.mkv: skipped too_small",
            "film-sample.mkv: skipped excluded",
            "film.mkv: skipped too_small",
            "film.ts: skipped not_taken"
        ]
    );
    library.known.news();
    library.scan();
    assert_eq!(library.known.news(), none());
    library.config = Config {
        min_bytes: 0,
        settle_s: 0,
        ..Config::default()
    };
    library.scan();
    assert!(
        library
            .known
            .lines()
            .iter()
            .all(|line| line.ends_with(": pending"))
    );
}

#[test]
fn what_a_worker_or_a_person_decided_stays_until_the_content_changes() {
    let films = [
        "av1.mkv",
        "busy.mkv",
        "failed.mkv",
        "leased.mkv",
        "moment.mkv",
        "person.mkv",
    ];
    let mut library = Library::with(&films);
    library.scan();
    library.known.news();
    let mut set = |name: &str, state, reason: &str| {
        let row = library.known.row_mut(name);
        row.state = state;
        row.reason = Some(reason.to_owned());
    };
    set("av1.mkv", JobState::Skipped, "already_av1");
    set("person.mkv", JobState::Skipped, "by_person");
    set("failed.mkv", JobState::Failed, "disk_full");
    set("busy.mkv", JobState::Committing, "");
    set("leased.mkv", JobState::Leased, "");
    set("moment.mkv", JobState::Skipped, "open_for_writing");
    library.scan();
    assert_eq!(library.known.news(), ["changed moment.mkv"]);
    for film in films {
        set_modified(&library.path(film), 1_000_000);
    }
    library.remove("busy.mkv");
    library.scan();
    let news = [
        "changed av1.mkv",
        "changed failed.mkv",
        "changed moment.mkv",
        "changed person.mkv",
    ];
    assert_eq!(
        library.known.news(),
        news,
        "what is at work is left to its worker"
    );
}

#[test]
fn links_are_left_alone_and_those_to_folders_not_followed() {
    let mut library = Library::with(&["a/film.mkv", "a/deep/"]);
    let at = |name: &str| library.path(name);
    fs::write(library.outside("film.mkv"), "film").expect("written");
    symlink(at("a/film.mkv"), at("inside.mkv")).expect("linked");
    symlink(library.outside("film.mkv"), at("outside.mkv")).expect("linked");
    symlink("nowhere", at("broken.mkv")).expect("linked");
    symlink("loop.mkv", at("loop.mkv")).expect("linked");
    symlink(at("a"), at("a/deep/loop")).expect("linked");
    symlink(at("a"), at("folder.mkv")).expect("linked");
    symlink(library.folder.path(), at("up")).expect("linked");
    let report = library.scan();
    assert_eq!(
        library.known.lines(),
        [
            "a/film.mkv: pending",
            "broken.mkv: skipped link",
            "inside.mkv: skipped link",
            "loop.mkv: skipped link",
            "outside.mkv: skipped link"
        ]
    );
    assert_eq!((report.linked_folders, report.troubles_total), (3, 0));
}

#[test]
fn special_files_are_no_films() {
    let mut library = Library::with(&["dir.mkv/film.mkv"]);
    let socket = std::os::unix::net::UnixListener::bind(library.path("s.mkv")).expect("bound");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        library.path("pipe.mkv"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("made");
    library.scan();
    assert_eq!(library.known.lines(), ["dir.mkv/film.mkv: pending"]);
    drop(socket);
}

#[test]
fn what_was_changed_a_moment_ago_waits_until_it_has_settled() {
    let mut library = Library::with(&["new.mkv", "known.mkv"]);
    library.scan();
    library.known.news();
    library.config.settle_s = 3600;
    library.add("newer.mkv");
    fs::write(library.path("known.mkv"), "more").expect("written");
    let report = library.scan();
    assert_eq!(library.known.news(), none(), "new.mkv is known as it is");
    let again = report.look_again.expect("two wait");
    let mut expected = Touched::default();
    expected.add_file(rel("known.mkv"));
    expected.add_file(rel("newer.mkv"));
    assert_eq!(again.touched, expected);
    let in_ms = again.at.ms_since(crate::clock::now());
    assert!((3_500_000..=3_600_001).contains(&in_ms), "{in_ms}");

    library.now = || crate::clock::now().plus_ms(3_601_000);
    let report = library.look(&again.touched);
    assert_eq!(library.known.news(), ["changed known.mkv", "new newer.mkv"]);
    assert_eq!(report.look_again, None);
}

#[test]
fn a_time_in_the_near_future_is_a_clock_that_goes_ahead_and_a_far_one_is_a_mistake() {
    let mut library = Library::with(&["near.mkv", "far.mkv"]);
    library.config.settle_s = 10;
    let ahead = |seconds: i64| (crate::clock::now().0 / 1000 + seconds) as u64;
    set_modified(&library.path("near.mkv"), ahead(60));
    set_modified(&library.path("far.mkv"), ahead(86_400));
    let report = library.scan();
    assert_eq!(library.known.news(), ["new far.mkv"]);
    let again = report.look_again.expect("one waits");
    let in_ms = again.at.ms_since(crate::clock::now());
    assert!((60_000..=70_001).contains(&in_ms), "{in_ms}");
    library.now = || crate::clock::now().plus_ms(75_000);
    library.look(&again.touched);
    assert_eq!(library.known.news(), ["new near.mkv"]);
}
