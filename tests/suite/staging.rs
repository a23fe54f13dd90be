//! What lies beside a source, verified, and waits: it takes the source's place when it is
//! told to, and leaves nothing when it is not.

use std::fs;
use std::path::{Path, PathBuf};

use av1core::{CancelToken, Shrink, StagedFilm, Staging};

use crate::support::scratch::{assert_holds, fingerprint, names};
use crate::support::{Scratch, fast, recipe, watched};

/// Lossless, so that there is something to save.
const LOSSLESS: &str = "-c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p";

fn film(folder: &Scratch, name: &str) -> PathBuf {
    recipe::film(folder, name, (25, 1.0), LOSSLESS)
}

/// For films that were made a moment ago and are small.
fn how() -> Shrink {
    let mut how = Shrink::default();
    how.rules.least_bytes = 0;
    how.rules.settling_us = 0;
    how
}

fn staged(source: &Path) -> StagedFilm {
    let staging = av1core::stage(source, &how(), &fast(), &CancelToken::new(), |_| {});
    match staging {
        Ok(Staging::Staged(staged)) => staged,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_staged_waits_and_leaves_nothing_when_it_is_dropped() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let before = fingerprint(&source);
        let staged = staged(&source);
        let name = format!(".film.mkv.{}.av1part", staged.token());
        assert_holds(folder.path(), &[&name, "film.mp4"]);
        assert_eq!(staged.path(), folder.file(&name));
        let bytes = |path: &Path| fs::metadata(path).expect("there").len();
        assert_eq!(staged.output_bytes(), bytes(staged.path()));
        assert_eq!(staged.source_bytes(), bytes(&source));
        drop(staged);
        assert_holds(folder.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&source), before);
    });
}

#[test]
fn what_is_staged_takes_the_source_s_place_when_it_is_told_to() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder, "film.mp4");
        let staged = staged(&source);
        let output = fingerprint(staged.path());
        let replaced = staged.replace().expect("replaced");
        assert_eq!(replaced.path(), folder.file("film.mkv"));
        assert_eq!(names(folder.path()), ["film.mkv"]);
        assert_eq!(fingerprint(replaced.path()), output);
    });
}
