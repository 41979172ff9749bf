//! What a knowledge base must fulfil beyond its types. Each rule has a stable code.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Finding;
use super::format::{IntentEntry, Located};
use super::slots;
use crate::intent::knowledge::Action;
use crate::intent::normalize::normalize;

/// The longest example, in characters: the same limit as for a message.
pub(super) const MAX_EXAMPLE_CHARS: usize = 2_000;

/// Checks the intents of all files together.
pub(super) fn all(entries: &[(&PathBuf, IntentEntry)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: HashMap<&str, (&Path, u64)> = HashMap::new();
    for (path, entry) in entries {
        findings.extend(one(path, entry));
        let id = entry.id.value.as_str();
        if let Some((file, line)) = seen.get(id) {
            let message =
                format!("intent {id:?} stands in {}:{line} already; rename one", file.display());
            findings.push(entry.id.finding(path, "KB004", message));
        } else {
            seen.insert(id, (path, entry.id.line()));
        }
    }
    findings
}

fn one(path: &Path, entry: &IntentEntry) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |place: &Located<String>, code, message| {
        findings.push(place.finding(path, code, message));
    };
    let id = &entry.id;
    if !is_id(&id.value) {
        let message = format!(
            "the id {:?} is malformed; use lower-case letters, digits, '_', '-' and '/'",
            id.value
        );
        found(id, "KB003", message);
    }
    for sentence in entry.examples.values().chain(entry.negative_examples.values()).flatten() {
        let text = &sentence.value;
        if normalize(text).text().is_empty() {
            found(
                sentence,
                "KB005",
                "the example has no visible text; write one or drop it".into(),
            );
        } else if text.chars().nth(MAX_EXAMPLE_CHARS).is_some() {
            let message = format!("the example is longer than {MAX_EXAMPLE_CHARS} characters");
            found(sentence, "KB005", message);
        }
    }
    if entry.examples.values().all(Vec::is_empty) && entry.keywords.is_empty() {
        let message = "the intent has neither examples nor keywords, so nothing can reach it";
        found(id, "KB009", message.into());
    }
    if let Action::Webhook(hook) = &entry.action
        && !is_webhook_url(&hook.url)
    {
        let message = format!(
            "the webhook url {:?} must start with https:// (http:// on loopback)",
            hook.url
        );
        found(id, "KB008", message);
    }
    for rule in &entry.keywords {
        let keywords = &rule.value;
        let visible = |words: &[Located<String>]| {
            words.iter().any(|word| !normalize(&word.value).text().is_empty())
        };
        if !visible(&keywords.any) && !visible(&keywords.all) && !visible(&keywords.exact) {
            let message = "the rule can never fire: give it a keyword in any, all or exact";
            findings.push(rule.finding(path, "KB006", message.into()));
        }
    }
    findings.extend(slots::of_intent(path, entry));
    findings
}

pub(super) fn is_id(id: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-/".contains(&byte);
    !id.is_empty() && id.len() <= 128 && id.bytes().all(allowed)
}

fn is_webhook_url(url: &str) -> bool {
    let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    (url.starts_with("https://") && url.len() > "https://".len())
        || loopback.iter().any(|host| {
            url.strip_prefix(host)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
}

/// The names in braces.
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name.trim()))
}
