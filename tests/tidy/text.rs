//! Rust files as text: where comments, literals and test code stand, and where names do.
//!
//! No parser: enough to see what a file names, and blind to what macros make of it.

#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// A Rust file in three views of equal length: as it is, without comments and literals, and that
/// without test code.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) raw: Vec<char>,
    pub(crate) code: Vec<char>,
    pub(crate) shipped: Vec<char>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let raw: Vec<char> = text.chars().collect();
        let code = without_literals(&raw);
        let mut shipped = code.clone();
        for (start, end) in test_ranges(&code) {
            blank(&mut shipped, start, end);
        }
        Self { path: path.to_owned(), raw, code, shipped }
    }

    /// The path below `src/`; none for tests and benchmarks.
    pub(crate) fn in_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }

    /// The first segment of the path below `src/`.
    pub(crate) fn module(&self) -> Option<&str> {
        let first = self.in_src()?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    pub(crate) fn finding(&self, at: usize, message: String) -> Finding {
        let line = 1 + self.raw[..at].iter().filter(|c| **c == '\n').count();
        Finding { path: self.path.clone(), line, message }
    }

    /// Files of modules that are declared under `#[cfg(test)]` here.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs")) => folder,
            _ => self.path.strip_suffix(".rs").unwrap_or(&self.path),
        };
        let declared = |&(start, end): &(usize, usize)| {
            let item: String = self.code[start..end].iter().collect();
            let name = item.strip_suffix(';')?.split("mod ").nth(1)?.trim().to_owned();
            Some(format!("{folder}/{name}.rs"))
        };
        test_ranges(&self.code).iter().filter_map(declared).collect()
    }
}

/// Where `word` stands, not as a part of a longer name.
pub(crate) fn words(text: &[char], word: &str) -> Vec<usize> {
    let is_name = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let ends_in_name = word.chars().next_back().is_some_and(|c| is_name(Some(&c)));
    let count = word.chars().count();
    let mut found = occurrences(text, word);
    found.retain(|&at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        !(is_name(before) || ends_in_name && is_name(text.get(at + count)))
    });
    found
}

pub(crate) fn occurrences(text: &[char], word: &str) -> Vec<usize> {
    let word: Vec<char> = word.chars().collect();
    if word.is_empty() {
        return vec![];
    }
    (0..text.len()).filter(|&at| text[at..].starts_with(&word)).collect()
}

/// The names behind `root::`, those in `root::{a, b::c}` one by one.
pub(crate) fn heads(code: &[char], root: &str) -> Vec<(usize, String)> {
    let root = format!("{root}::");
    let mut found = Vec::new();
    for start in words(code, &root) {
        let (mut depth, mut name) = (0i32, String::new());
        // Whether the next name is the first of its path.
        let mut first = true;
        for (at, &c) in code.iter().enumerate().skip(start + root.chars().count()) {
            if c.is_alphanumeric() || c == '_' {
                name.push(c);
                continue;
            }
            if !name.is_empty() && first {
                found.push((at - 1, std::mem::take(&mut name)));
                first = false;
            }
            name.clear();
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => first = true,
                _ => {}
            }
            if depth <= 0 {
                break;
            }
        }
        if !name.is_empty() && first {
            found.push((code.len() - 1, name));
        }
    }
    found
}

pub(crate) fn blank(text: &mut [char], start: usize, end: usize) {
    text[start..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
}

/// Comments, strings and characters as spaces.
fn without_literals(raw: &[char]) -> Vec<char> {
    let mut code = raw.to_vec();
    let find = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..raw.len())
            .find(|&at| raw[at..].starts_with(&end))
            .map_or(raw.len(), |at| at + end.len())
    };
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let in_name = at > 0 && (raw[at - 1].is_alphanumeric() || raw[at - 1] == '_');
        let hashes = rest.iter().skip(1).take_while(|c| **c == '#').count();
        let end = if rest.starts_with(&['/', '/']) {
            find(at, "\n").saturating_sub(1).max(at + 1)
        } else if rest.starts_with(&['/', '*']) {
            find(at, "*/")
        } else if rest[0] == 'r'
            && rest.get(1 + hashes) == Some(&'"')
            && (!in_name || raw[at - 1] == 'b')
        {
            find(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes)))
        } else if rest[0] == '"' {
            let mut end = at + 1;
            while end < raw.len() && raw[end] != '"' {
                end += if raw[end] == '\\' { 2 } else { 1 };
            }
            (end + 1).min(raw.len())
        } else if rest.starts_with(&['\'', '\\']) {
            find(at + 3, "'")
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            at + 3
        } else {
            at += 1;
            continue;
        };
        blank(&mut code, at, end);
        at = end;
    }
    code
}

/// What follows each `#[cfg(test)]`: an item with its braces, or up to `;` or `,`.
pub(crate) fn test_ranges(code: &[char]) -> Vec<(usize, usize)> {
    let marker = "#[cfg(test)]";
    let mut ranges = Vec::new();
    for start in occurrences(code, marker) {
        let (mut depth, mut end) = (0i32, code.len());
        for (at, c) in code.iter().enumerate().skip(start + marker.len()) {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if depth < 0 || (depth == 0 && matches!(c, '}' | ';' | ',')) {
                end = if depth < 0 { at } else { at + 1 };
                break;
            }
        }
        ranges.push((start, end));
    }
    ranges
}
