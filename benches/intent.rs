//! Time of the engine without its encoder: normalising, the keyword tier, and the second tier.
//!
//! `cargo bench --bench intent`; `-- normalize`, `-- keyword` or `-- second_tier` runs a part. The
//! goal of the keyword tier: a message in 1 µs among 10,000 keywords.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use kefu::encoder::Embeddings;
use kefu::index::{Index, IndexKind};
use kefu::intent::answer::Thresholds;
use kefu::intent::classifier::{Acceptance, Calibration, Classifier, SIGNALS};
use kefu::intent::engine::Engine;
use kefu::intent::evidence::{Heads, Negatives};
use kefu::intent::head::LinearHead;
use kefu::intent::keyword::{KeywordOutcome, KeywordTier};
use kefu::intent::knowledge::{Example, Intent, KeywordRule, KnowledgeBase, Lang};
use kefu::intent::lexical::Vocabulary;
use kefu::intent::normalize::{Normalized, normalize};
use kefu::intent::whitening::Whitening;

mod common;
use common::{DEFAULT_ENCODER, Random, bundled_model, chinese, encoder, english, han, words};

#[path = "../src/index/synthetic.rs"]
mod synthetic;
use synthetic::{DIMENSION, vectors};

/// Messages that a case goes through, so that no one message stays in the caches.
const MESSAGES: usize = 512;
/// Intents and examples of the made-up model: those of BANKING77.
const INTENTS: usize = 77;
const EXAMPLES: usize = 10_000;

fn normalizing(criterion: &mut Criterion) {
    let mixed = "您好，我的快遞（訂單號 ＫＦ２０２４）還沒到！！Where is my Order No. 12345? ";
    let cases = [
        ("zh_short", "我的快递怎么还没到，能帮我查一下吗？".to_owned()),
        ("en_short", "Where is my order? It should have arrived on Monday.".to_owned()),
        ("en_plain", "where is my order? it should have arrived on monday.".to_owned()),
        (
            "traditional_full_width",
            "我的快遞還沒到，訂單號是ＫＦ２０２４，請幫我查詢！！".to_owned(),
        ),
        ("mixed_2000", mixed.chars().cycle().take(2_000).collect()),
    ];
    for (name, text) in cases {
        normalize(&text);
        criterion.bench_function(&format!("normalize/{name}"), |bencher| {
            bencher.iter(|| normalize(black_box(&text)));
        });
    }
}

fn keyword_tier(criterion: &mut Criterion) {
    for count in [10_000, 100_000] {
        // Built only when the filter lets a case of it run.
        let mut tier = None;
        for (language, message) in
            [("zh", chinese as fn(&mut Random) -> String), ("en", english as _)]
        {
            for hit in [false, true] {
                let kind = if hit { "hit" } else { "miss" };
                let name = format!("keyword/{count}/{language}/{kind}");
                let mut messages = Vec::new();
                criterion.bench_function(&name, |bencher| {
                    let (tier, keywords) = tier.get_or_insert_with(|| many_keywords(count));
                    if messages.is_empty() {
                        messages = keyword_messages(tier, keywords, language, message, hit);
                    }
                    let mut numbers = (0..messages.len()).cycle();
                    bencher.iter(|| {
                        let message = &messages[numbers.next().unwrap()];
                        tier.evaluate(black_box(message))
                    });
                });
            }
        }
    }
}

/// A tier of `count` distinct keywords, half Chinese (2 to 6 characters), half English (a made-up
/// name, or 2 to 3 words), four a rule and a rule in ten that needs two of them; and the keywords
/// of the rules with `any`, by language.
fn many_keywords(count: usize) -> (KeywordTier, [Vec<String>; 2]) {
    let mut random = Random(count as u64);
    let mut seen = std::collections::HashSet::new();
    let mut keywords = [Vec::new(), Vec::new()];
    let mut intents: Vec<Intent> = (0..INTENTS).map(intent).collect();
    for rule in 0..count / 4 {
        let chinese = rule % 2 == 0;
        let mut group = Vec::new();
        while group.len() < 4 {
            let word = if chinese { chinese_keyword(&mut random) } else { name(&mut random) };
            if seen.insert(word.clone()) {
                group.push(word);
            }
        }
        let rule_of = if rule % 10 < 9 {
            keywords[usize::from(!chinese)].extend(group.iter().cloned());
            KeywordRule { any: group, ..KeywordRule::default() }
        } else {
            KeywordRule { any: group.split_off(2), all: group, ..KeywordRule::default() }
        };
        intents[rule % INTENTS].keywords.push(rule_of);
    }
    for number in 0..count / 100 {
        let exact = vec![words(&mut random, 2), han(&mut random, 4)];
        let rule = KeywordRule { exact, ..KeywordRule::default() };
        intents[number % INTENTS].keywords.push(rule);
    }
    (KeywordTier::new(&KnowledgeBase { intents, ..Default::default() }).unwrap(), keywords)
}

fn chinese_keyword(random: &mut Random) -> String {
    // Keywords of two characters are few, and more than these would be in every message.
    let count = if random.within(0, 20) == 0 { 2 } else { random.within(3, 7) };
    han(random, count)
}

fn name(random: &mut Random) -> String {
    if random.within(0, 2) == 0 {
        let count = random.within(2, 4);
        return words(random, count);
    }
    let syllables = ["ka", "ro", "mi", "te", "lu", "sen", "dor", "vex", "pan", "qui"];
    let count = random.within(2, 5);
    let name: String = (0..count).map(|_| syllables[random.within(0, 10)]).collect();
    format!("{name} {}", random.within(1, 1_000))
}

