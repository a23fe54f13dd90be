//! What the tests of bad input and bad outputs hold a refusal against: one line that
//! names the file, the library's kind, the programme's exit code.

use std::path::{Path, PathBuf};

use av1core::{Destination, ErrorKind};

use super::encode::failure;
use super::scratch::assert_holds;
use super::{Scratch, cli, fast, fast_preset};

/// The library's kind and the programme's exit code.
pub(crate) type Expected = (ErrorKind, i32);

pub(crate) const UNREADABLE: i32 = 6;
pub(crate) const UNFIT: i32 = 7;
pub(crate) const DAMAGED: i32 = 8;
pub(crate) const OUTPUT_REFUSED: i32 = 9;

/// `source` into a fresh folder: refused, and the folder stays empty.
pub(crate) fn refused(source: &Path, expected: Expected) {
    let folder = Scratch::new();
    refused_into(source, &folder.file("out.mkv"), source, expected);
    assert_holds(folder.path(), &[]);
}

/// `source` into `output` is refused with a line that names `culprit`.
pub(crate) fn refused_into(source: &Path, output: &Path, culprit: &Path, (kind, code): Expected) {
    let error = failure(source, &Destination::new(output), &fast());
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.path(), culprit, "{error:?}");
    let told = error.to_string();
    assert_eq!(told.lines().count(), 1, "{told}");
    let name = culprit.file_name().expect("a name").to_string_lossy();
    assert!(told.contains(&*name), "{told} does not name {name}");
    refused_by_programme(source, output, &[], (&name, code));
}

pub(crate) fn refused_by_programme(
    source: &Path,
    output: &Path,
    flags: &[&str],
    (name, code): (&str, i32),
) {
    let mut arguments = vec!["transcode".into(), source.into(), output.into()];
    arguments.extend(["--preset".into(), fast_preset().to_string().into()]);
    arguments.extend(flags.iter().map(PathBuf::from));
    let run = cli::run(&arguments);
    run.assert_code(code);
    assert_eq!(run.stdout, "");
    let errors: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("warning: "))
        .collect();
    assert_eq!(errors.len(), 1, "one line: {}", run.stderr);
    assert!(errors[0].contains(name), "{} in {}", name, errors[0]);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}
