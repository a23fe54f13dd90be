//! A library of one film, and what must be left of it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use av1core::{Recovered, Recovery, recover};

use crate::POINTS;
use crate::child::{ADDED, Event, Fault, Order, STRANGER};
use crate::nursery::Process;
use crate::quirky::{Quirk, Quirky};
use crate::support::scratch::{fingerprint, names};
use crate::support::{Scratch, command};

/// A folder with one film.
pub(crate) struct Library {
    /// Unmounted before the folders go.
    mounted: Option<Quirky>,
    scratch: Scratch,
    source: &'static str,
    keep_backup: bool,
    pub(crate) original: u64,
}

/// What a child left.
pub(crate) struct Left {
    library: Library,
    faults: Vec<Fault>,
    staged: u64,
    /// What the child said; nothing where it was killed.
    said: Option<String>,
    folder: PathBuf,
}

/// The film, made once: Matroska and MP4 hold the same packets.
fn film(name: &str) -> Vec<u8> {
    static FILMS: OnceLock<BTreeMap<&str, Vec<u8>>> = OnceLock::new();
    let films = FILMS.get_or_init(|| {
        let folder = Scratch::new();
        ["film.mkv", "film.mp4"]
            .map(|name| {
                let path = folder.file(name);
                let recipe = "-f lavfi -i testsrc2=s=64x64:r=25:d=0.2 -c:v libx264 -qp 0 \
                              -pix_fmt yuv420p";
                command::make(recipe, &path);
                (name, fs::read(path).expect("read"))
            })
            .into()
    });
    films[name].clone()
}

impl Library {
    pub(crate) fn new(source: &'static str, keep_backup: bool) -> Self {
        let scratch = Scratch::new();
        let folder = scratch.folder("library");
        Self::with(scratch, &folder, source, keep_backup)
    }

    /// On a file system with a quirk; `None` where none can be mounted.
    pub(crate) fn on(quirk: Quirk, source: &'static str, keep_backup: bool) -> Option<Self> {
        let scratch = Scratch::new();
        let (folder, behind) = (scratch.folder("library"), scratch.folder("behind"));
        let mut library = Self::with(scratch, &behind, source, keep_backup);
        let path = behind.join(source);
        std::os::unix::fs::chown(&path, Some(12345), Some(12345)).ok()?;
        library.mounted = Some(Quirky::mount(quirk, &behind, &folder)?);
        Some(library)
    }

    fn with(scratch: Scratch, folder: &Path, source: &'static str, keep_backup: bool) -> Self {
        let path = folder.join(source);
        fs::write(&path, film(source)).expect("written");
        let original = fingerprint(&path);
        Self {
            mounted: None,
            scratch,
            source,
            keep_backup,
            original,
        }
    }

    /// The source after somebody wrote to it.
    pub(crate) fn changed(&self) -> u64 {
        let mut bytes = film(self.source);
        bytes.extend_from_slice(ADDED);
        content(&self.scratch, &bytes)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.scratch.file("library")
    }

    /// Starts a child on the film, with these faults.
    pub(crate) fn start(&self, faults: &[Fault]) -> Process {
        let order = Order {
            source: self.scratch.file("library").join(self.source),
            keep_backup: self.keep_backup,
            faults: faults.to_vec(),
        };
        Process::start(&format!("replace\n{}", order.to_text()))
    }

    /// Runs two children on the film at once; one of their outputs is the film then.
    pub(crate) fn run_two(self) {
        let folder = self.scratch.file("library");
        let said = [self.start(&[]), self.start(&[])].map(|mut child| {
            child.wait();
            child.said()
        });
        let staged = |said: &String| {
            let staged = said.lines().next()?.strip_prefix("staged ")?;
            u64::from_str_radix(staged.split(' ').next()?, 16).ok()
        };
        let outputs: Vec<_> = said.iter().filter_map(staged).collect();
        assert_eq!(names(&folder), [TARGET], "{said:?}");
        let film = fingerprint(&folder.join(TARGET));
        assert!(outputs.contains(&film), "{said:?}");
        assert!(recover(&folder).expect("recovered").is_empty(), "{said:?}");
    }

