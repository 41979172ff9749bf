//! Reads an answer to a question: after “your order number?” a short number is one.
//!
//! In any message `774310` may be anything, so the finders leave it. Slot filling knows what it
//! asked for, and asks here when the finders found nothing of that kind.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{Candidate, Entity, Rank, amount, compile, in_original, order, resolve};
use crate::intent::keyword::trim_punctuation;
use crate::intent::knowledge::EntityKind;
use crate::intent::normalize::normalize;

/// Letters and digits that may stand around the value: “应该是774310吧”, “it's 774310 I think”. With
/// more of them it is a sentence, and its numbers are other numbers.
const MAX_AROUND: usize = 12;

/// A word with a digit.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| compile("(?-u:\\b)[a-z0-9.,-]{0,40}[0-9][a-z0-9.,-]{0,40}"));

/// Fewest digits of an order number that was asked for.
const MIN_DIGITS: usize = 5;

/// The value of `kind` in an answer to the question for it, where `found` has none. Only of the
/// kinds that a question makes clear: `order_number` and `amount`.
pub fn answer_to(kind: &EntityKind, original: &str, found: &[Entity]) -> Option<Entity> {
    let text = normalize(original);
    let normal = text.text();
    let word = WORD.find(normal)?.range();
    let candidate = match kind {
        EntityKind::OrderNumber => code(normal, word)?,
        EntityKind::Amount => price(normal, word.start)?,
        _ => return None,
    };
    let value = &normal[candidate.span.clone()];
    let alone = trim_punctuation(normal) == value;
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    if letters(normal) - letters(value) > MAX_AROUND {
        return None;
    }
    let one = in_original(original, resolve(&text, vec![candidate])).into_iter().next()?;
    let other = found.iter().any(|other| other.start < one.end && one.start < other.end);
    (alone || !other).then_some(one)
}

fn code(normal: &str, word: Range<usize>) -> Option<Candidate> {
    let code = normal[word.clone()].trim_end_matches(['.', ',', '-']);
    let digits = code.bytes().filter(u8::is_ascii_digit).count();
    let other = code.contains(['.', ',']) || order::is_date(code);
    let span = word.start..word.start + code.len();
    (digits >= MIN_DIGITS && !other).then(|| {
        let value = code.to_uppercase();
        Candidate::builtin(EntityKind::OrderNumber, Rank::SureOrder, span, value)
    })
}

/// As after “amount”, which nobody wrote.
fn price(normal: &str, at: usize) -> Option<Candidate> {
    const ANNOUNCE: &str = "amount ";
    let mut candidates = Vec::new();
    amount::amounts(&format!("{ANNOUNCE}{}", &normal[at..]), &mut candidates);
    let one = candidates.into_iter().find(|one| one.span.start == ANNOUNCE.len())?;
    let span = at..one.span.end - ANNOUNCE.len() + at;
    Some(Candidate { span, ..one })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::entity::Extractor;
    use crate::intent::knowledge::KnowledgeBase;

    #[test]
    fn what_was_asked_for_makes_numbers_clear() {
        let extractor = Extractor::new(&KnowledgeBase::default()).unwrap();
        for (kind, text, expected) in [
            ("order_number", "774310", Some(("774310", "774310"))),
            ("order_number", "应该是774310吧", Some(("774310", "774310"))),
            ("order_number", "it's kf-77431 i think", Some(("kf-77431", "KF-77431"))),
            ("order_number", "７７４３１０", Some(("７７４３１０", "774310"))),
            ("order_number", "13812345678", Some(("13812345678", "13812345678"))),
            ("order_number", "我的手机是13812345678", None),
            ("order_number", "2026-11-05", None),
            ("order_number", "I bought 774310 things from your competitor", None),
            ("order_number", "#55310.", Some(("55310", "55310"))),
            ("order_number", "2024年买的那单", None),
            ("order_number", "1234", None),
            ("order_number", "没有", None),
            ("amount", "350", Some(("350", "350.00"))),
            ("amount", "一共350", Some(("350", "350.00"))),
            ("amount", "1,299.5", Some(("1,299.5", "1299.50"))),
            ("amount", "3个", None),
            ("phone", "774310", None),
        ] {
            let kind = EntityKind::from(kind.to_owned());
            let found = extractor.extract(text, &normalize(text));
            let answer = answer_to(&kind, text, &found);
            let told = answer.as_ref().map(|one| (one.text.as_str(), one.value.as_str()));
            assert_eq!(told, expected, "{text}");
            if let Some(one) = answer {
                let chars: String =
                    text.chars().skip(one.start).take(one.end - one.start).collect();
                assert_eq!(chars, one.text, "{text}");
                assert_eq!(one.kind, kind, "{text}");
            }
        }
    }
}
