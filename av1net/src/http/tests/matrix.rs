//! Every call by every kind of caller.

use hyper::{Method, StatusCode};

use super::{Call, Port, watched};
use crate::http::route::{Access, Row, table};

/// How somebody calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    WrongToken,
    ReadToken,
    WorkerToken,
    AdminToken,
    /// A browser with a read session, from the master's page.
    ReadPage,
    /// A browser with an admin session, from the master's page.
    AdminPage,
    /// The same browser, without saying from which page.
    AdminCookieAlone,
    /// The same browser, from a stranger's page.
    AdminCookieAbroad,
    /// A stranger's page, without a session.
    NobodyAbroad,
}

const ALL: [Who; 10] = [
    Who::Nobody,
    Who::WrongToken,
    Who::ReadToken,
    Who::WorkerToken,
    Who::AdminToken,
    Who::ReadPage,
    Who::AdminPage,
    Who::AdminCookieAlone,
    Who::AdminCookieAbroad,
    Who::NobodyAbroad,
];

/// What becomes of the call: it reaches its handler, or is refused with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Reaches,
    Refused(u16),
}

/// The table. `changes`: it is no GET, or opens a WebSocket.
fn fate(who: Who, access: Access, changes: bool) -> Fate {
    use Fate::{Reaches, Refused};
    use Who as W;
    if access == Access::Probe {
        return Reaches;
    }
    // A browser that could have been made to ask by anybody.
    match who {
        W::AdminCookieAbroad | W::NobodyAbroad if changes => return Refused(403),
        W::AdminCookieAlone if changes => return Refused(403),
        _ => {}
    }
    match (access, who) {
        (Access::All | Access::Probe, _) => Reaches,
        (_, W::Nobody | W::WrongToken | W::NobodyAbroad) => Refused(401),
        (_, W::AdminToken | W::AdminPage | W::AdminCookieAlone | W::AdminCookieAbroad) => Reaches,
        (Access::Read, W::ReadToken | W::ReadPage) => Reaches,
        (Access::Worker, W::WorkerToken) => Reaches,
        (_, W::ReadToken | W::ReadPage | W::WorkerToken) => Refused(403),
    }
}

/// The same where nobody needs a token.
fn fate_open(who: Who, access: Access, changes: bool) -> Fate {
    let abroad = matches!(who, Who::AdminCookieAbroad | Who::NobodyAbroad);
    if access != Access::Probe && abroad && changes {
        return Fate::Refused(403);
    }
    Fate::Reaches
}

struct Cookies {
    read: String,
    admin: String,
}

impl Cookies {
    async fn of(port: &Port) -> Self {
        Self {
            read: port.cookie(&port.tokens.read).await,
            admin: port.cookie(&port.tokens.admin).await,
        }
    }

    /// Of a session that nobody began.
    fn none() -> Self {
        Self {
            read: "av1_session=none".to_owned(),
            admin: "av1_session=none".to_owned(),
        }
    }
}

fn dressed(call: Call, who: Who, port: &Port, cookies: &Cookies) -> Call {
    const ABROAD: &str = "http://evil.example";
    match who {
        Who::Nobody => call,
        Who::WrongToken => call.token("av1a_0123456789012345678901234567890123456789012"),
        Who::ReadToken => call.token(&port.tokens.read),
        Who::WorkerToken => call.token(&port.tokens.worker),
        Who::AdminToken => call.token(&port.tokens.admin),
        Who::ReadPage => call.cookie(&cookies.read).own_origin(),
        Who::AdminPage => call.cookie(&cookies.admin).own_origin(),
        Who::AdminCookieAlone => call.cookie(&cookies.admin),
        Who::AdminCookieAbroad => call.cookie(&cookies.admin).header("origin", ABROAD),
        Who::NobodyAbroad => call.header("origin", ABROAD),
    }
}

fn call_of(row: &Row, port: &Port) -> Call {
    let path = row
        .path
        .replace("{id}", "7")
        .replace("{job}", "7")
        .replace("{epoch}", "3");
    // What no handler takes: it is reached, and nothing happens.
    match row.method {
        Method::GET => port.get(&path),
        Method::POST => port.post(&path, "[]"),
        ref other => port.call(other.clone(), &path),
    }
}

async fn hold(port: &Port, cookies: Option<&Cookies>, expected: fn(Who, Access, bool) -> Fate) {
    let mut wrong = Vec::new();
    for row in table() {
        for who in ALL {
            // Who logs out has to log in again for the next call.
            let fresh = match row.path {
                "/api/v1/logout" if cookies.is_some() => Some(Cookies::of(port).await),
                _ => None,
            };
            let none = Cookies::none();
            let cookies = fresh.as_ref().or(cookies).unwrap_or(&none);
            let call = dressed(call_of(&row, port), who, port, cookies);
            let answer = call.send().await;
            let changes = row.method != Method::GET || row.socket;
            assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            let got = if matches!(answer.status.as_u16(), 401 | 403 | 421) {
                answer.error();
                Fate::Refused(answer.status.as_u16())
            } else {
                Fate::Reaches
            };
            let wanted = expected(who, row.access, changes);
            if got != wanted {
                wrong.push(format!(
                    "{} {} by {who:?}: {got:?}, not {wanted:?}",
                    row.method, row.path
                ));
            }
            if got == Fate::Refused(401) {
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_call_by_every_caller() {
    watched(async {
        let port = Port::open().await;
        let cookies = Cookies::of(&port).await;
        hold(&port, Some(&cookies), fate).await;
        port.close().await;
    });
}

#[test]
fn every_call_by_every_caller_where_nobody_needs_a_token() {
    watched(async {
        let port = Port::open_with(|config| config.tokens = None).await;
        hold(&port, None, fate_open).await;
        port.close().await;
    });
}
