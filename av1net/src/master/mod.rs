//! The master: finds films, keeps their jobs, grants them to workers, and sees to it
//! that each is replaced at most once.
//!
//! ```text
//! scans -> store <- sync (leases) <- workers          store -> views, live -> people
//!                     ^ recover, films and adopt
//! ```

mod actions;
mod adopt;
mod core;
mod disk;
mod error;
mod films;
mod grants;
mod ledger;
mod live;
mod look;
mod metrics;
mod notices;
mod pictures;
mod pulse;
mod recover;
mod roots;
mod scans;
mod state;
mod sync;
#[cfg(test)]
mod testing;
mod views;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::core::Core;
pub use self::error::ApiError;
pub use self::live::LiveSubscription;
pub use self::metrics::Metrics;
pub use self::pictures::{Frame, PictureHead};
use crate::config::Loaded;
use crate::http::{self, HttpConfig, Listening, ServeError, TlsFiles};
use crate::store::{Handle, SqliteStore, StoreError, StorePolicy};

/// Scans that may be asked for before one has begun.
const SCAN_REQUESTS: usize = 64;
/// Where the address is told, in the state directory: to programs of the same user.
const ADDRESS: &str = "address";

/// A master could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The job store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The port, tokens or certificate.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The state directory.
    #[error("{} cannot be used for the master's state: {error}; name another as \"state_directory\"", .path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The media directories.
    #[error("{0}")]
    Roots(String),
}

/// A master at work. Dropping it stops it without waiting.
pub struct Master {
    core: Core,
    address: Option<SocketAddr>,
    is_tls: bool,
    state_directory: PathBuf,
    cancel: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Master {
    /// Opens the store, looks at the media directories, and serves the port. What it
    /// holds on disk: the state directory, and a marker file in each media directory.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(loaded: Loaded, state_directory: &Path) -> Result<Self, StartError> {
        let config = loaded.config.clone();
        let mut master = Self::open(loaded, state_directory).await?;
        let tls = TlsFiles::of(config.tls_certificate.as_deref(), config.tls_key.as_deref())?;
        let place = SocketAddr::new(config.bind_address, config.web_port);
        let listening = Listening::bind(place, tls.as_ref())?;
        let address = listening.address();
        master.address = Some(address);
        master.is_tls = listening.is_tls();
        let http = HttpConfig::new(&config, state_directory)?;
        master.tell_address()?;
        let (core, cancel) = (master.core.clone(), master.cancel.clone());
        master.tasks.push(tokio::spawn(async move {
            if let Err(error) = http::serve(listening, core, http, cancel).await {
                tracing::error!(%error, "the port is not served any more");
            }
        }));
        master.run();
        Ok(master)
    }

    /// The same without a port: for one machine alone, whose worker speaks to the
    /// [`Core`] in the same process.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start_local(loaded: Loaded, state_directory: &Path) -> Result<Self, StartError> {
        let mut master = Self::open(loaded, state_directory).await?;
        master.run();
        Ok(master)
    }

    async fn open(loaded: Loaded, state_directory: &Path) -> Result<Self, StartError> {
        let state = |error| StartError::State {
            path: state_directory.to_owned(),
            error,
        };
        std::fs::create_dir_all(state_directory).map_err(state)?;
        let policy = StorePolicy {
            retry: loaded.config.retry_policy(),
            order: loaded.config.order,
        };
        let path = state_directory.to_owned();
        let store = tokio::task::spawn_blocking(move || SqliteStore::open(&path, policy))
            .await
            .map_err(|error| StoreError::Database(error.to_string()))??;
        let (scans, requests) = mpsc::channel(SCAN_REQUESTS);
        let core = Core::open(
            Handle::new(store)?,
            loaded,
            scans,
            state_directory.to_owned(),
        );
        let core = core.await?;
        core.look_at_roots()
            .await
            .map_err(|error| StartError::Roots(error.to_string()))?;
        core.adopt_what_is_here();
        let cancel = CancellationToken::new();
        let tasks = vec![core.start_scans(requests, cancel.clone())];
        Ok(Self {
            core,
            address: None,
            is_tls: false,
            state_directory: state_directory.to_owned(),
            cancel,
            tasks,
        })
    }

    fn run(&mut self) {
        let timers = self.core.start_timers(&self.cancel);
        self.tasks.extend(timers);
    }

    fn tell_address(&self) -> Result<(), StartError> {
        let path = self.state_directory.join(ADDRESS);
        let told = std::fs::write(&path, self.url().unwrap_or_default());
        told.map_err(|error| StartError::State { path, error })
    }

    /// What it is about.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Where it listens, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The same as a URL for this machine.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let mut address = self.address?;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let scheme = if self.is_tls { "https" } else { "http" };
        Some(format!("{scheme}://{address}"))
    }

    /// Stops: no more requests, the scan and what runs for itself ended, everything that
    /// was said durable. Workers go on with what they run.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await
                && !error.is_cancelled()
            {
                tracing::error!(%error, "a part of the master failed");
            }
        }
        self.core.0.store.close().await;
        if self.address.is_some() {
            let _ = std::fs::remove_file(self.state_directory.join(ADDRESS));
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.cancel.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The address of a master of this user on this machine, if one runs, by its state
/// directory.
#[must_use]
pub fn local_address(state_directory: &Path) -> Option<String> {
    let text = std::fs::read_to_string(state_directory.join(ADDRESS)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
