//! Scans with file systems mounted below, and taken away. Each test runs again in a
//! process with a mount namespace of its own, so that nothing of it is left on the
//! machine; where that is not allowed, it says so and proves nothing.

use std::process::Command;

use super::*;

/// Whether this is the process in a namespace of its own. Elsewhere the test of this name
/// is run in one.
fn is_within(test: &str) -> bool {
    if std::env::var_os("AV1_TEST_NAMESPACE").is_some() {
        return true;
    }
    let may = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("{test}: no mounts may be made here; not tested");
        return false;
    }
    let this = std::env::current_exe().expect("known");
    let name = format!("scan::tests::mounts::{test}");
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(this)
        .args(["--exact", &name, "--nocapture"])
        .env("AV1_TEST_NAMESPACE", "1")
        .output()
        .expect("ran");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    false
}

fn run(program: &str, args: &[&str], path: &Path) {
    let output = Command::new(program)
        .args(args)
        .arg(path)
        .output()
        .expect("ran");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn mount_tmpfs(path: &Path) {
    fs::create_dir_all(path).expect("made");
    run("mount", &["-t", "tmpfs", "tmpfs"], path);
}

fn unmount(path: &Path) {
    run("umount", &["-l"], path);
}

#[test]
fn nothing_below_a_mount_that_is_away_is_gone() {
    if !is_within("nothing_below_a_mount_that_is_away_is_gone") {
        return;
    }
    let mut library = Library::with(&["a.mkv", "z.mkv"]);
    let nas = library.path("m/nas");
    mount_tmpfs(&nas);
    library.add("m/nas/deep/film.mkv");
    library.add("m/film.mkv");
    let report = library.scan();
    assert_eq!(report.counts.added, 4);
    assert_eq!(report.remembered.mounts, [rel("m/nas")].into());
    library.known.news();

    unmount(&nas);
    library.remove("a.mkv");
    for round in 0..3 {
        // The mount point alone, then not even that.
        if round == 1 {
            fs::remove_dir(&nas).expect("removed");
        }
        let report = if round == 2 {
            let mut touched = Touched::default();
            touched.add_folder(rel("m/nas/deep"));
            touched.add_file(rel("m/nas/deep/film.mkv"));
            library.look(&touched)
        } else {
            library.scan()
        };
        let expected: &[&str] = if round == 0 { &["gone a.mkv"] } else { &[] };
        assert_eq!(library.known.news(), expected, "{round}");
        assert_eq!(report.remembered.mounts, [rel("m/nas")].into());
        assert_eq!(report.unsure, 1);
    }

    // Where it is mounted, what is missing there is gone.
    mount_tmpfs(&nas);
    library.add("m/nas/other.mkv");
    let mut touched = Touched::default();
    touched.add_folder(rel("m/nas/deep"));
    library.look(&touched);
    assert_eq!(library.known.news(), ["gone m/nas/deep/film.mkv"]);
    library.scan();
    assert_eq!(library.known.news(), ["new m/nas/other.mkv"]);
    unmount(&nas);
    library.force = true;
    let report = library.scan();
    assert_eq!(library.known.news(), ["gone m/nas/other.mkv"]);
    assert!(report.remembered.mounts.is_empty());
}

#[test]
fn a_folder_that_is_mounted_twice_is_scanned_once() {
    if !is_within("a_folder_that_is_mounted_twice_is_scanned_once") {
        return;
    }
    let mut library = Library::with(&["b/film.mkv", "a/", "z/", "b/inner/", "c/", "other/"]);
    let bind = |from: &str, to: &str| {
        let from = library.path(from);
        run(
            "mount",
            &["--bind", from.to_str().expect("text")],
            &library.path(to),
        );
    };
    bind("b", "z");
    bind("b", "a");
    // A folder within itself.
    bind("", "b/inner");
    let outside = library.outside("outside");
    add_file(&outside.join("theirs.mkv"));
    let id = mark(&outside);
    run(
        "mount",
        &["--bind", outside.to_str().expect("text")],
        &library.path("other"),
    );
    library.root.others.push(id);
    let report = library.scan();
    assert_eq!(library.known.lines(), ["a/film.mkv: pending"]);
    let skipped: Vec<_> = report
        .remembered
        .skipped
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(skipped, ["b", "other", "z"]);
    library.known.news();
    library.scan();
    assert!(library.known.news().is_empty());
    // Only one of them is left.
    for mount in ["a", "z"] {
        unmount(&library.path(mount));
    }
    library.force = true;
    library.scan();
    assert_eq!(library.known.news(), ["new b/film.mkv", "gone a/film.mkv"]);
}

#[test]
fn a_directory_that_is_unmounted_under_way_has_lost_nothing() {
    if !is_within("a_directory_that_is_unmounted_under_way_has_lost_nothing") {
        return;
    }
    let mut library = Library::with(&[]);
    let path = library.root.path.clone();
    mount_tmpfs(&path);
    for film in ["a/1.mkv", "b/2.mkv", "c/3.mkv"] {
        library.add(film);
    }
    library.root.id = mark(&path);
    library.scan();
    library.known.news();
    library.remove("a/1.mkv");
    let mut folders = 0;
    library.known.on_folder = Some(Box::new(move || {
        folders += 1;
        if folders == 3 {
            unmount(&path);
        }
    }));
    let report = library.scan();
    assert!(matches!(report.end, ScanEnd::RootLost(_)), "{report:?}");
    assert!(library.known.news().is_empty());
}

#[test]
fn a_directory_that_is_mounted_read_only_is_told_and_scanned() {
    if !is_within("a_directory_that_is_mounted_read_only_is_told_and_scanned") {
        return;
    }
    let mut library = Library::with(&[]);
    let path = library.root.path.clone();
    mount_tmpfs(&path);
    library.add("film.mkv");
    run("mount", &["-o", "remount,ro"], &path);
    let open = || {
        roots::open(std::slice::from_ref(&path), &[], UnixMs(0))
            .expect("opened")
            .remove(0)
    };
    let RootState::Refused { why } = open().state else {
        panic!("no marker can be made")
    };
    assert!(why.contains("Read-only file system"), "{why}");
    run("mount", &["-o", "remount,rw"], &path);
    library.root.id = open().id.expect("an identity");
    run("mount", &["-o", "remount,ro"], &path);
    let root = open();
    assert!(
        matches!(&root.state, RootState::ReadOnly { why } if why.contains("Read-only")),
        "{root:?}"
    );
    assert!(root.state.is_readable());
    assert_eq!(library.scan().counts.added, 1);
}
