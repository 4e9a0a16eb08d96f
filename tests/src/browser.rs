//! A real browser, driven as people use one: Chromium by way of its `WebDriver`.

use std::future::Future;
use std::process::Command;

use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::program::Running;
use crate::wait::{LIMIT, wait_for, wait_until};

/// A window without a screen.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    runtime: Runtime,
    driver: Running,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// If there is none, with the command that installs it.
    #[must_use]
    pub fn start() -> Self {
        let found = |name: &str| Command::new(name).arg("--version").output().is_ok();
        assert!(found("chromedriver"), "chromedriver is absent; install it: apt-get install chromium-driver");
        let port = crate::free_port();
        let mut command = Command::new("chromedriver");
        // With this, what the page's scripts complain about is on its standard error.
        command.args([&format!("--port={port}"), "--enable-chrome-logs"]);
        let driver = Running::start("chromedriver", command);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // It runs as root in tests, without a screen, and often without much shared memory.
        let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
        let mut wanted = Map::new();
        wanted.insert("goog:chromeOptions".into(), json!({ "args": args }));
        let at = format!("http://127.0.0.1:{port}");
        let client = wait_for(LIMIT, "a browser", || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted.clone());
            runtime.block_on(builder.connect(&at)).ok()
        });
        Self { client, runtime, driver }
    }

    fn wait<T, E: std::fmt::Debug>(&self, what: impl Future<Output = Result<T, E>>) -> T {
        self.runtime.block_on(what).unwrap()
    }

    /// Makes the page so wide.
    pub fn width(&self, px: u32) {
        self.wait(self.client.set_window_size(px, 900));
    }

    /// Opens an address.
    pub fn go(&self, url: &str) {
        self.wait(self.client.goto(url));
    }

    /// What a script of ours returns.
    #[must_use]
    pub fn ask(&self, script: &str) -> Value {
        self.wait(self.client.execute(&format!("return ({script})"), Vec::new()))
    }

    /// The text that is seen.
    #[must_use]
    pub fn text(&self) -> String {
        self.ask("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this is seen.
    #[track_caller]
    pub fn sees(&self, words: &str) {
        let is_seen = wait_until(LIMIT, || self.text().contains(words));
        assert!(is_seen, "no `{words}` on the page, which says:\n{}", self.text());
    }

    /// Clicks what a CSS selector finds first.
    pub fn click(&self, css: &str) {
        let found = wait_for(LIMIT, css, || self.runtime.block_on(self.client.find(Locator::Css(css))).ok());
        self.wait(found.click());
    }

    /// Types a key into what has the focus.
    pub fn press(&self, key: Key) {
        let focused = self.wait(self.client.active_element());
        self.wait(focused.send_keys(&char::from(key).to_string()));
    }

    /// Types a character into what has the focus.
    pub fn type_in(&self, character: char) {
        let focused = self.wait(self.client.active_element());
        self.wait(focused.send_keys(&character.to_string()));
    }

    /// Keeps what is seen, as PNG.
    pub fn picture(&self, path: &std::path::Path) {
        std::fs::write(path, self.wait(self.client.screenshot())).unwrap();
    }

    /// What scripts of the page complained about so far.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let said = self.driver.said();
        said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is a child of the driver, which ends it.
        let _gone = self.runtime.block_on(self.client.clone().close());
    }
}
