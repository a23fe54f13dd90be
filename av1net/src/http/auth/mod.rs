//! Who is calling, and whether they may.
//!
//! A program shows a token (`Authorization: Bearer`). A browser logs in with one and has
//! a session's cookie from then on, which the browser adds by itself to whatever any
//! page makes it ask: so what is asked without a token has to be asked for a name that
//! the master goes by, and what changes something, or opens a WebSocket, by a page of
//! ours.

mod origin;
mod private;
mod session;
mod tokens;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use tokio::time::Instant;

pub use self::tokens::{Tokens, local_admin_token, local_token};

use self::origin::{Hosts, Page};
use self::session::{SESSION_MS, Sessions};
use super::bucket::{Buckets, Rate, retry_after_s};
use super::error::HttpError;
use super::route::Access;
use crate::api::Role;
use crate::clock;

/// Attempts to log in from one address: what a person mistypes, and no more.
const LOGINS: Rate = Rate {
    burst: 10.0,
    per_second: 0.2,
};
/// Addresses whose attempts are counted apart.
const LOGIN_ADDRESSES: usize = 1024;

/// Where the sessions lie in the state directory.
const SESSIONS: &str = "sessions.json";

/// Decides who may do what.
pub(super) struct Auth {
    /// `None`: everything is open.
    tokens: Option<Tokens>,
    sessions: Sessions,
    hosts: Hosts,
    tls: bool,
    logins: Buckets<IpAddr>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What they may do; `None`: only what everybody may.
    pub(super) role: Option<Role>,
    pub(super) by: By,
}

/// How a caller is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Not at all.
    Nothing,
    /// By a token, the right one.
    Token,
    /// By a session's cookie.
    Session(String),
}

impl Auth {
    pub(super) fn new(
        tokens: Option<Tokens>,
        state_directory: Option<&Path>,
        allowed_hosts: &[String],
        tls: bool,
    ) -> Self {
        let file = state_directory.map(|folder| folder.join(SESSIONS));
        let sessions = match &tokens {
            Some(tokens) => Sessions::open(file, tokens, clock::now()),
            None => Sessions::none(),
        };
        Self {
            tokens,
            sessions,
            hosts: Hosts::new(allowed_hosts, sysinfo::System::host_name().ok()),
            tls,
            logins: Buckets::new(LOGINS, LOGIN_ADDRESSES),
        }
    }

    /// Whether tokens are asked for at all.
    pub(super) fn is_on(&self) -> bool {
        self.tokens.is_some()
    }

    /// The token that workers join with.
    pub(super) fn worker_token(&self) -> Option<&str> {
        self.tokens.as_ref().map(|tokens| tokens.worker.as_str())
    }

