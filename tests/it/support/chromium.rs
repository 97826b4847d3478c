//! A real browser: headless Chromium, driven over WebDriver (W3C Recommendation, level 2) by its own chromedriver.

mod axe;

use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    PATIENCE,
    client::{Call, Reach, until},
    process::{Launch, Process},
};

/// A browser window of one person. Closed when dropped.
pub(crate) struct Chromium {
    _driver: Process,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    On,
    Off,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) scheme: Scheme,
    /// In CSS pixels.
    pub(crate) width: u32,
}

/// What the user's system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// Where WebDriver keeps the name of an element (section 11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromium in a sandboxed machine, calling nobody by itself.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,1024",
];

/// Where an element is on its page, which may be longer than the window.
const AROUND: &str = "
const page = document.documentElement;
const element = document.evaluate(arguments[0], document, null, 9, null).singleNodeValue;
const { left, top, right, bottom } = element.getBoundingClientRect();
const [x, y] = [Math.max(0, left + scrollX - 8), Math.max(0, top + scrollY - 8)];
const [endX, endY] = [Math.min(page.clientWidth, right + scrollX + 8), Math.min(page.scrollHeight, bottom + scrollY + 8)];
return { x, y, width: endX - x, height: endY - y, scale: 1 };
";

// === impl Chromium ===

impl Chromium {
    /// Opens a window with nothing in it.
    pub(crate) async fn open(script: Script) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut launch = Launch::program(profile.path(), "chromedriver", &["--port=0"]);
        launch = launch.env("HOME", profile.path().to_str().unwrap());
        if let Some(path) = env::var_os("PATH") {
            launch = launch.env("PATH", path.to_str().unwrap());
        }
        let driver =
            launch.try_spawn().unwrap_or_else(|error| panic!("chromedriver: {error}; scripts/test installs it"));
        let port = |line: &str| line.strip_suffix('.')?.rsplit_once(" on port ")?.1.parse::<u16>().ok();
        let port = driver.prints("the driver's port", port).await;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let data = format!("--user-data-dir={}", profile.path().join("data").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([data.as_str()]).collect();
        // 2: block. As a person would have set it.
        let preferences = match script {
            Script::On => json!({}),
            Script::Off => json!({ "profile.managed_default_content_settings.javascript": 2 }),
        };
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments, "prefs": preferences },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let mut browser = Self { _driver: driver, address, session: String::new(), _profile: profile };
        let opened = browser.ask(Method::POST, "/session", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        browser.session = format!("/session/{}", opened["sessionId"].as_str().expect("a session"));
        browser
    }

    // --- going about

    pub(crate) async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    pub(crate) async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    pub(crate) async fn back(&self) {
        self.post("/back", json!({})).await;
    }

    pub(crate) async fn url(&self) -> String {
        self.get("/url").await.as_str().expect("an address").to_owned()
    }

    /// Opens a tab and goes on in it. The tab's name.
    pub(crate) async fn new_tab(&self) -> String {
        let opened = self.post("/window/new", json!({ "type": "tab" })).await;
        let tab = opened["handle"].as_str().expect("a tab").to_owned();
        self.switch(&tab).await;
        tab
    }

    /// The tab that is in front.
    pub(crate) async fn tab(&self) -> String {
        self.get("/window").await.as_str().expect("a tab").to_owned()
    }

    /// Goes on in another tab.
    pub(crate) async fn switch(&self, tab: &str) {
        self.post("/window", json!({ "handle": tab })).await;
    }

    // --- reading

    pub(crate) async fn title(&self) -> String {
        self.get("/title").await.as_str().expect("a title").to_owned()
    }

    /// What one reads in the page's main part.
    pub(crate) async fn text(&self) -> String {
        self.text_of("//main").await
    }

