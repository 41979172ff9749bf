//! Entities of other systems as definitions of ours: one meaning for each spelling, patterns that
//! our engine takes.

use std::collections::HashMap;

use super::draft::{DraftEntity, DraftValue};
use super::ids;
use super::report::{Renamed, Report};
use crate::intent::entity::check_pattern;
use crate::intent::knowledge::{EntityDefinition, EntityKind, EntityRule, EntityValue};
use crate::intent::normalize::normalize;
use crate::knowledge::Place;

/// Definitions, and the kind that each foreign name became.
pub(super) struct Definitions {
    pub(super) entities: Vec<EntityDefinition>,
    pub(super) kinds: HashMap<String, EntityKind>,
}

/// Makes the definitions; what does not fit goes into the report.
pub(super) fn define(drafts: Vec<DraftEntity>, report: &mut Report) -> Definitions {
    let built_in = EntityKind::BUILT_IN.map(|kind| kind.name().to_owned());
    let mut kinds = HashMap::new();
    let mut rules = Vec::new();
    for draft in drafts {
        let is_defined = !draft.values.is_empty() || !draft.patterns.is_empty();
        let plain = ids::one(&draft.name, "entity");
        if !is_defined && built_in.contains(&plain) {
            for seen in &draft.seen {
                report.leave(
                    format!("marked values of the entity {:?}", draft.name),
                    Some(&seen.place),
                    format!("{plain} is built in and finds its values by itself"),
                    "nothing, or define it under another name",
                );
            }
            kinds.insert(draft.name, EntityKind::from(plain));
        } else if let Some(rule) = rule(&draft, report) {
            rules.push((draft.name, rule));
        } else if draft.seen.is_empty() {
            report.leave(
                format!("the entity {:?}", draft.name),
                Some(&draft.place),
                "it has neither values nor a pattern that kefu takes",
                "list its values under entities, or write a pattern",
            );
        }
    }
    let names: Vec<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    let ids = ids::all(&names, "entity", &built_in.each_ref().map(String::as_str));
    let mut entities = Vec::new();
    for ((name, rule), id) in rules.into_iter().zip(ids) {
        if id != name {
            report.renamed.push(Renamed { kind: "entity", from: name.clone(), to: id.clone() });
        }
        kinds.insert(name, EntityKind::Custom(id.clone()));
        entities.push(EntityDefinition { name: id, rule });
    }
    Definitions { entities, kinds }
}

/// A dictionary, where the entity has listed values; else its pattern; else what was marked.
fn rule(draft: &DraftEntity, report: &mut Report) -> Option<EntityRule> {
    let what = |part: &str| format!("{part} of the entity {:?}", draft.name);
    let pattern = pattern(draft, report);
    if draft.values.is_empty()
        && let Some(pattern) = pattern
    {
        for seen in &draft.seen {
            report.leave(
                what("marked values"),
                Some(&seen.place),
                "the entity has a pattern, and a kefu entity has a pattern or values",
                "check that the pattern finds them",
            );
        }
        return Some(EntityRule::Pattern(pattern));
    }
    if let Some((_, place)) = draft.patterns.first()
        && !draft.values.is_empty()
    {
        report.leave(
            what("patterns"),
            Some(place),
            "the entity has values, and a kefu entity has a pattern or values",
            "define a second entity with the pattern",
        );
    }
    let mut dictionary = Dictionary::default();
    let listed = draft.values.iter();
    // What is listed decides what a spelling means, wherever the mark-up stood.
    listed.clone().for_each(|one| dictionary.value(&one.value));
    for one in listed.chain(&draft.seen) {
        dictionary.add(one, &draft.name, report);
    }
    let values = dictionary.values;
    (!values.is_empty()).then_some(EntityRule::Values(values))
}

/// All patterns that our engine takes, as one.
fn pattern(draft: &DraftEntity, report: &mut Report) -> Option<String> {
    let mut taken: Vec<&str> = Vec::new();
    for (pattern, place) in &draft.patterns {
        match check_pattern(pattern) {
            Ok(()) if !taken.contains(&pattern.as_str()) => taken.push(pattern),
            Ok(()) => {}
            Err(error) => refuse(report, draft, (place, pattern), &error),
        }
    }
    let joined = match taken[..] {
        [] => return None,
        [one] => one.to_owned(),
        _ => taken.iter().map(|one| format!("(?:{one})")).collect::<Vec<_>>().join("|"),
    };
    let blind =
        joined.chars().find(|c| !c.is_ascii() && normalize(&c.to_string()).text() != c.to_string());
    if let Some(blind) = blind {
        report.leave(
            format!("the character {blind:?} in the pattern of the entity {:?}", draft.name),
            Some(&draft.patterns[0].1),
            "patterns see normalised text, in which it does not occur",
            "write it half-width, in lower case and simplified",
        );
    }
    if let Err(error) = check_pattern(&joined) {
        refuse(report, draft, (&draft.patterns[0].1, &joined), &error);
        return None;
    }
    Some(joined)
}

fn refuse(report: &mut Report, draft: &DraftEntity, (place, pattern): (&Place, &str), error: &str) {
    report.leave(
        format!("the pattern {pattern:?} of the entity {:?}", draft.name),
        Some(place),
        format!("the engine does not take it: {error}"),
        "write it without look-around and back-references",
    );
}

