//! What values have to be to each other.

use std::path::Path;

use super::Config;

/// Values that do not go together.
#[derive(Debug)]
pub(super) struct Clash {
    /// Whose.
    pub(super) keys: &'static [&'static str],
    /// Why, and what to do.
    pub(super) message: String,
}

pub(super) fn check(config: &Config) -> Vec<Clash> {
    let mut clashes = times(config);
    if config.tls_certificate.is_some() != config.tls_key.is_some() {
        let (there, missing) = if config.tls_key.is_some() {
            ("tls_key", "tls_certificate")
        } else {
            ("tls_certificate", "tls_key")
        };
        clashes.push(Clash {
            keys: &["tls_certificate", "tls_key"],
            message: format!("{there} is set and {missing} is not; set both, or neither"),
        });
    }
    clashes.extend(folders(config));
    clashes
}

fn times(config: &Config) -> Vec<Clash> {
    let mut clashes = Vec::new();
    if config.offline_s <= config.heartbeat_s {
        clashes.push(Clash {
            keys: &["heartbeat_s", "offline_s"],
            message: format!(
                "offline_s ({}) has to be more than heartbeat_s ({}), or every worker is offline \
                 between two beats",
                config.offline_s, config.heartbeat_s
            ),
        });
    }
    if config.lease_seconds < config.offline_s {
        clashes.push(Clash {
            keys: &["offline_s", "lease_seconds"],
            message: format!(
                "lease_seconds ({}) has to be at least offline_s ({}), or a worker loses its films \
                 while it is shown online",
                config.lease_seconds, config.offline_s
            ),
        });
    }
    clashes
}

/// By their names alone; what links lead to is looked at when the folders are opened
/// ([`crate::roots`]).
fn folders(config: &Config) -> Vec<Clash> {
    let mut clashes = Vec::new();
    let roots = &config.media_directories;
    let within = |inner: &Path, outer: &Path| inner != outer && inner.starts_with(outer);
    for inner in roots {
        for outer in roots.iter().filter(|outer| within(inner, outer)) {
            clashes.push(Clash {
                keys: &["media_directories"],
                message: format!(
                    "{} lies within {}, which is scanned whole; name only one of them",
                    inner.display(),
                    outer.display()
                ),
            });
        }
    }
    for root in roots
        .iter()
        .filter(|root| config.temp_directory.starts_with(root))
    {
        clashes.push(Clash {
            keys: &["media_directories", "temp_directory"],
            message: format!(
                "temp_directory ({}) lies within the media directory {}, where its films would be \
                 taken for the library's; put it elsewhere",
                config.temp_directory.display(),
                root.display()
            ),
        });
    }
    clashes
}
