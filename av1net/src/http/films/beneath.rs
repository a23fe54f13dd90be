//! Opens a file beneath a folder, without following a link on the way: what was a
//! folder of films when the path was made may be a link to elsewhere now.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, openat};

const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    // A pipe would wait for its other end.
    .union(OFlags::NONBLOCK);

/// Opens `path` beneath `root` for reading; a regular file, or an error. The root itself
/// may be a link: that is its owner's choice.
pub(super) fn open(root: &Path, path: &Path) -> io::Result<File> {
    let root: OwnedFd = rustix::fs::open(
        root,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let file = File::from(resolve(&root, path)?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no regular file",
    ))
}

#[cfg(target_os = "linux")]
fn resolve(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    use rustix::io::Errno;

    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, FILE, Mode::empty(), how) {
        // Before Linux 5.6, and where a sandbox does not know it.
        Err(Errno::NOSYS | Errno::PERM) => by_components(root, path),
        opened => Ok(opened?),
    }
}

#[cfg(not(target_os = "linux"))]
fn resolve(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    by_components(root, path)
}

/// The same, one name after the other.
fn by_components(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            _ => {
                let what = "the path leaves its folder";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
    }
    let Some((last, folders)) = names.split_last() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let folder_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder: Option<OwnedFd> = None;
    for name in folders {
        let from = folder.as_ref().unwrap_or(root).as_fd();
        folder = Some(openat(from, *name, folder_flags, Mode::empty())?);
    }
    let from = folder.as_ref().unwrap_or(root).as_fd();
    Ok(openat(from, *last, FILE, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_ways_out_are_refused_in_both_ways() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("films");
        fs::create_dir_all(root.join("a/b")).expect("made");
        fs::write(root.join("a/b/film.mkv"), "film").expect("written");
        fs::write(folder.path().join("secret"), "secret").expect("written");
        symlink("../secret", root.join("link.mkv")).expect("linked");
        symlink("a", root.join("folder")).expect("linked");
        symlink(&root, folder.path().join("root")).expect("linked");
        let root_fd = || OwnedFd::from(File::open(&root).expect("the root"));

        let mut text = String::new();
        let through_link = folder.path().join("root");
        let mut file = open(&through_link, Path::new("a/b/film.mkv")).expect("opened");
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "film");
        let mut file =
            File::from(by_components(&root_fd(), Path::new("a/b/film.mkv")).expect("opened"));
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "filmfilm");

        for path in [
            "link.mkv",
            "folder/b/film.mkv",
            "../secret",
            "a/../../secret",
            "/etc/passwd",
            "none",
            "",
        ] {
            assert!(open(&root, Path::new(path)).is_err(), "{path}");
            assert!(
                by_components(&root_fd(), Path::new(path)).is_err(),
                "{path} by components"
            );
        }
        assert!(
            open(&root, Path::new("a/b")).is_err(),
            "a folder is no film"
        );
    }
}
