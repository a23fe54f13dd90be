//! Chromium, and the process that drives it.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

/// The process that drives browsers, and is their parent; they end with its value.
pub(crate) struct Driver {
    child: Child,
    pub(crate) url: String,
}

impl Driver {
    /// Fails where there is no browser; `./dev setup` installs one.
    pub(crate) fn start() -> io::Result<Self> {
        let child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut driver = Self {
            child,
            url: String::new(),
        };
        let stdout = BufReader::new(driver.child.stdout.take().expect("piped"));
        let port = stdout.lines().find_map(|line| {
            let line = line.expect("a line");
            let port = line.split_once("successfully on port ")?.1;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = port.expect("chromedriver's port");
        driver.url = format!("http://127.0.0.1:{port}");
        Ok(driver)
    }

    /// Where a session is asked for what is no part of the WebDriver standard.
    pub(crate) async fn session(&self, client: &Client) -> String {
        let session = client.session_id().await.expect("a session");
        format!("{}/session/{}", self.url, session.expect("a session"))
    }

    /// A window of so many CSS pixels, in a browser that has never been anywhere.
    pub(crate) async fn connect(
        &self,
        profile: &Path,
        (width, height): (u32, u32),
        is_phone: bool,
    ) -> Client {
        let mut options = json!({"args": [
            "--headless=new",
            // Tests run as root in CI, and there its sandbox refuses to start.
            "--no-sandbox",
            // Containers have 64 MB there.
            "--disable-dev-shm-usage",
            "--force-prefers-reduced-motion",
            "--hide-scrollbars",
            "--enable-precise-memory-info",
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ]});
        if is_phone {
            let metrics = json!({"width": width, "height": height, "pixelRatio": 2.0});
            options["mobileEmulation"] = json!({"deviceMetrics": metrics});
        }
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let connected = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.url)
            .await;
        connected.expect("a browser")
    }
}

/// No browser stays behind.
impl Drop for Driver {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
