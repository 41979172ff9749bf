//! What each rule forbids, and what it must let pass.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{MAX_LINES, RULES, architecture, machine_paths};
use super::text::{Finding, Source, heads};

/// `rule:line` of each finding of any rule, but those about the header.
fn found(path: &str, text: &str) -> Vec<String> {
    let source = Source::new(path, text);
    let rules = RULES.iter().filter(|rule| rule.0 != "header" || text.is_empty());
    rules
        .flat_map(|rule| rule.1(&source).into_iter().map(move |one| (rule.0, one)))
        .inspect(|(_, one)| assert!(one.message.contains("; "), "what to do? {}", one.message))
        .map(|(rule, one)| format!("{rule}:{}", one.line))
        .collect()
}

#[test]
fn each_breach_is_found_where_it_stands() {
    let long = "\n".repeat(MAX_LINES + 1);
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("no header", "src/intent/a.rs", "", &["header:1"]),
        ("too long", "tests/it/a.rs", &long, &["length:422"]),
        ("edge in the domain", "src/intent/a.rs", "\nuse crate::http::X;", &["imports:2"]),
        (
            "config in the domain",
            "src/intent/a.rs",
            "use crate::{encoder, config::A};",
            &["imports:1"],
        ),
        (
            "training in a port",
            "src/encoder/a.rs",
            "fn f() { crate::training::g() }",
            &["imports:1"],
        ),
        ("server in a port", "src/index/mod.rs", "use crate::server;", &["imports:1"]),
        ("command line at the HTTP edge", "src/http/a.rs", "use crate::cli::A;", &["imports:1"]),
        ("models at the HTTP edge", "src/http/a.rs", "use crate::models;", &["imports:1"]),
        ("upwards", "src/intent/a.rs", "use super::super::server;", &["imports:1"]),
        (
            "upwards from the module's file",
            "src/intent/mod.rs",
            "use super::server;",
            &["imports:1"],
        ),
        ("an unlisted module", "src/nowhere/a.rs", "", &["header:1", "imports:1"]),
        ("a status", "src/http/intent.rs", "StatusCode::OK", &["only_in:1"]),
        ("a variable", "src/models/a.rs", "std::env::var(\"X\")", &["only_in:1"]),
        ("a variable by a list", "src/models/a.rs", "use std::{env, fs};", &["only_in:1"]),
        ("a variable by clap", "src/models/a.rs", "#[arg(env = \"X\")]", &["clap_environment:1"]),
        ("a task", "src/server.rs", "tokio::spawn(f)", &["only_in:1"]),
        ("a thread", "src/http/a.rs", "std::thread::spawn(f)", &["only_in:1"]),
        ("unsafe", "src/index/a.rs", "unsafe { f() }", &["only_in:1"]),
        ("axum in the domain", "src/intent/a.rs", "use axum::Json;", &["only_in:1"]),
        ("tokio in the domain", "src/intent/a.rs", "tokio::task::yield_now()", &["only_in:1"]),
        ("a hub in training", "src/training/a.rs", "use hf_hub::api;", &["only_in:1"]),
        ("a file in the domain", "src/intent/a.rs", "use std::fs;", &["pure:1"]),
        ("a clock in the domain", "src/intent/a.rs", "use std::{fmt, time::Instant};", &["pure:1"]),
        ("a socket in the domain", "src/intent/a.rs", "std::net::TcpStream", &["pure:1"]),
        (
            "purity holds in tests",
            "src/intent/a.rs",
            "#[cfg(test)]\nmod t { use std::fs; }",
            &["pure:2"],
        ),
        ("chance in the domain", "src/intent/a.rs", "rand::random()", &["pure:1"]),
        ("unfinished", "src/http/a.rs", "\n// TODO: more", &["unfinished:2"]),
        ("a hole", "src/http/a.rs", "todo!()", &["unfinished:1"]),
        ("a stopgap", "src/http/a.rs", "// Good enough for now.", &["unfinished:1"]),
        (
            "after a test",
            "src/a.rs",
            "#[cfg(test)]\nmod t {}\nunsafe fn f() {}",
            &["imports:1", "only_in:3"],
        ),
    ];
    for (name, path, text, expected) in rows {
        assert_eq!(found(path, text), *expected, "{name}");
    }
}

