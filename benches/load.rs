//! A master under load, with its clients beside it on the same machine.
//!
//! ```text
//! ./dev bench load workers [--count 10000] [--seconds 600]
//! ./dev bench load library [--files 1000000]
//! ./dev bench load page [--jobs 10000] [--seconds 600]
//! ```
//!
//! `workers`: so many WebSocket workers that speak every 10 s; how many were ever shown
//! offline, how long answers take, what memory the master needs, and how long it takes
//! until all are back after the master was killed. `library`: a tree of so many files
//! scanned, the master started again on its store, and pages of the list read. `page`: the
//! first view of the page in a new browser, and how smooth it stays while so many jobs run,
//! of which a hundred change each second.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench fails as tests do, and prints what it measured"
)]

#[path = "../tests/system/driver.rs"]
mod driver;
#[path = "load/library.rs"]
mod library;
#[path = "load/master.rs"]
mod master;
#[path = "load/page.rs"]
mod page;
#[path = "load/workers.rs"]
mod workers;

use std::time::{Duration, Instant};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` adds it.
    arguments.retain(|argument| argument != "--bench");
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(default, |at| {
            let value = arguments.get(at + 1).and_then(|value| value.parse().ok());
            value.unwrap_or_else(|| panic!("{name} takes a number"))
        })
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match arguments.first().map(String::as_str) {
        Some("workers") => runtime.block_on(workers::run(
            number("--count", 10_000),
            number("--seconds", 600),
        )),
        Some("library") => runtime.block_on(library::run(number("--files", 1_000_000))),
        Some("page") => runtime.block_on(page::run(
            number("--jobs", 10_000),
            number("--seconds", 600),
        )),
        // `cargo test --benches` and the like run it without a word: nothing to do.
        _ => println!(
            "usage: ./dev bench load workers|library|page [--count N] [--seconds N] [--files N] [--jobs N]"
        ),
    }
}

/// The clock of the measurements.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

/// The value that so many hundredths of all are at most.
fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}
