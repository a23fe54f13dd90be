use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

const NOW: UnixMs = UnixMs(1_700_000_000_000);

fn reason(kind: &str) -> Reason {
    Reason {
        kind: kind.to_owned(),
        message: format!("because of {kind}"),
    }
}

fn path(name: &str) -> RelPath {
    RelPath::new(Path::new(name)).expect("a path below a root")
}

fn file(bytes: u64) -> FileId {
    FileId {
        bytes,
        modified_ns: 1,
        inode: 2,
    }
}

fn worker() -> WorkerId {
    WorkerId("w".to_owned())
}

fn found() -> Job {
    let root = RootId("films".to_owned());
    Job::found(root, path("a/film.avi"), file(1000), None, NOW)
}

fn failure(retryable: bool, crashed: bool) -> Failure {
    let reason = reason("encoder_died");
    Failure {
        reason,
        retryable,
        crashed,
    }
}

/// Every event, with every value of it that [`apply`] looks at.
fn events() -> Vec<JobEvent> {
    use JobEvent as E;
    let mut events = vec![
        E::Grant { worker: worker() },
        E::Staged {
            staged: StagedFile {
                token: "0123456789abcdef".to_owned(),
                bytes: 600,
            },
        },
        E::Permit,
        E::Committed {
            committed: Committed {
                path: path("a/film.mkv"),
                file: file(600),
                source_bytes: 1000,
                frames: 24,
                elapsed_ms: 5,
                encoder: "SVT-AV1 9".to_owned(),
                warnings: Vec::new(),
            },
        },
        E::LeaveAlone {
            reason: reason("not_worthwhile"),
        },
        E::HandBack,
        E::LeaseLost {
            reason: reason("lease_lost"),
        },
        E::NotCommitted,
        E::RetryDue,
        E::Cancel,
        E::Retry,
        E::Skip,
        E::Vanished,
        E::Prioritise { priority: 1000 },
    ];
    for (retryable, crashed) in [(true, true), (true, false), (false, true), (false, false)] {
        let failure = failure(retryable, crashed);
        events.push(E::AttemptFailed { failure });
    }
    for leave_alone in [None, Some(reason("excluded"))] {
        let file = file(2000);
        events.push(E::SourceChanged { file, leave_alone });
    }
    events
}

/// Jobs that can come about: by every event on every one of them, breadth first, one for
/// each state and number of attempts.
fn reachable(policy: &RetryPolicy) -> Vec<Job> {
    let mut known = BTreeMap::from([((JobState::Pending, 0), found())]);
    let mut fresh: Vec<Job> = known.values().cloned().collect();
    while let Some(job) = fresh.pop() {
        for event in events() {
            let Ok(next) = apply(&job, &event, NOW, policy) else {
                continue;
            };
            let place = (next.state, next.attempts);
            if known.insert(place, next.clone()).is_none() {
                fresh.push(next);
            }
        }
    }
    known.into_values().collect()
}

/// The transitions as lines of a diagram, from what [`apply`] does.
fn diagram() -> String {
    let policy = RetryPolicy::default();
    let mut arrows: BTreeMap<(JobState, JobState), Vec<&'static str>> = BTreeMap::new();
    for job in reachable(&policy) {
        for event in events() {
            let Ok(next) = apply(&job, &event, NOW, &policy) else {
                continue;
            };
            let names = arrows.entry((job.state, next.state)).or_default();
            if !names.contains(&event.name()) {
                names.push(event.name());
            }
        }
    }
    let mut text = "stateDiagram-v2\n    [*] --> pending: found\n".to_owned();
    text.push_str("    [*] --> skipped: found, to be left alone\n");
    for ((from, to), names) in arrows {
        // In every state, and it changes none.
        let names: Vec<_> = names.into_iter().filter(|n| *n != "prioritise").collect();
        if !names.is_empty() {
            let names = names.join(", ");
            writeln!(text, "    {} --> {}: {names}", from.name(), to.name()).expect("a string");
        }
    }
    text
}

#[test]
fn the_diagram_in_the_documentation_is_what_the_function_does() {
    let source = include_str!("mod.rs");
    let documented: String = source
        .lines()
        .skip_while(|line| *line != "//! ```mermaid")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| format!("{}\n", line.strip_prefix("//! ").unwrap_or(line)))
        .collect();
    let is = diagram();
    assert_eq!(documented, is, "put this in job/mod.rs:\n{is}");
}

#[test]
fn every_state_can_be_reached() {
    let states: Vec<_> = reachable(&RetryPolicy::default())
        .into_iter()
        .map(|job| job.state)
        .collect();
    for state in JobState::ALL {
        assert!(states.contains(&state), "{state:?}");
    }
}

#[test]
fn names_of_states_read_back() {
    for state in JobState::ALL {
        assert_eq!(JobState::of_name(state.name()), Some(state));
        let json = serde_json::to_string(&state).expect("text");
        assert_eq!(json, format!("\"{}\"", state.name()));
    }
}

#[test]
fn past_the_permit_a_cancel_is_refused() {
    for job in reachable(&RetryPolicy::default()) {
        let cancelled = apply(&job, &JobEvent::Cancel, NOW, &RetryPolicy::default());
        match job.state {
            JobState::Committing | JobState::Recovering => assert!(cancelled.is_err()),
            JobState::Leased | JobState::Staged | JobState::Pending | JobState::RetryWait => {
                assert_eq!(cancelled.expect("taken").state, JobState::Cancelled);
            }
            _ => assert!(cancelled.is_err()),
        }
    }
}

