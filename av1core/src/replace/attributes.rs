//! What a file has beside its content, carried to the file that takes its place.

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use xattr::FileExt;

/// Copies owner, extended attributes (with the access control list among them), mode
/// and times, and returns what was refused, in words.
///
/// # Errors
///
/// Where the source's attributes cannot be read at all.
pub(super) fn copy(from: &File, to: &File) -> io::Result<Vec<String>> {
    let meta = from.metadata()?;
    let mut refused = Vec::new();
    let mut note = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            refused.push(format!("{what} could not be kept: {error}"));
        }
    };
    // The owner first: a change of owner takes mode bits away. Only root may give a
    // file away; a member of the group may still keep the group.
    let owner = keep_owner(&meta, to);
    note("the owner", owner);
    copy_xattrs(from, to, &mut note);
    note("the mode", keep_mode(&meta, to));
    note("the times", keep_times(&meta, to));
    Ok(refused)
}

fn keep_owner(meta: &std::fs::Metadata, to: &File) -> io::Result<()> {
    let now = to.metadata()?;
    if (now.uid(), now.gid()) == (meta.uid(), meta.gid()) {
        return Ok(());
    }
    fchown(to, Some(meta.uid()), Some(meta.gid())).or_else(|error| {
        let group = fchown(to, None, Some(meta.gid()));
        if now.uid() == meta.uid() {
            group
        } else {
            Err(error)
        }
    })
}

fn keep_mode(meta: &std::fs::Metadata, to: &File) -> io::Result<()> {
    let mode = meta.permissions().mode();
    if to.metadata()?.permissions().mode() == mode {
        return Ok(());
    }
    to.set_permissions(std::fs::Permissions::from_mode(mode))?;
    // Some network file systems agree and do nothing.
    if to.metadata()?.permissions().mode() == mode {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

fn keep_times(meta: &std::fs::Metadata, to: &File) -> io::Result<()> {
    let times = FileTimes::new()
        .set_accessed(meta.accessed()?)
        .set_modified(meta.modified()?);
    to.set_times(times)
}

/// Attributes that the kernel computes from the content or the path itself.
const OF_THE_CONTENT: [&str; 3] = ["security.ima", "security.evm", "security.capability"];

fn copy_xattrs(from: &File, to: &File, note: &mut impl FnMut(&str, io::Result<()>)) {
    let names = match from.list_xattr() {
        Ok(names) => names,
        // A file system without attributes has none to keep.
        Err(_) => return,
    };
    for name in names {
        if OF_THE_CONTENT.iter().any(|own| name == OsStr::new(own)) {
            continue;
        }
        let kept = from.get_xattr(&name).and_then(|value| match value {
            Some(value) if to.get_xattr(&name).ok().flatten().as_ref() != Some(&value) => {
                to.set_xattr(&name, &value)
            }
            _ => Ok(()),
        });
        note(&format!("the attribute {}", name.to_string_lossy()), kept);
    }
}
