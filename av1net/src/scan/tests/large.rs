//! A million files. Run by hand, since it takes minutes to make them:
//! `AV1_TEST_TREE=/disk/folder cargo nextest run --release -p av1net --run-ignored only scan::tests::large`

use super::*;

const FOLDERS: u32 = 10_000;
const FILMS_EACH: u32 = 100;

struct Stopwatch(UnixMs);

impl Stopwatch {
    fn start() -> Self {
        Self(crate::clock::now())
    }

    fn seconds(&self) -> f64 {
        crate::clock::now().ms_since(self.0) as f64 / 1000.0
    }
}

fn make_tree(root: &Path) {
    for folder in 0..FOLDERS {
        let folder = root.join(format!("Shelf {}/Film {folder} (2001)", folder % 100));
        fs::create_dir_all(&folder).expect("made");
        for film in 0..FILMS_EACH {
            File::create(folder.join(format!("part {film}.mkv"))).expect("created");
        }
    }
}

#[test]
#[ignore = "makes a million files"]
fn a_million_files() {
    let folder = std::env::var_os("AV1_TEST_TREE").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new()
        .prefix("av1tree")
        .tempdir_in(folder)
        .expect("a folder");
    let mut library = Library::at(folder, "library");
    let clock = Stopwatch::start();
    make_tree(&library.root.path);
    eprintln!("made in {:.1} s", clock.seconds());
    timed(&mut library, "first", 4);
    for threads in [1, 2, 4, 8] {
        timed(&mut library, "unchanged", threads);
    }
    for threads in [1, 4] {
        if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
            timed(&mut library, "unchanged, cold", threads);
        }
    }
    fs::rename(library.path("Shelf 7"), library.path("Shelf 7a")).expect("moved");
    timed(&mut library, "a hundredth moved", 4);
}

fn timed(library: &mut Library, name: &str, threads: usize) {
    library.known.news();
    let options = ScanOptions {
        threads,
        ..library.options()
    };
    let (clock, pages) = (Stopwatch::start(), library.known.pages);
    let cancel = CancellationToken::new();
    let report = scan(&library.root, &options, &mut library.known, &cancel).expect("scanned");
    let seconds = clock.seconds();
    let pages = library.known.pages - pages;
    eprintln!(
        "{name}, {threads} threads: {seconds:.2} s, {pages} pages, {}",
        memory()
    );
    assert_eq!(report.seen.films, u64::from(FOLDERS * FILMS_EACH));
    assert!(seconds < 30.0, "{name}");
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.collect::<Vec<_>>().join(", ")
}
