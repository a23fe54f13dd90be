//! One folder as it is now: what of it a scan looks at, in the order of whole paths.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, FileType, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

use super::names::{Names, SIDECAR, SIDECAR_SUFFIX};
use crate::job::FileId;
use crate::roots::{self, MARKER};
use crate::units::RootId;

/// What tells one folder from another, and whether it is a mount of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FolderId {
    /// Device and inode number.
    pub(super) inode: (u64, u64),
    /// The mount, where the system tells (Linux from 5.8 on).
    mount: Option<u64>,
}

impl FolderId {
    /// Of a folder; a link is none, unless it is followed.
    pub(super) fn of(path: &Path, follow: bool) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(id) = Self::by_statx(path, follow)? {
            return Ok(id);
        }
        let meta = if follow {
            fs::metadata(path)?
        } else {
            fs::symlink_metadata(path)?
        };
        if !meta.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let inode = (meta.dev(), meta.ino());
        Ok(Self { inode, mount: None })
    }

    /// `None` where the system has no such call.
    #[cfg(target_os = "linux")]
    fn by_statx(path: &Path, follow: bool) -> io::Result<Option<Self>> {
        use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
        use rustix::io::Errno;
        let flags = if follow {
            AtFlags::empty()
        } else {
            AtFlags::SYMLINK_NOFOLLOW
        };
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = match statx(CWD, path, flags, wanted) {
            Ok(stat) => stat,
            // Kernels before 4.11, and sandboxes that know no newer call (Docker before 20).
            Err(Errno::NOSYS | Errno::PERM) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let device = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
        let told = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok(Some(Self {
            inode: (device, stat.stx_ino),
            mount: told.then_some(stat.stx_mnt_id),
        }))
    }

    /// Whether something is mounted here, below a folder of that identity. Without the
    /// mount's number a btrfs subvolume passes for one, which does no harm.
    pub(super) fn is_mount_below(&self, parent: &Self) -> bool {
        match (self.mount, parent.mount) {
            (Some(own), Some(parents)) => own != parents,
            _ => self.inode.0 != parent.inode.0,
        }
    }

    /// Whether two paths lead to one folder, through two mounts of it. Within one mount a
    /// folder has one path, whatever a file system without inodes makes up for them.
    pub(super) fn is_again(&self, earlier: &Self) -> bool {
        let both = self.mount.zip(earlier.mount);
        self.inode == earlier.inode && both.is_some_and(|(own, earlier)| own != earlier)
    }
}

/// What a scan looks at in a folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) id: FolderId,
    /// In the byte order of the paths below.
    pub(super) entries: Vec<Entry>,
    /// A `.noav1` lies in it.
    pub(super) is_excluded: bool,
    /// The identity in the marker that lies in it.
    pub(super) marker: Option<RootId>,
    /// Why not all of it is here.
    pub(super) trouble: Option<io::Error>,
    /// Links to folders, which are not followed.
    pub(super) linked_folders: u64,
}

/// Something in a folder.
#[derive(Debug)]
pub(super) enum Entry {
    /// A folder to look into.
    Folder(Vec<u8>),
    /// A film by its name.
    Film(Film),
}

/// A film by its name.
#[derive(Debug)]
pub(super) struct Film {
    pub(super) name: Vec<u8>,
    /// What the file system says of it, or why it does not.
    pub(super) facts: io::Result<Facts>,
    /// `NAME.noav1` lies beside it.
    pub(super) is_excluded: bool,
}

/// What the file system says of a film.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) file: FileId,
    /// When its content, mode or name last changed, in microseconds since 1970.
    pub(super) changed_us: i64,
    pub(super) links: u64,
    /// It is a symbolic link, and whether it leads out of the media directory.
    pub(super) link: Option<LeavesRoot>,
}

/// Whether a link leads out of the media directory.
pub(super) type LeavesRoot = bool;

