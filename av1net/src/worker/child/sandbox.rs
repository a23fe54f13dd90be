//! What a process that reads strangers' files may reach: the film and its folder, and
//! nothing else. Whoever takes a decoder over by a film that was made for it finds no
//! other file, no network and no program to start.
//!
//! Files by Landlock (Linux 5.13; TCP from 6.7 on), calls by seccomp. What a kernel does
//! not know is left out: [`Sandbox::enter`] says what came of it.

use std::path::{Path, PathBuf};

/// What of the system an encode reads: libraries that are loaded late (character sets of
/// subtitles), the processors, its own process. Not `/proc` as a whole, where other
/// processes' environments are.
#[cfg(target_os = "linux")]
const SYSTEM: [&str; 13] = [
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/passwd",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/urandom",
];

/// The files that a process is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Files and folders that are read.
    pub reads: Vec<PathBuf>,
    /// Folders in which files are made, renamed and removed.
    pub writes: Vec<PathBuf>,
}

/// How much of it holds on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walls {
    /// Other files are out of reach.
    pub files: bool,
    /// Sockets cannot be made, nor programs started.
    pub calls: bool,
}

impl Walls {
    /// What this machine has. Costs a thread, which enters one and ends.
    #[must_use]
    pub fn here() -> Self {
        let probe = std::thread::spawn(|| {
            // As for a child, of this thread alone: seccomp wants it.
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::thread::set_no_new_privs(true) {
                tracing::warn!(%error, "new privileges are not ruled out");
            }
            Sandbox::default().enter()
        });
        probe.join().unwrap_or(Self {
            files: false,
            calls: false,
        })
    }

    /// What is missing, for people; `None` where nothing is.
    #[must_use]
    pub fn warning(self) -> Option<&'static str> {
        match (self.files, self.calls) {
            (true, true) => None,
            (false, true) => Some(
                "encodes are not shut off from other files: this kernel has no Landlock \
                 (Linux 5.13 and later, where it is turned on)",
            ),
            (_, false) => Some(
                "encodes are not shut off from the network and other programs: this system \
                 has no seccomp",
            ),
        }
    }
}

impl Sandbox {
    /// For a process that reads one file.
    #[must_use]
    pub fn reading(file: &Path) -> Self {
        Self {
            reads: vec![file.to_owned()],
            writes: Vec::new(),
        }
    }

    /// Adds the folder of a file that is made or replaced.
    #[must_use]
    pub fn working_beside(mut self, file: &Path) -> Self {
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        self.writes
            .push(folder.unwrap_or(Path::new(".")).to_owned());
        self
    }

    /// Shuts the calling thread, and all that it starts from now on, in for good. To be
    /// called before there is a second thread, and after
    /// [`restrict_this_process`](super::restrict_this_process).
    #[must_use]
    pub fn enter(&self) -> Walls {
        let held = |what: &str, done: Result<bool, String>| match done {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(error, "{what} are not shut off");
                false
            }
        };
        Walls {
            files: held("other files", self.shut_files_off()),
            calls: held("sockets and programs", shut_calls_off()),
        }
    }

    #[cfg(target_os = "linux")]
    fn shut_files_off(&self) -> Result<bool, String> {
        use landlock::{
            ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathFd, Ruleset,
            RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
        };
        // The last one whose rights are understood here; the kernel's may be older.
        let abi = ABI::V6;
        let reads = AccessFs::from_read(abi) & !AccessFs::Execute;
        let writes = reads
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile
            // A rename within one folder over a file that is there.
            | AccessFs::Refer;
        // A rule holds for an inode, and 9p makes a new one with each look at a file that
        // nobody has open (landlock-lsm/linux#45): so they stay open to the end.
        for path in self.reads.iter().chain(&self.writes) {
            if let Ok(held) = PathFd::new(path) {
                std::mem::forget(held);
            }
        }
        let restricted = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
            .and_then(|rules| rules.scope(Scope::from_all(abi)))
            .and_then(Ruleset::create)
            // What is not there needs no rule, and gets none.
            .and_then(|rules| rules.add_rules(path_beneath_rules(SYSTEM, reads)))
            .and_then(|rules| rules.add_rules(path_beneath_rules(&self.reads, reads)))
            .and_then(|rules| rules.add_rules(path_beneath_rules(&self.writes, writes)))
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(|error| error.to_string())?;
        Ok(restricted.ruleset != RulesetStatus::NotEnforced)
    }

    #[cfg(not(target_os = "linux"))]
    fn shut_files_off(&self) -> Result<bool, String> {
        Ok(false)
    }
}

/// Calls that an encode has no use for and an intruder has. They fail with "operation not
/// permitted"; all others are allowed, since FFmpeg's libraries may make any.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
fn shut_calls_off() -> Result<bool, String> {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter,
    };
    let whenever = |call: i64| (call, Vec::new());
    let where_not = |argument, length, value| {
        let condition = SeccompCondition::new(argument, length, SeccompCmpOp::Ne, value);
        let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
        rule.map(|rule| vec![rule])
            .map_err(|error| error.to_string())
    };
    let mut denied: Vec<_> = DENIED.into_iter().map(whenever).collect();
    // Signals, but to itself; Landlock knows of those from Linux 6.12 on alone.
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let own = u64::from(own.unsigned_abs());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        denied.push((call, where_not(0, SeccompCmpArgLen::Dword, own)?));
    }
    // Times, but of an open file.
    let times = where_not(1, SeccompCmpArgLen::Qword, 0)?;
    denied.push((libc::SYS_utimensat, times));
    #[cfg(target_arch = "x86_64")]
    {
        denied.extend(DENIED_ON_X86_64.into_iter().map(whenever));
        // The same calls by the numbers of x32, which the filter takes for this
        // architecture's, and those that have numbers of their own there.
        const X32: i64 = 0x4000_0000;
        let again = DENIED.into_iter().chain(DENIED_ON_X86_64);
        let own_numbers = [520, 521, 539, 540, 545];
        denied.extend(again.chain(own_numbers).map(|call| whenever(call | X32)));
    }
    let arch = std::env::consts::ARCH;
    let filter = SeccompFilter::new(
        denied.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        arch.try_into().map_err(|_| format!("{arch} is unknown"))?,
    );
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| error.to_string())?;
    Ok(true)
}

