//! The master's tokens: one for workers, one that may do everything, one that may look.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::private;
use crate::api::Role;
use crate::http::ServeError;

/// The file in the state directory.
const FILE: &str = "tokens.json";

/// The master's tokens. Whoever has one is who it says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Workers join with it.
    pub worker: String,
    /// May do everything.
    pub admin: String,
    /// May look.
    pub read: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens { .. }")
    }
}

impl Tokens {
    /// The tokens of a state directory; made at its first start.
    ///
    /// # Errors
    ///
    /// [`ServeError::State`] where the file cannot be read, understood or written.
    pub fn open(state_directory: &Path) -> Result<Self, ServeError> {
        let path = state_directory.join(FILE);
        let failed = |path: PathBuf, what: String| ServeError::State { path, what };
        let known = private::read(&path).map_err(|e| failed(path.clone(), e.to_string()))?;
        if let Some(text) = known {
            let tokens: Self = serde_json::from_slice(&text).map_err(|error| {
                let what = format!(
                    "{error}; remove it, and new tokens are made at the next start (workers and people then need those)"
                );
                failed(path.clone(), what)
            })?;
            return match tokens.weak() {
                None => Ok(tokens),
                Some(role) => Err(failed(
                    path,
                    format!(
                        "its {role} token has fewer than 20 characters, or is another one's; remove the file, and new ones are made at the next start"
                    ),
                )),
            };
        }
        let tokens = Self::random().map_err(|e| failed(path.clone(), e.to_string()))?;
        let mut text = serde_json::to_vec_pretty(&tokens)
            .map_err(|error| failed(path.clone(), error.to_string()))?;
        text.push(b'\n');
        private::write(&path, &text).map_err(|e| failed(path.clone(), e.to_string()))?;
        Ok(tokens)
    }

    /// Reads what a master on this machine has made, without making any.
    fn read(state_directory: &Path) -> Option<Self> {
        let text = std::fs::read(state_directory.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn random() -> Result<Self, getrandom::Error> {
        Ok(Self {
            worker: format!("av1w_{}", random_text()?),
            admin: format!("av1a_{}", random_text()?),
            read: format!("av1r_{}", random_text()?),
        })
    }

    /// A token that could be guessed, or that names two roles: somebody wrote the file
    /// by hand.
    fn weak(&self) -> Option<&'static str> {
        let all = [
            ("worker", &self.worker),
            ("admin", &self.admin),
            ("read", &self.read),
        ];
        let is_weak = |token: &str| {
            token.len() < 20 || all.iter().filter(|(_, other)| *other == token).count() > 1
        };
        all.into_iter()
            .find(|(_, token)| is_weak(token))
            .map(|(name, _)| name)
    }

    /// Whose token this is. Takes the same time for every text of its length: hashes are
    /// compared, all three and whole.
    pub(super) fn role_of(&self, token: &str) -> Option<Role> {
        let said = hash(token);
        let mut role = None;
        for (candidate, known) in [
            (Role::Worker, &self.worker),
            (Role::Read, &self.read),
            (Role::Admin, &self.admin),
        ] {
            if bool::from(hash(known).as_bytes().ct_eq(said.as_bytes())) {
                role = Some(candidate);
            }
        }
        role
    }

    /// The token of a role.
    #[must_use]
    pub fn of(&self, role: Role) -> &str {
        match role {
            Role::Worker => &self.worker,
            Role::Admin => &self.admin,
            Role::Read => &self.read,
        }
    }
}

/// 256 random bits as text.
pub(super) fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn hash(secret: &str) -> blake3::Hash {
    blake3::hash(secret.as_bytes())
}

/// The token with which a worker on the same machine, of the same user, joins the master
/// with this state directory.
#[must_use]
pub fn local_token(state_directory: &Path) -> Option<String> {
    Tokens::read(state_directory).map(|tokens| tokens.worker)
}

/// The token with which the same user on the same machine may do everything.
#[must_use]
pub fn local_admin_token(state_directory: &Path) -> Option<String> {
    Tokens::read(state_directory).map(|tokens| tokens.admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_made_once_and_found_again() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(local_token(state.path()), None);
        let made = Tokens::open(state.path()).expect("made");
        assert_eq!(Tokens::open(state.path()).expect("read"), made);
        assert_eq!(local_token(state.path()), Some(made.worker.clone()));
        assert_eq!(local_admin_token(state.path()), Some(made.admin.clone()));
        assert!(made.worker.starts_with("av1w_") && made.worker.len() == 48);
        assert_eq!(made.role_of(&made.worker), Some(Role::Worker));
        assert_eq!(made.role_of(&made.admin), Some(Role::Admin));
        assert_eq!(made.role_of(&made.read), Some(Role::Read));
        assert_eq!(made.role_of("av1a_"), None);
        assert_eq!(made.role_of(""), None);
        assert!(!format!("{made:?}").contains(&made.admin));
    }

    #[test]
    fn a_file_that_is_of_no_use_is_told_with_what_to_do() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("tokens.json");
        let strong = "x".repeat(20);
        for text in [
            "{".to_owned(),
            r#"{"worker": "a", "admin": "b", "read": "c"}"#.to_owned(),
            format!(r#"{{"worker": "{strong}", "admin": "{strong}", "read": "{strong}"}}"#),
        ] {
            std::fs::write(&path, &text).expect("written");
            let error = Tokens::open(state.path()).expect_err("refused").to_string();
            assert!(
                error.contains("tokens.json") && error.contains("remove"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&path).expect("kept"), text);
        }
    }
}
