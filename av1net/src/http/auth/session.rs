//! Who has logged in with a browser. A session is a random text in a cookie; its hash
//! lies in the state directory, so that a master's restart logs nobody out and a stolen
//! file logs nobody in. (A signed cookie would need no file, and no logout could end it.)

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::private;
use super::tokens::{Tokens, hash, random_text};
use crate::api::Role;
use crate::units::UnixMs;

/// A session ends after so long, whether it is used or not: a month, after which the
/// token is asked for again.
pub(super) const SESSION_MS: i64 = 30 * 24 * 3_600_000;
/// The most sessions; the oldest makes room.
const MOST: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    role: Role,
    /// Hash of the token that it was made with: who changes the token ends its sessions.
    token: String,
    expires: UnixMs,
}

/// Everybody who has logged in, by the hash of the text in the cookie.
pub(super) struct Sessions {
    file: Option<PathBuf>,
    known: Mutex<HashMap<String, Session>>,
    /// One writer at a time, so that an older state never comes last.
    writing: Mutex<()>,
}

impl Sessions {
    /// Takes up those of the last life that still hold.
    pub(super) fn open(file: Option<PathBuf>, tokens: &Tokens, now: UnixMs) -> Self {
        let text = file.as_deref().map(private::read);
        let known: HashMap<String, Session> = match text {
            Some(Ok(Some(text))) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, "the sessions are not understood; everybody has to log in again");
                HashMap::new()
            }),
            Some(Err(error)) => {
                tracing::warn!(%error, "the sessions are not read; everybody has to log in again");
                HashMap::new()
            }
            _ => HashMap::new(),
        };
        let holds = |session: &Session| {
            session.expires > now
                && session.token == hash(tokens.of(session.role)).to_hex().as_str()
        };
        Self {
            file,
            known: Mutex::new(known.into_iter().filter(|(_, s)| holds(s)).collect()),
            writing: Mutex::default(),
        }
    }

    /// Where nobody has to log in.
    pub(super) fn none() -> Self {
        Self {
            file: None,
            known: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session: the text for its cookie.
    pub(super) fn begin(
        &self,
        role: Role,
        token: &str,
        now: UnixMs,
    ) -> Result<String, getrandom::Error> {
        let secret = random_text()?;
        {
            let mut known = self.known();
            known.retain(|_, session| session.expires > now);
            while known.len() >= MOST {
                let oldest = known.iter().min_by_key(|(_, session)| session.expires);
                let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                    break;
                };
                known.remove(&oldest);
            }
            let session = Session {
                role,
                token: hash(token).to_hex().to_string(),
                expires: now.plus_ms(SESSION_MS),
            };
            known.insert(hash(&secret).to_hex().to_string(), session);
        }
        self.save();
        Ok(secret)
    }

    /// Whose session this is. Looked up by a hash, so that the time it takes tells
    /// nothing of the secret.
    pub(super) fn role_of(&self, secret: &str, now: UnixMs) -> Option<Role> {
        let known = self.known();
        let session = known.get(hash(secret).to_hex().as_str())?;
        (session.expires > now).then_some(session.role)
    }

    /// Ends a session.
    pub(super) fn end(&self, secret: &str) {
        let ended = self.known().remove(hash(secret).to_hex().as_str());
        if ended.is_some() {
            self.save();
        }
    }

    /// Writes them, beside the runtime's own threads: at a login and a logout, which
    /// are rare and bounded.
    fn save(&self) {
        let Some(file) = self.file.clone() else {
            return;
        };
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_vec(&*self.known());
        let saved = text
            .map_err(std::io::Error::from)
            .and_then(|text| private::write(&file, &text));
        if let Err(error) = saved {
            tracing::warn!(
                path = %file.display(), %error,
                "the sessions are not kept; everybody has to log in again after a restart",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            worker: "w".repeat(40),
            admin: "a".repeat(40),
            read: "r".repeat(40),
        }
    }

    #[test]
    fn a_session_outlives_a_restart_and_ends_by_logout_time_or_a_new_token() {
        let state = tempfile::tempdir().expect("a folder");
        let file = Some(state.path().join("sessions.json"));
        let (now, tokens) = (UnixMs(1_000), tokens());
        let sessions = Sessions::open(file.clone(), &tokens, now);
        let admin = sessions
            .begin(Role::Admin, &tokens.admin, now)
            .expect("begun");
        let read = sessions
            .begin(Role::Read, &tokens.read, now)
            .expect("begun");
        let text = std::fs::read_to_string(file.as_ref().expect("a file")).expect("kept");
        assert!(!text.contains(&admin), "a stolen file logs nobody in");

        let sessions = Sessions::open(file.clone(), &tokens, now);
        assert_eq!(sessions.role_of(&admin, now), Some(Role::Admin));
        assert_eq!(sessions.role_of(&read, now), Some(Role::Read));
        assert_eq!(sessions.role_of("no such", now), None);
        assert_eq!(sessions.role_of(&admin, now.plus_ms(SESSION_MS)), None);

        sessions.end(&read);
        let changed = Tokens {
            admin: "b".repeat(40),
            ..tokens.clone()
        };
        let again = Sessions::open(file.clone(), &tokens, now);
        assert_eq!(again.role_of(&read, now), None);
        assert_eq!(again.role_of(&admin, now), Some(Role::Admin));
        let again = Sessions::open(file, &changed, now);
        assert_eq!(again.role_of(&admin, now), None);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let (now, tokens) = (UnixMs(0), tokens());
        let sessions = Sessions::open(None, &tokens, now);
        let first = sessions
            .begin(Role::Admin, &tokens.admin, now)
            .expect("begun");
        for n in 1..=MOST {
            let later = UnixMs(i64::try_from(n).expect("small"));
            sessions
                .begin(Role::Read, &tokens.read, later)
                .expect("begun");
        }
        assert_eq!(sessions.known().len(), MOST);
        assert_eq!(sessions.role_of(&first, now), None);
    }
}
