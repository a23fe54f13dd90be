//! What a name alone says: whether a file is a film, and whether a folder is looked into.

/// The name that excludes a folder ([`av1core::FileFacts`]).
pub(super) const SIDECAR: &[u8] = b".noav1";
/// What is added to a film's name to exclude it.
pub(super) const SIDECAR_SUFFIX: &[u8] = b".noav1";

/// Folders of network storages and Windows that hold no library: thumbnails, what was
/// deleted, and read-only snapshots, in which every film is there many times over. Those
/// that begin with a dot are left out as all hidden ones are.
const NOT_LIBRARY: [&[u8]; 9] = [
    b"@eaDir",                    // Synology DSM, indexes
    b"#recycle",                  // Synology DSM, deleted files
    b"#snapshot",                 // Synology DSM, snapshots
    b"@Recycle",                  // QNAP QTS, deleted files
    b"@Recently-Snapshot",        // QNAP QTS, snapshots
    b"~snapshot",                 // NetApp over SMB, snapshots
    b"$RECYCLE.BIN",              // Windows, deleted files
    b"System Volume Information", // Windows, restore points
    b"lost+found",                // e2fsck
];

/// Which names are taken.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// In lower case, without dots.
    extensions: Vec<Vec<u8>>,
}

impl Names {
    pub(super) fn new(extensions: &[String]) -> Self {
        let bytes = |extension: &String| extension.to_lowercase().into_bytes();
        Self {
            extensions: extensions.iter().map(bytes).collect(),
        }
    }

    /// Whether a file of this name is a film. Hidden ones are not: our own, and what a
    /// Mac leaves beside each file (`._film.mkv`).
    pub(super) fn is_film(&self, name: &[u8]) -> bool {
        if name.starts_with(b".") {
            return false;
        }
        let Some(dot) = name.iter().rposition(|b| *b == b'.') else {
            return false;
        };
        let own = &name[dot + 1..];
        let fits = |known: &Vec<u8>| {
            known.eq_ignore_ascii_case(own)
                || (!own.is_ascii()
                    && *known == String::from_utf8_lossy(own).to_lowercase().as_bytes())
        };
        self.extensions.iter().any(fits)
    }

    /// Whether a folder of this name is looked into.
    #[expect(
        clippy::unused_self,
        reason = "both questions are asked of the same thing"
    )]
    pub(super) fn is_folder(&self, name: &[u8]) -> bool {
        let fits = |known: &&[u8]| known.eq_ignore_ascii_case(name);
        !name.starts_with(b".") && !NOT_LIBRARY.iter().any(fits)
    }

    /// Whether a scan would look at a film of this path.
    pub(super) fn is_film_path(&self, path: &[u8]) -> bool {
        let mut parts = path.rsplit(|b| *b == b'/');
        let name = parts.next().unwrap_or_default();
        self.is_film(name) && parts.all(|folder| self.is_folder(folder))
    }

    /// Whether a scan would look into the folder of this path.
    pub(super) fn is_folder_path(&self, path: &[u8]) -> bool {
        path.split(|b| *b == b'/')
            .all(|folder| self.is_folder(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_is_known_by_its_extension_in_whatever_case() {
        let names = Names::new(&["mkv".to_owned(), "ÄX".to_owned()]);
        for film in ["film.mkv", "FILM.MKV", "a.b.Mkv", "film.äx", "film.ÄX"] {
            assert!(names.is_film(film.as_bytes()), "{film}");
        }
        assert!(names.is_film(b"\xff.mkv"));
        for other in [
            "film.mp4",
            "mkv",
            ".mkv",
            "._film.mkv",
            "film.mkv.bak",
            "film.mkv.noav1",
            ".film.mkv.0123456789abcdef.av1part",
            "film.",
            "film.mk",
            "filmkv",
        ] {
            assert!(!names.is_film(other.as_bytes()), "{other}");
        }
        assert!(!names.is_film(b"film.\xff"));
    }

    #[test]
    fn hidden_folders_and_those_of_storages_are_not_looked_into() {
        let names = Names::new(&["mkv".to_owned()]);
        assert!(names.is_film_path(b"Show/Season 1/e1.mkv"));
        for path in [
            "Show/.hidden/e1.mkv",
            "#recycle/e1.mkv",
            "a/@EADIR/e1.mkv",
            ".Trash-1000/e1.mkv",
        ] {
            assert!(!names.is_film_path(path.as_bytes()), "{path}");
        }
        assert!(names.is_folder_path(b"a/lost and found"));
        assert!(!names.is_folder_path(b"a/lost+found/b"));
    }
}
