//! The rules, their tables first: what may import what, and where the world may be touched.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{Finding, Source, heads, occurrences, words};

/// Longest file, in lines, tests included. Look for the seam before you raise it; there are no
/// exceptions.
pub(crate) const MAX_LINES: usize = 420;

/// Who may import whom: a module of `src/` (its first path segment) and the modules of this crate
/// that its code may name besides itself. Imports run one way, so a new entry must not close a
/// circle. Test code is free.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("intent", "encoder index kernels"),
    ("dialogue", "intent"),
    ("chat", "store"),
    ("encoder", ""),
    ("index", "encoder kernels"),
    ("kernels", ""),
    ("artifact", "encoder index intent"),
    ("knowledge", "dialogue intent"),
    ("flips", "encoder intent"),
    ("models", "encoder progress"),
    ("progress", ""),
    ("store", ""),
    ("training", "artifact encoder index intent kernels progress"),
    ("provision", "artifact encoder intent knowledge models progress training"),
    ("shadow", "artifact encoder intent"),
    ("understand", "artifact clock dialogue encoder intent shadow"),
    ("reload", "artifact encoder flips intent progress provision training understand"),
    ("preview", "artifact encoder flips intent knowledge progress provision training understand"),
    ("review", "artifact clock encoder intent kernels knowledge training understand"),
    ("lint", "encoder index intent knowledge"),
    ("exchange", "intent knowledge"),
    (
        "cli",
        "artifact config dialogue encoder exchange flips intent knowledge lint models preview \
         progress provision training understand",
    ),
    ("identity", "store"),
    ("clock", ""),
    ("hub", "chat clock dialogue store"),
    ("bot", "chat dialogue hub identity intent shutdown store understand"),
    ("transport", "chat hub identity shutdown"),
    ("operator", "clock identity store"),
    ("config", "flips http identity models provision review store training transport"),
    (
        "http",
        "bot chat dialogue flips hub identity intent operator preview reload review shadow store \
         transport understand",
    ),
    ("logging", "config"),
    ("server", "http shutdown"),
    ("shutdown", ""),
    ("lib", ""),
    ("bin", ""),
];

/// Names that only some files may use, as prefixes below `src/`, and what to do instead. Test code
/// is free.
const ONLY_IN: &[(&[&str], &[&str], &str)] = &[
    (&["StatusCode"], &["http/error.rs"], "return an ApiError; http/error.rs knows the statuses"),
    (
        &["std::env"],
        &["config.rs", "config/", "bin/"],
        "let src/config read the environment and take the value as an argument",
    ),
    (
        &["tokio::spawn", "JoinSet", "TaskTracker", "Handle::current", "tokio::signal"],
        &["shutdown.rs"],
        "spawn with Shutdown::spawn, so that the end waits for the task",
    ),
    (&["spawn_blocking"], &["encoder/pool.rs"], "give the work to threads of its own"),
    (
        &["thread::spawn", "thread::Builder", "thread::scope", "ThreadPoolBuilder"],
        &[
            "encoder/pool.rs",
            "encoder/sentence.rs",
            "identity/passwords.rs",
            "models/hub.rs",
            "operator.rs",
            "preview.rs",
            "reload.rs",
            "review/clusters.rs",
            "review/desk.rs",
            "shadow.rs",
            "store/embedded/mod.rs",
            "bot/webhook.rs",
            "training/embed.rs",
            "training/tune/",
        ],
        "give the work to the threads that there are; ARCHITECTURE.md lists them",
    ),
    (&["unsafe"], &["kernels/"], "write it safely, or as a kernel with a scalar twin"),
    (&["anyhow::"], &["bin/", "cli/"], "give the module an error enum of its own"),
    (
        &["axum::", "utoipa_axum::"],
        &["http/", "server.rs", "transport/"],
        "only the HTTP edge speaks HTTP",
    ),
    (&["hyper::", "hyper_util::"], &["server.rs"], "connections belong to src/server.rs"),
    (
        &["tokio::", "tokio_util::"],
        &[
            "bot/",
            "encoder/pool.rs",
            "http/",
            "hub/",
            "identity/",
            "operator.rs",
            "preview.rs",
            "reload.rs",
            "review/clusters.rs",
            "review/desk.rs",
            "review/writer.rs",
            "server.rs",
            "shutdown.rs",
            "store/ask.rs",
            "transport/",
            "bin/",
        ],
        "keep it synchronous; the edges and the encoder's queue are async",
    ),
    (
        &["argon2::", "ed25519_dalek::", "jsonwebtoken::"],
        &["identity/"],
        "ask crate::identity who somebody is",
    ),
    (&["hmac::"], &["identity/", "bot/webhook.rs"], "only tokens and webhooks are signed"),
    (&["clap::"], &["config.rs", "config/", "cli/", "bin/"], "options end at the edges"),
    (&["hf_hub::"], &["models/"], "only src/models fetches models"),
    (
        &["ureq::"],
        &["models/", "bot/webhook.rs", "operator.rs"],
        "models are fetched, webhooks called and a running server asked there",
    ),
    (&["candle_core::", "candle_nn::"], &["encoder/", "training/"], "tensors stay in there"),
    (
        &["rayon::"],
        &["encoder/sentence.rs", "lint/", "preview.rs", "reload.rs", "training/"],
        "a request must not fan out",
    ),
    (&["fjall::"], &["store/embedded/"], "use the port, crate::store"),
    (&["hnsw_rs::"], &["index/graph.rs"], "use the port, crate::index"),
    (
        &["tokenizers::"],
        &["encoder/tokenizer.rs", "encoder/unigram.rs"],
        "use the port, crate::encoder",
    ),
    (&["toml::"], &["config/", "models/manifest.rs"], "settings are read by src/config"),
    (
        &["serde_saphyr::"],
        &["knowledge/", "exchange/yaml.rs"],
        "YAML is read by src/knowledge, that of others by src/exchange",
    ),
    (&["csv::"], &["exchange/rows.rs"], "tables are read and written by src/exchange"),
    (&["indicatif::"], &["progress.rs"], "tell crate::progress::Progress"),
    (&["SystemTime", "Utc::now"], &["clock.rs"], "take the time as an argument"),
];

