//! A worker: it speaks with its master, and runs each encode in a child process.
//!
//! ```text
//! link      reports out, replies in: WebSocket, POST, or within the process
//! session   the loop: what happens -> tasks -> what is to be done; pace: when to speak
//! tasks     what runs, as a pure state machine
//! runner    one task from its grant to its end; ship: its film over HTTP
//! process   one child process: started, listened to, watched, ended
//! ```
//!
//! Nothing that takes long is waited for in the loop: the connection, each run, looks
//! at mounts and at the machine's load are tasks of their own, so that a busy worker is
//! never a silent one. A connection that is lost comes back by itself, and what runs
//! goes on meanwhile.

#[cfg(test)]
mod against_master;
pub mod child;
mod config;
mod control;
mod death;
mod error;
mod events;
mod identity;
mod lines;
mod link;
mod mounts;
pub mod orders;
mod pace;
mod priority;
mod process;
mod runner;
mod session;
mod ship;
#[cfg(test)]
mod simulation;
mod system;
mod tasks;
mod temp;
#[cfg(test)]
mod testing;

pub use self::config::{IsOpen, Tuning, WorkerConfig};
pub use self::control::WorkerControl;
pub use self::error::WorkerError;
pub use self::events::{Observer, WorkerEvent, WorkerSummary};
pub use self::link::{Local, Means, Transport};
pub use self::mounts::MountProbe;
pub use self::process::{ChildProgram, Patience};
pub use self::session::run;
