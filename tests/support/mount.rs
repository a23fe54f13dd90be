//! Small and read-only file systems, for which the tests must be root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Scratch;

/// A tmpfs; unmounted when dropped.
pub(crate) struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// A tmpfs with `options`, or `None`, with a word about it, where this process
    /// may not mount one.
    pub(crate) fn mount(folder: &Scratch, name: &str, options: &str) -> Option<Self> {
        let path = folder.folder(name);
        if mount(&["-t", "tmpfs", "-o", options, "av1-tests"], &path) {
            return Some(Self { path });
        }
        eprintln!("skipped: mounting a tmpfs ({options}) takes root and CAP_SYS_ADMIN");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    Command::new("mount")
        .args(arguments)
        .arg(path)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.path.display());
        }
    }
}
