//! Imports and exports by the command: what they write, what they say, and what they refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn train_intents(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train-intents"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEFU_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).args(args).output().unwrap()
}

/// Standard output and standard error of a run that ends with `code`.
fn ends(code: i32, output: Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exchange").join(name);
    path.to_str().unwrap().to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_format_becomes_a_valid_knowledge_base() {
    for (name, format, intents) in [
        ("rasa", "rasa", 6),
        ("dialogflow", "dialogflow", 2),
        ("azure/luis.json", "luis", 2),
        ("azure/clu.json", "clu", 2),
        ("rows/shop.csv", "csv", 2),
        ("rows/shop.tsv", "tsv", 2),
        ("rows/shop.jsonl", "jsonl", 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let args = ["--json", "import", &fixture(name), "--to", "new/intents"];
        let (said, _) = ends(0, train_intents(folder.path(), &args));
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!((&report["format"], &report["detected"]), (&format.into(), &true.into()));
        assert_eq!(report["carried"]["intents"], intents, "{name}");
        let validate = ["validate", "--intents", "new/intents", "--training-data", "new/intents"];
        let output =
            train_intents(folder.path(), &[&validate[..], &["--semantic", "never"]].concat());
        // The lint may ask for answers; the files themselves are right.
        assert_ne!(output.status.code(), Some(2), "{name}: {output:?}");
        // The same again is refused, and changes nothing.
        let before = names(&folder.path().join("new/intents"));
        let (_, said) = ends(2, train_intents(folder.path(), &args));
        assert!(said.contains("--force"), "{said}");
        assert_eq!(names(&folder.path().join("new/intents")), before);
        assert_eq!(
            names(&folder.path().join("new")),
            ["intents"],
            "{name}: no staged folder stays"
        );
        let mut forced = args.to_vec();
        forced.push("--force");
        let report = ends(0, train_intents(folder.path(), &forced)).0;
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["replaced"].as_array().unwrap().len(), before.len(), "{name}");
    }
}

#[test]
fn the_report_says_what_was_not_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["import", &fixture("rasa"), "--to", "a", "--out-of-scope", "beyond/rows.jsonl"];
    let (said, _) = ends(1, train_intents(folder.path(), &[&args[..], &["--strict"]].concat()));
    for wanted in [
        "read as rasa (told from the content)\n",
        "wrote a/entities.yaml\n",
        "wrote beyond/rows.jsonl\n",
        "carried over: 6 intents, 15 examples (5 zh, 10 en), 4 answers",
        "dropped: 1 sentence that stood there already\n",
        "  intent \"Return Item\" is return_item\n",
        "    2 × stories | ",
        "stories.yml:3:3 | kefu has nothing of this kind | ",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is missing in\n{said}");
    }
    assert_eq!(names(&folder.path().join("a")), ["entities.yaml", "nlu.yaml", "tables.yaml"]);
    let rows = fs::read_to_string(folder.path().join("beyond/rows.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 2, "{rows}");
    // A file that is there stops the whole, the folder included.
    let args = ["import", &fixture("rasa"), "--to", "b", "--out-of-scope", "beyond/rows.jsonl"];
    ends(2, train_intents(folder.path(), &args));
    assert!(!folder.path().join("b").exists());
}

#[test]
fn a_zip_is_read_as_the_folder_it_holds() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let mut archive =
        zip::ZipWriter::new(fs::File::create(folder.path().join("agent.zip")).unwrap());
    let agent = PathBuf::from(fixture("dialogflow"));
    for part in ["", "intents", "entities"] {
        for name in names(&agent.join(part)).iter().filter(|name| name.ends_with(".json")) {
            let inside = if part.is_empty() { name.clone() } else { format!("{part}/{name}") };
            let options = zip::write::SimpleFileOptions::default();
            archive.start_file(&inside, options).unwrap();
            archive.write_all(&fs::read(agent.join(&inside)).unwrap()).unwrap();
        }
    }
    archive.finish().unwrap();
    let (said, _) = ends(0, train_intents(folder.path(), &["import", "agent.zip", "--to", "a"]));
    assert!(
        said.starts_with("read as dialogflow") && said.contains("carried over: 2 intents"),
        "{said}"
    );
    fs::write(folder.path().join("broken.zip"), "PK").unwrap();
    let (_, said) = ends(2, train_intents(folder.path(), &["import", "broken.zip", "--to", "b"]));
    assert!(said.contains("unzip it first"), "{said}");
}

#[test]
fn bad_input_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let huge = fs::File::create(folder.path().join("huge.csv")).unwrap();
    huge.set_len(100_000_001).unwrap();
    let files: [(&str, &[u8], &str); 10] = [
        (
            "cut.json",
            b"{\"luis_schema_version\": \"7\", \"intents\": [",
            "cut.json:1:42: the file ends here",
        ),
        ("list.json", b"[]", "name it with --from"),
        ("columns.csv", b"text,foo\na,b\n", "columns.csv:1:1: the first row names a text column"),
        (
            "mark.yml",
            b"nlu:\n- intent: a\n  examples: |\n    - go [x\n",
            "mark.yml:4:10: the bracket [",
        ),
        (
            "latin.csv",
            b"text,intent\nol\xe9,hi\n",
            "latin.csv:2:3: byte 14 of the file is not UTF-8",
        ),
        ("empty.yml", b"", "name it with --from"),
        ("empty.csv", b"", "empty.csv:1:1: the file has no rows"),
        ("alone.yml", b"nlu:\n- intent: a\n", "no example of an intent"),
        ("nlu.md", b"## intent:a\n- b\n", "rasa data convert nlu"),
        ("shop.yaml", b"version: 1\nintents: []\n", "a Kefu knowledge base already"),
    ];
    for (name, bytes, expected) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        let output = train_intents(folder.path(), &["import", name, "--to", "new"]);
        let (said, complaint) = ends(2, output);
        let all = format!("{said}{complaint}");
        assert!(all.contains(expected), "{name}: {all}");
        assert!(complaint.starts_with("train-intents: "), "{name}: {complaint}");
        assert!(!folder.path().join("new").exists(), "{name}");
    }
    let (_, said) = ends(2, train_intents(folder.path(), &["import", "huge.csv", "--to", "new"]));
    assert!(said.contains("huge.csv holds more than 100 MB"), "{said}");
    let (_, said) = ends(2, train_intents(folder.path(), &["import", "nowhere", "--to", "new"]));
    assert!(said.contains("cannot read nowhere"), "{said}");
    // Errors are one object too.
    let args = ["--json", "import", "mark.yml", "--to", "new"];
    let (said, _) = ends(2, train_intents(folder.path(), &args));
    let refused: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&refused["errors"][0]["line"], &refused["errors"][0]["column"]),
        (&4.into(), &10.into())
    );
}

