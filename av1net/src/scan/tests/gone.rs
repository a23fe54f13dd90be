//! When a film is gone, and when that cannot be known.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rustix::fs::{Mode, OFlags};

use super::*;

#[test]
fn films_that_are_no_longer_there_are_gone_and_come_back() {
    let mut library = Library::with(&["a.mkv", "b/c.mkv", "b/d.mkv", "e.mkv", "f/g.mkv"]);
    library.scan();
    library.known.news();
    let away = library.outside("away");
    fs::rename(library.path("b"), &away).expect("moved");
    library.remove("e.mkv");
    library.add("e.mkv/new.mkv");
    fs::rename(library.path("f/g.mkv"), library.path("f/h.mkv")).expect("renamed");
    let report = library.scan();
    assert_eq!(
        library.known.news(),
        [
            "new e.mkv/new.mkv",
            "new f/h.mkv",
            "gone b/c.mkv",
            "gone b/d.mkv",
            "gone e.mkv",
            "gone f/g.mkv"
        ]
    );
    assert_eq!(
        report.counts,
        ScanCounts {
            added: 2,
            changed: 0,
            gone: 4
        }
    );
    library.scan();
    assert!(library.known.news().is_empty(), "they are gone once");
    fs::rename(&away, library.path("b")).expect("moved");
    library.scan();
    assert_eq!(library.known.news(), ["changed b/c.mkv", "changed b/d.mkv"]);
}

#[test]
fn nothing_below_a_folder_that_cannot_be_read_is_gone() {
    let mut library = Library::with(&["a.mkv", "m/film.mkv", "z.mkv"]);
    library.scan();
    // Deeper than a path can say: opening it fails, for the superuser too.
    let deep = "d".repeat(200);
    let mut folder =
        rustix::fs::open(library.path("m"), OFlags::DIRECTORY, Mode::empty()).expect("opened");
    let mut path = "m".to_owned();
    for _ in 0..25 {
        rustix::fs::mkdirat(&folder, &deep, Mode::RWXU).expect("made");
        folder =
            rustix::fs::openat(&folder, &deep, OFlags::DIRECTORY, Mode::empty()).expect("opened");
        path = format!("{path}/{deep}");
    }
    let row = ScanRow {
        path: rel(&format!("{path}/deep.mkv")),
        ..library.known.rows[&rel("z.mkv")].clone()
    };
    let row = ScanRow {
        job: JobId(77),
        ..row
    };
    library.known.rows.insert(row.path.clone(), row);
    library.known.news();
    library.remove("a.mkv");
    library.remove("z.mkv");
    let report = library.scan();
    assert_eq!(library.known.news(), ["gone a.mkv", "gone z.mkv"]);
    assert_eq!(
        (report.end, report.unsure, report.troubles_total),
        (ScanEnd::Complete, 1, 1)
    );
    assert!(
        report.troubles[0].message.contains("too long"),
        "{:?}",
        report.troubles
    );
    assert!(
        report.troubles[0]
            .path
            .as_ref()
            .is_some_and(|at| row_is_below(&path, at))
    );
}

fn row_is_below(path: &str, at: &RelPath) -> bool {
    rel(path).as_path().starts_with(at.as_path())
}

#[test]
fn a_folder_that_may_not_be_read_holds_its_films() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        return; // Nothing is hidden from the superuser.
    }
    let mut library = Library::with(&["a/film.mkv", "b/film.mkv", "c.mkv"]);
    library.scan();
    library.known.news();
    let folder = library.path("b");
    let set = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(&folder, mode).expect("set");
    };
    for mode in [0o000, 0o400, 0o300] {
        set(mode);
        let report = library.scan();
        assert_eq!((report.unsure, report.troubles_total), (1, 1), "{mode:o}");
    }
    set(0o700);
    assert!(library.known.news().is_empty());
}

#[test]
fn without_its_marker_a_directory_is_not_scanned() {
    let mut library = Library::with(&["a.mkv"]);
    library.scan();
    library.known.news();
    fs::remove_file(library.path(".av1root")).expect("removed");
    library.remove("a.mkv");
    let report = library.scan();
    let ScanEnd::RootLost(why) = &report.end else {
        panic!("{report:?}")
    };
    assert!(why.contains("its marker is missing"), "{why}");
    let away = library.outside("away");
    fs::rename(&library.root.path, &away).expect("moved");
    assert!(matches!(library.scan().end, ScanEnd::RootLost(why) if why.contains("is not there")));
    fs::create_dir(&library.root.path).expect("made");
    mark(&library.root.path);
    assert!(matches!(library.scan().end, ScanEnd::RootLost(why) if why.contains("another")));
    assert!(library.known.news().is_empty());
}

/// The directory goes away when the scan is in its midst.
fn lost_under_way(lose: impl Fn(&Path, &Path) + 'static) -> (ScanReport, Vec<String>) {
    let mut library = Library::with(&["a/1.mkv", "b/2.mkv", "c/3.mkv", "d.mkv"]);
    library.scan();
    library.known.news();
    library.remove("d.mkv");
    let (path, away) = (library.root.path.clone(), library.outside("away"));
    let mut folders = 0;
    library.known.on_folder = Some(Box::new(move || {
        folders += 1;
        if folders == 2 {
            lose(&path, &away);
        }
    }));
    let report = library.scan();
    (report, library.known.news())
}

