//! The master/worker system around [`av1core`]: one port, HTTP and WebSocket, a
//! durable job store and a web page.
//!
//! A master scans media roots into jobs and grants each one to a worker under a
//! lease whose epoch never goes back, so that a late or repeated message changes
//! nothing. A worker speaks one verb: it says what it runs, and the master answers
//! what it should run and when to speak next. Each encode runs in a child process,
//! is verified there, and takes its source's place by a single rename; a master's
//! restart ends none of them. The store is a trait with one conformance suite, and
//! SQLite is its default.
//!
//! ```text
//! scan -> store -> schedule -> lease -> run -> report -> UI
//! ```

#![forbid(unsafe_code)]

pub mod api;
pub mod client;
pub mod clock;
pub mod config;
pub mod http;
pub mod job;
pub mod lease;
pub mod master;
pub mod proto;
pub mod roots;
pub mod scan;
pub mod schedule;
pub mod store;
pub mod units;
pub mod worker;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine failed with a file.
    #[error(transparent)]
    Engine(#[from] av1core::Error),
}

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
