//! A worker: it speaks with its master, and runs each encode in a child process.

mod death;
mod lines;
pub mod orders;
mod priority;
mod process;
mod tasks;
pub use self::process::{ChildProgram, Patience};