impl Facts {
    fn of(meta: &Metadata, link: Option<LeavesRoot>) -> Self {
        let modified_ns = nanos(meta.mtime(), meta.mtime_nsec());
        let changed_ns = nanos(meta.ctime(), meta.ctime_nsec());
        Self {
            file: FileId {
                bytes: meta.len(),
                modified_ns,
                inode: meta.ino(),
            },
            changed_us: modified_ns.max(changed_ns) / 1000,
            links: meta.nlink(),
            link,
        }
    }
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Looks into a folder; `root` is the media directory.
pub(super) fn look(path: &Path, root: &Path, names: &Names) -> io::Result<Folder> {
    let id = FolderId::of(path, path == root)?;
    let mut folder = Folder {
        id,
        entries: Vec::new(),
        is_excluded: false,
        marker: None,
        trouble: None,
        linked_folders: 0,
    };
    let mut films = Vec::new();
    let mut excluded = HashSet::new();
    for entry in fs::read_dir(path)? {
        let entry = match entry {
            Ok(entry) => entry,
            // Nothing more comes of it, and what is missing may be there.
            Err(error) => {
                folder.trouble = Some(error);
                break;
            }
        };
        let name = entry.file_name().into_vec();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if names.is_folder(&name) {
                    folder.entries.push(Entry::Folder(name));
                }
            }
            Ok(kind) if names.is_film(&name) => films.push((entry, kind, name)),
            Ok(kind) if kind.is_symlink() => {
                let is_folder = fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir());
                folder.linked_folders += u64::from(is_folder);
            }
            Ok(_) if name == SIDECAR => folder.is_excluded = true,
            Ok(_) if name == MARKER.as_bytes() => folder.marker = marker(path),
            Ok(_) => {
                if let Some(film) = name.strip_suffix(SIDECAR_SUFFIX) {
                    excluded.insert(film.to_vec());
                }
            }
            Err(error) => folder.trouble = Some(error),
        }
    }
    // The order of the inodes is that of the disk; the file system's own order (ext4's
    // is by hash) would have a disk seek for each film.
    films.sort_unstable_by_key(|(entry, _, _)| entry.ino());
    for (entry, kind, name) in films {
        let is_excluded = excluded.contains(&name);
        match facts(&entry, kind, root) {
            Ok(Some(facts)) => {
                let facts = Ok(facts);
                folder.entries.push(Entry::Film(Film {
                    name,
                    facts,
                    is_excluded,
                }));
            }
            Ok(None) => folder.linked_folders += u64::from(kind.is_symlink()),
            // It went away a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let facts = Err(error);
                folder.entries.push(Entry::Film(Film {
                    name,
                    facts,
                    is_excluded,
                }));
            }
        }
    }
    folder.entries.sort_unstable_by(by_path);
    Ok(folder)
}

/// The facts of one film; `None` where it is neither a file nor a link to one.
fn facts(entry: &DirEntry, kind: FileType, root: &Path) -> io::Result<Option<Facts>> {
    if kind.is_file() {
        return entry.metadata().map(|meta| Some(Facts::of(&meta, None)));
    }
    if kind.is_symlink() {
        link_facts(&entry.path(), root)
    } else {
        Ok(None)
    }
}

fn link_facts(path: &Path, root: &Path) -> io::Result<Option<Facts>> {
    let own = fs::symlink_metadata(path)?;
    // A link that leads nowhere is a link all the same.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Ok(None);
    }
    let leaves = |target: &Path| fs::canonicalize(root).is_ok_and(|root| !target.starts_with(root));
    let leaves_root = fs::canonicalize(path).is_ok_and(|target| leaves(&target));
    Ok(Some(Facts::of(&own, Some(leaves_root))))
}

/// Looks at a single film; `None` where there is none of that path.
pub(super) fn look_at_film(path: &Path, root: &Path) -> Option<Film> {
    let name = path.file_name()?.as_bytes().to_vec();
    let facts = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(Facts::of(&meta, None))),
        Ok(meta) if meta.is_symlink() => link_facts(path, root),
        Ok(_) => return None,
        Err(error) => Err(error),
    };
    let facts = match facts {
        Err(error) if is_absence(&error) => return None,
        facts => facts.transpose()?,
    };
    let mut beside = name.clone();
    beside.extend_from_slice(SIDECAR_SUFFIX);
    let beside = path.with_file_name(OsStr::from_bytes(&beside));
    let is_excluded = fs::symlink_metadata(beside).is_ok();
    Some(Film {
        name,
        facts,
        is_excluded,
    })
}

/// Whether this says that there is nothing, rather than that it cannot be known.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn marker(folder: &Path) -> Option<RootId> {
    match roots::read(folder) {
        roots::Reading::Marker(marker) => Some(marker.id),
        _ => None,
    }
}

/// The order of the paths that begin with these names: a folder's go on with a slash.
fn by_path(a: &Entry, b: &Entry) -> Ordering {
    order(a.name(), b.name())
}

impl Entry {
    /// Its name, and whether it is a folder's.
    fn name(&self) -> (&[u8], bool) {
        match self {
            Self::Folder(name) => (name, true),
            Self::Film(film) => (&film.name, false),
        }
    }
}

fn order((a, a_is_folder): (&[u8], bool), (b, b_is_folder): (&[u8], bool)) -> Ordering {
    let shared = a.len().min(b.len());
    let next = |name: &[u8], is_folder: bool| {
        let slash = is_folder.then_some(b'/');
        name.get(shared).copied().or(slash)
    };
    let tails = || next(a, a_is_folder).cmp(&next(b, b_is_folder));
    a[..shared].cmp(&b[..shared]).then_with(tails)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the names, going through a folder in this order is going through the
        /// whole paths in byte order.
        #[test]
        fn the_order_is_that_of_the_paths_below(
            a in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'0'), Just(b'a'), any::<u8>()], 1..4),
            b in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'0'), Just(b'a'), any::<u8>()], 1..4),
            a_is_folder: bool, b_is_folder: bool,
            below_a in "[!-~]{1,3}", below_b in "[!-~]{1,3}",
        ) {
            prop_assume!(a != b && !a.contains(&b'/') && !b.contains(&b'/'));
            let whole = |name: &[u8], is_folder: bool, below: &str| {
                let tail = if is_folder { format!("/{below}") } else { String::new() };
                [name, tail.as_bytes()].concat()
            };
            let paths = whole(&a, a_is_folder, &below_a).cmp(&whole(&b, b_is_folder, &below_b));
            prop_assert_eq!(order((&a, a_is_folder), (&b, b_is_folder)), paths);
        }
    }
}
