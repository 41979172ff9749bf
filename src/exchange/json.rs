//! JSON with places (RFC 8259). The structure is read here; strings and numbers are `serde_json`'s.

use super::node::{At, Node, Value};

/// Deeper files are nobody's export.
const MAX_DEPTH: usize = 100;

/// Reads one value that is the whole text, whose first line is line `line` of its file.
///
/// # Errors
/// Where it breaks off, and why.
pub(super) fn parse(text: &str, line: u64) -> Result<Node, (At, String)> {
    let mut reader = Reader { text, at: 0, line, column_of: (0, 1) };
    reader.skip_space();
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.fault("there is more after the end of the JSON value; drop it"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    line: u64,
    /// A byte of this line and its column, so that long lines are counted once.
    column_of: (usize, u64),
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn here(&mut self) -> At {
        let (from, column) = self.column_of;
        let passed = self.text[from..self.at].chars().count() as u64;
        self.column_of = (self.at, column + passed);
        At { line: self.line, column: column + passed }
    }

    fn fault(&mut self, reason: &str) -> (At, String) {
        (self.here(), reason.to_owned())
    }

    fn unexpected(&mut self, wanted: &str) -> (At, String) {
        let reason = match self.text[self.at..].chars().next() {
            None => format!("the file ends here, {wanted} is missing; export it again"),
            Some(c) => format!("{c:?} stands where {wanted} is expected; this is no JSON"),
        };
        (self.here(), reason)
    }

    fn skip_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.at += 1;
            if byte == b'\n' {
                self.line += 1;
                self.column_of = (self.at, 1);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, (At, String)> {
        let at = self.here();
        if depth > MAX_DEPTH {
            return Err(self.fault("the JSON is nested too deep; this is no export"));
        }
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            _ => self.word()?,
        };
        Ok(Node { value, at })
    }

    fn map(&mut self, depth: usize) -> Result<Value, (At, String)> {
        let mut fields = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("':'"));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            fields.push((key, value));
            if self.ends(b'}', "',' or '}'")? {
                return Ok(Value::Map(fields));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, (At, String)> {
        let mut entries = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(entries));
        }
        loop {
            entries.push(self.value(depth + 1)?);
            if self.ends(b']', "',' or ']'")? {
                return Ok(Value::List(entries));
            }
        }
    }

    /// After an entry: true at the end, false when another one follows.
    fn ends(&mut self, end: u8, wanted: &str) -> Result<bool, (At, String)> {
        self.skip_space();
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(false)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn string(&mut self) -> Result<String, (At, String)> {
        let at = self.here();
        let rest = &self.text.as_bytes()[self.at..];
        let mut end = 1;
        while let Some(&byte) = rest.get(end) {
            match byte {
                b'"' => {
                    let literal = &self.text[self.at..=self.at + end];
                    self.at += end + 1;
                    return serde_json::from_str(literal).map_err(|error| {
                        (at, format!("the string is malformed: {}", plain(&error)))
                    });
                }
                b'\\' => end += 2,
                b'\n' => break,
                _ => end += 1,
            }
        }
        Err((at, "the string is never closed; end it with a quote".to_owned()))
    }

    fn word(&mut self) -> Result<Value, (At, String)> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => {
                Value::Number(word.to_owned())
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.at += word.len();
        Ok(value)
    }
}

/// The message without the place within the string.
fn plain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_json(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(digits) => serde_json::from_str(digits).unwrap(),
            Value::Text(text) => text.as_str().into(),
            Value::List(entries) => entries.iter().map(to_json).collect(),
            Value::Map(fields) => {
                fields.iter().map(|(key, value)| (key.clone(), to_json(value))).collect()
            }
        }
    }

    #[test]
    fn places_are_those_of_the_values() {
        let node = parse("{\n \"甲\": [1, \"\\ud83d\\udc4d\"],\n \"b\": {}}", 5).unwrap();
        let list = node.get("甲").unwrap();
        assert_eq!(list.at, At { line: 6, column: 7 });
        assert_eq!(list.entries()[1].at, At { line: 6, column: 11 });
        assert_eq!(list.entries()[1].text(), Some("👍"));
        assert_eq!(node.get("b").unwrap().at, At { line: 7, column: 7 });
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_breaks() {
        for (name, text, line, column, wanted) in [
            ("empty", "", 1, 1, "the file ends here"),
            ("cut in a list", "{\"a\": [1,\n 2", 2, 3, "',' or ']' is missing"),
            ("cut in a string", "[\"ab", 1, 2, "never closed"),
            ("a line in a string", "[\"a\nb\"]", 1, 2, "never closed"),
            ("no quotes", "{a: 1}", 1, 2, "a key in quotes"),
            ("no colon", "{\"a\" 1}", 1, 6, "':' is expected"),
            ("a comma too many", "[1,]", 1, 4, "a value"),
            ("bad escape", "[\"\\x\"]", 1, 2, "invalid escape"),
            ("lone surrogate", "[\"\\ud83d\"]", 1, 2, "malformed"),
            ("bad number", "[01]", 1, 2, "a value"),
            ("two values", "{} {}", 1, 4, "more after the end"),
            ("an escape at the end", "[\"\\", 1, 2, "never closed"),
        ] {
            let (at, reason) = parse(text, 1).expect_err(name);
            assert_eq!((at.line, at.column), (line, column), "{name}: {reason}");
            assert!(reason.contains(wanted), "{name}: {reason}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep, 1).unwrap_err().1.contains("too deep"));
    }

    proptest! {
        #[test]
        fn it_takes_what_serde_json_takes(text in "[\\[\\]{}\":, 0-9a-eu\\\\.+\n好-]{0,16}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match parse(&text, 1) {
                Ok(node) => prop_assert_eq!(to_json(&node), theirs.unwrap()),
                Err(_) => prop_assert!(theirs.is_err(), "{:?}", theirs),
            }
        }
    }
}
