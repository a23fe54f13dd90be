use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::job::{Committed, Failure, FileId};
use crate::units::{Epoch, JobId, RelPath, RootId, TaskId, UnixMs};

fn job(state: JobState, epoch: u64) -> Job {
    Job {
        id: JobId(7),
        root: RootId("root".to_owned()),
        path: RelPath::new(Path::new("film.mkv")).expect("a path"),
        file: FileId {
            bytes: 1,
            modified_ns: 0,
            inode: 1,
        },
        state,
        priority: 0,
        queued: UnixMs(0),
        attempts: 0,
        epoch: Epoch(epoch),
        worker: Some(holder()),
        retry_at: None,
        staged: Some(staged()),
        reason: None,
        committed: None,
        changed: UnixMs(0),
    }
}

fn holder() -> WorkerId {
    WorkerId("holder".to_owned())
}

fn staged() -> StagedFile {
    StagedFile {
        token: "0123456789abcdef".to_owned(),
        bytes: 1,
    }
}

fn report(job: i64, epoch: u64, phase: Phase) -> TaskReport {
    TaskReport {
        task: TaskId::from(JobId(job)),
        epoch: Epoch(epoch),
        phase,
        progress: None,
    }
}

fn reason() -> Reason {
    Reason {
        kind: "kind".to_owned(),
        message: "message".to_owned(),
    }
}

fn ends() -> Vec<TaskEnd> {
    vec![
        TaskEnd::Replaced {
            committed: Committed {
                path: RelPath::new(Path::new("film.mkv")).expect("a path"),
                file: job(JobState::Leased, 1).file,
                source_bytes: 2,
                frames: 1,
                elapsed_ms: 1,
                encoder: String::new(),
                warnings: Vec::new(),
            },
        },
        TaskEnd::Delivered,
        TaskEnd::LeftAlone {
            reason: reason(),
            key: None,
        },
        TaskEnd::Failed {
            failure: Failure {
                reason: reason(),
                retryable: false,
                crashed: false,
            },
        },
        TaskEnd::HandedBack,
    ]
}

fn phases() -> Vec<Phase> {
    let mut phases = vec![
        Phase::Starting,
        Phase::Asking {
            key: "key".to_owned(),
        },
        Phase::Sampling,
        Phase::Encoding,
        Phase::Verifying,
        Phase::Staged { staged: staged() },
        Phase::Committing,
        Phase::Delivering {
            sent_bytes: 1,
            total_bytes: 2,
        },
    ];
    phases.extend(ends().into_iter().map(|end| Phase::Ended { end }));
    phases
}

proptest! {
    /// A word with another epoch, of another worker, or about another task changes
    /// nothing, whatever it says.
    #[test]
    fn a_stale_word_changes_nothing(
        state in 0..JobState::ALL.len(), epoch in 1_u64..5, said in 0_u64..6,
        phase in 0..phases().len(), other: bool, id in 6_i64..9,
    ) {
        let job = job(JobState::ALL[state], epoch);
        let worker = if other { WorkerId("other".to_owned()) } else { holder() };
        let phase = phases().swap_remove(phase);
        let holds = job.state.is_active() && said == epoch && !other && id == 7;
        let judgement = judge(Some(&job), &worker, &report(id, said, phase));
        if !holds {
            let stop = [OrderKind::Revoke, OrderKind::Forget].map(Judgement::Answer);
            prop_assert!(stop.contains(&judgement), "{judgement:?}");
        }
    }
}

/// A permit is given once for one file, and said again for that file alone.
#[test]
fn a_permit_is_for_the_file_that_it_was_given_for() {
    let say = |job: &Job, token: &str| {
        let staged = StagedFile {
            token: token.to_owned(),
            bytes: 1,
        };
        judge(
            Some(job),
            &holder(),
            &report(7, 1, Phase::Staged { staged }),
        )
    };
    let leased = say(&job(JobState::Leased, 1), &staged().token);
    let Judgement::Then(events, OrderKind::Commit) = leased else {
        panic!("{leased:?}");
    };
    assert_eq!(events.len(), 2);
    assert_eq!(events[1], JobEvent::Permit);
    let committing = job(JobState::Committing, 1);
    let again = say(&committing, &staged().token);
    assert_eq!(again, Judgement::Answer(OrderKind::Commit));
    let another = say(&committing, "fedcba9876543210");
    assert_eq!(another, Judgement::Answer(OrderKind::Revoke));
}

/// Whatever goes wrong once the permit is given, the file system is asked: no word of a
/// worker makes a film that may have been replaced free for another.
#[test]
fn past_the_permit_the_file_system_decides() {
    for end in ends() {
        let is_replaced = matches!(end, TaskEnd::Replaced { .. });
        if end == TaskEnd::Delivered {
            continue;
        }
        let phase = Phase::Ended { end };
        let committing = job(JobState::Committing, 1);
        let judgement = judge(Some(&committing), &holder(), &report(7, 1, phase));
        let Judgement::Then(events, OrderKind::Forget) = judgement else {
            panic!("{judgement:?}");
        };
        let expected = if is_replaced {
            "committed"
        } else {
            "lease_lost"
        };
        assert_eq!(
            events.iter().map(JobEvent::name).collect::<Vec<_>>(),
            [expected]
        );
    }
}