/// What the domain may take from the standard library: nothing that touches the world.
const PURE_STD: &str = "array borrow cmp collections error fmt hash iter mem num ops rc slice str \
                        string sync";
/// Folders and files whose code is pure.
const PURE: &[&str] = &[
    "chat/",
    "dialogue/",
    "flips/",
    "intent/",
    "review/cluster.rs",
    "review/entry.rs",
    "review/queue.rs",
    "review/redact.rs",
];
/// What the domain must not name, whatever else may.
const IMPURE: &[&str] =
    &["tracing::", "rand::", "getrandom::", "tempfile::", "println!", "eprintln!"];
/// The same, but for test code: a test may hold a page of the docs to what the code does.
const IMPURE_SHIPPED: &[&str] = &["include_str!"];

/// A check of one file.
pub(crate) type Rule = fn(&Source) -> Vec<Finding>;

/// The checks of Rust files.
pub(crate) const RULES: &[(&str, Rule)] = &[
    ("header", header),
    ("length", length),
    ("imports", imports),
    ("only_in", only_in),
    ("pure", pure),
    ("clap_environment", clap_environment),
    ("unfinished", unfinished),
];

fn header(source: &Source) -> Vec<Finding> {
    let opens = source.raw.starts_with(&['/', '/', '!', ' ']);
    let message = "the first line is no `//! `; say what the file decides, who calls it, and what \
                   it must not know";
    if opens { vec![] } else { vec![source.finding(0, message.to_owned())] }
}

fn length(source: &Source) -> Vec<Finding> {
    let lines = source.raw.iter().filter(|c| **c == '\n').count();
    if lines <= MAX_LINES {
        return vec![];
    }
    let message = format!("{lines} lines, at most {MAX_LINES}; find the seam and split the file");
    vec![source.finding(source.raw.len(), message)]
}

fn imports(source: &Source) -> Vec<Finding> {
    let Some(module) = source.module() else { return vec![] };
    let Some((_, allowed)) = MODULES.iter().find(|row| row.0 == module) else {
        let message = format!("src/{module} has no row in MODULES of tests/tidy.rs; add one");
        return vec![source.finding(0, message)];
    };
    let mut findings = Vec::new();
    for (at, name) in heads(&source.shipped, "crate") {
        let fits = name == module || allowed.split(' ').any(|one| one == name);
        let known = MODULES.iter().any(|row| row.0 == name);
        if known && !fits {
            let message = format!(
                "src/{module} names crate::{name}, it may name [{allowed}]; move the code, or turn \
                 the call round"
            );
            findings.push(source.finding(at, message));
        }
    }
    // A way round the rule above: `super` that leads to the root of the crate.
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    let climb = "super::".repeat(depth);
    if let Some(at) = words(&source.shipped, &climb).first() {
        let message = format!("{climb} leads out of src/{module}; write crate::");
        findings.push(source.finding(*at, message));
    }
    findings
}

