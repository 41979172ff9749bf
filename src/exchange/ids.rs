//! Names of other systems as ids of ours: lower-case letters, digits, `_`, `-`, `/`.
//!
//! The same names give the same ids, whatever stands around them: an id stays for good, because
//! logs and webhooks refer to it.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// The longest id, in bytes, that is made from a name; room is left for a number behind it.
const MAX_LEN: usize = 100;

/// Whether examples of an intent called so are out of scope.
pub(super) fn is_out_of_scope(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let names = ["oos", "outofscope", "none", "fallback", "nlufallback", "defaultfallbackintent"];
    name.is_ascii() && names.contains(&letters.to_ascii_lowercase().as_str())
}

/// The ids of `names`, in order. Names that are valid keep themselves; of two names with one id the
/// later gets `_2`, `_3`, … `taken` are ids that nobody may have.
pub(super) fn all(names: &[&str], kind: &str, taken: &[&str]) -> Vec<String> {
    let mut used: HashSet<String> = taken.iter().map(|&id| id.to_owned()).collect();
    let mut ids: Vec<Option<String>> = vec![None; names.len()];
    for (id, name) in ids.iter_mut().zip(names) {
        if one(name, kind) == **name && used.insert((*name).to_owned()) {
            *id = Some((*name).to_owned());
        }
    }
    for (id, name) in ids.iter_mut().zip(names).filter(|(id, _)| id.is_none()) {
        let wanted = one(name, kind);
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        *id = std::iter::once(wanted.clone()).chain(numbered).find(|id| used.insert(id.clone()));
    }
    ids.into_iter().map(|id| id.expect("numbers do not end")).collect()
}

/// `Default Welcome Intent` → `default_welcome_intent`, `BookFlight` → `book_flight`. Where letters
/// of other scripts get lost, eight digits of the name's SHA-256 tell it from others.
pub(super) fn one(name: &str, kind: &str) -> String {
    let mut id = String::new();
    let mut lost = false;
    let mut before = ' ';
    for c in name.chars() {
        let starts_word =
            c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if starts_word {
            id.push('_');
        }
        match c.to_ascii_lowercase() {
            kept @ ('a'..='z' | '0'..='9' | '_' | '-' | '/') => id.push(kept),
            other => {
                lost |= other.is_alphanumeric();
                if !id.ends_with('_') {
                    id.push('_');
                }
            }
        }
        before = c;
    }
    let trimmed = if name == id { id.as_str() } else { id.trim_matches(['_', '/', '-']) };
    let mut id = if trimmed.is_empty() { kind.to_owned() } else { trimmed.to_owned() };
    if lost || trimmed.is_empty() || id.len() > MAX_LEN {
        let digest = Sha256::digest(name);
        id.truncate(MAX_LEN);
        id.push('_');
        id.extend(digest[..4].iter().map(|byte| format!("{byte:02x}")));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ids() {
        for (names, expected) in [
            (
                vec!["greet", "utter/ask_x", "faq/ask_hours"],
                vec!["greet", "utter/ask_x", "faq/ask_hours"],
            ),
            (vec!["Default Welcome Intent"], vec!["default_welcome_intent"]),
            (vec!["BookFlight", "HTTPError"], vec!["book_flight", "httperror"]),
            (vec!["a.b (c)"], vec!["a_b_c"]),
            (vec!["查询订单"], vec!["intent_bdf6d47e"]),
            (vec!["订单 query"], vec!["query_c7b4d419"]),
            (vec!["!!!"], vec!["intent_e84c538e"]),
            // A valid name keeps itself, wherever it stands.
            (
                vec!["Order Status", "order_status", "ORDER STATUS"],
                vec!["order_status_2", "order_status", "order_status_3"],
            ),
            (vec!["oos "], vec!["oos_2"]),
        ] {
            assert_eq!(all(&names, "intent", &["oos"]), expected, "{names:?}");
        }
        assert_ne!(one("查询订单", "intent"), one("取消订单", "intent"));
        assert!(one(&"长".repeat(500), "intent").len() <= 128);
        assert!(one(&"a".repeat(500), "intent").len() <= 128);
    }

    #[test]
    fn out_of_scope_has_many_names() {
        for name in
            ["oos", "out_of_scope", "OutOfScope", "None", "Default Fallback Intent", "nlu_fallback"]
        {
            assert!(is_out_of_scope(name), "{name}");
        }
        for name in ["none_of_these", "fallback_phone", "oosterdok", "无"] {
            assert!(!is_out_of_scope(name), "{name}");
        }
    }
}
