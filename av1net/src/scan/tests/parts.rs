//! Scans of single films and folders.

use super::*;

fn touched(files: &[&str], folders: &[&str]) -> Touched {
    let mut touched = Touched::default();
    files.iter().for_each(|file| touched.add_file(rel(file)));
    folders
        .iter()
        .for_each(|folder| touched.add_folder(rel(folder)));
    touched
}

#[test]
fn only_what_was_touched_is_looked_at() {
    let mut library = Library::with(&[
        "a/1.mkv",
        "a/s/2.mkv",
        "a b/3.mkv",
        "a.mkv",
        "a0/4.mkv",
        "z.mkv",
    ]);
    library.scan();
    library.known.news();
    for film in ["a/1.mkv", "a/s/2.mkv", "a b/3.mkv", "a.mkv", "a0/4.mkv"] {
        library.remove(film);
    }
    for film in ["a/5.mkv", "a b/6.mkv", "a0/7.mkv", "8.mkv", "a/s/t/9.mkv"] {
        library.add(film);
    }
    library.look(&touched(&["a.mkv", "8.mkv", "never.mkv", "z.mkv"], &["a"]));
    let mut news = library.known.news();
    news.sort();
    assert_eq!(
        news,
        [
            "gone a.mkv",
            "gone a/1.mkv",
            "gone a/s/2.mkv",
            "new 8.mkv",
            "new a/5.mkv",
            "new a/s/t/9.mkv"
        ]
    );
    library.scan();
    let mut news = library.known.news();
    news.sort();
    assert_eq!(
        news,
        [
            "gone a b/3.mkv",
            "gone a0/4.mkv",
            "new a b/6.mkv",
            "new a0/7.mkv"
        ]
    );
}

#[test]
fn a_folder_that_is_no_longer_there_takes_its_films_with_it() {
    let mut library = Library::with(&["a/b/1.mkv", "a/b/c/2.mkv", "a/3.mkv"]);
    library.scan();
    library.known.news();
    fs::rename(library.path("a/b"), library.outside("away")).expect("moved");
    let report = library.look(&touched(&[], &["a/b"]));
    assert_eq!(report.end, ScanEnd::Complete);
    assert_eq!(library.known.news(), ["gone a/b/1.mkv", "gone a/b/c/2.mkv"]);
    // A film took the folder's place.
    library.add("a/b");
    library.look(&touched(&[], &["a/b", "a/b/c"]));
    assert!(library.known.news().is_empty());
}

#[test]
fn nothing_is_gone_where_the_directory_is_not_there() {
    let mut library = Library::with(&["a/1.mkv", "2.mkv"]);
    library.scan();
    library.known.news();
    fs::rename(&library.root.path, library.outside("away")).expect("moved");
    for _ in 0..2 {
        let report = library.look(&touched(&["2.mkv"], &["a"]));
        assert!(matches!(report.end, ScanEnd::RootLost(_)));
        let _ = fs::create_dir(&library.root.path);
    }
    assert!(library.known.news().is_empty());
}

#[test]
fn what_excludes_above_excludes_here_and_hidden_folders_stay_hidden() {
    let mut library = Library::with(&["show/.noav1", "x/.hidden/"]);
    library.scan();
    for film in [
        "show/s1/1.mkv",
        "show/2.mkv",
        "x/.hidden/3.mkv",
        "x/4.mkv",
        "x/4.mkv.noav1",
        "x/5.mkv",
    ] {
        library.add(film);
    }
    let files = [
        "show/2.mkv",
        "x/.hidden/3.mkv",
        "x/4.mkv",
        "x/5.mkv",
        "x/5.txt",
    ];
    library.look(&touched(&files, &["show/s1", "x/.hidden"]));
    assert_eq!(
        library.known.lines(),
        [
            "show/2.mkv: skipped excluded",
            "show/s1/1.mkv: skipped excluded",
            "x/4.mkv: skipped excluded",
            "x/5.mkv: pending"
        ]
    );
}

#[test]
fn what_scans_leave_out_stays_out() {
    let mut library = Library::with(&["a/1.mkv", "b/1.mkv"]);
    library.root.remembered.skipped.insert(rel("b"));
    library.look(&touched(&["b/1.mkv"], &["a", "b"]));
    assert_eq!(library.known.lines(), ["a/1.mkv: pending"]);
    assert_eq!(
        library.root.remembered.skipped.len(),
        1,
        "a part forgets nothing"
    );
}

#[test]
fn many_that_are_gone_are_a_matter_for_the_whole() {
    let mut library = Library::with(&["keep.mkv"]);
    for n in 0..101 {
        library.add(&format!("a/{n}.mkv"));
    }
    library.scan();
    library.known.news();
    fs::remove_dir_all(library.path("a")).expect("removed");
    let report = library.look(&touched(&[], &["a"]));
    assert!(library.known.news().is_empty());
    let again = report.look_again.expect("the whole");
    assert_eq!(again.touched, Touched::everything());
    let report = library.look(&again.touched);
    assert!(report.suspicious.is_some());
    library.force = true;
    assert_eq!(library.scan().counts.gone, 101);
}
