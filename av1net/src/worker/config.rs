//! What a worker is told before it starts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::child::Walls;
use super::mounts::MountProbe;
use super::process::{ChildProgram, Patience};
use super::{Observer, WorkerEvent};
use crate::config::{Config, IoClassKey};
use crate::units::UnixMs;

/// Whether encodes may begin at a moment.
pub type IsOpen = dyn Fn(UnixMs) -> bool + Send + Sync;

/// What can be changed while a worker runs.
#[derive(Clone)]
pub struct Tuning {
    /// Encodes at once.
    pub slots: u32,
    /// Threads of each encode, from the next one on; `None`: the encoder's choice for
    /// one slot, the processors shared for several.
    pub threads: Option<u32>,
    /// Niceness of the encodes, 0 to 19; also of those that run.
    pub niceness: u8,
    /// The hours in which encodes may begin.
    pub is_open: Arc<IsOpen>,
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuning")
            .field("slots", &self.slots)
            .field("threads", &self.threads)
            .field("niceness", &self.niceness)
            .finish_non_exhaustive()
    }
}

/// What a worker is told before it starts.
#[derive(Clone)]
pub struct WorkerConfig {
    /// Its name for people.
    pub name: String,
    /// The video encoder with its version; `None`: it can do nothing.
    pub encoder: Option<String>,
    /// What a person should know of it.
    pub warnings: Vec<String>,
    /// Where its identity lies.
    pub state_directory: PathBuf,
    /// Where it puts what it fetches.
    pub temp_directory: PathBuf,
    /// Whether it takes films over HTTP where a media directory is not mounted.
    pub ships: bool,
    /// The master's paths, and what they are here.
    pub path_map: BTreeMap<PathBuf, PathBuf>,
    /// Looks for media directories.
    pub probe_mounts: Arc<MountProbe>,
    /// What runs an encode.
    pub program: ChildProgram,
    /// I/O class of the encodes.
    pub io_class: IoClassKey,
    /// How long is waited for an encode's process.
    pub patience: Patience,
    /// What can be changed later.
    pub tuning: Tuning,
    /// Hears what happens, at once and on the worker's own task: it has to be quick.
    pub observer: Observer,
}

impl fmt::Debug for WorkerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerConfig")
            .field("name", &self.name)
            .field("state_directory", &self.state_directory)
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

impl WorkerConfig {
    /// As the configuration says. Its hours and its media directories are looked at by
    /// functions that the caller has.
    #[must_use]
    pub fn new(
        config: &Config,
        state_directory: PathBuf,
        is_open: Arc<IsOpen>,
        probe_mounts: Arc<MountProbe>,
    ) -> Self {
        let (encoder, mut warnings) = of_engine(&av1core::capabilities());
        warnings.extend(Walls::here().warning().map(str::to_owned));
        let own_name = || sysinfo::System::host_name().ok();
        let name = config.worker_name.clone().or_else(own_name);
        Self {
            name: name.unwrap_or_else(|| "worker".to_owned()),
            encoder,
            warnings,
            state_directory,
            temp_directory: config.temp_directory.clone(),
            ships: config.ship,
            path_map: config.path_map.clone(),
            probe_mounts,
            program: ChildProgram::encode_child(),
            io_class: config.io_class,
            patience: Patience {
                stall: Duration::from_secs(config.stall_s),
                ..Patience::default()
            },
            tuning: Tuning::new(config, is_open),
            observer: Arc::new(|_: &WorkerEvent| {}),
        }
    }
}

impl Tuning {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &Config, is_open: Arc<IsOpen>) -> Self {
        Self {
            slots: config.slots,
            threads: config.threads,
            niceness: config.niceness,
            is_open,
        }
    }
}

/// The encoder by name and version, and what a person should know of the libraries.
fn of_engine(capabilities: &av1core::Capabilities) -> (Option<String>, Vec<String>) {
    let mut warnings = Vec::new();
    if !capabilities.has_libopus {
        warnings
            .push("libopus is missing: films with sound fail here; see `av1cli doctor`".to_owned());
    }
    if !capabilities.has_libsvtav1 {
        warnings.push(
            "libsvtav1 is missing: nothing can be encoded here; see `av1cli doctor`".to_owned(),
        );
        return (None, warnings);
    }
    let version = capabilities.svt_av1.as_deref();
    (
        Some(format!(
            "SVT-AV1 {}",
            version.unwrap_or("of unknown version")
        )),
        warnings,
    )
}