/// Values under construction: each normalised spelling has one meaning.
#[derive(Default)]
struct Dictionary {
    values: Vec<EntityValue>,
    meaning: HashMap<String, usize>,
}

impl Dictionary {
    /// A value; nothing where there is one of this spelling already, or where it shows nothing.
    fn value(&mut self, value: &str) {
        let normal = normalize(value).text().to_owned();
        if normal.is_empty() {
            return;
        }
        let next = self.values.len();
        if *self.meaning.entry(normal).or_insert(next) == next {
            self.values.push(EntityValue { value: value.to_owned(), synonyms: Vec::new() });
        }
    }

    fn add(&mut self, draft: &DraftValue, entity: &str, report: &mut Report) {
        self.value(&draft.value);
        let Some(&means) = self.meaning.get(normalize(&draft.value).text()) else {
            report.leave(
                format!("values of the entity {entity:?}"),
                Some(&draft.place),
                "nothing of them can be seen",
                "nothing, or write them",
            );
            return;
        };
        for synonym in &draft.synonyms {
            let normal = normalize(synonym).text().to_owned();
            if normal.is_empty() {
                continue;
            }
            match self.meaning.get(&normal) {
                None => {
                    self.meaning.insert(normal, means);
                    self.values[means].synonyms.push(synonym.clone());
                }
                Some(&other) if other == means => {}
                Some(&other) => report.leave(
                    format!(
                        "the spelling {synonym:?} of {:?} in the entity {entity:?}",
                        draft.value
                    ),
                    Some(&draft.place),
                    format!("it means {:?} already", self.values[other].value),
                    "drop it from one of the two",
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Format;

    /// An entity from `value=spelling,spelling` rows, patterns and marked texts.
    fn entity(name: &str, values: &[&str], patterns: &[&str], seen: &[&str]) -> DraftEntity {
        let place = Place { file: "a".into(), line: 1, column: 1 };
        let value = |row: &&str| {
            let (value, spellings) = row.split_once('=').unwrap_or((row, ""));
            let synonyms = spellings.split_terminator(',').map(str::to_owned).collect();
            DraftValue { value: value.to_owned(), synonyms, place: place.clone() }
        };
        DraftEntity {
            name: name.to_owned(),
            values: values.iter().map(value).collect(),
            patterns: patterns.iter().map(|one| ((*one).to_owned(), place.clone())).collect(),
            seen: seen.iter().map(value).collect(),
            place: place.clone(),
        }
    }

    /// Each row: what comes in, the rule as text, and what is left out.
    #[test]
    fn entities_become_what_the_engine_takes() {
        for (name, draft, expected, left) in [
            ("merged", entity("e", &["a=b", "A=c"], &[], &["B"]), "e: a=b,c", vec![]),
            (
                "two meanings",
                entity("e", &["a=x", "b=x"], &[], &[]),
                "e: a=x b=",
                vec!["the spelling \"x\" of \"b\" in the entity \"e\""],
            ),
            (
                "listed later",
                entity("e", &["a=b", "b"], &[], &[]),
                "e: a= b=",
                vec!["the spelling \"b\" of \"a\" in the entity \"e\""],
            ),
            ("marked", entity("e", &[], &[], &["a", "b=c"]), "e: a= b=c", vec![]),
            (
                "pattern",
                entity("e", &[], &["x[0-9]"], &["a"]),
                "e: /x[0-9]/",
                vec!["marked values of the entity \"e\""],
            ),
            ("patterns", entity("e", &[], &["x", "y", "x"], &[]), "e: /(?:x)|(?:y)/", vec![]),
            (
                "both",
                entity("e", &["a"], &["x"], &[]),
                "e: a=",
                vec!["patterns of the entity \"e\""],
            ),
            (
                "look-around",
                entity("e", &[], &["(?=x)"], &["a"]),
                "e: a=",
                vec!["the pattern \"(?=x)\" of the entity \"e\""],
            ),
            (
                "full-width",
                entity("e", &[], &["号：x"], &[]),
                "e: /号：x/",
                vec!["the character '：' in the pattern of the entity \"e\""],
            ),
            ("nothing", entity("e", &[], &[], &[]), "", vec!["the entity \"e\""]),
            (
                "invisible",
                entity("e", &[" "], &[], &[]),
                "",
                vec!["values of the entity \"e\"", "the entity \"e\""],
            ),
            (
                "built in",
                entity("Date", &[], &[], &["friday"]),
                "",
                vec!["marked values of the entity \"Date\""],
            ),
            (
                "called like a built-in one",
                entity("Phone", &["iphone"], &[], &[]),
                "phone_2: iphone=",
                vec![],
            ),
        ] {
            let mut report = Report::new(Format::Rasa);
            let made = define(vec![draft], &mut report).entities;
            let value = |one: &EntityValue| format!("{}={}", one.value, one.synonyms.join(","));
            let rule = |rule: &EntityRule| match rule {
                EntityRule::Pattern(pattern) => format!("/{pattern}/"),
                EntityRule::Values(values) => {
                    values.iter().map(value).collect::<Vec<_>>().join(" ")
                }
            };
            let said: Vec<String> =
                made.iter().map(|one| format!("{}: {}", one.name, rule(&one.rule))).collect();
            assert_eq!(said.join(" "), expected, "{name}");
            let found: Vec<&str> = report.left_out.iter().map(|one| one.what.as_str()).collect();
            assert_eq!(found, left, "{name}");
        }
    }
}