    /// Who calls. A wrong token is nobody's.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Caller {
        let caller = |role, by| Caller { role, by };
        let Some(tokens) = &self.tokens else {
            return caller(Some(Role::Admin), By::Nothing);
        };
        if let Some(said) = headers.get(AUTHORIZATION) {
            return match bearer(said).and_then(|token| tokens.role_of(token)) {
                Some(role) => caller(Some(role), By::Token),
                None => caller(None, By::Nothing),
            };
        }
        match self.session(headers) {
            Some((role, secret)) => caller(Some(role), By::Session(secret)),
            None => caller(None, By::Nothing),
        }
    }

    fn session(&self, headers: &HeaderMap) -> Option<(Role, String)> {
        let name = self.cookie_name();
        let cookies = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|c| c.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
        pairs.find_map(|pair| {
            let secret = pair.trim().strip_prefix(name)?.strip_prefix('=')?;
            let role = self.sessions.role_of(secret, clock::now())?;
            Some((role, secret.to_owned()))
        })
    }

    /// Whether a caller's session still holds: a WebSocket may outlive it.
    pub(super) fn holds(&self, caller: &Caller) -> bool {
        match &caller.by {
            By::Session(secret) => self.sessions.role_of(secret, clock::now()).is_some(),
            By::Nothing | By::Token => true,
        }
    }

    /// Whether the caller may do this.
    pub(super) fn check(
        &self,
        request: &Parts,
        access: Access,
        socket: bool,
        caller: &Caller,
    ) -> Result<(), HttpError> {
        // A page of a stranger can neither know a token nor make a browser send one.
        if caller.by != By::Token && access != Access::Probe {
            self.check_browser(request, socket, caller)?;
        }
        let needs = match access {
            Access::All | Access::Probe => return Ok(()),
            Access::Read => Role::Read,
            Access::Admin => Role::Admin,
            Access::Worker => Role::Worker,
        };
        match caller.role {
            Some(Role::Admin) => Ok(()),
            Some(role) if role == needs => Ok(()),
            Some(has) => Err(HttpError::Forbidden { needs, has }),
            None if request.headers.contains_key(AUTHORIZATION) => Err(HttpError::Unauthorized(
                "the token is none of this master's; they lie in tokens.json in its state directory",
            )),
            None => Err(HttpError::Unauthorized(
                "log in, or send a token as `Authorization: Bearer ...`; tokens.json in the master's state directory has them",
            )),
        }
    }

    fn check_browser(
        &self,
        request: &Parts,
        socket: bool,
        caller: &Caller,
    ) -> Result<(), HttpError> {
        let authority = origin::authority(&request.uri, &request.headers)?;
        origin::check_host(&self.hosts, &authority)?;
        if request.method.is_safe() && !socket {
            return Ok(());
        }
        let by_cookie = matches!(caller.by, By::Session(_));
        match origin::page(&authority, &request.headers, self.tls) {
            Page::Ours => Ok(()),
            // No browser: every one says it with such a request.
            Page::Unsaid if !by_cookie => Ok(()),
            Page::Unsaid | Page::Foreign => Err(HttpError::Origin {
                origin: origin::said(&request.headers),
            }),
        }
    }

    /// Logs in from `from`: the role, and the cookie to set.
    pub(super) fn log_in(
        &self,
        token: &str,
        from: IpAddr,
    ) -> Result<(Role, Option<HeaderValue>), HttpError> {
        let Some(tokens) = &self.tokens else {
            return Ok((Role::Admin, None));
        };
        self.logins
            .take(&from, Instant::now())
            .map_err(|wait| HttpError::TooMany {
                retry_after_s: retry_after_s(wait),
            })?;
        let role = match tokens.role_of(token.trim()) {
            Some(Role::Worker) => {
                let has = Role::Worker;
                return Err(HttpError::Forbidden {
                    needs: Role::Read,
                    has,
                });
            }
            Some(role) => role,
            None => {
                tracing::warn!(%from, "a login with a wrong token");
                return Err(HttpError::Unauthorized(
                    "the token is none of this master's; they lie in tokens.json in its state directory",
                ));
            }
        };
        self.logins.give_back(&from);
        let secret = self.sessions.begin(role, token.trim(), clock::now());
        let secret = secret.map_err(|error| HttpError::Internal {
            what: "no random numbers".to_owned(),
            source: error.into(),
        })?;
        let age = Duration::from_millis(SESSION_MS.unsigned_abs()).as_secs();
        Ok((role, self.cookie(&secret, age)))
    }

    /// Logs out: the cookie that takes the place of the one there was.
    pub(super) fn log_out(&self, caller: &Caller) -> Option<HeaderValue> {
        let By::Session(secret) = &caller.by else {
            return None;
        };
        self.sessions.end(secret);
        self.cookie("", 0)
    }

    /// With TLS a name that browsers keep to this host and to TLS (RFC 6265bis, 4.1.3.2).
    fn cookie_name(&self) -> &'static str {
        if self.tls {
            "__Host-av1_session"
        } else {
            "av1_session"
        }
    }

    fn cookie(&self, secret: &str, age_s: u64) -> Option<HeaderValue> {
        let name = self.cookie_name();
        let secure = if self.tls { "; Secure" } else { "" };
        let text =
            format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}{secure}");
        HeaderValue::from_str(&text).ok()
    }
}

/// The token of an `Authorization` header.
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_whatever_its_scheme_s_case() {
        for (text, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(&HeaderValue::from_static(text)), token, "{text}");
        }
    }
}