#[test]
fn with_one_attempt_a_lost_worker_fails_its_job_as_the_contract_says() {
    let policy = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let leased = apply(
        &found(),
        &JobEvent::Grant { worker: worker() },
        NOW,
        &policy,
    );
    let lost = JobEvent::LeaseLost {
        reason: reason("offline"),
    };
    let after = apply(&leased.expect("granted"), &lost, NOW, &policy).expect("lost");
    assert_eq!(after.state, JobState::Failed);
    assert_eq!(after.state.contract(), ContractStatus::Failed);
    assert_eq!(after.reason, Some(reason("offline")));
}

#[test]
fn waits_double_up_to_the_longest_and_are_spread() {
    let policy = RetryPolicy {
        max_attempts: 20,
        first_wait_ms: 1000,
        longest_wait_ms: 60_000,
    };
    let mut seen = std::collections::BTreeSet::new();
    for id in 1..100 {
        let mut job = Job {
            id: JobId(id),
            ..found()
        };
        for attempt in 0..12 {
            let step = |job: &Job, event| apply(job, &event, NOW, &policy).expect("taken");
            job = step(&job, JobEvent::Grant { worker: worker() });
            let failure = failure(true, false);
            job = step(&job, JobEvent::AttemptFailed { failure });
            let wait = job.retry_at.expect("waits").ms_since(NOW);
            let full = (1000_i64 << attempt).min(60_000);
            assert!((full - full / 4..=full).contains(&wait), "{wait} of {full}");
            if attempt == 11 {
                seen.insert(wait);
            }
            job = step(&job, JobEvent::RetryDue);
        }
    }
    assert!(seen.len() > 90, "{} of 99 differ", seen.len());
}

/// What holds of every job that came about by events.
fn lawful(job: &Job, policy: &RetryPolicy) {
    use JobState as S;
    let state = job.state;
    if state.is_active() {
        assert!(job.worker.is_some(), "{state:?} without a worker");
        assert!(job.epoch > Epoch(0), "{state:?} without an epoch");
    }
    let has_output = matches!(state, S::Staged | S::Committing | S::Recovering);
    assert_eq!(job.staged.is_some(), has_output, "{state:?}");
    assert_eq!(job.retry_at.is_some(), state == S::RetryWait, "{state:?}");
    match &job.committed {
        Some(_) => assert!(matches!(state, S::Completed | S::Vanished), "{state:?}"),
        None => assert_ne!(state, S::Completed),
    }
    if matches!(
        state,
        S::Skipped | S::Failed | S::Quarantined | S::Cancelled | S::Vanished
    ) {
        assert!(job.reason.is_some(), "{state:?} without a reason");
    }
    assert!(job.attempts <= policy.max_attempts);
    assert!((-100..=100).contains(&job.priority));
}

fn any_events() -> impl Strategy<Value = Vec<JobEvent>> {
    let event = (0..events().len()).prop_map(|n| events()[n].clone());
    proptest::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_a_job_stays_lawful(
        events in any_events(),
        max_attempts in 1_u32..5,
    ) {
        let policy = RetryPolicy { max_attempts, ..RetryPolicy::default() };
        let mut job = found();
        for (n, event) in events.iter().enumerate() {
            let now = NOW.plus_ms(n as i64);
            let Ok(next) = apply(&job, event, now, &policy) else { continue };
            lawful(&next, &policy);
            let granted = matches!(event, JobEvent::Grant { .. });
            let epoch = if granted { job.epoch.next() } else { job.epoch };
            prop_assert_eq!(next.epoch, epoch, "{}", event.name());
            if next.state == JobState::Completed && job.state != JobState::Completed {
                prop_assert_eq!(event.name(), "committed");
            }
            let changed = if next.state == job.state { job.changed } else { now };
            prop_assert_eq!(next.changed, changed);
            prop_assert_eq!((next.id, &next.root), (job.id, &job.root));
            // Pure: again, the same.
            prop_assert_eq!(apply(&job, event, now, &policy), Ok(next.clone()));
            job = next;
        }
    }

    #[test]
    fn without_a_new_start_every_job_ends(events in any_events(), max_attempts in 1_u32..5) {
        let policy = RetryPolicy { max_attempts, ..RetryPolicy::default() };
        let mut job = found();
        let mut grants = 0;
        for event in &events {
            // A person, a scan, and a worker that drains start afresh, as often as they
            // like.
            if matches!(event.name(), "retry" | "source_changed" | "hand_back") {
                continue;
            }
            let Ok(next) = apply(&job, event, NOW, &policy) else { continue };
            grants += u32::from(event.name() == "grant");
            prop_assert!(grants <= max_attempts, "{grants} grants");
            prop_assert!(next.attempts >= job.attempts);
            job = next;
        }
    }

    #[test]
    fn events_read_back_from_json(n in 0..events().len()) {
        let event = events()[n].clone();
        let json = serde_json::to_string(&event).expect("text");
        prop_assert_eq!(serde_json::from_str::<JobEvent>(&json).expect("reads back"), event);
    }
}
