//! The port.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use super::tls::TlsFiles;

/// Why the master cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody else has the port.
    #[error(
        "port {} of {} is taken: another master, or another program, listens there; end it, or set `web_port` to another one", .address.port(), .address.ip()
    )]
    PortTaken {
        /// What was to be listened at.
        address: SocketAddr,
    },
    /// The address is none of this machine's, or the port needs more rights.
    #[error("cannot listen at {address}: {source}; {hint}")]
    Listen {
        /// What was to be listened at.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// A certificate or its key is of no use.
    #[error("TLS: {}: {what}", .path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A file of the state directory is of no use.
    #[error("{}: {what}", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The table of routes has a conflict: a fault of this program.
    #[error("the table of routes is wrong: {0}")]
    Routes(String),
}

/// Connections that the system may hold before they are accepted: as many workers come
/// back at once after a restart. Linux caps it at `net.core.somaxconn`, 4096 since 5.4.
const BACKLOG: u32 = 4096;

/// File descriptors that are not connections: the store, films, libraries.
const OTHER_FILES: u64 = 256;

/// A port that is listened at.
pub struct Listening {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    address: SocketAddr,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("address", &self.address)
            .field("tls", &self.is_tls())
            .finish_non_exhaustive()
    }
}

impl Listening {
    /// Listens at `address`; port 0 takes a free one. Reads the certificate first.
    ///
    /// # Errors
    ///
    /// [`ServeError`], with what to do.
    pub fn bind(address: SocketAddr, tls: Option<&TlsFiles>) -> Result<Self, ServeError> {
        let tls = tls.map(TlsFiles::acceptor).transpose()?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::PortTaken { address },
            kind => ServeError::Listen {
                address,
                source,
                hint: match kind {
                    io::ErrorKind::PermissionDenied => "set `web_port` to one above 1023",
                    _ => "set `bind_address` to an address of this machine",
                },
            },
        };
        let listener = listen(address).map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            tls,
        })
    }

    /// Where it listens, with the port that was found.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of the last life that linger must not keep this one from its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Raises the number of open files as far as this process may, and says how many
/// connections fit.
pub(super) fn connections_that_fit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // macOS refuses more than `OPEN_MAX`, whatever the hard limit says.
        Err(_) => limit.current,
    };
    let connections = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(16));
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_what_to_do() {
        let first = Listening::bind(([127, 0, 0, 1], 0).into(), None).expect("a free port");
        assert_ne!(first.address().port(), 0);
        let error = Listening::bind(first.address(), None).expect_err("taken");
        assert!(matches!(error, ServeError::PortTaken { .. }));
        let told = error.to_string();
        assert!(told.contains(&first.address().port().to_string()), "{told}");
        assert!(told.contains("web_port"), "{told}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told() {
        // TEST-NET-1 (RFC 5737): no machine has it.
        let error = Listening::bind(([192, 0, 2, 1], 0).into(), None).expect_err("not ours");
        assert!(error.to_string().contains("bind_address"), "{error}");
    }
}
