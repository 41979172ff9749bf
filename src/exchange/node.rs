//! A file as a tree that knows where its parts stand, whether it was JSON or YAML.
//!
//! `json` and `yaml` make it, the formats read it through [`Reading`], which collects what is wrong
//! instead of stopping at it.

use super::{Fault, Source};
use crate::knowledge::Place;

/// A place in a file, line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl At {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: At,
}

/// What JSON and YAML have in common. Numbers keep their spelling.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a key; none where there is none, or null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let found = self.fields().iter().find(|(name, _)| name == key)?;
        (found.1.value != Value::Null).then_some(&found.1)
    }

    /// The fields of a map; none of anything else.
    pub(super) fn fields(&self) -> &[(String, Node)] {
        if let Value::Map(fields) = &self.value { fields } else { &[] }
    }

    /// The entries of a list; none of anything else.
    pub(super) fn entries(&self) -> &[Node] {
        if let Value::List(entries) = &self.value { entries } else { &[] }
    }

    /// A text, or a number or truth value as it would be written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A whole number from 0.
    pub(super) fn number(&self) -> Option<usize> {
        if let Value::Number(digits) = &self.value { digits.parse().ok() } else { None }
    }

    /// Whether the field `key` is true.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| node.value == Value::Bool(true))
    }

    /// Whether the field `key` is there and holds something.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| match &node.value {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Number(_) => true,
            Value::Text(text) => !text.is_empty(),
            Value::List(entries) => !entries.is_empty(),
            Value::Map(fields) => !fields.is_empty(),
        })
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }
}

/// Reads the nodes of one file and collects what is wrong with them.
pub(super) struct Reading<'a> {
    pub(super) source: &'a Source,
    pub(super) faults: Vec<Fault>,
    /// Lines that the other system skips as well.
    pub(super) skipped: Vec<Place>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, faults: Vec::new(), skipped: Vec::new() }
    }

    pub(super) fn place(&self, at: At) -> Place {
        self.source.place(at)
    }

    pub(super) fn fault(&mut self, at: At, reason: impl Into<String>) {
        self.faults.push(Fault { place: self.place(at), reason: reason.into() });
    }

    /// The entries of the list `key`; none where the key is missing or null.
    pub(super) fn list<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Node] {
        let Some(list) = node.get(key) else { return &[] };
        if !matches!(list.value, Value::List(_)) {
            self.fault(list.at, format!("{key:?} is {}, and must be a list", list.kind()));
        }
        list.entries()
    }

    /// The text `key`, which must be there and show something.
    pub(super) fn text<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        let Some(field) = node.get(key) else {
            let kind = node.kind();
            let reason = if matches!(node.value, Value::Map(_)) {
                format!("{key:?} is missing; name it or drop the entry")
            } else {
                format!("this is {kind}, and must be an object with {key:?}")
            };
            self.fault(node.at, reason);
            return None;
        };
        match field.text() {
            Some(text) if !text.trim().is_empty() => Some(text),
            Some(_) => {
                self.fault(field.at, format!("{key:?} is empty; fill it or drop the entry"));
                None
            }
            None => {
                self.fault(field.at, format!("{key:?} is {}, and must be a text", field.kind()));
                None
            }
        }
    }
}
