//! Files that nobody else may read, not even while they are being made.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Who owns it reads and writes it, and nobody else does either.
const MODE: u32 = 0o600;

/// Puts `text` at `path`, whole or not at all.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = folder.join(format!(".{name}.{}.new", std::process::id()));
    // What a process of the same number left when it was killed.
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&staged, text).and_then(|()| fs::rename(&staged, path));
    if let Err(error) = written {
        // The first error tells more than that of tidying up.
        let _ = fs::remove_file(&staged);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Reads `path`; `None` where there is nothing. A mode that lets others read it is taken
/// back, and told.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(), mode = format_args!("{:o}", mode & 0o777),
            "others could read this file, which holds secrets; its mode is set to 600",
        );
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_reads_it_whatever_lies_there_already() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/tokens.json");
        write(&path, b"one").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("mode set");
        assert_eq!(read(&path).expect("read"), Some(b"one".to_vec()));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        write(&path, b"two").expect("written again");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left = fs::read_dir(path.parent().expect("a parent")).expect("listed");
        assert_eq!(left.count(), 1, "nothing is left beside it");
        assert_eq!(read(&folder.path().join("none")).expect("no error"), None);
    }
}
