//! The certificate, from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ServeError;

/// PEM files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, this master's certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The files of the configuration; `None` where it names neither.
    ///
    /// # Errors
    ///
    /// [`ServeError::Tls`] where it names one without the other.
    pub fn of(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<Self>, ServeError> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Self {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            })),
            (None, None) => Ok(None),
            (Some(path), None) => Err(refused(path, "name its private key with `tls_key`")),
            (None, Some(path)) => Err(refused(path, "name its certificate with `tls_certificate`")),
        }
    }

    /// Reads both.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, ServeError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unread(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(refused(
                &self.certificate,
                "there is no certificate in it (a part that says BEGIN CERTIFICATE)",
            ));
        }
        let key = match PrivateKeyDer::from_pem_file(&self.key) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => {
                return Err(refused(
                    &self.key,
                    "there is no private key in it that can be read without a password (a part that says BEGIN PRIVATE KEY)",
                ));
            }
            Err(error) => return Err(unread(&self.key, &error)),
        };
        // The provider by name: another crate in the process may choose another default.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(chain, key));
        let mut config = config.map_err(|error| {
            let what = format!(
                "{error}; does the key in {} belong to the certificate?",
                self.key.display()
            );
            refused(&self.certificate, &what)
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn refused(path: &Path, what: &str) -> ServeError {
    ServeError::Tls {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

fn unread(path: &Path, error: &pem::Error) -> ServeError {
    let what = match error {
        pem::Error::Io(error) => format!("it cannot be read: {error}"),
        error => format!("it is no PEM file: {error}"),
    };
    refused(path, &what)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(folder: &Path, certificate: &str, key: &str) -> TlsFiles {
        let files = TlsFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&files.certificate, certificate).expect("written");
        fs::write(&files.key, key).expect("written");
        files
    }

    #[test]
    fn what_is_wrong_is_told_with_the_file_and_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (one, other) = (made(), made());
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let foreign = other.signing_key.serialize_pem();
        for (certificate, key, file, what) in [
            ("", key.as_str(), "cert.pem", "no certificate"),
            (&certificate, "", "key.pem", "no private key"),
            (&certificate, &certificate, "key.pem", "no private key"),
            (
                &certificate,
                &foreign,
                "cert.pem",
                "belong to the certificate",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
                &key,
                "cert.pem",
                "no PEM",
            ),
        ] {
            let files = files(folder.path(), certificate, key);
            let error = files.acceptor().err().expect(what).to_string();
            assert!(
                error.contains(file) && error.contains(what),
                "{what}: {error}"
            );
        }
        assert!(files(folder.path(), &certificate, &key).acceptor().is_ok());

        let missing = TlsFiles {
            certificate: folder.path().join("none.pem"),
            key: folder.path().join("key.pem"),
        };
        let error = missing.acceptor().err().expect("refused").to_string();
        assert!(
            error.contains("none.pem") && error.contains("cannot be read"),
            "{error}"
        );
        let half = TlsFiles::of(Some(Path::new("c.pem")), None);
        assert!(half.expect_err("refused").to_string().contains("tls_key"));
        assert_eq!(TlsFiles::of(None, None).expect("none"), None);
    }
}
