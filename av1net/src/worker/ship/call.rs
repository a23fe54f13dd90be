//! Requests about one film, and what their errors mean for it.

use std::time::Duration;

use backon::ExponentialBackoff;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use crate::client::{Client, ClientError, full};
use crate::job::Failure;
use crate::proto::film_path;
use crate::worker::link::waits;
use crate::worker::runner::reason;
use crate::worker::tasks::Key;

/// An answer's head takes no longer: the master says 503 where it needs time itself. A
/// piece of 8 MiB has to arrive first, which takes 42 s at 200 kB/s.
const ANSWER: Duration = Duration::from_secs(120);

/// The longest answer that is no film.
const LARGEST_ANSWER_BYTES: usize = 64 << 10;

/// A master that asks for more is asked again after this all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The calls about one film.
#[derive(Clone)]
pub(super) struct Films {
    client: Client,
    key: Key,
}

/// Why something about a film did not work.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The lease is gone: stop, nobody waits for it.
    Stale,
    /// The temporary folder.
    Disk(std::io::Error),
    /// It goes no further.
    Failed(Failure),
    /// The same may work a little later.
    Passing {
        /// What went wrong.
        message: String,
        /// When the master thinks so.
        after: Option<Duration>,
    },
}

impl Trouble {
    pub(super) fn passing(error: impl std::fmt::Display) -> Self {
        Self::Passing {
            message: error.to_string(),
            after: None,
        }
    }

    /// Another attempt may succeed, but not this one.
    pub(super) fn failed(kind: &str, message: impl Into<String>) -> Self {
        Self::Failed(Failure {
            reason: reason(kind, message),
            retryable: true,
            crashed: false,
        })
    }
}

impl Films {
    pub(super) fn new(client: Client, key: Key) -> Self {
        Self { client, key }
    }

    /// One request about the film; its answer is a success, its body not read yet.
    pub(super) async fn ask(
        &self,
        method: Method,
        part: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Trouble> {
        let mut request = Request::new(full(body));
        *request.method_mut() = method;
        let path = film_path(self.key.task.job, self.key.epoch, part);
        *request.uri_mut() = path.parse().map_err(Trouble::passing)?;
        request.headers_mut().extend(headers.iter().cloned());
        let asking = self.client.send(request);
        let answer = timeout(ANSWER, asking)
            .await
            .map_err(|_| Trouble::Passing {
                message: format!("no answer within {} s", ANSWER.as_secs()),
                after: None,
            })?;
        let answer = answer.map_err(Trouble::passing)?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.refused(answer).await)
        }
    }

    /// The same, and reads what the answer says.
    pub(super) async fn ask_json<T: DeserializeOwned>(
        &self,
        method: Method,
        part: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<T, Trouble> {
        let answer = self.ask(method, part, headers, body).await?;
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER_BYTES);
        let body = timeout(ANSWER, body.collect()).await;
        let body = body.map_err(Trouble::passing)?.map_err(Trouble::passing)?;
        serde_json::from_slice(&body.to_bytes()).map_err(Trouble::passing)
    }

    /// The headers of a JSON body.
    pub(super) fn json_header() -> [(HeaderName, HeaderValue); 1] {
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))]
    }

    async fn refused(&self, answer: Response<Incoming>) -> Trouble {
        let after = answer.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        let status = answer.status();
        let error = self.client.refused(answer).await;
        if is_stale(&error) {
            tracing::info!(task = %self.key, %error, "the lease of a film is gone");
            return Trouble::Stale;
        }
        let message = error.to_string();
        // A token that is not taken any more is a person's to put right meanwhile.
        let is_passing = error.is_passing() || matches!(status.as_u16(), 401 | 403 | 408);
        if is_passing {
            return Trouble::Passing { message, after };
        }
        match error {
            ClientError::Refused { body, .. } => Trouble::failed(&body.kind, message),
            _ => Trouble::failed("refused", message),
        }
    }
}

fn is_stale(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 409, body, .. } if body.kind == "stale_epoch")
}

/// Tries again, more and more seldom, for ever: whether it still makes sense is for the
/// lease to say.
#[derive(Debug)]
pub(super) struct Again {
    waits: ExponentialBackoff,
    is_told: bool,
}

impl Again {
    pub(super) fn new() -> Self {
        Self {
            waits: waits(),
            is_told: false,
        }
    }

    /// It went on: the next trouble is a new one.
    pub(super) fn worked(&mut self) {
        *self = Self::new();
    }

    /// Waits before the next try, where there is to be one.
    pub(super) async fn after(&mut self, key: Key, trouble: Trouble) -> Result<(), Trouble> {
        let Trouble::Passing { message, after } = trouble else {
            return Err(trouble);
        };
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(task = %key, message, "a film is held up; it is tried again");
        }
        let wait = after.or_else(|| self.waits.next()).unwrap_or(LONGEST_WAIT);
        sleep(wait).await;
        Ok(())
    }
}
