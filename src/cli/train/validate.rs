//! `train-intents validate`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{KnowledgeArgs, Outcome, Output};
use crate::intent::knowledge::{KnowledgeBase, Lang};
use crate::knowledge::{self, LoadError};
use crate::training::dataset;

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    knowledge: KnowledgeArgs,
}

#[derive(Serialize)]
struct Valid {
    intents: usize,
    examples: BTreeMap<Lang, usize>,
    keyword_rules: usize,
    out_of_scope: usize,
}

pub(super) fn run(args: &ValidateArgs, out: &mut Output) -> anyhow::Result<Outcome> {
    let mut knowledge = match knowledge::load(&args.knowledge.intents) {
        Ok(knowledge) => knowledge,
        Err(LoadError::Findings(findings)) => {
            for finding in &findings {
                out.write(finding, ToString::to_string)?;
            }
            bail!("{} findings in {}", findings.len(), args.knowledge.intents.display());
        }
        Err(error) => return Err(error.into()),
    };
    let out_of_scope = dataset::supplement(&args.knowledge.training_data, &mut knowledge)?.len();
    let valid = Valid {
        intents: knowledge.intents.len(),
        examples: by_language(&knowledge),
        keyword_rules: knowledge.intents.iter().map(|intent| intent.keywords.len()).sum(),
        out_of_scope,
    };
    out.write(&valid, |v| {
        let examples: Vec<String> =
            v.examples.iter().map(|(lang, count)| format!("{count} {lang}")).collect();
        format!(
            "fine: {} intents, {} examples, {} keyword rules, {} out-of-scope sentences",
            v.intents,
            examples.join(" + "),
            v.keyword_rules,
            v.out_of_scope
        )
    })?;
    Ok(Outcome::Done)
}

fn by_language(knowledge: &KnowledgeBase) -> BTreeMap<Lang, usize> {
    let mut counts = BTreeMap::new();
    for (_, example) in knowledge.examples() {
        *counts.entry(example.lang).or_default() += 1;
    }
    counts
}
