//! Folders that are watched.

use std::process::Command;

use notify::Event;
use notify::event::{EventKind, Flag};

use super::*;

const PACE: Pace = Pace {
    quiet: Duration::from_millis(30),
    longest: Duration::from_millis(300),
    between_everything: Duration::ZERO,
};

struct Watched {
    library: Library,
    watch: Watch,
}

impl Watched {
    fn with(films: &[&str]) -> Self {
        let library = Library::with(films);
        let rules = ScanRules::of(&library.config).expect("rules");
        let watch = Watch::start(&library.root.path, &rules, PACE).expect("watched");
        Self { library, watch }
    }

    /// Waits until something has changed, and looks at it; what was written.
    async fn news(&mut self) -> Vec<String> {
        let changed = tokio::time::timeout(Duration::from_secs(30), self.watch.changed());
        let touched = changed.await.expect("told in time");
        self.library.look(&touched);
        let mut news = self.library.known.news();
        news.sort();
        news
    }

    /// The same until something was written.
    async fn some_news(&mut self) -> Vec<String> {
        loop {
            let news = self.news().await;
            if !news.is_empty() {
                return news;
            }
        }
    }
}

#[tokio::test]
async fn films_that_come_change_and_go_are_told() {
    let mut watched = Watched::with(&["a/1.mkv", "b/2.mkv", "c/3.mkv", "gone/4.mkv"]);
    watched.library.scan();
    watched.library.known.news();

    watched.library.add("a/new.mkv");
    assert_eq!(watched.some_news().await, ["new a/new.mkv"]);
    fs::write(watched.library.path("b/2.mkv"), "another content").expect("written");
    assert_eq!(watched.some_news().await, ["changed b/2.mkv"]);
    watched.library.remove("b/2.mkv");
    assert_eq!(watched.some_news().await, ["gone b/2.mkv"]);

    // A whole folder that is moved in, and then one within it.
    add_file(&watched.library.outside("in/deep/5.mkv"));
    fs::rename(watched.library.outside("in"), watched.library.path("in")).expect("moved");
    assert_eq!(watched.some_news().await, ["new in/deep/5.mkv"]);
    watched.library.add("in/deep/6.mkv");
    assert_eq!(watched.some_news().await, ["new in/deep/6.mkv"]);

    fs::rename(watched.library.path("c"), watched.library.path("d")).expect("renamed");
    assert_eq!(watched.some_news().await, ["gone c/3.mkv", "new d/3.mkv"]);
    fs::remove_dir_all(watched.library.path("gone")).expect("removed");
    assert_eq!(watched.some_news().await, ["gone gone/4.mkv"]);
    fs::rename(watched.library.path("in"), watched.library.outside("out")).expect("moved");
    assert_eq!(
        watched.some_news().await,
        ["gone in/deep/5.mkv", "gone in/deep/6.mkv"]
    );

    watched.library.add("a/1.mkv.noav1");
    assert_eq!(watched.some_news().await, ["changed a/1.mkv"]);
    watched.library.add("a/.noav1");
    assert_eq!(watched.some_news().await, ["changed a/new.mkv"]);
    watched.library.remove("a/.noav1");
    assert_eq!(watched.some_news().await, ["changed a/new.mkv"]);
    assert_eq!(watched.watch.trouble(), None);
}

#[tokio::test]
async fn what_is_no_film_is_not_told_nor_is_reading_one() {
    let mut watched = Watched::with(&["a/1.mkv", ".hidden/", "#recycle/"]);
    watched.library.scan();
    watched.library.known.news();
    for other in [
        "a/1.nfo",
        "a/.1.mkv.0123456789abcdef.av1part",
        ".hidden/2.mkv",
        "#recycle/3.mkv",
        "a/1.mkv.bak",
        ".hidden/x/",
        ".av1root",
    ] {
        watched.library.add(other);
    }
    fs::read(watched.library.path("a/1.mkv")).expect("read");
    fs::read_dir(watched.library.path("a")).expect("read");
    watched.library.add("z.mkv");
    let changed = tokio::time::timeout(Duration::from_secs(30), watched.watch.changed());
    let mut expected = Touched::default();
    expected.add_file(rel("z.mkv"));
    assert_eq!(changed.await.expect("told"), expected);
}

#[tokio::test]
async fn a_burst_is_told_at_once_and_one_that_does_not_end_in_time() {
    let mut watched = Watched::with(&[]);
    for n in 0..50 {
        watched.library.add(&format!("{n}.mkv"));
    }
    assert_eq!(watched.news().await.len(), 50);
    let path = watched.library.path("endless.mkv");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut n = 0_u64;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            n += 1;
            fs::write(&path, n.to_string()).expect("written");
        }
    });
    assert_eq!(watched.news().await, ["new endless.mkv"]);
    drop(stop);
    writer.join().expect("ends");
}

#[tokio::test]
async fn where_count_was_lost_everything_has_changed_but_not_all_the_time() {
    let mut watched = Watched::with(&["a.mkv"]);
    let lost = || Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan));
    watched.watch.tell(lost());
    assert_eq!(watched.watch.changed().await, Touched::everything());
    watched.watch.pace_everything(Duration::from_secs(600));
    watched.watch.tell(lost());
    let soon = tokio::time::timeout(Duration::from_millis(500), watched.watch.changed());
    assert!(soon.await.is_err(), "not again so soon");
    watched.watch.pace_everything(Duration::from_millis(1));
    assert_eq!(
        watched.watch.changed().await,
        Touched::everything(),
        "and not forgotten"
    );
    assert_eq!(watched.watch.trouble(), None);
}

/// In a user namespace of its own, where the limit can be set low.
#[test]
fn the_systems_limit_is_told() {
    const NAME: &str = "scan::tests::watch::the_systems_limit_is_told";
    if std::env::var_os("AV1_TEST_NAMESPACE").is_some() {
        let library = Library::with(&["a/1.mkv", "b/2.mkv"]);
        let rules = ScanRules::of(&library.config).expect("rules");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut watch = Watch::start(&library.root.path, &rules, PACE).expect("three are few");
        library.add("c/3.mkv");
        library.add("d/4.mkv");
        let touched = runtime.block_on(async {
            let changed = tokio::time::timeout(Duration::from_secs(30), watch.changed());
            changed.await.expect("told")
        });
        assert_eq!(touched, Touched::everything());
        assert_eq!(watch.trouble(), Some(Unwatched::TooMany));
        drop(watch);
        let started = Watch::start(&library.root.path, &rules, PACE);
        assert_eq!(started.map(|_| ()), Err(Unwatched::TooMany));
        return;
    }
    let limit = "echo 4 > /proc/sys/user/max_inotify_watches";
    let this = std::env::current_exe().expect("known");
    let command = format!("{limit} && exec \"$0\" --exact {NAME} --nocapture");
    let output = Command::new("unshare")
        .args(["-r", "sh", "-c", &command])
        .arg(this)
        .env("AV1_TEST_NAMESPACE", "1")
        .output();
    let Ok(output) = output else {
        eprintln!("no `unshare` here; not tested");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if !text.contains("running 1 test") {
        eprintln!("no user namespace may be made here; not tested: {text}");
        return;
    }
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_not_watched() {
    let library = Library::with(&[]);
    let rules = ScanRules::of(&library.config).expect("rules");
    let started = Watch::start(&library.path("missing"), &rules, PACE);
    assert!(matches!(started, Err(Unwatched::Failed(_))));
}
