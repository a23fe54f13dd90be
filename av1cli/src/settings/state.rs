//! Where a master, a worker and `shrink` keep what they remember.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use av1net::config::Config;

use crate::exit::Usage;

/// The state directory that the configuration names, else the user's.
pub(crate) fn state_directory(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.state_directory {
        Some(named) => Ok(named.clone()),
        None => users(),
    }
}

/// Where `shrink` remembers what became of these folders: a place of their own, so that
/// two of them may run side by side, and that the same command finds again. The folders
/// have to be absolute, sorted, and each there once.
pub(crate) fn of_folders(folders: &[PathBuf]) -> anyhow::Result<PathBuf> {
    Ok(users()?.join("shrink").join(name_of(folders)))
}

/// A folder's name from the paths, which hold no NUL: 64 bits of a hash, in which no two
/// of a user's libraries meet.
fn name_of(folders: &[PathBuf]) -> String {
    let mut hasher = blake3::Hasher::new();
    for folder in folders {
        hasher.update(folder.as_os_str().as_bytes());
        hasher.update(&[0]);
    }
    let mut name = hasher.finalize().to_hex().to_string();
    name.truncate(16);
    name
}

fn users() -> anyhow::Result<PathBuf> {
    let found = users_of(cfg!(target_os = "macos"), |name| env::var_os(name));
    found.ok_or_else(|| {
        let message = "there is no HOME to keep state in: name a folder as `state_directory` \
                       (AV1_STATE_DIRECTORY)";
        Usage(message.to_owned()).into()
    })
}

/// `$XDG_STATE_HOME/av1`, by default `~/.local/state/av1` (XDG base directory
/// specification 0.8); `~/Library/Application Support/av1` on macOS. A relative path in
/// either variable is no place at all, says the specification.
fn users_of(macos: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(variable(name)?);
        path.is_absolute().then_some(path)
    };
    let home = || absolute("HOME");
    let folder = match absolute("XDG_STATE_HOME") {
        Some(folder) => folder,
        None if macos => home()?.join(Path::new("Library/Application Support")),
        None => home()?.join(".local/state"),
    };
    Some(folder.join("av1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lies_where_the_system_wants_it() {
        let place = |macos, pairs: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            users_of(macos, variable).map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/u");
        assert_eq!(
            place(false, &[home]).as_deref(),
            Some("/home/u/.local/state/av1")
        );
        assert_eq!(
            place(true, &[home]).as_deref(),
            Some("/home/u/Library/Application Support/av1")
        );
        assert_eq!(
            place(false, &[home, ("XDG_STATE_HOME", "/s")]).as_deref(),
            Some("/s/av1")
        );
        assert_eq!(
            place(false, &[home, ("XDG_STATE_HOME", "s")]).as_deref(),
            Some("/home/u/.local/state/av1")
        );
        assert_eq!(place(false, &[]), None);
        assert_eq!(place(false, &[("HOME", "")]), None);
    }

    #[test]
    fn each_set_of_folders_has_a_place_of_its_own() {
        let name = |folders: &[&str]| {
            let folders: Vec<_> = folders.iter().map(PathBuf::from).collect();
            name_of(&folders)
        };
        assert_eq!(name(&["/a", "/b"]), name(&["/a", "/b"]));
        assert_ne!(name(&["/a", "/b"]), name(&["/a/b"]));
        assert_ne!(name(&["/a"]), name(&["/a", "/b"]));
        assert_eq!(name(&["/a"]).len(), 16);
    }
}
