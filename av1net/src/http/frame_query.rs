//! The query of a film's picture, and its answer.

use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::error::HttpError;
use super::respond::{self, Body};
use crate::api::Side;
use crate::master::Frame;

/// Reads it; the beginning unless told.
pub(super) fn parse(query: &str) -> Result<(Side, u64), HttpError> {
    let mut side = None;
    let mut at_ms = 0;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let bad = |name, allowed: &str| HttpError::Parameter {
            name,
            value: value.chars().take(40).collect(),
            allowed: allowed.to_owned(),
        };
        match &*name {
            "side" => {
                side = Some(match &*value {
                    "source" => Side::Source,
                    "result" => Side::Result,
                    _ => return Err(bad("side", "source or result")),
                });
            }
            "at_ms" => {
                let number = value.parse().ok().filter(|ms| *ms <= MOST_MS);
                at_ms = number.ok_or_else(|| bad("at_ms", "milliseconds after the beginning"))?;
            }
            _ => {
                return Err(HttpError::UnknownParameter {
                    name: name.into_owned(),
                    known: "side, at_ms".to_owned(),
                });
            }
        }
    }
    let side = side.ok_or(HttpError::Missing {
        name: "side",
        what: "source or result",
    })?;
    Ok((side, at_ms))
}

/// A month: microseconds of it are far from what a number holds.
const MOST_MS: u64 = 31 * 24 * 3_600_000;

/// The picture.
pub(super) fn answer(frame: &Frame) -> Result<Response<Body>, HttpError> {
    let mut response = respond::typed(StatusCode::OK, "image/png", frame.png.clone());
    let headers = response.headers_mut();
    let at = HeaderName::from_static("x-frame-at-ms");
    headers.insert(at, HeaderValue::from(frame.head.at_ms));
    if let Some(duration) = frame.head.duration_ms {
        let name = HeaderName::from_static("x-film-duration-ms");
        headers.insert(name, HeaderValue::from(duration));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_has_to_be_told_and_a_moment_may() {
        assert_eq!(parse("side=source").ok(), Some((Side::Source, 0)));
        assert_eq!(parse("at_ms=41&side=result").ok(), Some((Side::Result, 41)));
        for bad in [
            "",
            "at_ms=1",
            "side=both",
            "side=source&at_ms=-1",
            "side=source&x=1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&format!("side=source&at_ms={}", u64::MAX)).is_err());
    }
}
