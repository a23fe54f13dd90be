//! A real master, as a process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::now;

/// A master and its folders; both go with it.
pub(crate) struct Master {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: PathBuf,
}

impl Master {
    /// Starts one in a folder, whose `films` it scans.
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        Self::start_with(folder, port, &json!({}))
    }

    /// The same with some keys of the configuration.
    pub(crate) fn start_with(folder: &Path, port: u16, keys: &Value) -> Self {
        let mut config = json!({
            "media_directories": [folder.join("films")],
            "state_directory": folder.join("state"),
            "temp_directory": folder.join("temp"),
            "bind_address": "127.0.0.1",
            "web_port": port,
            "min_bytes": 0,
            "settle_s": 0,
            "rescan_s": 0,
            "watch": false,
        });
        for (key, value) in keys.as_object().expect("an object") {
            config[key] = value.clone();
        }
        fs::create_dir_all(folder.join("films")).expect("a folder");
        let path = folder.join("config.json");
        fs::write(&path, config.to_string()).expect("a configuration");
        let told = folder.join("state/address");
        let _ = fs::remove_file(&told);
        let log = fs::File::create(folder.join("master.log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_av1cli"))
            .args(["master", "--config"])
            .arg(&path)
            .env("AV1_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("the master starts");
        let deadline = now() + Duration::from_secs(60);
        let address = loop {
            let text = fs::read_to_string(&told).unwrap_or_default();
            if let Some(address) = text.trim().rsplit('/').next().and_then(|a| a.parse().ok()) {
                break address;
            }
            assert!(now() < deadline, "the master does not listen");
            std::thread::sleep(Duration::from_millis(5));
        };
        Self {
            child,
            address,
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn token(&self, role: &str) -> String {
        let text = fs::read_to_string(self.folder.join("state/tokens.json")).expect("tokens");
        let tokens: Value = serde_json::from_str(&text).expect("JSON");
        tokens[role].as_str().expect("a token").to_owned()
    }

    /// Memory that it holds, and the most that it ever held, in MB.
    pub(crate) fn memory_mb(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let kb = line.and_then(|line| line.split_whitespace().nth(1));
            kb.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1000
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    pub(crate) fn get(&self, agent: &ureq::Agent, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.address);
        let bearer = format!("Bearer {}", self.token("admin"));
        let mut answer = agent.get(url).header("authorization", bearer).call().ok()?;
        answer.body_mut().read_json().ok()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.kill();
    }
}