#[test]
fn what_is_allowed_passes() {
    let rows = [
        ("a comment", "src/intent/a.rs", "// crate::http, std::fs, unsafe, axum::Json"),
        ("a string", "src/intent/a.rs", "let a = \"crate::http \\\" unsafe\"; let b = '\"';"),
        ("a raw string", "src/intent/a.rs", "let a = r#\"std::env \" \"#; let b = '\\'';"),
        ("ports in the domain", "src/intent/a.rs", "use crate::{encoder::A, index};"),
        ("itself", "src/http/a.rs", "use crate::http::X;"),
        ("a longer name", "src/index/a.rs", "let unsafe_name = my_axum::f();"),
        ("the table of statuses", "src/http/error.rs", "use axum::http::StatusCode;"),
        ("the environment at its place", "src/config/fetch.rs", "std::env::var(\"X\")"),
        (
            "tests beside the code",
            "src/server.rs",
            "#[cfg(test)]\nmod t { use super::*; tokio::spawn(f); }",
        ),
        (
            "an arm for tests",
            "src/http/a.rs",
            "match a {\n#[cfg(test)]\nA(b) => StatusCode::OK,\n}",
        ),
        ("lifetimes", "src/intent/a.rs", "fn f<'a>(x: &'a str) -> &'a str { x } // std::fs 'a'"),
        ("tests of the whole", "tests/it/a.rs", "use std::{env, fs}; tokio::spawn(f)"),
    ];
    for (name, path, text) in rows {
        assert_eq!(found(path, text), [""; 0], "{name}");
    }
}

#[test]
fn modules_of_tests_are_known() {
    let source = Source::new("src/http/mod.rs", "#[cfg(test)]\npub(crate) mod tests;\nmod trace;");
    assert_eq!(source.test_modules(), ["src/http/tests.rs"]);
    let source = Source::new("src/config.rs", "#[cfg(test)]\nmod tests;");
    assert_eq!(source.test_modules(), ["src/config/tests.rs"]);
}

#[test]
fn imports_in_braces_are_read_one_by_one() {
    let code: Vec<char> =
        "use crate::{a, b::{c, d}, e as f}; crate::g::h(crate::i)".chars().collect();
    let names: Vec<String> = heads(&code, "crate").into_iter().map(|head| head.1).collect();
    assert_eq!(names, ["a", "b", "e", "g", "i"]);
}

#[test]
fn folders_of_one_machine_are_found() {
    let rows = [
        ("see /tmp/x", 1),
        ("\"/home/me\"", 1),
        ("cd /work/main && ls /root/", 2),
        ("https://example.org/home/page", 0),
        ("target/tmp/x, $HOME/work/, {root}/home/", 0),
    ];
    for (text, count) in rows {
        let text_chars: Vec<char> = text.chars().collect();
        assert_eq!(machine_paths("docs/a.md", &text_chars).len(), count, "{text}");
    }
}

#[test]
fn a_map_that_lies_is_found() {
    let modules: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
    let files: BTreeMap<String, String> = [("src/a.rs", "fn good() {}"), ("src/b/mod.rs", "")]
        .map(|(p, t)| (p.into(), t.into()))
        .into();
    let rows = [
        ("`src/a.rs`, `src/b/`, `src/a.rs::good`, `src/<name>`", vec![]),
        ("`src/a.rs`", vec!["src/b is not in the code map"]),
        ("`src/b` `src/a.rs` `src/c.rs`", vec!["`src/c.rs` does not exist"]),
        ("`src/b` `src/a.rs::bad`", vec!["`src/a.rs` has no test bad"]),
        ("`src/b::bad` `src/a.rs`", vec!["`src/b` has no test bad"]),
    ];
    for (text, expected) in rows {
        let findings = architecture(text, &modules, &files);
        assert_eq!(findings.len(), expected.len(), "{text}: {findings:?}");
        for (Finding { message, .. }, start) in findings.iter().zip(expected) {
            assert!(message.starts_with(start), "{message}");
        }
    }
}
