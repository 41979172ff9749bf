//! Where one more example goes, by the positions that the parser gives, and how it is written there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::EditError;
use super::quote::{Style, scalar};
use crate::intent::knowledge::Lang;

/// One piece of text and the byte before which it goes.
pub(super) struct Insertion {
    pub(super) at: usize,
    pub(super) text: String,
}

/// A topic file, reduced to what has places.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    intents: Option<Vec<Spanned<IntentShape>>>,
}

#[derive(Deserialize)]
struct IntentShape {
    id: Spanned<String>,
    #[serde(default)]
    examples: Option<Spanned<BTreeMap<Lang, Sentences>>>,
}

type Sentences = Spanned<Option<Vec<Spanned<String>>>>;

/// A file with the example that it is to get.
struct Edit<'a> {
    text: &'a str,
    lang: Lang,
    example: &'a str,
}

/// Where `example` goes, as the last one of its language in the intent number `at`.
pub(super) fn insertion(
    text: &str,
    at: usize,
    lang: Lang,
    example: &str,
) -> Result<Insertion, EditError> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| EditError::Faulty {
        line: error.location().map_or(1, |at| at.line()),
        reason: error.without_snippet().to_string(),
    })?;
    let intent = file.intents.into_iter().flatten().nth(at);
    let intent = intent.ok_or_else(|| EditError::NoIntent(at.to_string()))?;
    Edit { text, lang, example }.in_intent(&intent)
}

