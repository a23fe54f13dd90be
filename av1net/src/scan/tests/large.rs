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
    let drop_caches = || fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    for name in ["first", "unchanged", "unchanged, cold"] {
        if name.ends_with("cold") && !drop_caches() {
            continue;
        }
        library.known.news();
        let clock = Stopwatch::start();
        let report = library.scan();
        let seconds = clock.seconds();
        let per_second = f64::from(FOLDERS * FILMS_EACH) / seconds;
        eprintln!(
            "{name}: {seconds:.2} s, {per_second:.0} files/s, {}",
            memory()
        );
        assert_eq!(report.seen.films, u64::from(FOLDERS * FILMS_EACH));
        assert!(seconds < 30.0, "{name}");
    }
    fs::rename(library.path("Shelf 7"), library.path("Shelf 7a")).expect("moved");
    let clock = Stopwatch::start();
    let report = library.scan();
    eprintln!(
        "a hundredth moved: {:.2} s, {:?}",
        clock.seconds(),
        report.counts
    );
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.collect::<Vec<_>>().join(", ")
}
