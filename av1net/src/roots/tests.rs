use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::proto::RootInfo;

const NOW: UnixMs = UnixMs(1_700_000_000_000);

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A folder with a file in it.
    fn library(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(&path).expect("made");
        fs::write(path.join("film.mkv"), b"film").expect("written");
        path
    }
}

fn open_all(paths: &[&PathBuf], known: &[RootRecord]) -> Vec<Root> {
    let paths: Vec<_> = paths.iter().map(|path| (*path).clone()).collect();
    open(&paths, known, NOW).expect("no overlap")
}

fn open_only(path: &PathBuf, known: &[RootRecord]) -> Root {
    open_all(&[path], known).remove(0)
}

fn record(root: &Root) -> RootRecord {
    RootRecord {
        id: root.id.clone().expect("an identity"),
        path: root.path.display().to_string(),
        scanned: None,
    }
}

fn marker_text(path: &Path) -> String {
    fs::read_to_string(path.join(MARKER)).expect("a marker")
}

#[test]
fn a_folder_gets_a_marker_once_and_is_known_by_it_wherever_it_lies() {
    let disk = Disk::new();
    let movies = disk.library("Movies");
    let first = open_only(&movies, &[]);
    assert_eq!(first.state, RootState::Mounted);
    let id = first.id.clone().expect("an identity").0;
    assert!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    let text = marker_text(&movies);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["id"], id);
    assert_eq!(json["created_unix_ms"], NOW.0);
    assert!(
        json["program"]
            .as_str()
            .expect("text")
            .starts_with("av1net ")
    );

    assert_eq!(open_only(&movies, &[record(&first)]), first);
    assert_eq!(marker_text(&movies), text);
    let names = fs::read_dir(&movies).expect("read").count();
    assert_eq!(names, 2, "a film and a marker");

    let moved = movies.with_file_name("Films");
    fs::rename(&movies, &moved).expect("moved");
    let again = open_only(&moved, &[record(&first)]);
    assert_eq!((again.id, again.state), (first.id, RootState::Mounted));
    assert_ne!(
        open_only(&disk.library("TV"), &[])
            .id
            .expect("an identity")
            .0,
        id
    );
}

