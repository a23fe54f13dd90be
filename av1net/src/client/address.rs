//! Where a master is, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// The contract's port.
pub const DEFAULT_PORT: u16 = 8090;

/// The address of a master: `http://HOST:8090`, `https://HOST/below`, or `HOST` alone,
/// which is plain HTTP on port 8090.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    tls: bool,
    /// As it is connected to: an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// What comes before `/api`, for a master behind a proxy; no slash at its end.
    prefix: String,
}

/// Text that is no address of a master.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of a master: {why}; one looks like http://192.168.1.10:8090")]
pub struct BadAddress {
    text: String,
    why: &'static str,
}

impl MasterAddress {
    /// The master on this machine, on a port of it.
    #[must_use]
    pub fn local(port: u16, tls: bool) -> Self {
        Self {
            tls,
            host: "127.0.0.1".to_owned(),
            port,
            prefix: String::new(),
        }
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host to connect to; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is sent there stays on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// `HOST:PORT`, as the `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The path of a request for `path`, which begins with a slash and may have a query.
    #[must_use]
    pub fn request_path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The whole address of a WebSocket, for its handshake.
    #[must_use]
    pub fn websocket(&self, path: &str) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority(), self.request_path(path))
    }
}

impl FromStr for MasterAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why| BadAddress {
            text: text.to_owned(),
            why,
        };
        let typed = text.trim();
        let (with_scheme, default_port) = if typed.contains("://") {
            (typed.to_owned(), None)
        } else {
            (format!("http://{typed}"), Some(DEFAULT_PORT))
        };
        let uri: Uri = with_scheme
            .parse()
            .map_err(|_| bad("it cannot be read as one"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(bad("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a user or password has no place in it"));
        }
        if uri.query().is_some() {
            return Err(bad("a query has no place in it"));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').unwrap_or(host);
        let host = host.strip_suffix(']').unwrap_or(host);
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        // `Uri` takes any digits for a port, and any letters for none.
        let port = authority.port_u16();
        if port.is_none() && authority.as_str().len() > authority.host().len() {
            return Err(bad("its port is no number from 1 to 65535"));
        }
        let of_scheme = if tls { 443 } else { 80 };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: port.or(default_port).unwrap_or(of_scheme),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        let address: MasterAddress = text.parse().expect("an address");
        address.to_string()
    }

    #[test]
    fn an_address_as_people_write_it() {
        for (typed, expected) in [
            ("http://192.168.1.10:8090", "http://192.168.1.10:8090"),
            ("http://192.168.1.10:8090/", "http://192.168.1.10:8090"),
            ("nas", "http://nas:8090"),
            ("nas:9000", "http://nas:9000"),
            ("[::1]", "http://[::1]:8090"),
            ("http://[fe80::1]:8090", "http://[fe80::1]:8090"),
            ("http://nas", "http://nas:80"),
            (
                "https://av1.example.org/av1/",
                "https://av1.example.org:443/av1",
            ),
        ] {
            assert_eq!(shown(typed), expected);
        }
        let below: MasterAddress = "https://h/av1".parse().expect("an address");
        assert_eq!(below.request_path("/api/v1/status"), "/av1/api/v1/status");
        assert_eq!(below.websocket("/x"), "wss://h:443/av1/x");
    }

    #[test]
    fn what_is_none_is_told_with_the_reason() {
        for (typed, why) in [
            ("", "cannot be read"),
            ("ftp://nas", "neither http:// nor https://"),
            ("http://me:secret@nas:8090", "a user or password"),
            ("http://nas:8090/?x=1", "a query"),
            ("http://nas:99999", "port"),
            ("a b", "cannot be read"),
        ] {
            let error = typed.parse::<MasterAddress>().expect_err(typed).to_string();
            assert!(error.contains(why), "{typed}: {error}");
            assert!(error.contains("http://192.168.1.10:8090"), "{error}");
        }
    }

    #[test]
    fn loopback_is_known_in_all_its_forms() {
        for (typed, loopback) in [
            ("localhost", true),
            ("http://127.0.0.1:8090", true),
            ("http://127.8.8.8:8090", true),
            ("http://[::1]:8090", true),
            ("http://192.168.1.10:8090", false),
            ("http://localhost.example.org", false),
        ] {
            let address: MasterAddress = typed.parse().expect("an address");
            assert_eq!(address.is_loopback(), loopback, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(host in "[a-z][a-z0-9-]{0,20}", port in 1u16.., tls: bool) {
            let scheme = if tls { "https" } else { "http" };
            let address: MasterAddress = format!("{scheme}://{host}:{port}").parse().expect("an address");
            let back: MasterAddress = address.to_string().parse().expect("reads back");
            prop_assert_eq!(back, address);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<MasterAddress>();
        }
    }
}
