//! Another machine: a network namespace with a cable to this one, and file systems of its
//! own where it wants some.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Process;
use crate::support::cli::av1cli;

/// A machine that is one cable away; gone with its value.
pub(crate) struct Host {
    name: String,
    /// This machine's end of the cable.
    cable: String,
    /// This machine's address at that end.
    pub(crate) address: String,
}

impl Host {
    /// `None`, with a word about it, where this process may not make one.
    pub(crate) fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // Of this process, and of this one within it.
        let (pid, nth) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let net = format!("10.{}.{}", 64 + (pid >> 8) % 128, (pid + nth) % 256);
        let name = format!("av1-{pid}-{nth}");
        if !ip(&["netns", "add", &name]) {
            let is_root = rustix::process::geteuid().is_root();
            assert!(!is_root || env::var_os("CI").is_none(), "no host is made");
            eprintln!("skipped: `ip netns add` takes iproute2, root and CAP_SYS_ADMIN");
            return None;
        }
        let host = Self {
            cable: format!("av1v{pid}n{nth}"),
            address: format!("{net}.1"),
            name,
        };
        let Self { name, cable, .. } = &host;
        let made = [
            format!("link add {cable} type veth peer name eth0 netns {name}"),
            format!("addr add {net}.1/24 dev {cable}"),
            format!("link set {cable} up"),
            format!("-n {name} addr add {net}.2/24 dev eth0"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} link set lo up"),
        ];
        for command in &made {
            let words: Vec<_> = command.split(' ').collect();
            assert!(ip(&words), "ip {command}");
        }
        Some(host)
    }

    /// A worker of this host's for the master at `url`; what lies in `hidden` here is not
    /// there.
    pub(crate) fn worker(&self, url: &str, config: &Path, hidden: &Path, log: &Path) -> Process {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, "sh", "-c"])
            // The namespace has mounts of its own already.
            .arg("mount -t tmpfs hidden \"$1\" && shift && exec \"$@\"")
            .arg("sh")
            .arg(hidden)
            .arg(av1cli().get_program())
            .args(["worker", url, "--config"])
            .arg(config);
        Process::spawn(command, log)
    }

    /// From now on nothing arrives, and nobody is told.
    pub(crate) fn pull_the_cable(&self) {
        assert!(ip(&["link", "set", &self.cable, "down"]), "pulled");
    }

    pub(crate) fn plug_it_in(&self) {
        assert!(ip(&["link", "set", &self.cable, "up"]), "plugged in");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        ip(&["link", "del", &self.cable]);
        if !ip(&["netns", "del", &self.name]) {
            eprintln!("the network namespace {} stays", self.name);
        }
    }
}

fn ip(words: &[&str]) -> bool {
    let status = Command::new("ip")
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