#[test]
fn an_export_can_be_imported_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let intents = root.join("intents").to_str().unwrap().to_owned();
    let rows = root.join("training-data").to_str().unwrap().to_owned();
    let known = kefu::knowledge::load(Path::new(&intents)).unwrap();
    for (format, out) in [
        ("rasa", "rasa"),
        ("dialogflow", "dialogflow"),
        ("clu", "clu.json"),
        ("csv", "a.csv"),
        ("tsv", "a.tsv"),
        ("jsonl", "a.jsonl"),
    ] {
        let args = ["--json", "export", "--to", format, "--intents", &intents];
        let args = [&args[..], &["--training-data", &rows, out]].concat();
        let (said, _) = ends(0, train_intents(folder.path(), &args));
        let report: Value = serde_json::from_str(&said).unwrap();
        assert!(!report["left_out"].as_array().unwrap().is_empty(), "{format}");
        ends(2, train_intents(folder.path(), &args));
        let (again, _) = ends(0, train_intents(folder.path(), &[&args[..], &["--force"]].concat()));
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["replaced"], again["files"], "{format}");
        let back = format!("back-{format}");
        ends(0, train_intents(folder.path(), &["import", out, "--to", &back]));
        let again = kefu::knowledge::load(&folder.path().join(&back)).unwrap();
        let count = |base: &kefu::intent::knowledge::KnowledgeBase| {
            (base.intents.len(), base.examples().count())
        };
        assert_eq!(count(&again), count(&known), "{format}");
        if ["rasa", "dialogflow", "clu"].contains(&format) {
            assert_eq!(again.entities.len(), known.entities.len(), "{format}");
        }
        let beyond = fs::read_to_string(folder.path().join(&back).join("oos.jsonl")).unwrap();
        assert_eq!(beyond.lines().count(), 320, "{format}");
    }
}