#[test]
fn what_is_not_there_or_empty_is_not_mounted_and_gets_no_marker() {
    let disk = Disk::new();
    let missing = disk.0.path().join("missing");
    let why = |root: Root| match root.state {
        RootState::NotMounted { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(why(open_only(&missing, &[])).contains("is not there"));
    let empty = disk.0.path().join("empty");
    fs::create_dir(&empty).expect("made");
    assert!(why(open_only(&empty, &[])).contains("is empty"));
    assert!(is_empty(&empty).expect("read"));
    let file = disk.library("x").join("film.mkv");
    assert!(why(open_only(&file, &[])).contains("is not a folder"));
    // Something is mounted there at last.
    fs::write(empty.join("film.mkv"), b"film").expect("written");
    assert_eq!(open_only(&empty, &[]).state, RootState::Mounted);
}

#[test]
fn a_known_folder_without_its_marker_is_not_mounted_until_the_marker_is_back() {
    let disk = Disk::new();
    let movies = disk.library("Movies");
    let known = [record(&open_only(&movies, &[]))];
    fs::remove_file(movies.join(MARKER)).expect("removed");
    // Whether or not something lies in the mount point.
    for _ in 0..2 {
        let root = open_only(&movies, &known);
        let RootState::NotMounted { why } = &root.state else {
            panic!("{root:?}")
        };
        assert_eq!(root.id.as_ref(), Some(&known[0].id));
        let command = format!(
            "echo '{{\"id\":\"{}\"}}' > '{}/.av1root'",
            known[0].id,
            movies.display()
        );
        assert!(why.ends_with(&command), "{why}");
        assert!(!movies.join(MARKER).exists());
        let _ = fs::remove_file(movies.join("film.mkv"));
    }
    put_back(&movies, &known[0].id).expect("put back");
    let root = open_only(&movies, &known);
    assert_eq!(
        (root.id, root.state),
        (Some(known[0].id.clone()), RootState::Mounted)
    );
    let error = put_back(&movies, &RootId("other".to_owned())).expect_err("it is there");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(open_only(&movies, &known).id, Some(known[0].id.clone()));
}

#[test]
fn another_disk_in_the_same_place_is_another_root() {
    let disk = Disk::new();
    let (movies, other) = (disk.library("Movies"), disk.library("Other"));
    let known = [record(&open_only(&movies, &[]))];
    let other_id = open_only(&other, &[]).id;
    fs::rename(&movies, movies.with_file_name("away")).expect("moved");
    fs::rename(&other, &movies).expect("moved");
    let root = open_only(&movies, &known);
    assert_eq!((root.id, root.state), (other_id, RootState::Mounted));
}

#[test]
fn what_is_no_marker_is_refused_and_never_overwritten() {
    let disk = Disk::new();
    let movies = disk.library("Movies");
    for text in [
        "",
        "{",
        "{}",
        "{\"id\": 1}",
        "{\"id\": \"\"}",
        "{\"id\": \"../x\"}",
    ] {
        fs::write(movies.join(MARKER), text).expect("written");
        let root = open_only(&movies, &[]);
        assert!(
            matches!(root.state, RootState::Refused { .. }),
            "{text}: {root:?}"
        );
        assert_eq!(marker_text(&movies), text);
    }
    fs::write(movies.join(MARKER), "{\"id\": \"abc\", \"later\": 1}").expect("written");
    assert_eq!(open_only(&movies, &[]).id, Some(RootId("abc".to_owned())));
    fs::remove_file(movies.join(MARKER)).expect("removed");
    symlink("film.mkv", movies.join(MARKER)).expect("linked");
    assert!(matches!(
        open_only(&movies, &[]).state,
        RootState::Refused { .. }
    ));
    fs::remove_file(movies.join(MARKER)).expect("removed");
    fs::create_dir(movies.join(MARKER)).expect("made");
    assert!(matches!(
        open_only(&movies, &[]).state,
        RootState::Refused { .. }
    ));
}

#[test]
fn folders_that_share_files_are_refused_by_name_also_through_links() {
    let disk = Disk::new();
    let (movies, tv) = (disk.library("Movies"), disk.library("TV"));
    let inner = disk.library("Movies/New");
    let link = disk.0.path().join("link");
    symlink(&movies, &link).expect("linked");
    let through = link.join("New");
    let overlap = |paths: &[&PathBuf]| {
        let paths: Vec<_> = paths.iter().map(|path| (*path).clone()).collect();
        open(&paths, &[], NOW).expect_err("they overlap")
    };
    for (paths, one, other, how) in [
        (
            vec![&movies, &tv, &inner],
            &movies,
            &inner,
            "lie in each other",
        ),
        (vec![&inner, &movies], &movies, &inner, "lie in each other"),
        (
            vec![&movies, &through],
            &movies,
            &through,
            "lie in each other",
        ),
        (
            vec![&tv, &movies, &link],
            &movies,
            &link,
            "are the same folder",
        ),
        (vec![&tv, &tv], &tv, &tv, "are the same folder"),
    ] {
        let error = overlap(&paths);
        assert_eq!((&error.one, &error.other, error.how), (one, other, how));
        assert!(error.to_string().contains(&other.display().to_string()));
    }
    assert!(!movies.join(MARKER).exists(), "nothing is written then");
    let alike = disk.library("Movies 2");
    assert!(open(&[movies, alike, tv], &[], NOW).is_ok());
}

#[test]
fn a_copied_folder_is_refused_and_the_known_one_is_not() {
    let disk = Disk::new();
    let (movies, copy) = (disk.library("Movies"), disk.library("Copy"));
    let first = open_only(&movies, &[]);
    fs::copy(movies.join(MARKER), copy.join(MARKER)).expect("copied");
    let roots = open_all(&[&copy, &movies], &[record(&first)]);
    assert_eq!(roots[1], first);
    let RootState::Refused { why } = &roots[0].state else {
        panic!("{roots:?}")
    };
    let delete = format!("delete {}/.av1root", copy.display());
    assert!(why.contains(&delete) && roots[0].id.is_none(), "{why}");
    // Nobody knows which was first.
    let roots = open_all(&[&copy, &movies], &[]);
    assert!(
        roots
            .iter()
            .all(|root| matches!(root.state, RootState::Refused { .. }))
    );
    fs::remove_file(copy.join(MARKER)).expect("removed");
    let roots = open_all(&[&copy, &movies], &[record(&first)]);
    assert!(roots.iter().all(|root| root.state == RootState::Mounted));
    assert_ne!(roots[0].id, roots[1].id);
}

#[test]
fn many_at_once_make_one_marker() {
    let disk = Disk::new();
    let movies = disk.library("Movies");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let each = || scope.spawn(|| open_only(&movies, &[]).id);
        let threads: Vec<_> = (0..8).map(|_| each()).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("ends"))
            .collect()
    });
    assert!(
        ids.iter().all(|id| id.is_some() && *id == ids[0]),
        "{ids:?}"
    );
    assert_eq!(fs::read_dir(&movies).expect("read").count(), 2);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told() {
    let disk = Disk::new();
    let movies = disk.library("Movies");
    fs::set_permissions(&movies, fs::Permissions::from_mode(0o555)).expect("set");
    if rustix::process::geteuid().is_root() {
        // The superuser writes wherever the file system takes it.
        assert_eq!(open_only(&movies, &[]).state, RootState::Mounted);
        return;
    }
    let root = open_only(&movies, &[]);
    assert!(
        matches!(&root.state, RootState::Refused { why } if why.contains("by hand")),
        "{root:?}"
    );
    fs::set_permissions(&movies, fs::Permissions::from_mode(0o755)).expect("set");
    let known = [record(&open_only(&movies, &[]))];
    fs::set_permissions(&movies, fs::Permissions::from_mode(0o555)).expect("set");
    let root = open_only(&movies, &known);
    assert!(
        matches!(root.state, RootState::ReadOnly { .. }) && root.state.is_readable(),
        "{root:?}"
    );
}

