//! Which program runs an encode.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// The program that runs an encode.
#[derive(Clone, Debug)]
pub struct ChildProgram {
    /// The program; `None`: this one.
    pub program: Option<PathBuf>,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl ChildProgram {
    /// This very program, asked to be an encode's process.
    #[must_use]
    pub fn encode_child() -> Self {
        Self {
            program: None,
            arguments: vec!["encode-child".into()],
        }
    }

    pub(super) fn path(&self) -> io::Result<PathBuf> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        let own = std::env::current_exe()?;
        // An update has put another one in its place (proc(5)). Through the link the one
        // that runs is found all the same, and parent and child stay of one version.
        if own.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") {
            return Ok("/proc/self/exe".into());
        }
        Ok(own)
    }
}
