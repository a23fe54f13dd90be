//! What a child may not do.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Takes rights from this process that an encode has no use for, for good: it dumps no
/// core (a film's frames would be in it, and gigabytes of disk gone), and no program
/// that it might start gets more rights than it has. To be called before there is a
/// second thread: the latter holds for the thread that calls. What the system refuses is
/// logged, and no reason not to go on.
pub fn restrict_this_process() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps are not turned off");
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!(%error, "new privileges are not ruled out");
    }
}
