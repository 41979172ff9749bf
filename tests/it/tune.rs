//! Tuning by the real `train-intents`: what it installs, a kill, and what is built on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{KNOWLEDGE, TINY_MODEL};

/// A folder to train in.
struct Room(tempfile::TempDir);

impl Room {
    /// With a knowledge base and a data set of 60 rows of three intents.
    fn new() -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(room.path("intents")).unwrap();
        fs::write(room.path("intents/shop.yaml"), KNOWLEDGE).unwrap();
        fs::create_dir(room.path("data")).unwrap();
        let rows = |count: usize, word: &str| -> String {
            let intents = [("refund", "退款"), ("delivery", "快递"), ("hello", "ab")];
            let line = |at: usize| {
                let (intent, text) = intents[at % 3];
                format!("{{\"text\": \"{text} {word} {at}\", \"intent\": \"{intent}\"}}\n")
            };
            (0..count).map(line).collect()
        };
        fs::write(room.path("data/train.jsonl"), rows(60, "我的")).unwrap();
        fs::write(room.path("data/test.jsonl"), rows(12, "怎么")).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train-intents"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KEFU_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.0.path()).env("KEFU_MODEL", TINY_MODEL).arg("--json").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Value {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The tuned encoder's folder: the only thing in the models folder but built intent models.
    fn tuned(&self) -> PathBuf {
        let entries = fs::read_dir(self.path("models")).unwrap();
        let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        all.retain(|path| path.file_name().is_some_and(|name| name != "intents"));
        assert_eq!(all.len(), 1, "left-overs: {all:?}");
        assert!(all[0].to_string_lossy().contains("tiny-bert-tuned-"), "{all:?}");
        all.remove(0)
    }
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn build_tunes_once_and_says_how_to_serve() {
    let room = Room::new();
    let built = room.run(&["build", "--tune", "--tune-epochs=2"]);
    let folder = PathBuf::from(built["tuned"].as_str().unwrap());
    assert_eq!(room.path("models").join(folder.file_name().unwrap()), room.tuned());
    assert_ne!(weights(&room.tuned()), weights(Path::new(TINY_MODEL)));
    assert!(room.tuned().join("calibration.json").is_file());
    let card: Value =
        serde_json::from_slice(&fs::read(room.tuned().join("kefu-model.json")).unwrap()).unwrap();
    let source = card["source"].as_str().unwrap();
    assert!(source.starts_with("tuned from tiny-bert: on 12 rows, 2 of 2 epochs"), "{source}");

    // The same again is there already; the model it was built for answers by the encoder's name.
    let again = room.run(&["build", "--tune", "--tune-epochs=2"]);
    assert_eq!((&again["tuned"], &again["version"]), (&built["tuned"], &built["version"]));
    let name = folder.file_name().unwrap().to_str().unwrap();
    let plain = room.run(&["build", "--model", name]);
    assert_eq!(
        (&plain["version"], &plain["thresholds"]),
        (&built["version"], &built["thresholds"])
    );
    let other = room.run(&["build"]);
    assert_ne!(other["version"], built["version"]);
}

#[test]
fn a_killed_tuning_goes_on_to_the_same_weights() {
    let args = [
        "eval",
        "--data=data",
        "--tune",
        "--tune-epochs=30",
        "--tune-set=batch_rows=8",
        "--tune-set=checkpoint_s=0",
    ];
    let (whole, killed) = (Room::new(), Room::new());
    let expected = whole.run(&args);
    let checkpoint = killed.path("models/.tuning-tiny-bert.checkpoint");
    for _ in 0..3 {
        let mut child =
            killed.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = fs::read(&checkpoint).ok();
        let begun = Instant::now();
        while fs::read(&checkpoint).ok() == before && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint appears");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let found = killed.run(&args);
    assert_eq!(weights(&killed.tuned()), weights(&whole.tuned()));
    assert_eq!(found["thresholds"], expected["thresholds"]);
    assert_eq!(found["accuracy"], expected["accuracy"]);
}

#[test]
fn refusals_are_one_line_and_leave_nothing() {
    let room = Room::new();
    for (args, expected) in [
        (vec!["eval", "--data=data", "--tune", "--tune-set=dropout=2"], "dropout is 2"),
        (vec!["build", "--tune", "--tune-device=cuda"], "--tune-device cpu"),
        (vec!["build", "--tune", "--tune-set=learning_rate=1e30"], "diverged at step"),
    ] {
        if cfg!(feature = "cuda") && args.contains(&"--tune-device=cuda") {
            continue;
        }
        let output = room.command(&args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.trim_end().lines().last().unwrap().contains(expected), "{said}");
        let left = fs::read_dir(room.path("models")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{args:?}");
    }
}
