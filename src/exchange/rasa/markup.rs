//! Entity mark-up in Rasa's examples: `[berlin](city)`, `[NYC](city:New York)`,
//! `[NYC]{"entity": "city", "value": "New York", "role": "from", "group": "1"}`.
//!
//! The grammar is that of Rasa's own parser: names and values hold no `)`, objects no `}`. A pair of
//! brackets with neither behind it is text.

/// A marked part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) text: String,
    pub(super) entity: String,
    /// Where it is not the text itself.
    pub(super) value: Option<String>,
    /// Whether a role or a group stands there.
    pub(super) has_role: bool,
}

/// The sentence without mark-up, and what was marked.
///
/// # Errors
/// The character, from 0, at which the mark-up is wrong, and why.
pub(super) fn read(example: &str) -> Result<(String, Vec<Marked>), (usize, String)> {
    let (mut plain, mut marked) = (String::new(), Vec::new());
    let mut rest = example;
    while let Some(open) = rest.find('[') {
        let at = example.len() - rest.len() + open;
        let fault = |reason: &str| (example[..at].chars().count(), reason.to_owned());
        plain.push_str(&rest[..open]);
        let Some((text, behind)) = rest[open + 1..].split_once(']') else {
            return Err(fault("the bracket [ is never closed; close it with ]"));
        };
        let (mark, behind) = match behind.chars().next() {
            Some('(') => {
                let Some((name, behind)) = behind[1..].split_once(')') else {
                    return Err(fault("the entity name is never closed; close it with )"));
                };
                (short(text, name), behind)
            }
            Some('{') => {
                let Some((fields, behind)) = behind[1..].split_once('}') else {
                    return Err(fault("the entity object is never closed; close it with }"));
                };
                (object(text, fields), behind)
            }
            _ => {
                plain.push('[');
                plain.push_str(text);
                plain.push(']');
                rest = behind;
                continue;
            }
        };
        let mark = mark.map_err(|reason| fault(&reason))?;
        plain.push_str(text);
        marked.push(mark);
        rest = behind;
    }
    plain.push_str(rest);
    Ok((plain, marked))
}

/// Whether a sentence would be read as it is written.
pub(super) fn is_plain(text: &str) -> bool {
    read(text).is_ok_and(|(_, marked)| marked.is_empty())
}

fn short(text: &str, name: &str) -> Result<Marked, String> {
    let (entity, value) = match name.split_once(':') {
        Some((entity, value)) => (entity.trim(), Some(value.trim().to_owned())),
        None => (name.trim(), None),
    };
    mark(text, entity, value, false)
}

fn object(text: &str, fields: &str) -> Result<Marked, String> {
    let fields: serde_json::Value = serde_json::from_str(&format!("{{{fields}}}"))
        .map_err(|error| format!("the entity object is no JSON: {error}"))?;
    let field = |key: &str| match fields.get(key) {
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(serde_json::Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let entity = field("entity").unwrap_or_default();
    let has_role = field("role").is_some() || field("group").is_some();
    mark(text, entity.trim(), field("value"), has_role)
}

fn mark(text: &str, entity: &str, value: Option<String>, has_role: bool) -> Result<Marked, String> {
    if entity.is_empty() {
        return Err("the marked text has no entity name; name it, or drop the brackets".to_owned());
    }
    let value = value.filter(|value| value != text && !value.trim().is_empty());
    Ok(Marked { text: text.to_owned(), entity: entity.to_owned(), value, has_role })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_are_read() {
        let mark = |text: &str, entity: &str, value: Option<&str>, has_role| Marked {
            text: text.into(),
            entity: entity.into(),
            value: value.map(str::to_owned),
            has_role,
        };
        for (example, plain, marks) in [
            ("hi", "hi", vec![]),
            ("去[北京](city)玩", "去北京玩", vec![mark("北京", "city", None, false)]),
            ("[NYC](city:New York)", "NYC", vec![mark("NYC", "city", Some("New York"), false)]),
            (
                "from [NYC]{\"entity\": \"city\", \"value\": \"New York\", \"role\": \"from\"} to [x](y)",
                "from NYC to x",
                vec![mark("NYC", "city", Some("New York"), true), mark("x", "y", None, false)],
            ),
            (
                "[2]{\"entity\": \"n\", \"value\": 2, \"group\": \"1\"}",
                "2",
                vec![mark("2", "n", None, true)],
            ),
            ("press [enter] now (please)", "press [enter] now (please)", vec![]),
        ] {
            assert_eq!(read(example), Ok((plain.to_owned(), marks)), "{example}");
        }
    }

    #[test]
    fn broken_marks_are_refused_where_they_stand() {
        for (example, at, wanted) in [
            ("去[北京", 1, "never closed; close it with ]"),
            ("a [b](c", 2, "never closed; close it with )"),
            ("[b]{\"entity\": 1", 0, "never closed; close it with }"),
            ("[b]{entity: c}", 0, "no JSON"),
            ("[b]()", 0, "no entity name"),
            ("[b]{\"value\": \"c\"}", 0, "no entity name"),
        ] {
            let (found, reason) = read(example).unwrap_err();
            assert_eq!(found, at, "{example}");
            assert!(reason.contains(wanted), "{example}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn plain_sentences_stay(text in "[a-z好 \\[\\](){}:\"]{0,20}") {
            if is_plain(&text) {
                prop_assert_eq!(read(&text).unwrap().0, text);
            }
        }
    }
}
