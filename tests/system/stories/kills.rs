//! `kill -9` of master, worker and encode at random moments: afterwards every film is
//! untouched or replaced and whole, every job in a lawful state, no process and no
//! temporary file is left.

use std::env;

use crate::films::{Library, SHORT_FRAMES, assert_no_encode_below};
use crate::process::{Master, Worker, quick_config, until};
use crate::support::{Scratch, watchdog};

/// Rounds, each with one kill; `AV1_TEST_FULL=1` does them all.
const ROUNDS: u32 = 6;
const FULL_ROUNDS: u32 = 200;
/// Films a library; a new one is begun when it is done.
const FILMS: u32 = 5;

#[test]
fn whatever_is_killed_no_film_is_harmed() {
    let full = env::var_os("AV1_TEST_FULL").is_some();
    let rounds = if full { FULL_ROUNDS } else { ROUNDS };
    let seed = env::var("AV1_TEST_SEED").ok().and_then(|s| s.parse().ok());
    let mut random = Random(seed.unwrap_or(0x5EED));
    let mut done = 0;
    while done < rounds {
        let batch = (rounds - done).min(10);
        let first = random.next();
        watchdog::watched_for(std::time::Duration::from_secs(400), move || {
            run_batch(batch, Random(first));
        });
        done += batch;
    }
}

/// xorshift64 (Marsaglia 2003): the same seed, the same kills.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn run_batch(rounds: u32, mut random: Random) {
    let scratch = Scratch::new();
    let mut library = Library::new(&scratch, "films");
    let names: Vec<_> = (0..FILMS).map(|n| format!("{n}.mkv")).collect();
    for name in &names {
        library.add(name);
    }
    let mut config = quick_config(&scratch, &[&library.path]);
    config["max_attempts"] = 50.into();
    config["retry_wait_s"] = 0.into();
    let mut master = Master::start(&scratch, &config);
    let mut workers = [
        master.worker(&scratch, "one"),
        master.worker(&scratch, "two"),
    ];
    for _ in 0..rounds {
        std::thread::sleep(std::time::Duration::from_millis(random.below(1500)));
        kill_one(&mut random, &mut master, &mut workers);
        for name in &names {
            let path = library.path.join(name);
            assert!(path.is_file(), "{name} is gone");
        }
    }
    let jobs = master.api.await_all(names.len());
    for job in &jobs {
        assert_eq!(job["state"], "completed", "{job}");
    }
    for name in &names {
        library.assert_shrunk(name, SHORT_FRAMES);
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    until("no litter is left", || {
        let left = crate::support::scratch::names(&library.path);
        (left.len() == names.len() + 1).then_some(())
    });
    library.assert_holds(&names);
    assert_no_encode_below(scratch.path());
}

fn kill_one(random: &mut Random, master: &mut Master, workers: &mut [Worker; 2]) {
    match random.below(4) {
        0 => {
            master.process.kill();
            master.restart();
        }
        which @ (1 | 2) => {
            let worker = &mut workers[which as usize - 1];
            worker.process.kill();
            worker.restart();
        }
        _ => {
            let children: Vec<_> = workers.iter().flat_map(Worker::children).collect();
            if !children.is_empty() {
                let child = children[random.below(children.len() as u64) as usize];
                // It may have ended since.
                let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
            }
        }
    }
}