#[cfg(target_os = "linux")]
const DENIED: [i64; 41] = [
    // The network, and programs.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // Modes, owners and attributes by name, of which Landlock knows nothing; a
    // replacement sets those of a file that it has open.
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    // Ways around a filter, and into the kernel.
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
];

/// What newer architectures have in one form alone.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const DENIED_ON_X86_64: [i64; 6] = [
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];

#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
fn shut_calls_off() -> Result<bool, String> {
    Ok(false)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    use super::*;

    /// What is tried, and the error that it ends with.
    type Tried = Vec<(&'static str, Option<std::io::ErrorKind>)>;

    fn mode() -> fs::Permissions {
        std::os::unix::fs::PermissionsExt::from_mode(0o600)
    }

    /// Asks whether it may send a signal.
    fn signal(to: i32) -> std::io::Result<()> {
        let to = rustix::process::Pid::from_raw(to).expect("a process");
        Ok(rustix::process::test_kill_process(to)?)
    }

    /// What an intruder would try next.
    fn break_out(other: &Path, port: u16) -> Tried {
        let kind = |done: std::io::Result<()>| done.err().map(|error| error.kind());
        let stranger = other.join("stranger");
        vec![
            ("read", kind(fs::read(&stranger).map(drop))),
            ("list", kind(fs::read_dir(other).map(drop))),
            ("write", kind(fs::write(other.join("new"), "new"))),
            ("mode", kind(fs::set_permissions(&stranger, mode()))),
            ("remove", kind(fs::remove_file(&stranger))),
            ("environment", kind(fs::read("/proc/1/environ").map(drop))),
            (
                "connect",
                kind(TcpStream::connect(("127.0.0.1", port)).map(drop)),
            ),
            ("bind", kind(UdpSocket::bind("127.0.0.1:0").map(drop))),
            ("pair", kind(UnixStream::pair().map(drop))),
            ("run", kind(Command::new("/bin/true").status().map(drop))),
            ("signal", kind(signal(1))),
        ]
    }

    /// Whether the kernel shuts files off at all.
    fn has_landlock() -> bool {
        use landlock::{AccessFs, Ruleset, RulesetAttr, RulesetStatus};
        let alone = thread::spawn(|| {
            let rules = Ruleset::default().handle_access(AccessFs::Execute);
            let rules = rules.and_then(Ruleset::create);
            rules.and_then(landlock::RulesetCreated::restrict_self)
        });
        let restricted = alone.join().expect("an end").expect("an answer");
        restricted.ruleset != RulesetStatus::NotEnforced
    }

    #[test]
    fn a_process_at_work_reaches_its_film_and_nothing_else() {
        let own = tempfile::tempdir().expect("a folder");
        let other = tempfile::tempdir().expect("a folder");
        let film = own.path().join("film.mkv");
        fs::write(&film, "film").expect("written");
        let stranger = other.path().join("stranger");
        fs::write(&stranger, "stranger").expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // Without it all of that is possible: the test is worth something.
        let before = break_out(other.path(), port);
        let mut failed = before.iter().filter(|(_, error)| error.is_some());
        // The first process is root's.
        let is_roots = |what| ["environment", "signal"].contains(&what);
        assert!(failed.all(|(what, _)| is_roots(*what)), "{before:?}");
        fs::write(&stranger, "stranger").expect("written");

        let sandbox = Sandbox::reading(&film).working_beside(&film);
        let (folder, others) = (own.path().to_owned(), other.path().to_owned());
        // A thread of its own: it can never leave again.
        let inside = thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).expect("no new rights");
            let walls = sandbox.enter();
            let staged = folder.join(".film.mkv.av1part");
            fs::write(&staged, "smaller").expect("a new file");
            fs::rename(&staged, folder.join("film.mkv")).expect("put in place");
            assert_eq!(fs::read(folder.join("film.mkv")).expect("read"), b"smaller");
            fs::read_dir(&folder).expect("listed");
            let film = fs::File::open(folder.join("film.mkv")).expect("opened");
            film.set_permissions(mode()).expect("a mode");
            film.set_modified(std::time::UNIX_EPOCH).expect("a time");
            signal(rustix::process::getpid().as_raw_nonzero().get()).expect("itself");
            // Threads that it starts are in there with it.
            let tried = thread::spawn(move || break_out(&others, port));
            (walls, tried.join().expect("an end"))
        });
        let (walls, tried) = inside.join().expect("an end");
        assert!(walls.calls, "seccomp is in every kernel that we know");
        assert_eq!(walls.files, has_landlock());
        for (what, error) in tried {
            let is_of_files = ["read", "list", "write", "remove", "environment"].contains(&what);
            if walls.files || !is_of_files {
                assert_eq!(error, Some(PermissionDenied), "{what}");
            }
        }
        assert!(stranger.is_file(), "it is gone");
    }
}