impl Edit<'_> {
    fn in_intent(&self, intent: &Spanned<IntentShape>) -> Result<Insertion, EditError> {
        let shape = &intent.value;
        let Some(examples) = &shape.examples else {
            return self.first_examples(intent);
        };
        self.own(examples)?;
        match examples.value.get(&self.lang) {
            Some(sentences) => self.in_sentences(sentences),
            None => self.first_of_language(examples),
        }
    }

    /// Adds to the list of the language.
    fn in_sentences(&self, sentences: &Sentences) -> Result<Insertion, EditError> {
        self.own(sentences)?;
        let list = offset(&sentences.referenced);
        let items = sentences.value.as_deref().unwrap_or_default();
        let Some(last) = items.iter().max_by_key(|item| offset(&item.referenced)) else {
            if !self.text[list..].starts_with('[') {
                return Err(shape(&sentences.referenced, "the list has no item to stand beside"));
            }
            let item = scalar(self.example, Style::Plain, true);
            return Ok(Insertion { at: list + 1, text: item });
        };
        if self.text[list..].starts_with('[') {
            return Ok(self.in_brackets(items, last));
        }
        let place = offset(&last.referenced);
        let Some(dash) = dash(self.text, place) else {
            return Err(shape(&last.referenced, "the item has no dash on its line"));
        };
        let style = Style::of(&self.text[place..]);
        let written = scalar(self.example, style, false);
        let at = end_of_line(self.text, end(&last.referenced));
        Ok(Insertion { at, text: format!("{}{dash}{written}", self.line_break(at)) })
    }

    /// Adds to a list in brackets that has items.
    fn in_brackets(&self, items: &[Spanned<String>], last: &Spanned<String>) -> Insertion {
        let (start, stop) = (offset(&last.referenced), end(&last.referenced));
        let item = scalar(self.example, Style::of(&self.text[start..]), true);
        let after = skip_blanks(self.text, stop);
        let comma = self.text[after..].starts_with(',');
        let (_, prefix) = line_of(self.text, start);
        if prefix.bytes().all(|byte| byte == b' ') {
            // One item a line: a new line, with the indentation of the last.
            let line_break = self.line_break(stop);
            if comma {
                let at = end_of_line(self.text, after);
                // What follows on the line may be the next bracket.
                let rest = self.text[after + 1..at].trim_start();
                if rest.is_empty() || rest.starts_with('#') {
                    return Insertion { at, text: format!("{line_break}{prefix}{item},") };
                }
            } else if self.text[stop..].trim_start_matches(' ').starts_with('#') {
                // The comment belongs to the last item, so the new one goes before it.
                return Insertion { at: start, text: format!("{item},{line_break}{prefix}") };
            } else {
                return Insertion { at: stop, text: format!(",{line_break}{prefix}{item}") };
            }
        }
        let tight = items.len() > 1 && self.text[..start].ends_with(',');
        let space = if tight { "" } else { " " };
        if comma {
            Insertion { at: after + 1, text: format!("{space}{item},") }
        } else {
            Insertion { at: stop, text: format!(",{space}{item}") }
        }
    }

    /// Adds the key of a language that has no examples yet, after those that have.
    fn first_of_language(
        &self,
        examples: &Spanned<BTreeMap<Lang, Sentences>>,
    ) -> Result<Insertion, EditError> {
        let (text, lang) = (self.text, self.lang);
        let map = offset(&examples.referenced);
        let item = scalar(self.example, Style::Plain, true);
        if examples.value.is_empty() {
            return if text[map..].starts_with('{') {
                Ok(Insertion { at: map + 1, text: format!("{lang}: [{item}]") })
            } else {
                Err(shape(&examples.referenced, "`examples` is empty; write `{}` there"))
            };
        }
        let last = examples.value.values().max_by_key(|list| offset(&list.referenced));
        let last = last.expect("the map is not empty");
        if text[map..].starts_with('{') {
            let stop = self.end_of_list(last);
            let quote = if text[map + 1..].trim_start().starts_with('"') { "\"" } else { "" };
            let item =
                if quote.is_empty() { item } else { scalar(self.example, Style::Double, true) };
            let key = format!("{quote}{lang}{quote}: [{item}]");
            let after = skip_blanks(text, stop);
            return Ok(if text[after..].starts_with(',') {
                Insertion { at: after + 1, text: format!(" {key},") }
            } else {
                Insertion { at: stop, text: format!(", {key}") }
            });
        }
        let (_, indent) = line_of(text, map);
        if !indent.bytes().all(|byte| byte == b' ') {
            return Err(shape(&examples.referenced, "`examples` begins amid a line"));
        }
        let at = end_of_line(text, self.end_of_list(last));
        let line_break = self.line_break(at);
        let in_brackets = text[offset(&last.referenced)..].starts_with('[');
        let sibling = last.value.as_deref().and_then(<[_]>::last).filter(|_| !in_brackets);
        if let Some(dash) = sibling.and_then(|item| dash(text, offset(&item.referenced))) {
            let item = scalar(self.example, Style::Plain, false);
            let lines = format!("{line_break}{indent}{lang}:{line_break}{dash}{item}");
            return Ok(Insertion { at, text: lines });
        }
        Ok(Insertion { at, text: format!("{line_break}{indent}{lang}: [{item}]") })
    }

    /// Adds `examples` to an intent that has none.
    fn first_examples(&self, intent: &Spanned<IntentShape>) -> Result<Insertion, EditError> {
        let (text, lang) = (self.text, self.lang);
        let map = offset(&intent.referenced);
        self.own(intent)?;
        if text[map..].starts_with('{') {
            let id = &intent.value.id.referenced;
            let (quote, style) = match Style::of(&text[offset(id)..]) {
                Style::Double => ("\"", Style::Double),
                Style::Plain | Style::Single => ("", Style::Plain),
            };
            let item = scalar(self.example, style, true);
            let list = format!("{{{quote}{lang}{quote}: [{item}]}}");
            let key = format!(", {quote}examples{quote}: {list}");
            return Ok(Insertion { at: end(id), text: key });
        }
        let (first, before) = line_of(text, map);
        let column = before.len();
        let (mut at, mut last) = (first, map);
        for line in text[first..].split_inclusive('\n') {
            let written = line.trim();
            let indent = line.len() - line.trim_start_matches(' ').len();
            if !written.is_empty() && !written.starts_with('#') {
                if at > first && indent < column {
                    break;
                }
                last = at + line.trim_end().len();
            }
            at += line.len();
        }
        let at = end_of_line(text, last);
        let (line_break, indent) = (self.line_break(at), " ".repeat(column));
        let item = scalar(self.example, Style::Plain, false);
        let lines = format!(
            "{line_break}{indent}examples:{line_break}{indent}  {lang}:{line_break}{indent}    - {item}"
        );
        Ok(Insertion { at, text: lines })
    }

    /// Refuses what another place of the file defines: adding there would change both.
    fn own<T>(&self, value: &Spanned<T>) -> Result<(), EditError> {
        if value.referenced != value.defined {
            let reason = "it is an alias or comes from a merge key";
            return Err(shape(&value.referenced, reason));
        }
        Ok(())
    }

    /// One past the last byte of a list.
    fn end_of_list(&self, list: &Sentences) -> usize {
        let items = list.value.as_deref().unwrap_or_default();
        let begin = offset(&list.referenced);
        if list.referenced != list.defined {
            return end(&list.referenced);
        }
        let last = items.iter().map(|item| end(&item.referenced)).max();
        if !self.text[begin..].starts_with('[') {
            return last.unwrap_or(begin);
        }
        let mut at = skip_blanks(self.text, last.unwrap_or(begin + 1));
        if self.text[at..].starts_with(',') {
            at = skip_blanks(self.text, at + 1);
        }
        if self.text[at..].starts_with(']') { at + 1 } else { at }
    }

    /// The line break that the line around `at` ends with, else the file's first one.
    fn line_break(&self, at: usize) -> &'static str {
        let from = |text: &str| {
            let end = text.find('\n')?;
            Some(if text[..end].ends_with('\r') { "\r\n" } else { "\n" })
        };
        from(&self.text[at..]).or_else(|| from(self.text)).unwrap_or("\n")
    }
}

