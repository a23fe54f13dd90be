//! Small and read-only file systems, for which the tests must be root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Scratch;

/// A file system; unmounted when dropped, also where somebody has it in use.
pub(crate) struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// Mounts as `mount` does with these arguments, or `None`, with a word about it, where
    /// this process may not.
    pub(crate) fn mount(arguments: &[&str], path: &Path) -> Option<Self> {
        if mount(arguments, path) {
            let path = path.to_owned();
            return Some(Self { path });
        }
        eprintln!("skipped: mount {arguments:?} takes root and CAP_SYS_ADMIN");
        None
    }

    /// A tmpfs with `options` in a folder of its own.
    pub(crate) fn tmpfs(folder: &Scratch, name: &str, options: &str) -> Option<Self> {
        let path = folder.folder(name);
        Self::mount(&["-t", "tmpfs", "-o", options, "av1-tests"], &path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether it could be mounted.
pub(crate) fn mount(arguments: &[&str], path: &Path) -> bool {
    Command::new("mount")
        .args(arguments)
        .arg(path)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.path.display());
        }
    }
}