/// Normalised messages in which no rule fires, or a keyword stands in the middle.
fn keyword_messages(
    tier: &KeywordTier,
    keywords: &[Vec<String>; 2],
    language: &str,
    message: fn(&mut Random) -> String,
    hit: bool,
) -> Vec<String> {
    let mut random = Random(7);
    let keywords = &keywords[usize::from(language == "en")];
    let mut messages = Vec::with_capacity(MESSAGES);
    while messages.len() < MESSAGES {
        let mut text = message(&mut random);
        if hit {
            let keyword = &keywords[random.within(0, keywords.len())];
            let middle = text.floor_char_boundary(text.len() / 2);
            text = if language == "en" {
                format!("{} {keyword} {}", words(&mut random, 4), words(&mut random, 4))
            } else {
                format!("{}{keyword}{}", &text[..middle], &text[middle..])
            };
        }
        let text = normalize(&text).text().to_owned();
        if hit != matches!(tier.evaluate(&text), KeywordOutcome::Miss) {
            messages.push(text);
        }
    }
    messages
}

fn second_tier(criterion: &mut Criterion) {
    let mut bundled = None;
    criterion.bench_function("second_tier/bundled", |bencher| {
        let model = bundled.get_or_insert_with(|| bundled_model(&*encoder(DEFAULT_ENCODER)));
        let texts: Vec<Normalized> =
            model.engine.knowledge().examples().map(|(_, known)| normalize(&known.text)).collect();
        let mut numbers = (0..texts.len()).cycle();
        bencher.iter(|| {
            let number = numbers.next().unwrap();
            let embedding = black_box(model.embeddings.row(number));
            model.engine.second_tier(&texts[number], Vec::new(), embedding)
        });
    });
    let mut many = None;
    let name = format!("second_tier/{EXAMPLES}_examples_{INTENTS}_intents");
    criterion.bench_function(&name, |bencher| {
        let engine = many.get_or_insert_with(many_examples);
        let queries = Embeddings::new(DIMENSION, vectors(MESSAGES, 1));
        let mut random = Random(3);
        let texts: Vec<Normalized> =
            (0..MESSAGES).map(|_| normalize(&message(&mut random))).collect();
        let mut numbers = (0..MESSAGES).cycle();
        bencher.iter(|| {
            let number = numbers.next().unwrap();
            let embedding = black_box(queries.row(number));
            engine.second_tier(&texts[number], Vec::new(), embedding)
        });
    });
}

/// A message in one language or the other.
fn message(random: &mut Random) -> String {
    if random.within(0, 2) == 0 { chinese(random) } else { english(random) }
}

/// An engine with [`EXAMPLES`] examples of [`INTENTS`] intents and two negative examples an
/// intent. Weights are made up: they take the time that real ones take.
fn many_examples() -> Engine {
    let mut random = Random(5);
    let mut intents: Vec<Intent> = (0..INTENTS).map(intent).collect();
    for number in 0..EXAMPLES {
        let text = message(&mut random);
        let lang = Lang::of(&text);
        let example = Example { text, lang, file: "bench.yaml".to_owned(), line: 1 };
        intents[number % INTENTS].examples.push(example);
    }
    let knowledge = KnowledgeBase { intents, ..Default::default() };
    let texts: Vec<&str> = knowledge.examples().map(|(_, example)| example.text.as_str()).collect();
    let vocabulary = Vocabulary::fit(texts, 2);
    let rows = Arc::new(Embeddings::new(DIMENSION, vectors(EXAMPLES, 0)));
    let mut weights =
        |count: usize| -> Vec<f32> { (0..count).map(|_| 0.05 * random.normal()).collect() };
    let mut inverse = weights(DIMENSION * DIMENSION);
    inverse.iter_mut().step_by(DIMENSION + 1).for_each(|diagonal| *diagonal = 1.0);
    let heads = Heads {
        whitening: Whitening::new(vec![0.0; DIMENSION], inverse).unwrap(),
        class_means: weights(INTENTS * DIMENSION),
        negatives: Negatives {
            intents: (0..2 * INTENTS as u32).map(|number| number / 2).collect(),
            vectors: vectors(2 * INTENTS, 2),
        },
        dense: LinearHead::new(weights(DIMENSION * INTENTS), weights(INTENTS)).unwrap(),
        lexical: LinearHead::new(weights(vocabulary.len() * INTENTS), weights(INTENTS)).unwrap(),
        vocabulary,
        scope: LinearHead::new(weights(DIMENSION), weights(1)).unwrap(),
    };
    let calibration = Calibration {
        fusion: [1.0, 0.5, 0.5],
        acceptance: Acceptance {
            means: [0.0; SIGNALS],
            scales: [1.0; SIGNALS],
            weights: [1.0; SIGNALS],
            bias: 0.0,
        },
        thresholds: Thresholds { in_scope: 0.5, matched: 0.5 },
        candidates: 3,
        keyword_precision: 0.9,
    };
    let index = Index::build(Arc::clone(&rows), IndexKind::Exact).unwrap();
    Engine::new(knowledge, Arc::new(index), rows, Classifier::new(heads, calibration)).unwrap()
}

fn intent(number: usize) -> Intent {
    Intent {
        id: format!("intent_{number}"),
        title: Default::default(),
        answers: Default::default(),
        keywords: Vec::new(),
        examples: Vec::new(),
        negative_examples: Vec::new(),
        slots: Vec::new(),
        confirm: Default::default(),
        action: Default::default(),
    }
}

criterion_group!(benches, normalizing, keyword_tier, second_tier);
criterion_main!(benches);
