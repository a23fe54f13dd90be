//! The master: finds films, keeps their jobs, grants them to workers, and sees to it
//! that each is replaced at most once.
//!
//! ```text
//! scans -> store <- sync (leases) <- workers          store -> views, live -> people
//!                     ^ recover, films and adopt
//! ```

mod actions;
mod adopt;
mod core;
mod disk;
mod error;
mod films;
mod live;
mod look;
mod metrics;
mod notices;
mod recover;
mod roots;
mod state;
mod sync;
mod views;

pub use self::core::Core;
pub use self::error::ApiError;
pub use self::live::LiveSubscription;
pub use self::metrics::Metrics;
