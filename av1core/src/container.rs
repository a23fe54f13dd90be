//! The containers that are written.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A container that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Container {
    /// Matroska (`.mkv`): holds whatever a source may have.
    #[default]
    Matroska,
    /// MP4 (`.mp4`, `.m4v`): for players that take nothing else. Films with other than
    /// text subtitles or with attached files do not fit into it.
    Mp4,
}

/// Extensions of containers that are not written here.
const OTHERS: [&str; 14] = [
    "3gp", "asf", "avi", "flv", "m2ts", "mov", "mpeg", "mpg", "mts", "ogv", "ts", "vob", "webm",
    "wmv",
];

/// Tags of a file that libavformat's MP4 muxer writes and reads (movenc.c,
/// `mov_write_ilst_tag`; `creation_time` stands in the header).
const MP4_TAGS: [&str; 21] = [
    "album",
    "album_artist",
    "artist",
    "comment",
    "compilation",
    "composer",
    "copyright",
    "creation_time",
    "date",
    "description",
    "disc",
    "episode_id",
    "genre",
    "grouping",
    "lyrics",
    "network",
    "show",
    "synopsis",
    "title",
    "track",
    "writer",
];

impl Container {
    /// The container that a file's name asks for: by its extension, Matroska where
    /// that says nothing, `None` where it names a container that is not written here.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Some(Self::Mp4),
            other if OTHERS.contains(&other) => None,
            _ => Some(Self::Matroska),
        }
    }

    /// The name that a film gets when it goes into this container in the place of
    /// `source`: the same where the extension fits, else with the container's own.
    #[must_use]
    pub fn name_in_place_of(self, source: &Path) -> PathBuf {
        let extension = source.extension().and_then(|e| e.to_str()).unwrap_or("");
        let extension = extension.to_ascii_lowercase();
        let (own, fits) = match self {
            Self::Matroska => ("mkv", extension == "mkv"),
            Self::Mp4 => ("mp4", matches!(extension.as_str(), "mp4" | "m4v")),
        };
        let is_media = matches!(extension.as_str(), "mkv" | "mp4" | "m4v")
            || OTHERS.contains(&extension.as_str());
        match () {
            () if fits => source.to_owned(),
            () if is_media => source.with_extension(own),
            // `Film 2.0`: what stands behind the dot belongs to the name.
            () => {
                let mut name = source.as_os_str().to_owned();
                name.push(".");
                name.push(own);
                name.into()
            }
        }
    }

    /// Its name, for a user to read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Matroska => "Matroska",
            Self::Mp4 => "MP4",
        }
    }

    /// The name of libavformat's muxer.
    pub(crate) fn muxer(self) -> &'static str {
        match self {
            Self::Matroska => "matroska",
            Self::Mp4 => "mp4",
        }
    }

    /// The text subtitles that others are converted to, by libavcodec's name.
    pub(crate) fn text_subtitles(self) -> &'static str {
        match self {
            Self::Matroska => "subrip",
            Self::Mp4 => "mov_text",
        }
    }

    /// Whether a tag of the whole file has a place in it.
    pub(crate) fn holds_tag(self, key: &str) -> bool {
        self == Self::Matroska || MP4_TAGS.iter().any(|tag| key.eq_ignore_ascii_case(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_asks_for_the_container() {
        let of = |name: &str| Container::of_name(Path::new(name));
        assert_eq!(of("film.mkv"), Some(Container::Matroska));
        assert_eq!(of("film.MP4"), Some(Container::Mp4));
        assert_eq!(of("film"), Some(Container::Matroska));
        assert_eq!(of("film.2011"), Some(Container::Matroska));
        assert_eq!(of("film.avi"), None);
    }

    #[test]
    fn a_film_keeps_its_name_but_for_an_extension_that_would_lie() {
        let matroska = |name: &str| Container::Matroska.name_in_place_of(Path::new(name));
        for (source, name) in [
            ("a/film.mkv", "a/film.mkv"),
            ("film.MKV", "film.MKV"),
            ("film.mp4", "film.mkv"),
            ("film.2.webm", "film.2.mkv"),
            ("Film 2.0", "Film 2.0.mkv"),
            ("film", "film.mkv"),
        ] {
            assert_eq!(matroska(source), Path::new(name));
        }
        let mp4 = |name: &str| Container::Mp4.name_in_place_of(Path::new(name));
        assert_eq!(mp4("film.m4v"), Path::new("film.m4v"));
        assert_eq!(mp4("film.mkv"), Path::new("film.mp4"));
    }
}
