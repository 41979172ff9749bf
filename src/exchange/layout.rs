//! How an imported knowledge base lies in files: one a topic, the entities in one of their own, and
//! the out-of-scope sentences as rows.

use std::collections::HashSet;

use super::{Imported, OUT_OF_SCOPE_FILE, ids, rows};
use crate::intent::knowledge::{EntityDefinition, EntityRule, Intent};
use crate::knowledge::write;

/// Sentences and values that one file of ours may hold; a larger one is split, since what reads
/// YAML has its limits. An intent stays in one file.
const MAX_FILE_ENTRIES: usize = 50_000;
impl Imported {
    /// The files of the knowledge base by name: `*.yaml`, and out-of-scope sentences as rows.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut names = Names::default();
        let entities = self.entity_files(&mut names);
        let mut files = Vec::new();
        let distinct: HashSet<&String> = self.topics.iter().collect();
        let mut grouped: Vec<(&str, Vec<&Intent>)> = Vec::new();
        for (intent, topic) in self.knowledge.intents.iter().zip(&self.topics) {
            let topic = if distinct.len() > 1 { topic.as_str() } else { "imported" };
            match grouped.iter_mut().find(|(known, _)| *known == topic) {
                Some((_, intents)) => intents.push(intent),
                None => grouped.push((topic, vec![intent])),
            }
        }
        for (topic, intents) in grouped {
            for part in parts(&intents, |intent| 1 + intent.examples.len()) {
                let name = names.free(topic);
                files.push((format!("{name}.yaml"), write::file(topic, part.iter().copied(), &[])));
            }
        }
        files.extend(entities);
        if !self.out_of_scope.is_empty() {
            let rows = self.out_of_scope.iter().map(|(text, lang)| rows::line(text, "oos", *lang));
            files.push((OUT_OF_SCOPE_FILE.to_owned(), rows.collect()));
        }
        files
    }

    fn entity_files(&self, names: &mut Names) -> Vec<(String, String)> {
        let size = |entity: &EntityDefinition| match &entity.rule {
            EntityRule::Values(values) => values.iter().map(|one| 2 + one.synonyms.len()).sum(),
            EntityRule::Pattern(_) => 1,
        };
        let file = |part: &[EntityDefinition]| {
            let name = names.free("entities");
            (format!("{name}.yaml"), write::file("entities", [], part))
        };
        parts(&self.knowledge.entities, size).into_iter().map(file).collect()
    }
}

/// Consecutive parts that fit into a file each.
fn parts<T>(all: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut start, mut filled) = (Vec::new(), 0, 0);
    for (at, one) in all.iter().enumerate() {
        let size = size(one);
        if filled > 0 && filled + size > MAX_FILE_ENTRIES {
            parts.push(&all[start..at]);
            (start, filled) = (at, 0);
        }
        filled += size;
    }
    if start < all.len() {
        parts.push(&all[start..]);
    }
    parts
}

/// File names that are given out once.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn free(&mut self, topic: &str) -> String {
        let plain = ids::one(topic, "topic").replace('/', "_");
        let mut numbered = (2..).map(|number| format!("{plain}_{number}"));
        let first = std::iter::once(plain.clone());
        first.chain(&mut numbered).find(|name| self.0.insert(name.clone())).expect("no end")
    }
}