    /// What one reads in the first element that the XPath finds.
    pub(crate) async fn text_of(&self, path: &str) -> String {
        let text = self.with_element(path, Method::GET, "text").await;
        text.as_str().expect("text").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The `id` of the element that has the focus.
    pub(crate) async fn focused(&self) -> String {
        let active = element(&self.get("/element/active").await);
        let id = self.get(&format!("/element/{active}/attribute/id")).await;
        id.as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a page that says this.
    pub(crate) async fn says(&self, words: &str) {
        let mut text = String::new();
        let seen = async {
            while !text.contains(words) {
                text = self.text().await;
            }
        };
        if timeout(PATIENCE, seen).await.is_err() {
            panic!("{} does not say {words:?}, but:\n{text}", self.url().await);
        }
    }

    // --- doing

    /// Presses the button, or follows the link, of this name.
    pub(crate) async fn press(&self, name: &str) {
        self.press_below("/", name).await;
    }

    /// The same on a tenant's card.
    pub(crate) async fn press_on(&self, tenant: &str, name: &str) {
        self.press_below(&format!("//li[h2[normalize-space()='{tenant}']]"), name).await;
    }

    /// The same within what the XPath finds.
    pub(crate) async fn press_below(&self, path: &str, name: &str) {
        let named = format!("{path}/descendant::*[self::a or self::button][normalize-space()='{name}']");
        self.with_element(&named, Method::POST, "click").await;
    }

    /// Writes into the field with this label.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let field = self.find(&format!("//input[@id=//label[normalize-space()='{label}']/@for]")).await;
        self.post(&format!("/element/{field}/clear"), json!({})).await;
        self.post(&format!("/element/{field}/value"), json!({ "text": text })).await;
    }

    /// Types into whatever has the focus. Keys without a character are those of section 17.4.2.
    pub(crate) async fn keys(&self, text: &str) {
        let press = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = text.chars().flat_map(press).collect();
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] })).await;
    }

    // --- looking

    /// Looks at pages so from now on.
    pub(crate) async fn look(&self, View { scheme, width }: View) {
        let scheme = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// The result of a script, which is the test's own and runs whatever pages may do.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// A picture (PNG) of the first element that the XPath finds, with a little of what is around it.
    pub(crate) async fn picture(&self, path: &str) -> Vec<u8> {
        let clip = self.post("/execute/sync", json!({ "script": AROUND, "args": [path] })).await;
        let wanted = json!({ "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", wanted).await["data"].take();
        STANDARD.decode(picture.as_str().expect("a picture")).unwrap()
    }

    /// Fails where something was written to the console since the last time: a violation of a policy, a failing script,
    /// what could not be loaded. That a page itself is the answer to a failure is written there too, and is none.
    pub(crate) async fn is_quiet(&self) {
        let log = self.post("/se/log", json!({ "type": "browser" })).await;
        let is_page = |entry: &Value| {
            let message = entry["message"].as_str().unwrap_or_default();
            entry["source"] == "network" && !message.contains("favicon") && message.contains("with a status of")
        };
        let complaints: Vec<_> = log.as_array().expect("a log").iter().filter(|entry| !is_page(entry)).collect();
        assert!(complaints.is_empty(), "{} complains: {complaints:#?}", self.url().await);
    }

    // --- WebDriver

    /// The first element that the XPath finds, which may still be on its way.
    async fn find(&self, path: &str) -> String {
        let mut found = None;
        let what = format!("the element {path}");
        until(&what, async || {
            let target = format!("{}/elements", self.session);
            let elements = match self.try_ask(Method::POST, &target, json!({ "using": "xpath", "value": path })).await {
                Err(error) if is_cut_short(&error) => return false,
                elements => elements.unwrap_or_else(|error| panic!("{path}: {error}")),
            };
            found = elements.as_array().and_then(|elements| elements.first()).map(element);
            found.is_some()
        })
        .await;
        found.expect("looked for until it was there")
    }

    /// Asks for something of the first element that the XPath finds. One whose page has just gone is looked for on the
    /// next.
    async fn with_element(&self, path: &str, method: Method, what: &str) -> Value {
        loop {
            let target = format!("{}/element/{}/{what}", self.session, self.find(path).await);
            let body = if method == Method::GET { Value::Null } else { json!({}) };
            match self.try_ask(method.clone(), &target, body).await {
                Err(error) if is_gone(&error) => {}
                // A press may have been what led away; whoever only read can read again.
                Err(error) if method == Method::GET && is_cut_short(&error) => {}
                answer => return answer.unwrap_or_else(|error| panic!("{path}: {error}")),
            }
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, &format!("{}{path}", self.session), Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, &format!("{}{path}", self.session), body).await
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        self.try_ask(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The value, or the error (section 6.6).
    async fn try_ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let mut call = Call::new(Reach::Tcp(self.address), method, path);
        if !body.is_null() {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        let reply = call.send().await;
        let value = reply.json()["value"].take();
        if reply.status == 200 { Ok(value) } else { Err(value) }
    }
}

impl Drop for Chromium {
    /// The driver would leave the browser behind if it were only killed.
    fn drop(&mut self) {
        let close = || {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "DELETE {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", self.session)?;
            stream.read(&mut [0; 64])
        };
        // What is left of it, if it does not close, is an idle process.
        let _ = close();
    }
}

/// Whether an error says that the element's page has been left. The driver has an error for that, and sometimes passes
/// on the browser's own.
fn is_gone(error: &Value) -> bool {
    let message = error["message"].as_str().unwrap_or_default();
    error["error"] == "stale element reference" || message.contains("does not belong to the document")
}

/// Whether the page was left while the driver looked at it.
fn is_cut_short(error: &Value) -> bool {
    error["message"].as_str().is_some_and(|message| message.contains("aborted by navigation"))
}

fn element(found: &Value) -> String {
    found[ELEMENT].as_str().expect("an element").to_owned()
}
