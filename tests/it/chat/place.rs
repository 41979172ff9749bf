//! Where a server with conversations runs: a shop in a folder of its own, the real process, its log,
//! and what its operator types. The other files of this folder start servers by it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::Shop;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kefu-server");

/// A shop whose intent model is built, so that its servers start at once.
pub(crate) struct Place {
    pub(crate) shop: Shop,
    /// The store's folder, within the shop's.
    pub(crate) store: &'static str,
}

/// A process that was started and has not said that it is ready.
pub(crate) struct Starting {
    child: Child,
    log: PathBuf,
}

/// A server that is ready.
pub(crate) struct Running {
    process: Starting,
    pub(crate) address: SocketAddr,
    /// What it said before it was ready: the secrets of a first start, or nothing.
    pub(crate) said: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let shop = Shop::new();
        let (code, _, error) = shop.train(&["build"]);
        assert_eq!(code, Some(0), "{error}");
        Self { shop, store: "store" }
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.shop.path(self.store)
    }

    /// Starts a server, without waiting for it.
    pub(crate) fn begin(&self) -> Starting {
        let log = self.shop.path("server.log");
        let unlimited = [
            "--new-visitors-per-s=1000",
            "--new-sessions-per-s=0",
            "--rate-limit=0",
            "--review=off",
        ];
        let mut command = self.shop.command(PROGRAM, &unlimited);
        command.args(["--port=0", "--store-dir", self.store]);
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        Starting { child: command.spawn().unwrap(), log }
    }

    /// A server that is ready.
    pub(crate) fn serve(&self) -> Running {
        self.begin().ready()
    }

    /// Runs one of the operator's commands.
    pub(crate) fn operate(&self, args: &[&str]) -> Output {
        let mut command = self.shop.command(PROGRAM, args);
        command.args(["--store-dir", self.store]).env("KEFU_LOG_LEVEL", "error").output().unwrap()
    }

    /// What a command says that must succeed.
    pub(crate) fn operated(&self, args: &[&str]) -> String {
        let output = self.operate(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `check` says, and whether it found the store whole.
    pub(crate) fn check(&self) -> (String, bool) {
        let output = self.operate(&["check"]);
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    }
}

impl Starting {
    /// Waits until it answers.
    pub(crate) fn ready(mut self) -> Running {
        let (mut out, mut said) =
            (BufReader::new(self.child.stdout.take().unwrap()), String::new());
        loop {
            let mut line = String::new();
            let ended = out.read_line(&mut line).unwrap() == 0;
            assert!(!ended, "the server did not start: {said}{}", self.log());
            if let Some((_, url)) = line.split_once("kefu-server is ready: http://") {
                let address = url.trim().parse().unwrap();
                return Running { process: self, address, said };
            }
            said += &line;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        let mut log = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.process.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A token for a new visitor; none when the server is gone.
    pub(crate) fn visitor(&self) -> Option<String> {
        visitor(self.address)
    }

    /// The metrics, as text.
    pub(crate) fn metrics(&self) -> String {
        let mut answer = ureq::get(format!("http://{}/metrics", self.address)).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    }
}

/// A token for a new visitor of the server at `address`; none when that is gone.
pub(crate) fn visitor(address: SocketAddr) -> Option<String> {
    let asked = ureq::post(format!("http://{address}/v1/visitors"))
        .content_type("application/json")
        .send(json!({ "app_id": "default" }).to_string());
    let given = asked.ok()?.body_mut().read_to_string().ok()?;
    let given: Value = serde_json::from_str(&given).unwrap();
    Some(given["token"].as_str().unwrap().to_owned())
}

/// Every file below a folder, with its bytes.
pub(crate) fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
