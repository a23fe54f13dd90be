//! Bodies of requests: small ones whole, in bounded time and space.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderMap};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::error::HttpError;

/// The largest body of a call.
const MOST_BYTES: u64 = 64 << 10;
/// Of a call with lists in it: 10,000 job numbers, or the report of 256 tasks.
const MOST_LISTED_BYTES: u64 = 1 << 20;
/// A body has so long: the largest one at 1 Mbit/s takes 8 s.
const LONGEST: Duration = Duration::from_secs(10);
/// Of a body that is refused so much is read and thrown away, for so long: a connection
/// that is closed with bytes unread is reset, and the answer lost with it.
const DRAIN_BYTES: u64 = 1 << 20;
const DRAIN_FOR: Duration = Duration::from_secs(1);

/// A request's body and what its head says of it.
pub(super) struct Input {
    headers: HeaderMap,
    body: Incoming,
}

impl Input {
    pub(super) fn new(headers: HeaderMap, body: Incoming) -> Self {
        Self { headers, body }
    }

    /// What the head says.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body and the head.
    pub(super) fn into_parts(self) -> (HeaderMap, Incoming) {
        (self.headers, self.body)
    }

    /// The whole body.
    pub(super) async fn whole(self) -> Result<Bytes, HttpError> {
        self.at_most(MOST_BYTES).await
    }

    async fn at_most(self, limit_bytes: u64) -> Result<Bytes, HttpError> {
        let refused = HttpError::TooLarge { limit_bytes };
        let Self { headers, mut body } = self;
        if body.size_hint().lower() > limit_bytes {
            // Who asks before sending has not sent it yet.
            if !headers.contains_key(EXPECT) {
                drain(&mut body).await;
            }
            return Err(refused);
        }
        let until = Instant::now() + LONGEST;
        let mut whole = BytesMut::new();
        loop {
            let frame = timeout_at(until, body.frame())
                .await
                .map_err(|_| HttpError::TooSlow {
                    limit_s: LONGEST.as_secs(),
                })?;
            let Some(frame) = frame else {
                return Ok(whole.freeze());
            };
            let Ok(data) = frame.map_err(HttpError::Body)?.into_data() else {
                continue; // trailers, which say nothing to us
            };
            if (whole.len() + data.len()) as u64 > limit_bytes {
                drain(&mut body).await;
                return Err(refused);
            }
            whole.extend_from_slice(&data);
        }
    }

    /// The body as JSON. Without a token (`by_token`) it has to say that it is JSON:
    /// what another site's form can make a browser send never does.
    pub(super) async fn json<T: DeserializeOwned>(self, by_token: bool) -> Result<T, HttpError> {
        self.json_within(by_token, MOST_BYTES).await
    }

    /// As [`Self::json`], of a call with lists in it.
    pub(super) async fn long_json<T: DeserializeOwned>(
        self,
        by_token: bool,
    ) -> Result<T, HttpError> {
        self.json_within(by_token, MOST_LISTED_BYTES).await
    }

    async fn json_within<T: DeserializeOwned>(
        self,
        by_token: bool,
        limit_bytes: u64,
    ) -> Result<T, HttpError> {
        if !by_token && !is_json(&self.headers) {
            return Err(HttpError::NotJson);
        }
        Ok(serde_json::from_slice(&self.at_most(limit_bytes).await?)?)
    }

    /// As [`Self::json`], where no body means the default.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(
        self,
        by_token: bool,
    ) -> Result<T, HttpError> {
        if self.body.is_end_stream() {
            return Ok(T::default());
        }
        self.json(by_token).await
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads on for a moment, and throws it away.
pub(super) async fn drain(body: &mut Incoming) {
    let until = Instant::now() + DRAIN_FOR;
    let mut left = DRAIN_BYTES;
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(bytes) else {
            return;
        };
        left = rest;
    }
}
