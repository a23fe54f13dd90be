//! A connection to a master: TCP, and TLS over it where the address says so.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::{ClientError, MasterAddress};

/// A silent host is given up on after so long. A SYN is repeated after 1, 3 and 7 s
/// (RFC 6298's doubling from 1 s): three of them had their chance.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, whatever it runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whose certificates are believed.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The certificate authorities of `file` (PEM) and no others; without a file those
    /// that the system trusts.
    ///
    /// # Errors
    ///
    /// [`ClientError::Certificates`] where the file cannot be read or holds none.
    pub fn new(file: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        match file {
            Some(path) => {
                let refused = |why: String| ClientError::Certificates {
                    path: path.to_owned(),
                    why,
                };
                let found = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| refused(format!("no PEM certificates there: {error}")))?;
                for certificate in found {
                    roots
                        .add(certificate)
                        .map_err(|error| refused(format!("a certificate of no use: {error}")))?;
                }
                if roots.is_empty() {
                    return Err(refused("no certificate in it".to_owned()));
                }
            }
            None => {
                // Those that cannot be read are missed when a handshake needs them, and
                // told of then.
                let native = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(native.certs);
            }
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// Connects, and agrees on TLS where the address asks for it.
pub(super) async fn connect(
    address: &MasterAddress,
    trust: Option<&Trust>,
) -> Result<Box<dyn Stream>, ClientError> {
    let unreachable = |cause| ClientError::Unreachable {
        address: address.clone(),
        cause,
    };
    let connected = timeout(
        CONNECT_TIMEOUT,
        TcpStream::connect((address.host(), address.port())),
    );
    let tcp = connected
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(unreachable)?;
    // Requests are small and waited for: nothing is won by collecting them.
    tcp.set_nodelay(true).map_err(unreachable)?;
    let Some(Trust(config)) = trust else {
        return Ok(Box::new(tcp));
    };
    let failed = |why: String| ClientError::Tls {
        address: address.clone(),
        why,
    };
    let name = ServerName::try_from(address.host().to_owned())
        .map_err(|error| failed(error.to_string()))?;
    let shaken = timeout(
        CONNECT_TIMEOUT,
        TlsConnector::from(config.clone()).connect(name, tcp),
    );
    match shaken.await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(tls_hint(&error))),
        Err(_) => Err(failed(
            "it does not answer; is it http:// there?".to_owned(),
        )),
    }
}

/// What rustls says, and what to do about the two common cases.
fn tls_hint(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "its certificate is not believed ({why:?}); name the authority that signed it with `tls_ca`"
        ),
        Some(rustls::Error::InvalidMessage(_)) => format!("{error}; is it http:// there?"),
        _ => error.to_string(),
    }
}
