//! Whether somebody writes to a file.

use std::path::Path;

/// Whether a process on this machine has a file open for writing. `None` where the
/// system does not tell: a read lease can be had of one's own files alone (root: of
/// all), and not on every file system (fcntl(2), `F_SETLEASE`).
#[cfg(target_os = "linux")]
pub(crate) fn is_open_for_writing(path: &Path) -> Option<bool> {
    use std::os::fd::AsRawFd;

    let file = std::fs::File::open(path).ok()?;
    // SAFETY: the descriptor is open as long as `file` lives; F_SETLEASE takes an
    // integer and touches no memory of ours. The lease goes at the next call, and a
    // writer who comes in between waits for that.
    let lease =
        |kind: libc::c_int| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if lease(libc::F_RDLCK) == 0 {
        lease(libc::F_UNLCK);
        return Some(false);
    }
    (std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)).then_some(true)
}

/// Elsewhere there is no such question.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_open_for_writing(_: &Path) -> Option<bool> {
    None
}