#[test]
fn a_worker_finds_the_masters_folders_by_the_longest_mapping_and_the_marker() {
    let disk = Disk::new();
    let (movies, tv, other) = (
        disk.library("m/Movies"),
        disk.library("t"),
        disk.library("o"),
    );
    let info = |path: &str, at: &PathBuf| RootInfo {
        id: open_only(at, &[]).id.expect("an identity"),
        path: path.to_owned(),
    };
    let roots = [
        info("/media/Movies", &movies),
        info("/media/TV", &tv),
        info("/media/TV2", &other),
        info(&DiskPath(other.clone()).to_string(), &other),
    ];
    let map = BTreeMap::from([
        (PathBuf::from("/media"), disk.0.path().join("m")),
        (PathBuf::from("/media/TV"), tv.clone()),
        (PathBuf::from("/"), PathBuf::from("/nowhere")),
    ]);
    let found = probe_mounts(&roots, &map);
    let expected = BTreeMap::from([(roots[0].id.clone(), movies), (roots[1].id.clone(), tv)]);
    assert_eq!(found, expected, "/media/TV2 is not within /media/TV");
    // Without a mapping it is the same path; a wrong marker is no mount.
    let found = probe_mounts(&roots[3..], &BTreeMap::new());
    assert_eq!(found, BTreeMap::from([(roots[3].id.clone(), other)]));
    let wrong = RootInfo {
        id: roots[0].id.clone(),
        ..roots[3].clone()
    };
    assert_eq!(probe_mounts(&[wrong], &BTreeMap::new()), BTreeMap::new());
    assert_eq!(here(Path::new("/media"), &map), disk.0.path().join("m"));
}
