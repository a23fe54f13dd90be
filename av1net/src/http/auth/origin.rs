//! Whether a browser may ask: the name that it asked for (DNS rebinding), and the page
//! that made it ask (cross-site requests).

use std::collections::BTreeSet;
use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::{Authority, Uri};

use crate::http::error::HttpError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that this master goes by, besides its addresses and `localhost`.
pub(super) struct Hosts(BTreeSet<String>);

impl Hosts {
    pub(super) fn new(allowed: &[String], own: Option<String>) -> Self {
        let mut names: BTreeSet<String> = allowed.iter().map(|name| plain(name)).collect();
        if let Some(own) = own.map(|own| plain(&own)) {
            // What multicast DNS calls it; nobody outside the network can take that name.
            let short = own.split('.').next().unwrap_or(&own).to_owned();
            names.insert(format!("{short}.local"));
            names.insert(short);
            names.insert(own);
        }
        Self(names)
    }

    fn knows(&self, host: &str) -> bool {
        let host = plain(host);
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        bare.unwrap_or(&host).parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.contains(&host)
    }
}

/// In lower case, without the root's dot.
fn plain(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
}

/// The name and port that the caller asked for. Where the request's line has one, it is
/// that one (RFC 9112, 3.2.2).
pub(super) fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, HttpError> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(HttpError::NoHost);
    };
    let unknown = || HttpError::Host {
        host: String::from_utf8_lossy(host.as_bytes()).into_owned(),
    };
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| unknown())?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(unknown());
    }
    Ok(authority)
}

/// Refuses names that this master does not go by: a page of a stranger whose name was
/// made to point here could otherwise read what it likes.
pub(super) fn check_host(hosts: &Hosts, authority: &Authority) -> Result<(), HttpError> {
    if hosts.knows(authority.host()) {
        return Ok(());
    }
    Err(HttpError::Host {
        host: authority.host().to_owned(),
    })
}

/// Whether the page that made the browser ask is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// It is.
    Ours,
    /// It is another one.
    Foreign,
    /// Nothing says: no browser, or a request that browsers do not say it with.
    Unsaid,
}

/// Which page made the browser ask. `tls` where this master itself speaks TLS: a page
/// of the same name without it may be anybody's. Behind a proxy only names and ports
/// can be held against each other.
pub(super) fn page(authority: &Authority, headers: &HeaderMap, tls: bool) -> Page {
    let site = headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes());
    if matches!(site, Some(b"cross-site" | b"same-site")) {
        return Page::Foreign;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Page::Unsaid;
    };
    let ours = origins.next().is_none()
        && origin
            .to_str()
            .ok()
            .and_then(|text| text.parse::<Uri>().ok())
            .is_some_and(|origin| is_same(&origin, authority, tls));
    if ours { Page::Ours } else { Page::Foreign }
}

fn is_same(origin: &Uri, authority: &Authority, tls: bool) -> bool {
    let usual_port = match origin.scheme_str() {
        Some("https") => 443,
        Some("http") if !tls => 80,
        _ => return false,
    };
    let Some(theirs) = origin.authority() else {
        return false;
    };
    plain(theirs.host()) == plain(authority.host())
        && theirs.port_u16().unwrap_or(usual_port) == authority.port_u16().unwrap_or(usual_port)
}

/// The origin as it was said, for the error.
pub(super) fn said(headers: &HeaderMap) -> String {
    headers.get(ORIGIN).map_or_else(
        || "another site".to_owned(),
        |origin| String::from_utf8_lossy(origin.as_bytes()).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("a value");
        pairs.iter().map(|(n, v)| (n.clone(), value(v))).collect()
    }

    #[test]
    fn own_names_and_addresses_are_known_and_no_others() {
        let hosts = Hosts::new(
            &["av1.example.org".to_owned()],
            Some("Nas.fritz.box".to_owned()),
        );
        for (host, known) in [
            ("127.0.0.1:8090", true),
            ("192.168.1.10", true),
            ("[::1]:8090", true),
            ("[fe80::1]", true),
            ("localhost:8090", true),
            ("LOCALHOST.", true),
            ("av1.localhost", true),
            ("nas:8090", true),
            ("nas.local", true),
            ("NAS.fritz.box", true),
            ("av1.example.org", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("nas.evil.example", false),
            ("xav1.example.org", false),
        ] {
            let uri = Uri::from_static("/");
            let authority = authority(&uri, &headers(&[(HOST, host)])).expect(host);
            assert_eq!(check_host(&hosts, &authority).is_ok(), known, "{host}");
        }
    }

    #[test]
    fn a_host_that_is_none_or_several_is_refused() {
        let uri = Uri::from_static("/");
        for pairs in [
            vec![],
            vec![(HOST, "a"), (HOST, "b")],
            vec![(HOST, "")],
            vec![(HOST, "user@localhost")],
            vec![(HOST, "a b")],
        ] {
            assert!(authority(&uri, &headers(&pairs)).is_err(), "{pairs:?}");
        }
        // The request's line wins over the header.
        let absolute = Uri::from_static("http://evil.example/x");
        let asked = authority(&absolute, &headers(&[(HOST, "localhost")])).expect("one");
        assert_eq!(asked.host(), "evil.example");
    }

    #[test]
    fn pages_are_told_apart_by_scheme_name_and_port() {
        for (host, origin, site, tls, expected) in [
            ("nas:8090", Some("http://nas:8090"), None, false, Page::Ours),
            (
                "NAS:8090",
                Some("http://nas:8090"),
                Some("same-origin"),
                false,
                Page::Ours,
            ),
            ("nas", Some("http://nas"), None, false, Page::Ours),
            ("nas", Some("http://nas:80"), None, false, Page::Ours),
            // Behind a proxy that speaks TLS.
            (
                "av1.example.org",
                Some("https://av1.example.org"),
                None,
                false,
                Page::Ours,
            ),
            ("nas:8090", Some("https://nas:8090"), None, true, Page::Ours),
            (
                "nas:8090",
                Some("http://nas:8090"),
                None,
                true,
                Page::Foreign,
            ),
            ("nas:8090", Some("http://nas"), None, false, Page::Foreign),
            (
                "nas:8090",
                Some("http://nas:8091"),
                None,
                false,
                Page::Foreign,
            ),
            (
                "nas:8090",
                Some("http://evil.example"),
                None,
                false,
                Page::Foreign,
            ),
            ("nas:8090", Some("null"), None, false, Page::Foreign),
            ("nas:8090", Some(""), None, false, Page::Foreign),
            (
                "nas:8090",
                Some("file://nas:8090"),
                None,
                false,
                Page::Foreign,
            ),
            (
                "nas:8090",
                Some("http://nas:8090"),
                Some("cross-site"),
                false,
                Page::Foreign,
            ),
            ("nas:8090", None, Some("cross-site"), false, Page::Foreign),
            ("nas:8090", None, Some("same-origin"), false, Page::Unsaid),
            ("nas:8090", None, Some("none"), false, Page::Unsaid),
            ("nas:8090", None, None, false, Page::Unsaid),
        ] {
            let asked = Authority::from_static(host);
            let mut pairs = Vec::new();
            pairs.extend(origin.map(|origin| (ORIGIN, origin)));
            pairs.extend(site.map(|site| (SEC_FETCH_SITE, site)));
            let said = page(&asked, &headers(&pairs), tls);
            assert_eq!(said, expected, "{host} {origin:?} {site:?} tls {tls}");
        }
    }
}
