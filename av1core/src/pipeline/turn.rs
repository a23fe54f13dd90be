//! One video encoder a process, where SVT-AV1 takes no more.
//!
//! Below 4.1 each initialisation of the encoder rewrites tables that the others
//! read: two encodes with different presets in one process deadlock (3 of 3 runs
//! with 1.4.1). Encodes then take turns; whoever wants several at once runs each
//! in a process of its own.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::queue::{Stop, Stopped};
use crate::event::Event;
use crate::ffi::capabilities;

static BUSY: Mutex<bool> = Mutex::new(false);
static FREED: Condvar = Condvar::new();

/// The right to have an encoder open; given back when dropped.
pub(super) struct Turn {
    taken: bool,
}

impl Turn {
    /// Waits for the right, and says so if it must.
    pub(super) fn take(stop: &Stop, observer: &mut dyn FnMut(&Event)) -> Result<Self, Stopped> {
        if !capabilities().one_encoder_a_process {
            return Ok(Self { taken: false });
        }
        let mut told = false;
        let mut busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
        while *busy {
            stop.check()?;
            if !told {
                told = true;
                // The observer is a stranger's code: not under the lock.
                drop(busy);
                observer(&Event::WaitingForEncoder);
                busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            busy = FREED
                .wait_timeout(busy, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *busy = true;
        Ok(Self { taken: true })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.taken {
            *BUSY.lock().unwrap_or_else(PoisonError::into_inner) = false;
            FREED.notify_one();
        }
    }
}