#[test]
fn a_directory_that_goes_away_under_way_has_lost_nothing() {
    let (report, news) = lost_under_way(|path, away| fs::rename(path, away).expect("moved"));
    assert!(matches!(report.end, ScanEnd::RootLost(_)), "{report:?}");
    assert!(news.is_empty(), "{news:?}");
    // An empty place is left, with folders of the same names.
    let (report, news) = lost_under_way(|path, away| {
        fs::rename(path, away).expect("moved");
        for name in ["a", "b", "c"] {
            fs::create_dir_all(path.join(name)).expect("made");
        }
    });
    assert!(matches!(report.end, ScanEnd::RootLost(_)), "{report:?}");
    assert!(news.is_empty(), "{news:?}");
    // Even where it has the same marker.
    let (report, news) = lost_under_way(|path, away| {
        fs::rename(path, away).expect("moved");
        fs::create_dir_all(path).expect("made");
        fs::copy(away.join(".av1root"), path.join(".av1root")).expect("copied");
    });
    let ScanEnd::RootLost(why) = &report.end else {
        panic!("{report:?}")
    };
    assert!(why.contains("mounted anew"), "{why}");
    assert!(news.is_empty(), "{news:?}");
}

fn large_library() -> Library {
    let library = Library::with(&[]);
    for n in 0..150 {
        library.add(&format!("{}/{n}.mkv", n % 7));
    }
    let mut library = library;
    assert_eq!(library.scan().counts.added, 150);
    library.known.news();
    library
}

#[test]
fn a_library_that_is_all_but_empty_at_once_is_a_question_for_a_person() {
    let mut library = large_library();
    for folder in 0..6 {
        fs::remove_dir_all(library.path(&folder.to_string())).expect("removed");
    }
    library.remove("6/6.mkv");
    let report = library.scan();
    assert!(library.known.news().is_empty());
    let suspicious = Suspicious {
        missing: 130,
        known: 150,
        found: 20,
    };
    assert_eq!(report.suspicious, Some(suspicious));
    assert_eq!(report.end, ScanEnd::Complete);
    library.force = true;
    let report = library.scan();
    assert_eq!((report.counts.gone, report.suspicious), (130, None));
    library.force = false;
    assert_eq!(library.scan().suspicious, None);
}

#[test]
fn a_library_that_was_moved_around_is_none() {
    let mut library = large_library();
    fs::create_dir(library.path("all")).expect("made");
    for folder in 0..7 {
        let (from, to) = (folder.to_string(), format!("all/{folder}"));
        fs::rename(library.path(&from), library.path(&to)).expect("moved");
    }
    let report = library.scan();
    assert_eq!(
        report.counts,
        ScanCounts {
            added: 150,
            changed: 0,
            gone: 150
        }
    );
}

#[test]
fn a_cancelled_scan_declares_nothing_gone() {
    let mut library = Library::with(&["a.mkv", "b/1.mkv", "c/2.mkv"]);
    library.scan();
    library.known.news();
    library.remove("a.mkv");
    library.add("b/new.mkv");
    let cancel = CancellationToken::new();
    let mut folders = 0;
    let token = cancel.clone();
    library.known.on_folder = Some(Box::new(move || {
        folders += 1;
        if folders == 3 {
            token.cancel();
        }
    }));
    let report = library.scan_until(&cancel);
    assert_eq!(report.end, ScanEnd::Cancelled);
    assert_eq!(
        library.known.news(),
        ["new b/new.mkv"],
        "what was found is kept"
    );
    library.known.on_folder = None;
    library.scan();
    assert_eq!(library.known.news(), ["gone a.mkv"]);
}

/// Names around the slash in byte order, so that folders and files mix in every way.
fn tree() -> impl Strategy<Value = BTreeSet<String>> {
    let name = prop_oneof![
        Just("a"),
        Just("a b"),
        Just("a.b"),
        Just("a0"),
        Just("ab"),
        Just("b")
    ];
    let path = proptest::collection::vec(name, 1..4);
    let path = path.prop_map(|parts| format!("{}.mkv", parts.join("/")));
    proptest::collection::btree_set(path, 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever was known, and whatever is there: afterwards what is there is known.
    #[test]
    fn what_is_known_becomes_what_is_there(before in tree(), after in tree()) {
        let before: Vec<_> = before.iter().map(String::as_str).collect();
        let mut library = Library::with(&before);
        library.scan();
        for entry in fs::read_dir(&library.root.path).expect("read") {
            let entry = entry.expect("read");
            if entry.file_type().expect("known").is_dir() {
                fs::remove_dir_all(entry.path()).expect("removed");
            } else if entry.file_name() != ".av1root" && !after.contains(entry.file_name().to_str().expect("text")) {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
        for film in &after {
            library.add(film);
            set_modified(&library.path(film), 5);
        }
        library.scan();
        let there: BTreeSet<_> = library.known.rows.values()
            .filter(|row| row.state != JobState::Vanished)
            .map(|row| row.path.to_string())
            .collect();
        prop_assert_eq!(&there, &after);
        library.known.news();
        library.scan();
        prop_assert!(library.known.news().is_empty());
    }
}
