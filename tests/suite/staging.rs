//! What lies beside a source, verified, and waits: it takes the source's place when it is
//! told to, and leaves nothing when it is not.

use std::fs;
use std::path::{Path, PathBuf};

use av1core::{CancelToken, Destination, Error, ErrorKind, Shrink, StagedFilm, Staging};

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

/// What becomes of `file` as the output of `source`. However that ends, what is dropped
/// leaves the source alone in its folder.
fn adopted(source: &Path, file: &Path) -> Result<Staging, Error> {
    av1core::adopt(source, file, &how(), &fast(), &CancelToken::new(), |_| {})
}

fn encode(source: &Path, output: &Path) {
    let output = Destination::new(output);
    let cancel = CancelToken::new();
    av1core::transcode(source, &output, &fast(), &cancel, |_| {}).expect("encoded");
}

/// A source in a folder of its own, and outputs of an encode elsewhere.
struct Elsewhere {
    library: Scratch,
    source: PathBuf,
    before: u64,
    elsewhere: Scratch,
    output: PathBuf,
}

impl Elsewhere {
    fn new() -> Self {
        let library = Scratch::new();
        let source = film(&library, "film.mp4");
        let before = fingerprint(&source);
        let elsewhere = Scratch::new();
        let output = elsewhere.file("output.mkv");
        encode(&source, &output);
        Self {
            library,
            source,
            before,
            elsewhere,
            output,
        }
    }

    fn assert_refused(&self, file: &Path, kinds: &[ErrorKind]) {
        let bytes = fingerprint(file);
        let error = match adopted(&self.source, file) {
            Err(error) => error,
            Ok(staging) => panic!("{} was taken: {staging:?}", file.display()),
        };
        assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
        assert_holds(self.library.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&self.source), self.before);
        assert_eq!(fingerprint(file), bytes, "what was delivered stays");
    }
}

#[test]
fn what_was_encoded_elsewhere_takes_the_source_s_place() {
    watched(|| {
        let it = Elsewhere::new();
        let Ok(Staging::Staged(staged)) = adopted(&it.source, &it.output) else {
            panic!("refused");
        };
        let replaced = staged.replace().expect("replaced");
        assert_eq!(names(it.library.path()), ["film.mkv"]);
        assert_eq!(fingerprint(replaced.path()), fingerprint(&it.output));
    });
}

#[test]
fn what_was_encoded_elsewhere_is_refused_where_it_is_another_film_s() {
    watched(|| {
        let it = Elsewhere::new();
        let longer = recipe::film(&it.elsewhere, "longer.mp4", (25, 2.0), LOSSLESS);
        let output = it.elsewhere.file("longer.mkv");
        encode(&longer, &output);
        it.assert_refused(&output, &[ErrorKind::Mismatch]);
    });
}

#[test]
fn what_was_encoded_elsewhere_is_refused_where_it_is_torn() {
    watched(|| {
        let it = Elsewhere::new();
        let whole = fs::read(&it.output).expect("read");
        for kept in [whole.len() * 9 / 10, whole.len() / 2, 55, 0] {
            let torn = it.elsewhere.file("torn.mkv");
            fs::write(&torn, &whole[..kept]).expect("written");
            let damaged = [
                ErrorKind::Mismatch,
                ErrorKind::Truncated,
                ErrorKind::Damaged,
                ErrorKind::NotMedia,
                ErrorKind::Empty,
            ];
            it.assert_refused(&torn, &damaged);
        }
    });
}

#[test]
fn what_was_encoded_elsewhere_is_refused_where_it_is_the_source_itself() {
    watched(|| {
        let it = Elsewhere::new();
        let copy = it.elsewhere.file("copy.mp4");
        fs::copy(&it.source, &copy).expect("copied");
        match adopted(&it.source, &copy) {
            // As large as the source is nothing saved.
            Ok(Staging::NotWorthwhile(_)) => {}
            other => panic!("{other:?}"),
        }
        assert_holds(it.library.path(), &["film.mp4"]);
        assert_eq!(fingerprint(&it.source), it.before);
    });
}
