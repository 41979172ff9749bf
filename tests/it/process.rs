//! The real `kefu-server` process: first start, restart, editing, SIGTERM, and what it refuses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{KNOWLEDGE, TINY_MODEL};

/// A shop with the tiny encoder, ready to be served from its folder.
pub(crate) struct Shop(tempfile::TempDir);

impl Shop {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("intents")).unwrap();
        fs::write(folder.path().join("intents/shop.yaml"), KNOWLEDGE).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEFU_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.0.path()).env("KEFU_MODEL", TINY_MODEL).args(args);
        command
    }

    pub(crate) fn serve(&self) -> Server {
        let mut child = self
            .command(env!("CARGO_BIN_EXE_kefu-server"), &["--port=0", "--log-level=warn"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // A first start says more before.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = |line: String| line.strip_prefix("kefu-server is ready: ").map(str::to_owned);
        let url = lines.find_map(ready).expect("it says where it is");
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Server { child, url }
    }

    /// What `kefu-server` says when it refuses to start.
    pub(crate) fn refusal(&self, args: &[&str]) -> String {
        let mut command = self.command(env!("CARGO_BIN_EXE_kefu-server"), args);
        let output = command.arg("--port=0").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        said
    }

    pub(crate) fn train(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(env!("CARGO_BIN_EXE_train-intents"), args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn only_model(&self) -> std::path::PathBuf {
        let mut all = fs::read_dir(self.path("models/intents")).unwrap();
        let path = all.next().unwrap().unwrap().path();
        assert!(all.next().is_none(), "more than one model, or a left-over of a build");
        path
    }
}

pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn ask(&self, text: &str) -> Value {
        let body = json!({ "text": text }).to_string();
        let mut response = ureq::post(format!("{}/intent", self.url))
            .content_type("application/json")
            .send(&body)
            .unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    pub(crate) fn model(&self) -> Value {
        let mut response = ureq::get(format!("{}/model", self.url)).call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    pub(crate) fn version(&self) -> String {
        self.model()["version"].as_str().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn first_start_builds_restart_loads_and_an_edit_builds_anew() {
    let shop = Shop::new();
    let mut server = shop.serve();
    assert_eq!(server.ask("物流不更新了")["intent"], "delivery_delay");
    let first = server.version();
    let written =
        fs::metadata(shop.path("models/intents").join(&first)).unwrap().modified().unwrap();
    server.signal("-TERM");
    assert!(server.wait().success());

    let server = shop.serve();
    assert_eq!(server.version(), first);
    drop(server);
    let path = shop.only_model();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);

    let edited = KNOWLEDGE.replace("[我要退款,", "[我想退钱啦, 我要退款,");
    fs::write(shop.path("intents/shop.yaml"), edited).unwrap();
    assert_ne!(shop.serve().version(), first);
}

/// Waits until `done`, for as long as training may take.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_edit_is_followed_a_fault_is_refused_and_a_rollback_goes_back() {
    let shop = Shop::new();
    let server = shop.serve();
    let first = server.version();
    let file = shop.path("intents/shop.yaml");

    fs::write(&file, KNOWLEDGE.replace("[物流不更新]", "[物流不更新, 包裹去哪儿]")).unwrap();
    until("the new model", || server.version() != first);
    let second = server.version();
    assert_eq!(server.ask("包裹去哪儿了")["intent"], "delivery_delay");

    fs::write(&file, KNOWLEDGE.replace("keywords:", "keyword:")).unwrap();
    until("the refusal", || !server.model()["refused"].is_null());
    assert!(server.model()["refused"].as_str().unwrap().contains("shop.yaml:6:5: KB001"));
    assert_eq!(server.ask("包裹去哪儿了")["model"]["version"], second.as_str());

    let rollback = |body: &str| {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent
            .post(format!("{}/model/rollback", server.url))
            .content_type("application/json")
            .send(body)
            .unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().unwrap())
    };
    assert_eq!(rollback("{}").0, 200);
    assert_eq!(server.version(), first);
    assert_ne!(server.ask("包裹去哪儿了")["tier"], "keyword");
    for body in [r#"{"version": "no"}"#, r#"{"version": "../../etc"}"#, r#"{"version": ""}"#] {
        let (status, said) = rollback(body);
        assert!(status == 404 && said.contains("no_such_model"), "{body}: {status} {said}");
    }
    assert_eq!(rollback(&json!({ "version": second }).to_string()).0, 200);
    assert_eq!(server.version(), second);
}

#[cfg(unix)]
#[test]
fn a_kill_at_any_moment_of_a_build_leaves_a_clean_next_start() {
    let shop = Shop::new();
    for pause_ms in [0, 5, 20, 40, 80] {
        let mut child = shop
            .command(env!("CARGO_BIN_EXE_kefu-server"), &["--port=0", "--log-level=error"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(shop.serve().ask("物流不更新了")["intent"], "delivery_delay");
}

#[test]
fn bad_parts_are_refused_in_one_line() {
    let shop = Shop::new();
    assert!(shop.refusal(&["--build=never"]).contains("run train-intents build"));
    let said = shop.refusal(&["--model=no-such-model"]);
    assert!(said.contains("no model \"no-such-model\": use one of"), "{said}");

    let copy = shop.path("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(Path::new(TINY_MODEL).join(name), copy.join(name)).unwrap();
    }
    let weights = fs::read(copy.join("model.safetensors")).unwrap();
    fs::write(copy.join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    let said = shop.refusal(&["--model=copy"]);
    assert!(said.contains("model.safetensors"), "{said}");
    fs::remove_file(copy.join("config.json")).unwrap();
    assert!(shop.refusal(&["--model=copy"]).contains("config.json"));

    fs::write(shop.path("intents/shop.yaml"), KNOWLEDGE.replace("keywords:", "keyword:")).unwrap();
    let said = shop.refusal(&[]);
    assert!(said.contains("shop.yaml:6:5: KB001"), "{said}");
    fs::remove_file(shop.path("intents/shop.yaml")).unwrap();
    assert!(shop.refusal(&[]).contains("no *.yaml file in intents"));
    assert!(shop.refusal(&["--intents=nowhere"]).contains("cannot read nowhere"));
}

#[test]
fn an_artifact_that_does_not_fit_or_is_damaged_is_refused() {
    let shop = Shop::new();
    assert_eq!(shop.train(&["build"]).0, Some(0));
    let path = shop.only_model();
    let artifact = format!("--artifact={}", path.display());

    // Another encoder: the same weights with another query prefix.
    let other = shop.path("other");
    fs::create_dir(&other).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(Path::new(TINY_MODEL).join(name), other.join(name)).unwrap();
    }
    let mut weights = fs::read(other.join("model.safetensors")).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(other.join("model.safetensors"), weights).unwrap();
    let said = shop.refusal(&["--model=other", &artifact]);
    assert!(said.contains("it was built with the encoder tiny-bert"), "{said}");

    let header = path.join("model.json");
    let whole = fs::read_to_string(&header).unwrap();
    fs::write(&header, whole.replace("\"normalizer\":\"", "\"normalizer\":\"0")).unwrap();
    let said = shop.refusal(&[&artifact]);
    assert!(said.contains("it was built with the normaliser version 0"), "{said}");
    fs::write(&header, whole).unwrap();

    for name in ["weights.safetensors", "knowledge.json", "vocabulary.json", "index/index.json"] {
        let file = path.join(name);
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x20;
        fs::write(&file, damaged).unwrap();
        let said = shop.refusal(&[&artifact]);
        assert!(said.contains("is damaged") && said.contains("train-intents build"), "{said}");
        fs::remove_file(&file).unwrap();
        shop.refusal(&[&artifact]);
        fs::write(&file, whole).unwrap();
    }
}

#[test]
fn validate_tells_errors_from_warnings_in_three_formats() {
    let shop = Shop::new();
    let sentences = |list: &str, count: usize| {
        let one = |n: usize| format!("{list} {n}");
        (0..count).map(one).collect::<Vec<_>>().join(", ")
    };
    let intent = |id: &str, extra: &str| {
        format!(
            "  - id: {id}\n    answers: {{zh: [好], en: [ok]}}\n    examples:\n      zh: [{}]\n      en: [{}{extra}]\n",
            sentences(&format!("{id}怎么办"), 6),
            sentences(&format!("about {id}"), 6)
        )
    };
    let write = |extra: &str| {
        let text =
            format!("version: 1\nintents:\n{}{}", intent("order", ""), intent("refund", extra));
        fs::write(shop.path("intents/shop.yaml"), text).unwrap();
    };
    let texts_only = ["validate", "--semantic=never"];

    write("");
    let (code, said, _) = shop.train(&[&texts_only[..], &["--deny=warnings"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("fine: 2 intents"), "{said}");

    write(", about refund 0");
    assert_eq!(shop.train(&texts_only).0, Some(0));
    assert_eq!(shop.train(&[&texts_only[..], &["--deny=warnings"]].concat()).0, Some(1));

    write(", about order 0");
    let (code, said, _) = shop.train(&texts_only);
    assert_eq!(code, Some(1));
    let place = Path::new("intents").join("shop.yaml");
    assert!(said.starts_with(&format!("{}:12:", place.display())), "{said}");
    assert!(said.contains(": KL001: error: ") && said.contains("\n1 error: 2 intents"), "{said}");
    let (code, said, _) = shop.train(&[&texts_only[..], &["--format=github"]].concat());
    assert_eq!(code, Some(1));
    let expected = format!("::error file={},line=12,col=", place.display());
    assert!(said.starts_with(&expected) && said.contains(",title=KL001 duplicate::"), "{said}");
    for json in [["--json", ""], ["--format", "json"]] {
        let flags: Vec<&str> = json.into_iter().filter(|flag| !flag.is_empty()).collect();
        let (code, said, _) = shop.train(&[&texts_only[..], &flags].concat());
        assert_eq!(code, Some(1));
        let lines: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["code"], &lines[0]["severity"]), (&json!("KL001"), &json!("error")));
        assert_eq!((&lines[0]["line"], &lines[0]["related"][0]["line"]), (&json!(12), &json!(7)));
        assert_eq!((&lines[1]["errors"], &lines[1]["semantic"]), (&json!(1), &json!(false)));
    }

    // A missing encoder is not fetched unless it is asked for, an installed one is used.
    let (code, said, _) = shop.train(&["validate", "--model=multilingual-e5-small"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("(meanings not compared)"), "{said}");
    let (_, said, _) = shop.train(&["validate", "--cache=kept"]);
    assert!(!said.contains("(meanings not compared)"), "{said}");
    assert_eq!(fs::read_dir(shop.path("kept")).unwrap().count(), 1);

    fs::write(shop.path("intents/shop.yaml"), "version: 9\nintents: []\n").unwrap();
    let (code, said, _) = shop.train(&["validate", "--format=github"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("::error file=intents"), "{said}");
}

#[test]
fn train_intents_speaks_text_and_json_and_ends_with_its_codes() {
    let shop = Shop::new();
    let (code, said, _) = shop.train(&["validate"]);
    assert_eq!(code, Some(0));
    assert!(said.contains(": 2 intents, 6 zh + 6 en examples, 2 keyword rules"), "{said}");

    let (code, said, _) = shop.train(&["--json", "predict", "物流不更新了", "</s>"]);
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["intent"], &lines[0]["tier"]),
        (&json!("delivery_delay"), &json!("keyword"))
    );
    assert_eq!(lines.len(), 2);

    let row = |text: &str, intent: &str| format!("{}\n", json!({"text": text, "intent": intent}));
    let rows: String = (0..30)
        .map(|n| row(&format!("包裹 {n} 在哪"), "a") + &row(&format!("refund number {n}"), "b"))
        .collect();
    fs::create_dir(shop.path("data")).unwrap();
    fs::write(shop.path("data/train.jsonl"), &rows).unwrap();
    fs::write(
        shop.path("data/test.jsonl"),
        row("包裹 99 在哪", "a") + &row("refund number 77", "b"),
    )
    .unwrap();
    let eval = ["--json", "eval", "--data=data"];
    let (code, said, error) = shop.train(&eval);
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["accuracy"], 1.0, "{report}");
    assert_eq!(report["thresholds_from"], "cross-validation on the training rows");
    let gate = ["--min-accuracy=1.01", "--report=out", "--learning-curve"];
    let (code, said, error) = shop.train(&[&eval[..], &gate].concat());
    assert_eq!(code, Some(1), "{error}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["learning_curve"].as_array().unwrap().len(), 5, "{report}");
    for (file, expected) in [
        ("report.json", "\"learning_curve\""),
        ("report.md", "## Learning curve"),
        ("report.html", "<h3>Learning curve</h3>"),
    ] {
        let text = fs::read_to_string(shop.path("out").join(file)).unwrap();
        assert!(text.contains(expected), "{file}");
    }
    let compare = ["eval", "--compare", "out", "out/report.json", "--report=out"];
    let (code, said, error) = shop.train(&compare);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("+0.00") && shop.path("out/comparison.html").exists(), "{said}");
    assert_eq!(shop.train(&["eval", "--compare", "out", "nowhere"]).0, Some(2));

    fs::write(shop.path("data/test.jsonl"), row("x", "a") + &row("y", "unknown")).unwrap();
    let (code, _, error) = shop.train(&eval);
    assert_eq!(code, Some(2));
    assert!(error.contains("test.jsonl:2: no training row has the intent \"unknown\""), "{error}");
    fs::write(shop.path("data/train.jsonl"), rows + "{\"text\": 1}").unwrap();
    let (code, _, error) = shop.train(&eval);
    assert_eq!(code, Some(2));
    assert!(error.contains("train.jsonl:61:"), "{error}");
    assert_eq!(shop.train(&["eval"]).0, Some(2));
}