fn shape(at: &Location, reason: &'static str) -> EditError {
    EditError::Shape { line: at.line(), reason }
}

fn offset(at: &Location) -> usize {
    at.span().byte_offset().map_or(0, |at| at as usize)
}

fn end(at: &Location) -> usize {
    offset(at) + at.span().byte_len().map_or(0, |length| length as usize)
}

/// Start of the line of `at`, and what stands before `at` on it.
fn line_of(text: &str, at: usize) -> (usize, &str) {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    (start, &text[start..at])
}

/// The indentation, the dash and the spaces before the item of a block list at `at`. A block scalar
/// begins on the line after its dash.
fn dash(text: &str, at: usize) -> Option<&str> {
    let (start, mut before) = line_of(text, at);
    if before.trim().is_empty() {
        let above = text[..start].trim_end();
        before = line_of(above, above.len()).1;
    }
    let indent = before.len() - before.trim_start_matches(' ').len();
    let after = before[indent..].strip_prefix('-')?;
    let spaces = after.len() - after.trim_start_matches(' ').len();
    (spaces > 0).then(|| &before[..indent + 1 + spaces])
}

/// The end of the line on which the text before `at` ends, before its line break. A block scalar
/// reaches into the line after it; that does not count.
fn end_of_line(text: &str, at: usize) -> usize {
    let at = text[..at].trim_end().len();
    let line = &text[at..];
    let line = &line[..line.find('\n').unwrap_or(line.len())];
    at + line.strip_suffix('\r').unwrap_or(line).len()
}

/// The first byte from `at` that is no space, line break or comment.
fn skip_blanks(text: &str, at: usize) -> usize {
    let mut rest = &text[at..];
    loop {
        rest = rest.trim_start();
        let Some(comment) = rest.strip_prefix('#') else { break };
        rest = comment.find('\n').map_or("", |end| &comment[end..]);
    }
    text.len() - rest.len()
}