    /// Runs a child on the film, with these faults.
    pub(crate) fn run(self, faults: Vec<Fault>) -> Left {
        let folder = self.scratch.file("library");
        let mut child = self.start(&faults);
        child.wait();
        let (said, errors) = (child.said(), child.errors());
        let mut lines = said.lines();
        let staged = lines.next().and_then(|line| line.strip_prefix("staged "));
        let Some(staged) = staged.and_then(|line| line.split(' ').next()) else {
            panic!("{faults:?}: the child did not get far: {errors}");
        };
        let moved = self.scratch.file("library.moved");
        Left {
            staged: u64::from_str_radix(staged, 16).expect("a fingerprint"),
            said: lines.next().map(str::to_owned),
            folder: if moved.exists() { moved } else { folder },
            faults,
            library: self,
        }
    }
}

impl Left {
    /// What the child said in the end.
    pub(crate) fn said(&self) -> &str {
        self.said.as_deref().unwrap_or_default()
    }

    /// The film of this name has been replaced.
    pub(crate) fn assert_replaced(&self) {
        let held = fingerprint(&self.folder.join(TARGET));
        assert_eq!(held, self.staged, "{self}");
    }

    /// The film is the source, untouched.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(names(&self.folder), [self.library.source], "{self}");
        let held = fingerprint(&self.folder.join(self.library.source));
        assert_eq!(held, self.library.original, "{self}");
    }

    /// A bit of the staged file flips, and nothing that is known of it changes.
    pub(crate) fn spoil_output(&self) {
        let staged = names(&self.folder)
            .into_iter()
            .find(|name| name.ends_with(".av1part"))
            .expect("a staged file");
        let path = self.folder.join(staged);
        let modified = fs::metadata(&path).and_then(|meta| meta.modified());
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let file = fs::File::options().write(true).open(&path).expect("opened");
        file.write_all_at(&bytes, 0).expect("written");
        file.set_modified(modified.expect("a time"))
            .expect("a time");
    }

    /// Recovery finds that the output is not what was verified.
    pub(crate) fn assert_taken_back(&self) {
        let found = recover(&self.folder).expect("recovered");
        let taken_back = |one: &Recovered| matches!(one.recovery, Recovery::TakenBack { .. });
        assert!(found.iter().any(taken_back), "{self}: {found:?}");
        self.assert_untouched();
    }

    /// The source goes, and what lies under the new name is no film: the output is the only
    /// one that there is, and recovery does not take it for dispensable.
    pub(crate) fn assert_only_film_is_kept(&self) {
        fs::remove_file(self.folder.join(self.library.source)).expect("removed");
        fs::write(self.folder.join(TARGET), b"").expect("an empty file");
        recover(&self.folder).expect("recovered");
        let held = names(&self.folder);
        let is_output = |name: &String| fingerprint(&self.folder.join(name)) == self.staged;
        assert!(held.iter().any(is_output), "{self}: no film among {held:?}");
    }

    /// Recovers twice, and finds exactly one good film under the right name.
    pub(crate) fn assert_one_good_film(&self) {
        let before = names(&self.folder);
        self.assert_never_without_a_film(&before);
        if let Some(said) = &self.said {
            // A child that lived tidies up after itself, or says that it could not.
            let tidy = before.iter().all(|name| !name.starts_with('.'));
            let told = said.contains("av1cli recover")
                || self.has_happened(Event::FolderGoes)
                || self.has_happened(Event::FolderCloses);
            assert!(tidy || told, "{self} left {before:?}");
        }
        fs::set_permissions(&self.folder, Permissions::from_mode(0o755)).expect("a mode");
        let first = recover(&self.folder).expect("recovered");
        let second = recover(&self.folder).expect("recovered again");
        assert!(second.is_empty(), "{self}: {first:?}, then {second:?}");
        self.assert_end_state();
    }

    /// Whether the child lived long enough for this to happen.
    fn has_happened(&self, wanted: Event) -> bool {
        self.moment(wanted).is_some()
    }

    fn moment(&self, wanted: Event) -> Option<&'static str> {
        let place = |point: &str| POINTS.iter().position(|p| *p == point);
        let killed = self.faults.iter().find_map(|fault| match fault {
            Fault::Kill(at) => place(at),
            _ => None,
        });
        self.faults.iter().find_map(|fault| match fault {
            Fault::Event(at, event) if *event == wanted => {
                let in_time = self.said.is_some() || killed.is_none_or(|k| place(at) <= Some(k));
                in_time.then_some(*at)
            }
            _ => None,
        })
    }

    /// Even before recovery, a whole film has one of its two names.
    fn assert_never_without_a_film(&self, names: &[String]) {
        if self.has_happened(Event::SourceGoes) {
            return;
        }
        let found = names
            .iter()
            .filter(|name| *name == self.library.source || *name == TARGET)
            .map(|name| fingerprint(&self.folder.join(name)));
        let good = self.good();
        let found: Vec<_> = found.collect();
        assert!(
            found.iter().any(|film| good.contains(film)),
            "{self}: no film among {names:?}"
        );
    }

    /// What may lie under a film's name.
    fn good(&self) -> Vec<u64> {
        let mut good = vec![self.library.original, self.staged];
        if self.has_happened(Event::SourceChanges) {
            good.push(self.library.changed());
            if self.library.source == TARGET {
                good.push(fingerprint(&self.folder.join(TARGET)));
            }
        }
        if self.has_happened(Event::StrangerComes) || self.has_happened(Event::AnotherReplaces) {
            good.push(content(&self.library.scratch, STRANGER));
        }
        good
    }

    fn assert_end_state(&self) {
        let held: BTreeMap<_, _> = names(&self.folder)
            .into_iter()
            .map(|name| (name.clone(), fingerprint(&self.folder.join(name))))
            .collect();
        let lawful = self.lawful();
        assert!(
            lawful.contains(&held),
            "{self}: holds {held:x?}, may hold one of {lawful:x?}"
        );
    }

    /// What the folder may hold in the end.
    fn lawful(&self) -> Vec<BTreeMap<String, u64>> {
        let source = self.library.source;
        let original = self.library.original;
        let holds = |files: &[(&str, u64)]| -> BTreeMap<String, u64> {
            files
                .iter()
                .map(|(name, film)| ((*name).to_owned(), *film))
                .collect()
        };
        // With the backup, where one is wanted.
        let backed_up = |files: &[(&str, u64)]| {
            let mut held = holds(files);
            if self.library.keep_backup {
                held.insert(format!("{source}.bak"), original);
            }
            held
        };
        let replaced = backed_up(&[(TARGET, self.staged)]);
        let untouched = holds(&[(source, original)]);
        let same_name = source == TARGET;
        let committed = |at: &str| matches!(at, "committed" | "synced" | "aside");
        if let Some(at) = self.moment(Event::SourceChanges) {
            return match (committed(at), same_name) {
                // Written into the output, which has the name by then.
                (true, true) => vec![backed_up(&[(source, self.output_changed())])],
                (true, false) if at == "aside" => vec![replaced],
                _ => vec![holds(&[(source, self.library.changed())])],
            };
        }
        if let Some(at) = self.moment(Event::SourceGoes) {
            return match (committed(at), same_name) {
                // The output was removed: the source comes back, if it is still there.
                (true, true) => vec![untouched, backed_up(&[])],
                (true, false) => vec![replaced, holds(&[(TARGET, self.staged)])],
                (false, _) if at == "attributes" => vec![holds(&[])],
                (false, _) => vec![holds(&[(TARGET, self.staged)])],
            };
        }
        if let Some(at) = self.moment(Event::StrangerComes) {
            let stranger = content(&self.library.scratch, STRANGER);
            return match (committed(at), same_name) {
                (true, true) => vec![backed_up(&[(TARGET, stranger)])],
                (false, true) => vec![holds(&[(TARGET, stranger)])],
                (_, false) => vec![holds(&[(TARGET, stranger), (source, original)])],
            };
        }
        if let Some(at) = self.moment(Event::AnotherReplaces) {
            let other = content(&self.library.scratch, STRANGER);
            return match (committed(at), same_name) {
                (true, true) => vec![backed_up(&[(TARGET, other)])],
                // It was aside already, and comes back.
                (true, false) if at == "aside" => {
                    vec![holds(&[(TARGET, other), (source, original)])]
                }
                _ => vec![holds(&[(TARGET, other)])],
            };
        }
        vec![replaced, untouched]
    }

    /// The output with what somebody added who held it for the source.
    fn output_changed(&self) -> u64 {
        let path = self.folder.join(self.library.source);
        let bytes = fs::read(&path).unwrap_or_default();
        let output = bytes.strip_suffix(ADDED).unwrap_or_default();
        assert_eq!(
            content(&self.library.scratch, output),
            self.staged,
            "{self}"
        );
        fingerprint(&path)
    }
}

/// The output's name.
pub(crate) const TARGET: &str = "film.mkv";

fn content(scratch: &Scratch, bytes: &[u8]) -> u64 {
    fingerprint(&scratch.write("content", bytes))
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Library {
            source,
            keep_backup,
            ..
        } = &self.library;
        let faults = &self.faults;
        write!(f, "{source}, backup {keep_backup}, {faults:?}")?;
        match &self.said {
            Some(said) => write!(f, ", which said {said:?}"),
            None => write!(f, ", killed"),
        }
    }
}
