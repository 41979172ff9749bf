//! Holds the rules of the house over the source tree: what may import what, where the world may be
//! touched, how long a file may be, and that `ARCHITECTURE.md` names what there is.
//!
//! A finding is `file:line: what is wrong; what to do`. `breaches` feeds each rule what it forbids,
//! so that a rule that lost its teeth fails too. Standard library only; it reads text, and no code
//! is built for it but its own.

mod breaches;
mod rules;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rules::{MODULES, RULES, architecture, machine_paths};
use text::{Finding, Source, blank, heads, test_ranges};

/// Not ours, not committed, or (`tests`) free to speak of any folder.
const SKIPPED: [&str; 7] =
    [".cache", ".git", "node_modules", "target", "tests", "kefu.toml", "data"];
/// What people write and commit.
const WRITTEN: [&str; 8] = ["html", "json", "jsonl", "md", "rs", "toml", "yaml", "yml"];

/// All text files of a folder below the repository's root, by path.
fn texts(folder: &str, skip: &[&str]) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("the folder can be listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}").trim_start_matches('/').to_owned();
            // Folders of models are fetched or built.
            if skip.contains(&name.as_str()) || (folder == "models" && entry.path().is_dir()) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                found.insert(path, text);
            }
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let rust =
        |(path, text): (String, String)| path.ends_with(".rs").then(|| Source::new(&path, &text));
    let folders = ["src", "tests", "benches", "proto", "bench"];
    let skip = ["generated", "target"];
    let mut sources: Vec<Source> =
        folders.iter().flat_map(|folder| texts(folder, &skip)).filter_map(rust).collect();
    let of_tests: BTreeSet<String> = sources.iter().flat_map(Source::test_modules).collect();
    // What is declared within a file of tests is one as well.
    let is_test = |path: &str| of_tests.contains(path) || path.contains("/tests/");
    for source in sources.iter_mut().filter(|source| is_test(&source.path)) {
        let end = source.shipped.len();
        blank(&mut source.shipped, 0, end);
    }
    sources
}

fn complain(findings: &[Finding]) {
    let lines: Vec<String> = findings
        .iter()
        .map(|Finding { path, line, message }| format!("{path}:{line}: {message}"))
        .collect();
    assert!(lines.is_empty(), "{} findings\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_source_follows_the_rules() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} files were found", sources.len());
    let findings = sources.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule.1(source)));
    complain(&findings.collect::<Vec<_>>());
}

/// The table allows what is used, and no more.
#[test]
fn imports_run_one_way() {
    let sources = sources();
    let mut open: BTreeMap<&str, Vec<&str>> =
        MODULES.iter().map(|row| (row.0, row.1.split_whitespace().collect())).collect();
    for (module, allowed) in &open {
        let own = sources.iter().filter(|source| source.module() == Some(*module));
        let named: BTreeSet<String> =
            own.flat_map(|source| heads(&source.shipped, "crate")).map(|head| head.1).collect();
        for one in allowed {
            assert!(named.contains(*one), "src/{module} does not name crate::{one}; drop it");
        }
    }
    // Modules that name none of those left are at the bottom; take them away until none is left.
    while let Some(low) = open
        .iter()
        .find(|(_, names)| names.iter().all(|name| !open.contains_key(name)))
        .map(|(module, _)| *module)
    {
        open.remove(low);
    }
    assert!(open.is_empty(), "these modules import each other in a circle: {open:?}");
}

#[test]
fn no_text_names_a_folder_of_one_machine() {
    let of_tests: BTreeSet<String> = sources().iter().flat_map(Source::test_modules).collect();
    let mut findings = Vec::new();
    for (path, text) in texts("", &SKIPPED) {
        let kind = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|at| at.1);
        if of_tests.contains(&path) || kind.is_some_and(|kind| !WRITTEN.contains(&kind)) {
            continue;
        }
        let mut raw: Vec<char> = text.chars().collect();
        if kind == Some("rs") {
            let source = Source::new(&path, &text);
            for (start, end) in test_ranges(&source.code) {
                blank(&mut raw, start, end);
            }
        }
        findings.extend(machine_paths(&path, &raw));
    }
    complain(&findings);
}

#[test]
fn the_architecture_names_what_there_is() {
    let files: BTreeMap<String, String> =
        ["src", "tests"].iter().flat_map(|folder| texts(folder, &[])).collect();
    let modules: BTreeSet<String> = files
        .keys()
        .filter_map(|path| path.strip_prefix("src/")?.split('/').next())
        .map(|first| first.trim_end_matches(".rs").to_owned())
        .filter(|module| module != "lib")
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("ARCHITECTURE.md is there");
    assert!(text.lines().count() <= 300, "ARCHITECTURE.md has over 300 lines; say it shorter");
    complain(&architecture(&text, &modules, &files));
}
