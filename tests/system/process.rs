//! Masters and workers as processes, each in a process group of its own that dies with
//! its value.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use crate::api::Api;
use crate::support::Scratch;
use crate::support::cli::av1cli;
use crate::support::watchdog::now;

/// The longest that anything awaited here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until something is so; what it returns then.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline: Instant = now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A process of this programme's; killed with all that it started when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(arguments: &[&str], log: &Path) -> Self {
        let mut command = av1cli();
        command.args(arguments);
        Self::spawn(command, log)
    }

    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let out = fs::File::options().create(true).append(true).open(log);
        let out = out.expect("a log file");
        command
            .env("AV1_LOG", "info")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a handle"))
            .stderr(out)
            .process_group(0);
        let child = command.spawn().expect("the programme starts");
        let log = log.to_owned();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a signal sent");
    }

    /// Ends it at once, and it alone: what it started has to see to that itself.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ends, in time.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("a process ends", || child.try_wait().expect("a status"))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// A master and what it needs: folders, configuration, state.
pub(crate) struct Master {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) api: Api,
    config: PathBuf,
    state: PathBuf,
    log: PathBuf,
    environment: Environment,
}

/// What a process finds in its environment beside what these tests have in theirs.
type Environment = Vec<(&'static str, PathBuf)>;

/// A configuration that makes things happen in seconds instead of minutes.
pub(crate) fn quick_config(scratch: &Scratch, libraries: &[&Path]) -> Value {
    json!({
        "media_directories": libraries,
        "temp_directory": scratch.file("temp"),
        "state_directory": scratch.file("state"),
        "bind_address": "127.0.0.1",
        "web_port": 0,
        "heartbeat_s": 1,
        "offline_s": 2,
        "lease_seconds": 4,
        "retry_wait_s": 1,
        "settle_s": 0,
        "min_bytes": 0,
        "min_duration_s": 0,
        "min_bits_per_pixel": 0.0,
        "preset": 12,
        "rescan_s": 1,
        "niceness": 0,
    })
}

impl Master {
    pub(crate) fn start(scratch: &Scratch, config: &Value) -> Self {
        Self::start_in(scratch, config, Environment::new())
    }

    pub(crate) fn start_in(scratch: &Scratch, config: &Value, environment: Environment) -> Self {
        let path = scratch.write("master.json", config.to_string());
        let state = PathBuf::from(config["state_directory"].as_str().expect("a folder"));
        let log = scratch.file("master.log");
        let (process, address) = Self::run(&path, &state, &log, &environment);
        let api = Api::new(address, &token(&state, "admin"));
        Self {
            process,
            address,
            api,
            config: path,
            state,
            log,
            environment,
        }
    }

    fn run(
        config: &Path,
        state: &Path,
        log: &Path,
        environment: &Environment,
    ) -> (Process, SocketAddr) {
        // Written anew once the port is open.
        let _ = fs::remove_file(state.join("address"));
        let config = config.to_str().expect("UTF-8");
        let mut command = av1cli();
        command.args(["master", "--config", config]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn(command, log);
        let address = until("the master listens", || {
            assert!(process.is_running(), "the master ended: {}", process.log());
            address_in(state)
        });
        (process, address)
    }

    /// Starts it again, on the same port, as a service manager would.
    pub(crate) fn restart(&mut self) {
        let text = fs::read_to_string(&self.config).expect("a configuration");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        config["web_port"] = self.address.port().into();
        fs::write(&self.config, config.to_string()).expect("written");
        let (process, address) = Self::run(&self.config, &self.state, &self.log, &self.environment);
        assert_eq!(address, self.address);
        self.process = process;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// A worker of this master's.
    pub(crate) fn worker(&self, scratch: &Scratch, name: &str) -> Worker {
        self.worker_with(scratch, name, &json!({}))
    }

    /// A worker with some keys of its own.
    pub(crate) fn worker_with(&self, scratch: &Scratch, name: &str, keys: &Value) -> Worker {
        Worker::start(scratch, name, &self.url(), &self.worker_token(), keys)
    }

    pub(crate) fn worker_token(&self) -> String {
        token(&self.state, "worker")
    }

    pub(crate) fn admin_token(&self) -> String {
        token(&self.state, "admin")
    }

    pub(crate) fn read_token(&self) -> String {
        token(&self.state, "read")
    }
}

/// A worker.
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) name: String,
    url: String,
    config: PathBuf,
    log: PathBuf,
}

impl Worker {
    pub(crate) fn start(
        scratch: &Scratch,
        name: &str,
        url: &str,
        token: &str,
        keys: &Value,
    ) -> Self {
        let mut config = json!({
            "temp_directory": scratch.file(format!("temp-{name}")),
            "state_directory": scratch.file(format!("state-{name}")),
            "worker_name": name,
            "token": token,
            "niceness": 0,
            "stall_s": 60,
        });
        for (key, value) in keys.as_object().expect("an object") {
            config[key] = value.clone();
        }
        let config = scratch.write(format!("{name}.json"), config.to_string());
        let log = scratch.file(format!("{name}.log"));
        let process = Self::run(url, &config, &log);
        Self {
            process,
            name: name.to_owned(),
            url: url.to_owned(),
            config,
            log,
        }
    }

    fn run(url: &str, config: &Path, log: &Path) -> Process {
        let config = config.to_str().expect("UTF-8");
        Process::start(&["worker", url, "--config", config], log)
    }

    /// Starts it again after it ended.
    pub(crate) fn restart(&mut self) {
        self.process = Self::run(&self.url, &self.config, &self.log);
    }

    /// The processes of its encodes.
    pub(crate) fn children(&self) -> Vec<Pid> {
        children_of(self.process.pid())
    }
}

fn address_in(state: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(state.join("address")).ok()?;
    text.trim().rsplit('/').next()?.parse().ok()
}

fn token(state: &Path, role: &str) -> String {
    let text = fs::read_to_string(state.join("tokens.json")).expect("tokens");
    let tokens: Value = serde_json::from_str(&text).expect("JSON");
    tokens[role].as_str().expect("a token").to_owned()
}

/// The living children of a process, from /proc.
pub(crate) fn children_of(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get();
    let stat = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            // After the name, which is in parentheses and may hold anything: state, parent.
            let Some(stat) = stat(*pid) else { return false };
            let rest = stat.rsplit(')').next().unwrap_or_default();
            let mut fields = rest.split_whitespace();
            let state = fields.next();
            state != Some("Z") && fields.next().and_then(|p| p.parse().ok()) == Some(parent)
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// Processor time that a process has used, in ticks (proc(5): utime and stime).
pub(crate) fn cpu_ticks(pid: Pid) -> u64 {
    let pid = pid.as_raw_nonzero().get();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Whether a process lives.
pub(crate) fn lives(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero().get();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}
