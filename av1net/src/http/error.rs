//! Why a request is refused. Handlers return these with `?`; [`HttpError::into_response`]
//! is the one place where they become a status.

use hyper::header::{ALLOW, CONNECTION, CONTENT_RANGE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::respond::{self, Body};
use crate::api::Role;
use crate::master::ApiError;
use crate::proto::ErrorBody;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("there is nothing at {path}")]
    NoRoute { path: String },
    #[error("{path} does not take {method}; it takes {allow}")]
    Method {
        method: Method,
        path: String,
        allow: String,
    },
    #[error("there is no {0}")]
    NotFound(String),
    #[error("`{value}` is no {name}: {allowed}")]
    Parameter {
        name: &'static str,
        value: String,
        allowed: String,
    },
    #[error("this call does not know the parameter `{name}`; it knows {known}")]
    UnknownParameter { name: String, known: String },
    #[error("the request has no {name}: {what}")]
    Missing {
        name: &'static str,
        what: &'static str,
    },
    #[error("the body is not what this call takes: {0}")]
    Json(#[from] serde_json::Error),
    #[error("send the body as application/json")]
    NotJson,
    #[error("the body is larger than {limit_bytes} bytes, which is the most that this call takes")]
    TooLarge { limit_bytes: u64 },
    #[error("the body took longer than {limit_s} s")]
    TooSlow { limit_s: u64 },
    #[error("the body broke off: {0}")]
    Body(#[source] hyper::Error),
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("this needs the {needs} token; the caller's is the {has} token", needs = name(*.needs), has = name(*.has))]
    Forbidden { needs: Role, has: Role },
    #[error(
        "`{host}` is not known as a name of this master; if it is one, add it to `allowed_hosts` in the master's configuration"
    )]
    Host { host: String },
    #[error("the request has no Host header, or several")]
    NoHost,
    #[error(
        "a page of {origin} may not do this here; where a proxy stands between, it has to pass the Host header on"
    )]
    Origin { origin: String },
    #[error("too many requests from here; try again in {retry_after_s} s")]
    TooMany { retry_after_s: u64 },
    #[error("{what}; try again in {retry_after_s} s")]
    Later {
        kind: &'static str,
        what: String,
        retry_after_s: u64,
    },
    #[error("this is a WebSocket: send an upgrade request, version 13")]
    NotWebSocket,
    #[error("the film has {bytes} bytes, and none of those that were asked for")]
    Range { bytes: u64 },
    /// Whatever else has a name and a status of its own.
    #[error("{}", .body.message)]
    Told { status: StatusCode, body: ErrorBody },
    #[error("{what}")]
    Internal {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        Self::Told {
            status: StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: error.body,
        }
    }
}

/// A role's name, as the API has it.
pub(super) fn name(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Worker => "worker",
        Role::Admin => "admin",
    }
}

impl HttpError {
    /// Something with a status and a name of its own.
    pub(super) fn told(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        Self::Told {
            status,
            body: ErrorBody {
                kind: kind.to_owned(),
                message: message.into(),
                chain: Vec::new(),
            },
        }
    }

    /// The status, and the name that a program knows the error by.
    fn status_and_kind(&self) -> (StatusCode, &str) {
        use StatusCode as S;
        match self {
            Self::NoRoute { .. } | Self::NotFound(_) => (S::NOT_FOUND, "not_found"),
            Self::Method { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Parameter { .. } => (S::BAD_REQUEST, "bad_parameter"),
            Self::UnknownParameter { .. } => (S::BAD_REQUEST, "unknown_parameter"),
            Self::Missing { .. } => (S::BAD_REQUEST, "missing_parameter"),
            Self::Json(_) => (S::BAD_REQUEST, "bad_json"),
            Self::NotJson => (S::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Self::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "too_large"),
            Self::TooSlow { .. } => (S::REQUEST_TIMEOUT, "too_slow"),
            Self::Body(_) => (S::BAD_REQUEST, "bad_body"),
            Self::Unauthorized(_) => (S::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden { .. } => (S::FORBIDDEN, "forbidden"),
            Self::Host { .. } => (S::MISDIRECTED_REQUEST, "unknown_host"),
            Self::NoHost => (S::BAD_REQUEST, "no_host"),
            Self::Origin { .. } => (S::FORBIDDEN, "cross_origin"),
            Self::TooMany { .. } => (S::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Later { kind, .. } => (S::SERVICE_UNAVAILABLE, kind),
            Self::NotWebSocket => (S::UPGRADE_REQUIRED, "not_websocket"),
            Self::Range { .. } => (S::RANGE_NOT_SATISFIABLE, "no_such_range"),
            Self::Told { status, body } => (*status, &body.kind),
            Self::Internal { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                (S::INSUFFICIENT_STORAGE, "disk_full")
            }
            Self::Internal { .. } => (S::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// What goes beside the body.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let seconds = |s: &u64| HeaderValue::from(*s);
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let header = match self {
            Self::Method { allow, .. } => text(allow).map(|allow| (ALLOW, allow)),
            Self::Unauthorized(_) => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::TooMany { retry_after_s } | Self::Later { retry_after_s, .. } => {
                Some((RETRY_AFTER, seconds(retry_after_s)))
            }
            Self::Told { status, .. } if *status == StatusCode::SERVICE_UNAVAILABLE => {
                Some((RETRY_AFTER, seconds(&5)))
            }
            Self::NotWebSocket => Some((UPGRADE, HeaderValue::from_static("websocket"))),
            Self::Range { bytes } => {
                text(&format!("bytes */{bytes}")).map(|range| (CONTENT_RANGE, range))
            }
            // The rest of the body is not wanted.
            Self::TooLarge { .. } | Self::TooSlow { .. } | Self::Body(_) => {
                Some((CONNECTION, HeaderValue::from_static("close")))
            }
            _ => None,
        };
        header.into_iter().collect()
    }

    /// The error as every endpoint tells it.
    pub(super) fn body(&self) -> ErrorBody {
        if let Self::Told { body, .. } = self {
            return body.clone();
        }
        let mut chain = Vec::new();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            chain.push(error.to_string());
            source = error.source();
        }
        ErrorBody {
            kind: self.status_and_kind().1.to_owned(),
            message: self.to_string(),
            chain,
        }
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.status_and_kind().0
    }

    /// The answer to the request.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = respond::json(self.status(), &self.body());
        response.headers_mut().extend(self.headers());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_its_own_status() {
        let error = HttpError::Internal {
            what: "the piece could not be written".to_owned(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        assert_eq!(error.status(), StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(error.body().kind, "disk_full");
        assert_eq!(error.body().chain.len(), 1);
    }

    #[test]
    fn what_to_try_later_says_when() {
        let response = HttpError::TooMany { retry_after_s: 7 }.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
    }
}
