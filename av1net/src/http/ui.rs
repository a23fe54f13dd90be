//! The page's files: compiled in, read from disk in debug builds, revalidated by the
//! browser each time, and compressed once.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{Response, StatusCode};
use rust_embed::Embed;

use super::error::HttpError;
use super::respond::{self, Body};

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../assets/ui/"]
struct Files;

/// A file, and what is sent of it.
struct Asset {
    /// Of the content: another one makes another asset, in a debug build.
    hash: [u8; 32],
    kind: &'static str,
    plain: Encoded,
    /// Where it is smaller.
    gzip: Option<Encoded>,
}

struct Encoded {
    bytes: Bytes,
    etag: HeaderValue,
}

/// The page's files.
pub(super) struct Ui {
    assets: Mutex<HashMap<String, Arc<Asset>>>,
}

impl Ui {
    /// Takes all files up.
    pub(super) fn new() -> Self {
        let ui = Self {
            assets: Mutex::default(),
        };
        for path in Files::iter() {
            ui.asset(&path);
        }
        ui
    }

    fn asset(&self, path: &str) -> Option<Arc<Asset>> {
        let file = Files::get(path)?;
        let hash = file.metadata.sha256_hash();
        let mut assets = self.assets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asset) = assets.get(path).filter(|asset| asset.hash == hash) {
            return Some(Arc::clone(asset));
        }
        let bytes = match file.data {
            std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let asset = Arc::new(Asset::new(path, hash, bytes));
        assets.insert(path.to_owned(), Arc::clone(&asset));
        Some(asset)
    }

    /// A file, or that the browser has it already.
    pub(super) fn file(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, HttpError> {
        let asset = self.asset(path).ok_or_else(|| HttpError::NoRoute {
            path: format!("/{path}"),
        })?;
        let gzip = asset.gzip.as_ref().filter(|_| takes_gzip(headers));
        let sent = gzip.unwrap_or(&asset.plain);
        let mut response = if is_known(headers, &sent.etag) {
            respond::empty(StatusCode::NOT_MODIFIED)
        } else {
            let mut response = respond::typed(StatusCode::OK, asset.kind, sent.bytes.clone());
            if gzip.is_some() {
                let gzip = HeaderValue::from_static("gzip");
                response.headers_mut().insert(CONTENT_ENCODING, gzip);
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, sent.etag.clone());
        let fixed: [(HeaderName, &'static str); 2] =
            [(CACHE_CONTROL, "no-cache"), (VARY, "accept-encoding")];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        debug_assert!(
            response.status() != StatusCode::OK || response.headers().contains_key(CONTENT_TYPE)
        );
        Ok(response)
    }
}

impl Asset {
    fn new(path: &str, hash: [u8; 32], bytes: Bytes) -> Self {
        let name = blake3::Hash::from_bytes(hash).to_hex();
        // Strong: the same bytes and no others. Another encoding is other bytes.
        let etag = |suffix: &str| {
            let text = format!("\"{}{suffix}\"", &name[..32]);
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
        };
        let smaller = gzip(&bytes).filter(|packed| packed.len() < bytes.len());
        Self {
            hash,
            kind: kind_of(path),
            gzip: smaller.map(|packed| Encoded {
                bytes: packed.into(),
                etag: etag("-gz"),
            }),
            plain: Encoded {
                bytes,
                etag: etag(""),
            },
        }
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// The type of a file of the page, by its extension; of an unknown one nothing that a
/// browser would run or show.
fn kind_of(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    match extension {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("md" | "txt" | "LICENSE") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether gzip is among what the browser takes (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let items = values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    for item in items {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        if coding.eq_ignore_ascii_case("gzip") || coding == "*" {
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            return weight.is_none_or(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0));
        }
    }
    false
}

/// Whether the browser has what this tag names (RFC 9110, 13.1.2: compared weakly).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = etag.to_str().unwrap_or_default();
    let values = headers.get_all(IF_NONE_MATCH).iter();
    values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|item| item.trim())
        .any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (value, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *;q=1", false),
            ("br", false),
            ("xgzip", false),
            ("", false),
        ] {
            assert_eq!(
                takes_gzip(&headers(&[(ACCEPT_ENCODING, value)])),
                takes,
                "{value}"
            );
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let ui = Ui::new();
        let accept = (ACCEPT_ENCODING, "gzip");
        let plain = ui.file("index.html", &HeaderMap::new()).expect("there");
        let packed = ui
            .file("index.html", &headers(std::slice::from_ref(&accept)))
            .expect("there");
        assert_eq!(plain.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(plain.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_ne!(plain.headers()[ETAG], packed.headers()[ETAG], "other bytes");
        let mut known = headers(&[accept]);
        known.insert(IF_NONE_MATCH, packed.headers()[ETAG].clone());
        let again = ui.file("index.html", &known).expect("there");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        known.insert(IF_NONE_MATCH, HeaderValue::from_static("\"x\", W/\"y\""));
        assert_eq!(
            ui.file("index.html", &known).expect("there").status(),
            StatusCode::OK
        );
    }

    #[test]
    fn nothing_outside_the_folder_is_served() {
        let ui = Ui::new();
        for path in [
            "",
            "..",
            "../openapi.json",
            "../../Cargo.toml",
            "/etc/passwd",
            "no.js",
        ] {
            let Err(error) = ui.file(path, &HeaderMap::new()) else {
                panic!("{path} is served");
            };
            assert_eq!(error.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn every_file_of_the_page_has_a_type_of_its_own() {
        for path in Files::iter() {
            assert_ne!(kind_of(&path), "application/octet-stream", "{path}");
        }
    }
}
