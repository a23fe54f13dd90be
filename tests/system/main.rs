//! The whole system: masters and workers as real processes on loopback, real films in
//! real folders, and everything that goes wrong between them.
//!
//! One story a file. Each starts its own processes on ports that the system gives, and
//! leaves none; a story that hangs fails.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

#[expect(dead_code, unused_imports, reason = "the other suites use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod api;
mod browser;
mod driver;
mod films;
mod host;
mod process;
mod proxy;

mod stories {
    mod clocks;
    mod disks;
    mod fencing;
    mod happy;
    mod hosts;
    mod kills;
    mod network;
    mod page;
    mod people;
    mod restarts;
    mod roots;
    mod shipped;
}
