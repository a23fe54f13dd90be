//! The worker's side: under which of its own paths it reaches the master's media
//! directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::marker::{Reading, read};
use crate::proto::RootInfo;
use crate::units::{DiskPath, RootId};

/// What a path of the master's is here: by the longest entry of `path_map` that it
/// begins with, else the same.
#[must_use]
pub fn here(path: &Path, path_map: &BTreeMap<PathBuf, PathBuf>) -> PathBuf {
    let fits = path_map
        .iter()
        .filter_map(|(from, to)| Some((from, to, path.strip_prefix(from).ok()?)));
    match fits.max_by_key(|(from, _, _)| from.components().count()) {
        // Joining nothing would add a slash.
        Some((_, to, rest)) if rest.as_os_str().is_empty() => to.clone(),
        Some((_, to, rest)) => to.join(rest),
        None => path.to_owned(),
    }
}

/// The media directories that lie here, and where: only those whose marker has the
/// right identity. Blocks for as long as a file system takes to answer; a dead network
/// mount may never.
#[must_use]
pub fn probe_mounts(
    roots: &[RootInfo],
    path_map: &BTreeMap<PathBuf, PathBuf>,
) -> BTreeMap<RootId, PathBuf> {
    let reached = roots.iter().filter_map(|root| {
        let path = here(&DiskPath::parse(&root.path)?.0, path_map);
        match read(&path) {
            Reading::Marker(marker) if marker.id == root.id => Some((root.id.clone(), path)),
            _ => None,
        }
    });
    reached.collect()
}