fn only_in(source: &Source) -> Vec<Finding> {
    let Some(path) = source.in_src() else { return vec![] };
    let mut findings = Vec::new();
    for (names, places, instead) in ONLY_IN {
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for name in *names {
            let found = match name.strip_prefix("std::") {
                Some(one) => heads(&source.shipped, "std")
                    .into_iter()
                    .filter(|head| head.1 == one)
                    .map(|head| head.0)
                    .collect(),
                None => words(&source.shipped, name),
            };
            for at in found {
                let places = places.join(", ");
                let message = format!("`{name}` belongs into [{places}] of src; {instead}");
                findings.push(source.finding(at, message));
            }
        }
    }
    findings
}

fn pure(source: &Source) -> Vec<Finding> {
    if !source.in_src().is_some_and(|path| PURE.iter().any(|pure| path.starts_with(pure))) {
        return vec![];
    }
    let mut findings = Vec::new();
    for (at, name) in heads(&source.code, "std") {
        if !PURE_STD.split_whitespace().any(|one| one == name) {
            let message = format!("the domain is pure, std::{name} is not; take it as an argument");
            findings.push(source.finding(at, message));
        }
    }
    for (names, text) in [(IMPURE, &source.code), (IMPURE_SHIPPED, &source.shipped)] {
        for name in names {
            for at in words(text, name) {
                let message = format!("the domain is pure, `{name}` is not; let the caller do it");
                findings.push(source.finding(at, message));
            }
        }
    }
    findings
}

/// clap reads a variable where an argument says `env = "…"`: at the edges only.
fn clap_environment(source: &Source) -> Vec<Finding> {
    let at_an_edge =
        |path: &str| ["config.rs", "config/", "cli/"].iter().any(|e| path.starts_with(e));
    if source.in_src().is_none_or(at_an_edge) {
        return vec![];
    }
    let message = "`env =` reads the environment; declare options in src/config or src/cli";
    let found = words(&source.shipped, "env = ");
    found.iter().map(|at| source.finding(*at, message.to_owned())).collect()
}

fn unfinished(source: &Source) -> Vec<Finding> {
    if source.in_src().is_none() {
        return vec![];
    }
    let lower: Vec<char> = source.raw.iter().map(char::to_ascii_lowercase).collect();
    let marks = ["todo", "fixme", "xxx", "for now", "unimplemented!", "dbg!"];
    let found =
        marks.iter().flat_map(|mark| words(&lower, mark).into_iter().map(move |at| (at, mark)));
    found
        .map(|(at, mark)| {
            source.finding(at, format!("`{mark}` is unfinished; finish it, or say what holds"))
        })
        .collect()
}

/// Folders of one machine in a text, which help nobody elsewhere.
pub(crate) fn machine_paths(path: &str, text: &[char]) -> Vec<Finding> {
    let source =
        Source { path: path.to_owned(), raw: text.to_vec(), code: vec![], shipped: vec![] };
    let mut findings = Vec::new();
    for folder in ["/work/", "/tmp/", "/home/", "/root/"] {
        for at in occurrences(text, folder) {
            let inside =
                at > 0 && (text[at - 1].is_alphanumeric() || "._-}>)$".contains(text[at - 1]));
            if !inside {
                let message = format!("`{folder}` is a place of one machine; use a relative path");
                findings.push(source.finding(at, message));
            }
        }
    }
    findings
}

/// `ARCHITECTURE.md` names every module, and what it names exists: `tests` are `file::test`.
pub(crate) fn architecture(
    text: &str,
    modules: &BTreeSet<String>,
    files: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let path = "ARCHITECTURE.md".to_owned();
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let mut finding = |message: String| {
                findings.push(Finding { path: path.clone(), line: number + 1, message });
            };
            let (file, test) = quoted.split_once("::").unwrap_or((quoted, ""));
            if !(file.starts_with("src/") || file.starts_with("tests/")) || file.contains('<') {
                continue;
            }
            let under = file.trim_end_matches('/');
            named.extend(
                under.strip_prefix("src/").map(|rest| rest.trim_end_matches(".rs").to_owned()),
            );
            let below = format!("{under}/");
            if !files.keys().any(|known| known == under || known.starts_with(&below)) {
                finding(format!("`{file}` does not exist; name what does"));
            } else if !test.is_empty()
                && !files.get(under).is_some_and(|text| text.contains(&format!("fn {test}(")))
            {
                finding(format!("`{file}` has no test {test}; name the one that holds this"));
            }
        }
    }
    let missing = modules.difference(&named);
    findings.extend(missing.map(|module| {
        let message = format!("src/{module} is not in the code map; say there what it is for");
        Finding { path: path.clone(), line: 1, message }
    }));
    findings
}
