//! YAML with places, for Rasa's files. Truth values are `true` and `false` only, as in YAML 1.2.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::node::{At, Node, Value};

/// Reads one document. The limits are those of a file of 100 MB that is a training set, not those
/// of a configuration; depth and what aliases unfold to stay bounded.
///
/// # Errors
/// Where it breaks off, and why.
pub(super) fn parse(text: &str) -> Result<Node, (At, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_total_scalar_bytes: 256 << 20,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
        let at = At { line: at.line().max(1), column: at.column().max(1) };
        let message = error.without_snippet().to_string();
        let line = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let reason = line.split(" at line ").next().unwrap_or_default();
        (at, format!("this is no YAML: {reason}"))
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = spanned.referenced;
        let at = At { line: at.line().max(1), column: at.column().max(1) };
        Ok(Self { value: spanned.value, at })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Value::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Value::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_place() {
        let text = "version: \"3.1\"\nnlu:\n- intent: yes\n  examples: |\n    - a\n    - b\n- intent: 12\n  examples:\n  - text: |\n      - x\n  flag: true\n  none:\n";
        let node = parse(text).unwrap();
        let items = node.get("nlu").unwrap().entries();
        assert_eq!(items[0].get("intent").unwrap().text(), Some("yes"));
        assert_eq!(items[0].at, At { line: 3, column: 3 });
        assert_eq!(items[0].get("examples").unwrap().text(), Some("- a\n- b\n"));
        // A block begins with its first line, not with its header.
        assert_eq!(items[0].get("examples").unwrap().at.line, 5);
        assert_eq!(items[1].get("intent").unwrap().text(), Some("12"));
        assert!(items[1].is_set("flag") && items[1].get("none").is_none());
    }

    #[test]
    fn what_is_no_yaml_is_refused_where_it_breaks() {
        let (at, reason) = parse("nlu:\n- intent: [x\n").unwrap_err();
        assert!(at.line >= 2 && reason.starts_with("this is no YAML: "), "{at:?} {reason}");
        assert!(parse(&"[".repeat(20_000)).is_err());
        let bomb = format!("a: &a [x]\n{}", "b: [*a,*a]\n".repeat(50_000));
        assert!(parse(&bomb).is_err());
    }
}
