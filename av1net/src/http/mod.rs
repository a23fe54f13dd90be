//! The master's port: HTTP and WebSocket, with or without TLS.
//!
//! ```text
//! listen, tls     the port and its certificate
//! server, guard   connections: how many, how fast, how long they may keep waiting
//! app             a request: route -> rate -> auth -> handler -> answer
//! route           what a URL means, and who may call it
//! auth/           tokens, sessions, names and pages of browsers
//! api, jobs_query, join, metrics, ui      what is asked and answered
//! films/          sources out, outputs in
//! socket/         a worker's line, the live feed
//! ```
//!
//! Everything that a caller can make grow has a bound, and what is over it is answered
//! with 429 or 503 and `Retry-After`, or read more slowly.

mod api;
mod app;
mod auth;
mod body;
mod bucket;
mod error;
mod films;
mod frame_query;
mod guard;
mod jobs_query;
mod join;
mod listen;
mod metrics;
mod respond;
mod route;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod ui;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::auth::{Tokens, local_admin_token, local_token};
pub use self::bucket::Rate;
pub use self::join::join_command;
pub use self::listen::{Listening, ServeError};
pub use self::server::Limits;
pub use self::tls::TlsFiles;

use crate::config::{AuthKey, Config};
use crate::master::Core;

/// How the port is served.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The tokens; `None` lets everybody do everything (`"auth": "none"`).
    pub tokens: Option<Tokens>,
    /// Where sessions are kept; `None` keeps them in memory alone.
    pub state_directory: Option<PathBuf>,
    /// Names that a browser may know this master by, besides its addresses.
    pub allowed_hosts: Vec<String>,
    /// What callers may take.
    pub limits: Limits,
}

impl HttpConfig {
    /// As the configuration has it; makes the tokens at the first start.
    ///
    /// # Errors
    ///
    /// [`ServeError::State`] where the tokens cannot be read or kept.
    pub fn new(config: &Config, state_directory: &Path) -> Result<Self, ServeError> {
        let tokens = match config.auth {
            AuthKey::Token => Some(Tokens::open(state_directory)?),
            AuthKey::None => {
                tracing::warn!(
                    "anybody who reaches this port may do everything: the configuration says \"auth\": \"none\""
                );
                None
            }
        };
        Ok(Self {
            tokens,
            state_directory: Some(state_directory.to_owned()),
            allowed_hosts: config.allowed_hosts.clone(),
            limits: Limits::default(),
        })
    }
}

/// Serves `core` on a port until `shutdown` is cancelled; then closes WebSockets (code
/// 1012, on which workers come back), lets what is being answered end, and returns after
/// five seconds at the most.
///
/// # Errors
///
/// [`ServeError::Routes`], which is a fault of this program.
pub async fn serve(
    listening: Listening,
    core: Core,
    config: HttpConfig,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let (address, tls) = (listening.address(), listening.is_tls());
    let app = app::App::new(core, config, address, tls, shutdown.clone())?;
    tracing::info!(%address, tls, "listening");
    server::run(listening, Arc::new(app), shutdown).await;
    Ok(())
}
