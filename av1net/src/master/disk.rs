//! What the file system says of films.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::job::FileId;
use crate::units::RelPath;

/// What tells one content of a file from another.
pub(crate) fn file_id(path: &Path) -> io::Result<FileId> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok(FileId {
        bytes: meta.len(),
        modified_ns: meta
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(meta.mtime_nsec()),
        inode: meta.ino(),
    })
}

/// A file's path below its root.
pub(crate) fn relative(path: &Path, root: &Path) -> Option<RelPath> {
    RelPath::new(path.strip_prefix(root).ok()?)
}
