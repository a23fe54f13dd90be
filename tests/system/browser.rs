//! A real browser, driven as a person would: Chromium by its WebDriver.

use std::env;
use std::path::PathBuf;
use std::thread;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::driver::Driver;
use crate::process::{Master, until};
use crate::support::Scratch;

/// The audit; see the notice beside it.
const AXE: &str = include_str!("vendor/axe.min.js");

/// The folder that gets the pictures of the page; without it none are kept.
const PICTURES: &str = "AV1_TEST_PICTURES";

/// A browser at a master's page.
pub(crate) struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Driver,
    origin: String,
}

/// The size of a window in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u32, pub(crate) u32);

pub(crate) const DESKTOP: Size = Size(1440, 900);
pub(crate) const PHONE: Size = Size(390, 844);

impl Browser {
    /// A browser of this size, at the master's door. `None` where there is no browser.
    pub(crate) fn at_the_door(master: &Master, scratch: &Scratch, size: Size) -> Option<Self> {
        let driver = match Driver::start() {
            Ok(driver) => driver,
            Err(error) => {
                assert!(env::var_os("CI").is_none(), "chromedriver: {error}");
                eprintln!("NOT TESTED: chromedriver: {error}; ./dev setup installs it");
                return None;
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let profile = scratch.file("browser");
        let is_phone = size == PHONE;
        let client = runtime.block_on(driver.connect(&profile, (size.0, size.1), is_phone));
        let browser = Self {
            runtime,
            client,
            driver,
            origin: master.url(),
        };
        browser
            .run(browser.client.goto(&browser.origin))
            .expect("the page");
        Some(browser)
    }

    /// The same, logged in as one who may do everything.
    pub(crate) fn logged_in(master: &Master, scratch: &Scratch, size: Size) -> Option<Self> {
        let browser = Self::at_the_door(master, scratch, size)?;
        browser.log_in(&master.admin_token());
        browser.find("nav .rail-link");
        Some(browser)
    }

    pub(crate) fn log_in(&self, token: &str) {
        self.fill("#token", token);
        self.press("Log in");
    }

    fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Shows a view.
    pub(crate) fn view(&self, name: &str, title: &str) {
        self.run_script(&format!("location.hash = '#/{name}'"));
        until(&format!("the view {name} is there"), || {
            (self.text("main h1")?.trim() == title).then_some(())
        });
    }

    /// What a script returns.
    #[track_caller]
    pub(crate) fn run_script(&self, script: &str) -> Value {
        let done = self.run(self.client.execute(script, Vec::new()));
        done.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The first element of a CSS selector, once there is one.
    #[track_caller]
    pub(crate) fn find(&self, css: &str) -> Element {
        self.located(Locator::Css(css))
    }

    #[track_caller]
    fn located(&self, locator: Locator<'_>) -> Element {
        until(&format!("there is {locator:?}"), || {
            self.run(self.client.find(locator)).ok()
        })
    }

    /// The text that an element shows now, if it is there.
    pub(crate) fn text(&self, css: &str) -> Option<String> {
        self.run(async {
            self.client
                .find(Locator::Css(css))
                .await
                .ok()?
                .text()
                .await
                .ok()
        })
    }

    pub(crate) fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.run(async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.attr(name).await.ok().flatten()
        })
    }

    /// How many elements fit.
    pub(crate) fn count(&self, css: &str) -> usize {
        let all = self.run(self.client.find_all(Locator::Css(css)));
        all.expect("a selector").len()
    }

    /// Waits until what an element shows contains this.
    #[track_caller]
    pub(crate) fn await_text(&self, css: &str, expected: &str) {
        let mut last = None;
        until(&format!("{css} shows {expected:?}"), || {
            let text = self.text(css);
            let found = text.as_ref().is_some_and(|text| text.contains(expected));
            last = text;
            found.then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn await_gone(&self, css: &str) {
        until(&format!("{css} is gone"), || {
            (self.count(css) == 0).then_some(())
        });
    }

    /// Clicks what a person would: what is drawn anew in that moment is tried again.
    #[track_caller]
    fn click_on(&self, locator: Locator<'_>) {
        let mut last: Option<CmdError> = None;
        until(&format!("{locator:?} is clicked"), || {
            let clicked = self.run(async { self.client.find(locator).await?.click().await });
            match clicked {
                Ok(()) => Some(()),
                Err(error) => {
                    last = Some(error);
                    None
                }
            }
        });
    }

    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        self.click_on(Locator::Css(css));
    }

    /// Presses the button of this name.
    #[track_caller]
    pub(crate) fn press(&self, name: &str) {
        let path = format!("//button[normalize-space()='{name}' or @aria-label='{name}']");
        self.click_on(Locator::XPath(&path));
    }

    /// Presses the button of this name in the dialog that lies above all.
    #[track_caller]
    pub(crate) fn confirm(&self, name: &str) {
        let path = format!("(//dialog[@open])[last()]//button[normalize-space()='{name}']");
        self.click_on(Locator::XPath(&path));
    }

    /// Writes into a field.
    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let field = self.find(css);
        let filled = self.run(async {
            field.clear().await?;
            field.send_keys(text).await
        });
        filled.expect("a field that takes text");
    }

    /// Presses keys with the focus on an element.
    #[track_caller]
    pub(crate) fn type_at(&self, css: &str, keys: &str) {
        let field = self.find(css);
        self.run(field.send_keys(keys))
            .expect("an element that takes keys");
    }

    /// A picture for people, where they asked for it.
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = env::var_os(PICTURES).map(PathBuf::from) else {
            return;
        };
        // A story that fails takes one, too: nothing here may fail once more.
        let Ok(png) = self.run(self.client.screenshot()) else {
            eprintln!("no picture of {name}");
            return;
        };
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join(format!("{name}.png")), png));
        if let Err(error) = written {
            eprintln!("no picture of {name}: {error}");
        }
    }

    /// Nobody is kept out by how the page is made: the rules of WCAG 2 A and AA, and good
    /// practice, as axe-core checks them.
    #[track_caller]
    pub(crate) fn assert_accessible(&self, what: &str) {
        self.run_script(AXE);
        let audit = self.run(self.client.execute_async(
            "const done = arguments[arguments.length - 1];
             axe.run(document).then(
               (found) => done({passed: found.passes.length, violations: found.violations.map((one) => ({
                 rule: one.id, help: one.help,
                 nodes: one.nodes.map((node) => `${node.target.join(' ')}: ${node.failureSummary}`),
               }))}),
               (error) => done(String(error)));",
            Vec::new(),
        ));
        let audit = audit.expect("an audit");
        assert_eq!(audit["violations"], json!([]), "{what}: {audit:#}");
        assert!(audit["passed"].as_u64() > Some(10), "{what}: {audit:#}");
    }

    /// Nothing is wider than the window.
    #[track_caller]
    pub(crate) fn assert_fits(&self, what: &str) {
        let wider = self.run_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        assert_eq!(
            wider, 0,
            "{what} is wider than the window by so many pixels"
        );
    }

    /// What the page did all along: no error on the console but those that contain one of
    /// `expected`, and no request to another host.
    #[track_caller]
    pub(crate) fn close(self, expected: &[&str]) {
        for entry in self.log("browser") {
            let message = entry["message"].as_str().unwrap_or_default();
            let is_expected = expected.iter().any(|part| message.contains(part));
            let is_grave = entry["level"] == "SEVERE" || entry["level"] == "WARNING";
            assert!(is_expected || !is_grave, "on the console: {message}");
        }
        let requests = self.requests();
        assert!(!requests.is_empty(), "the browser tells of its requests");
        for url in requests {
            let ours = url.starts_with(&self.origin)
                || url.starts_with(&self.origin.replace("http:", "ws:"))
                || url.starts_with(&format!("blob:{}", self.origin));
            // The browser's own, before the page.
            let nowhere = ["data:", "about:", "chrome:"];
            assert!(
                ours || nowhere.iter().any(|scheme| url.starts_with(scheme)),
                "asked another host: {url}"
            );
        }
        self.run(self.client.clone().close()).expect("closed");
    }

    /// Every address that was asked for.
    fn requests(&self) -> Vec<String> {
        let events = self.log("performance");
        let requested = events.iter().filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &event["message"];
            let url = match message["method"].as_str()? {
                "Network.requestWillBeSent" => &message["params"]["request"]["url"],
                "Network.webSocketCreated" => &message["params"]["url"],
                _ => return None,
            };
            Some(url.as_str()?.to_owned())
        });
        requested.collect()
    }

    /// One of the browser's logs, which is no part of the WebDriver standard.
    fn log(&self, kind: &str) -> Vec<Value> {
        let session = self.run(self.driver.session(&self.client));
        let url = format!("{session}/se/log");
        let mut answer = ureq::post(url)
            .send_json(json!({"type": kind}))
            .expect("a log");
        let log: Value = answer
            .body_mut()
            .with_config()
            .limit(1 << 28)
            .read_json()
            .expect("JSON");
        log["value"].as_array().expect("a list").clone()
    }
}

/// A story that fails leaves its picture.
impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking() {
            let name = thread::current()
                .name()
                .unwrap_or("page")
                .replace("::", "-");
            self.picture(&format!("failed-{name}"));
        }
    }
}
