//! What is to be looked at again, short of everything.

use std::collections::BTreeSet;

use crate::units::RelPath;

/// What is to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Films by their paths, whether or not they are there.
    pub files: BTreeSet<RelPath>,
    /// Folders with all that is below them, whether or not they are there.
    pub folders: BTreeSet<RelPath>,
    /// So much, or nobody knows what: the whole media directory.
    pub everything: bool,
}

/// More than this is everything: looking at single films costs a question to the store
/// each, where a whole scan reads them in pages.
const MOST: usize = 10_000;

impl Touched {
    /// The whole media directory.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.files.is_empty() && self.folders.is_empty()
    }

    /// This film too.
    pub fn add_file(&mut self, path: RelPath) {
        if !self.everything {
            self.files.insert(path);
            self.bound();
        }
    }

    /// This folder too.
    pub fn add_folder(&mut self, path: RelPath) {
        if !self.everything {
            self.folders.insert(path);
            self.bound();
        }
    }

    /// All of that too.
    pub fn absorb(&mut self, other: Self) {
        if other.everything {
            *self = other;
        } else if !self.everything {
            self.files.extend(other.files);
            self.folders.extend(other.folders);
            self.bound();
        }
    }

    fn bound(&mut self) {
        if self.files.len() + self.folders.len() > MOST {
            *self = Self::everything();
        }
    }

    /// The folders that lie in none of the others, and the films that lie in none of
    /// these.
    pub(super) fn outermost(&self) -> (Vec<&RelPath>, Vec<&RelPath>) {
        let mut folders: Vec<&RelPath> = Vec::new();
        let lies_in =
            |path: &RelPath, folder: &RelPath| path.as_path().starts_with(folder.as_path());
        // In this order a folder comes before those in it, though not right before.
        for folder in &self.folders {
            if !folders.iter().any(|outer| lies_in(folder, outer)) {
                folders.push(folder);
            }
        }
        let is_loose = |file: &&RelPath| {
            let above = file.as_path().ancestors().skip(1);
            let known = above.filter_map(RelPath::new);
            !known
                .into_iter()
                .any(|folder| self.folders.contains(&folder))
        };
        let files = self.files.iter().filter(is_loose).collect();
        (folders, files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text).expect("a path")
    }

    #[test]
    fn only_the_outermost_are_looked_at() {
        let mut touched = Touched::default();
        for folder in ["a/b", "a/b c", "a/b/c/d", "x"] {
            touched.add_folder(path(folder));
        }
        for file in [
            "a/b/c/film.mkv",
            "a/film.mkv",
            "film.mkv",
            "x/film.mkv",
            "xx/film.mkv",
        ] {
            touched.add_file(path(file));
        }
        let (folders, files) = touched.outermost();
        let text = |paths: Vec<&RelPath>| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(folders), ["a/b", "a/b c", "x"]);
        assert_eq!(text(files), ["a/film.mkv", "film.mkv", "xx/film.mkv"]);
    }

    #[test]
    fn too_many_are_everything() {
        let mut touched = Touched::default();
        for n in 0..MOST {
            touched.add_file(path(&n.to_string()));
        }
        assert!(!touched.everything);
        let mut more = Touched::default();
        more.add_folder(path("a"));
        touched.absorb(more);
        assert_eq!(touched, Touched::everything());
        touched.add_file(path("a"));
        assert_eq!(touched, Touched::everything());
        assert!(!touched.is_empty());
    }
}
