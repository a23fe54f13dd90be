//! The corpus: one test a case of `recipes/`, each held against its golden file, and
//! damaged files by the hundred.
//!
//! Its tests are made from a table, so it has a harness of its own, which nextest and
//! `cargo test` both understand. What is quick runs always; the rest is marked as
//! ignored unless `AV1_TEST_FULL` is set, as `./dev test --full` does.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

#[expect(dead_code, reason = "the other suite uses the rest")]
#[path = "../support/mod.rs"]
mod support;

mod case;
mod craft;
mod facts;
mod hostile;
mod mutate;
mod recipe;

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use self::support::watched;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    av1core::quiet_encoder_log();
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = recipe::table()
        .into_iter()
        .map(|recipe| {
            let quick = recipe.quick;
            trial(&format!("case::{}", recipe.name), quick, move || {
                case::run(&recipe);
            })
        })
        .collect();
    trials.extend(hostile::batches().map(|batch| {
        let name = format!("hostile::{}", batch.name());
        trial(&name, batch.is_quick(), move || batch.run())
    }));
    trials.push(trial("table::is_whole", true, recipe::assert_whole));
    trials.push(trial("table::has_no_golden_left_over", true, || {
        case::assert_no_golden_left_over(&recipe::table());
    }));
    trials
}

/// A test with the watchdog.
fn trial(name: &str, quick: bool, body: impl FnOnce() + Send + 'static) -> Trial {
    let run = move || {
        watched(body);
        Ok(())
    };
    let runs = quick || env::var_os("AV1_TEST_FULL").is_some();
    Trial::test(name, run).with_ignored_flag(!runs)
}
