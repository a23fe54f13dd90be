//! What a worker is up to: pure.

use crate::proto::{WorkerMode, WorkerSettings};
use crate::worker::control::Wish;

/// What holds of a worker that is wanted to be so, here and by its master, and whose
/// hours are or are not. What lasts longest comes first.
pub(super) fn mode(wish: Wish, settings: &WorkerSettings, is_open: bool) -> WorkerMode {
    if wish >= Wish::Drain || settings.draining {
        WorkerMode::Draining
    } else if settings.paused {
        WorkerMode::Paused
    } else if is_open {
        WorkerMode::Running
    } else {
        WorkerMode::OutsideHours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_end_drains_whatever_else_holds() {
        let of = |paused, draining| WorkerSettings {
            paused,
            draining,
            ..WorkerSettings::default()
        };
        assert_eq!(
            mode(Wish::Run, &of(false, false), true),
            WorkerMode::Running
        );
        assert_eq!(
            mode(Wish::Run, &of(false, false), false),
            WorkerMode::OutsideHours
        );
        assert_eq!(mode(Wish::Run, &of(true, false), false), WorkerMode::Paused);
        for wish in [Wish::Drain, Wish::Abort] {
            assert_eq!(mode(wish, &of(true, false), false), WorkerMode::Draining);
        }
        assert_eq!(mode(Wish::Run, &of(true, true), true), WorkerMode::Draining);
    }
}
