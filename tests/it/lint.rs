//! The lint on the bundled knowledge base, as it is and with seeded faults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use kefu::encoder::{Encoder, SentenceEncoder};
use kefu::intent::normalize::normalize;
use kefu::knowledge;
use kefu::lint::{self, Finding, Severity, Vectors};
use kefu::progress::Silent;
use kefu::training::embed::embed;
use kefu::training::embedding_cache::EmbeddingCache;
use kefu::training::fit::{self, LabelledSet};

use crate::models::default_model;

#[test]
fn the_bundled_knowledge_base_is_clean() {
    let findings = Files::bundled().lint(true);
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    println!("{}", lines.join("\n"));
    assert!(findings.iter().all(|found| found.rule.severity < Severity::Error), "{lines:#?}");
    assert!(findings.len() <= 5, "{} warnings: {lines:#?}", findings.len());
}

/// Faults are seeded in groups that do not touch each other; each must be found with its code at
/// its line, or at a line that a finding names as related.
#[test]
fn seeded_faults_are_found() {
    let faults = faults();
    assert_eq!(faults.len(), 40);
    let mut groups: BTreeMap<u32, Vec<&Fault>> = BTreeMap::new();
    for (at, fault) in faults.iter().enumerate() {
        // Faults that texts alone must show stand alone.
        let group = fault.group.unwrap_or(100 + at as u32);
        groups.entry(group).or_default().push(fault);
    }
    let (mut missed, mut by_code) = (Vec::new(), BTreeMap::<&str, (u32, u32)>::new());
    for group in groups.values() {
        let mut files = Files::bundled();
        group.iter().for_each(|fault| (fault.seed)(&mut files));
        let findings = files.lint(group[0].group.is_some());
        for fault in group {
            let place = files.find(fault.at);
            let here = |found: &Finding| {
                let lines = found.related.iter().chain([&found.place]);
                found.rule.code == fault.code
                    && lines.into_iter().any(|p| (p.file.as_path(), p.line) == (&*place.0, place.1))
            };
            let found = findings.iter().any(here);
            let count = by_code.entry(fault.code).or_default();
            *count = (count.0 + u32::from(found), count.1 + 1);
            if !found {
                missed.push(format!("{} {}", fault.code, fault.name));
            }
        }
    }
    println!("found of seeded, by code: {by_code:?}\nmissed: {missed:#?}");
    assert!(missed.len() <= 4, "{missed:#?}");
}

struct Fault {
    code: &'static str,
    name: &'static str,
    /// Faults of one group are seeded together; none: alone, and no meanings are compared.
    group: Option<u32>,
    /// The line that a finding must name: the last one of this intent with this text.
    at: (&'static str, &'static str),
    seed: fn(&mut Files),
}

fn textual(
    code: &'static str,
    name: &'static str,
    at: (&'static str, &'static str),
    seed: fn(&mut Files),
) -> Fault {
    Fault { code, name, group: None, at, seed }
}

fn semantic(
    code: &'static str,
    name: &'static str,
    at: (&'static str, &'static str),
    seed: fn(&mut Files),
) -> Fault {
    // Intents that are split change more than their own place.
    Fault { code, name, group: Some(u32::from(code == "KL004")), at, seed }
}

fn faults() -> Vec<Fault> {
    let mut faults = sentence_faults();
    faults.extend(meaning_faults());
    faults.extend(keyword_faults());
    faults.extend(intent_faults());
    faults
}

#[rustfmt::skip]
fn sentence_faults() -> Vec<Fault> {
    vec![
        textual("KL001", "copied to another intent", ("return_request", "我要退款"),
            |f| f.add("return_request", "zh", "我要退款")),
        textual("KL001", "copied to another file", ("order_status", "my parcel is late"),
            |f| f.add("order_status", "en", "my parcel is late")),
        textual("KL001", "in traditional characters", ("exchange_item", "我要退貨！"),
            |f| f.add("exchange_item", "zh", "我要退貨！")),
        textual("KL001", "in capitals with a mark", ("return_request", "EXCHANGE?"),
            |f| f.add("return_request", "en", "EXCHANGE?")),
        textual("KL002", "said twice", ("delivery_delay", "怎么还不发货阿，急死了"),
            |f| f.add("delivery_delay", "zh", "怎么还不发货阿，急死了")),
        textual("KL002", "said twice in other case", ("return_request", "WHATS your return policy"),
            |f| f.add("return_request", "en", "WHATS your return policy")),
        textual("KL002", "said twice in traditional characters", ("delivery_delay", "催一下快遞"),
            |f| f.add("delivery_delay", "zh", "催一下快遞")),
        textual("KL010", "English under zh", ("order_status", "has my blue jacket left already"),
            |f| f.add("order_status", "zh", "has my blue jacket left already")),
        textual("KL010", "Chinese under en", ("order_status", "我想查一下那件蓝色外套"),
            |f| f.add("order_status", "en", "我想查一下那件蓝色外套")),
        textual("KL010", "both languages in one", ("invoice_request", "请问能开公司抬头吗 can you put my company name on it"),
            |f| f.add("invoice_request", "zh", "请问能开公司抬头吗 can you put my company name on it")),
        textual("KL012", "an example among the negatives", ("return_request", "- \"我要退货\""),
            |f| f.add_negative("return_request", "zh", "我要退货")),
        textual("KL012", "an example among the negatives, in capitals", ("exchange_item", "HOW DO I EXCHANGE AN ITEM"),
            |f| f.add_negative("exchange_item", "en", "HOW DO I EXCHANGE AN ITEM")),
        textual("KL003", "with a particle more", ("order_status", "我的快递怎么还没到呀"),
            |f| f.add("order_status", "zh", "我的快递怎么还没到呀")),
    ]
}

#[rustfmt::skip]
fn meaning_faults() -> Vec<Fault> {
    vec![
        semantic("KL003", "one word changed", ("order_status", "can you hurry this up, i want it for saturday"),
            |f| f.add("order_status", "en", "can you hurry this up, i want it for saturday")),
        semantic("KL003", "two words changed", ("human_agent", "你们客服的电话是多少"),
            |f| f.add("human_agent", "zh", "你们客服的电话是多少")),
        semantic("KL003", "reordered", ("exchange_item", "it is too loud for my small flat, so please, I would like to send the blender back"),
            |f| f.add("exchange_item", "en", "it is too loud for my small flat, so please, I would like to send the blender back")),
        semantic("KL003", "shortened", ("delivery_not_received", "物流不更新，卡在武汉三天没动了"),
            |f| f.add("delivery_not_received", "zh", "物流不更新，卡在武汉三天没动了")),
        semantic("KL004", "an intent split in two", ("exchange_item_again", "- id: exchange_item_again"),
            |f| f.split("exchange_item")),
        semantic("KL004", "an informational intent split in two", ("opening_hours_again", "- id: opening_hours_again"),
            |f| f.split("opening_hours")),
        semantic("KL004", "a third intent split in two", ("invoice_request_again", "- id: invoice_request_again"),
            |f| f.split("invoice_request")),
        semantic("KL005", "delay among points", ("membership_points", "快递太慢了，什么时候才能送到"),
            |f| f.move_to("membership_points", "delivery_delay", "zh", "快递太慢了，什么时候才能送到")),
        semantic("KL005", "opening hours among invoices", ("invoice_request", "what are your customer service hours"),
            |f| f.move_to("invoice_request", "opening_hours", "en", "what are your customer service hours")),
        semantic("KL005", "exchange among coupons", ("coupon_problem", "裤子长了，想换短一号的"),
            |f| f.move_to("coupon_problem", "exchange_item", "zh", "裤子长了，想换短一号的")),
        semantic("KL005", "return among greetings", ("greeting", "买了不喜欢可以退货吗"),
            |f| f.move_to("greeting", "return_request", "zh", "买了不喜欢可以退货吗")),
        semantic("KL005", "return among warranties", ("product_warranty", "I want to send my order back"),
            |f| f.move_to("product_warranty", "return_request", "en", "I want to send my order back")),
        semantic("KL005", "delay among order status", ("order_status", "my order still hasn't shipped after a week"),
            |f| f.move_to("order_status", "delivery_delay", "en", "my order still hasn't shipped after a week")),
    ]
}

#[rustfmt::skip]
fn keyword_faults() -> Vec<Fault> {
    vec![
        textual("KL006", "too common in Chinese", ("delivery_time", "any: [什么时候才]"),
            |f| f.add_rule("delivery_time", "any: [什么时候才]")),
        textual("KL006", "too common in English", ("exchange_item", "any: [send my order]"),
            |f| f.add_rule("exchange_item", "any: [send my order]")),
        textual("KL006", "a neighbour's noun", ("human_agent", "any: [客服热线]"),
            |f| f.add_rule("human_agent", "any: [客服热线]")),
        textual("KL006", "a loose pair", ("coupon_problem", "all: [supermarket, tracking, updated]"),
            |f| { f.add("delivery_delay", "en", "the supermarket tracking is not updated"); f.add_rule("coupon_problem", "all: [supermarket, tracking, updated]") }),
        textual("KL007", "blocked by its own not", ("order_cancel", "any: [取消订单吧]"),
            |f| f.add_rule("order_cancel", "{any: [取消订单吧], not: [取消]}")),
        textual("KL007", "blocked by its own not, in English", ("coupon_problem", "any: [gift card code]"),
            |f| f.add_rule("coupon_problem", "{any: [gift card code], not: [gift card]}")),
        textual("KL007", "the same phrase in two intents", ("exchange_item", "exact: [我要退货]"),
            |f| f.add_rule("exchange_item", "exact: [我要退货]")),
        textual("KL007", "a keyword that another intent always has", ("exchange_item", "any: [七天无理由]"),
            |f| f.add_rule("exchange_item", "any: [七天无理由]")),
        textual("KL007", "said twice", ("goodbye", "exact: [回头再聊, 回头再聊]"),
            |f| f.add_rule("goodbye", "exact: [回头再聊, 回头再聊]")),
    ]
}

#[rustfmt::skip]
fn intent_faults() -> Vec<Fault> {
    vec![
        textual("KL008", "four times as many", ("thanks", "- id: thanks"),
            |f| (0..80).for_each(|n| f.add("thanks", "en", &format!("thank you for number {n}")))),
        textual("KL008", "a quarter as many", ("opening_hours", "- id: opening_hours"),
            |f| f.keep("opening_hours", "zh", 5)),
        textual("KL009", "two examples left", ("complaint", "- id: complaint"),
            |f| f.keep("complaint", "en", 2)),
        textual("KL009", "no examples in a language", ("product_size", "- id: product_size"),
            |f| f.keep("product_size", "zh", 0)),
        textual("KL011", "no English answer", ("greeting", "- id: greeting"),
            |f| f.drop_key("greeting", "answers", "en")),
    ]
}

/// The files of a knowledge base as lines.
#[derive(Clone)]
struct Files(Vec<(PathBuf, Vec<String>)>);

impl Files {
    fn bundled() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("intents");
        let read = |(path, text): (PathBuf, String)| {
            (PathBuf::from(path.file_name().unwrap()), text.lines().map(str::to_owned).collect())
        };
        Self(knowledge::sources(&folder).unwrap().into_iter().map(read).collect())
    }

    fn lint(&self, with_meanings: bool) -> Vec<Finding> {
        let sources: Vec<(PathBuf, String)> =
            self.0.iter().map(|(path, lines)| (path.clone(), lines.join("\n") + "\n")).collect();
        let (knowledge, places) = knowledge::parse_with_places(&sources).unwrap();
        let mut findings = lint::textual(&knowledge, &places).unwrap();
        if with_meanings {
            let (labels, texts): (Vec<u32>, Vec<String>) = knowledge
                .examples()
                .map(|(intent, example)| (intent, normalize(&example.text).text().to_owned()))
                .unzip();
            let embeddings = embeddings(&texts);
            let set = LabelledSet { texts, embeddings, labels };
            let whitened = Arc::new(fit::whiten(&set, knowledge.intents.len()).unwrap());
            findings.extend(lint::semantic(&knowledge, &places, &Vectors { whitened }).unwrap());
            lint::sort(&mut findings);
        }
        findings
    }

    /// File and first line, from 0, of the intent, and the line after it.
    fn block(&self, intent: &str) -> (usize, usize, usize) {
        let head = format!("  - id: {intent}");
        for (file, (_, lines)) in self.0.iter().enumerate() {
            if let Some(first) = lines.iter().position(|line| *line == head) {
                let next = lines[first + 1..].iter().position(|line| line.starts_with("  - id: "));
                return (file, first, next.map_or(lines.len(), |at| first + 1 + at));
            }
        }
        panic!("no intent {intent}");
    }

    /// The lines of a language under a key of the intent, from 0.
    fn list(&self, intent: &str, key: &str, lang: &str) -> (usize, std::ops::Range<usize>) {
        let (file, first, end) = self.block(intent);
        let lines = &self.0[file].1;
        let at = |from: usize, line: String| {
            from + 1 + lines[from..end].iter().position(|one| *one == line).unwrap()
        };
        let start = at(at(first, format!("    {key}:")), format!("      {lang}:"));
        let length = lines[start..end].iter().take_while(|one| one.starts_with("        ")).count();
        (file, start..start + length)
    }

    fn insert(&mut self, intent: &str, key: &str, lang: &str, text: &str) {
        let (file, lines) = self.list(intent, key, lang);
        self.0[file]
            .1
            .insert(lines.end, format!("        - {}", serde_json::to_string(text).unwrap()));
    }

    fn add(&mut self, intent: &str, lang: &str, text: &str) {
        self.insert(intent, "examples", lang, text);
    }

    fn add_negative(&mut self, intent: &str, lang: &str, text: &str) {
        self.insert(intent, "negative_examples", lang, text);
    }

    fn move_to(&mut self, to: &str, from: &str, lang: &str, text: &str) {
        let (file, lines) = self.list(from, "examples", lang);
        let at = lines.into_iter().find(|&at| self.0[file].1[at].contains(text)).unwrap();
        self.0[file].1.remove(at);
        self.add(to, lang, text);
    }

    fn add_rule(&mut self, intent: &str, rule: &str) {
        let (file, first, end) = self.block(intent);
        let lines = &mut self.0[file].1;
        let position = |key: &str| lines[first..end].iter().position(|one| one == key);
        let at = match position("    keywords:") {
            Some(at) => first + at,
            None => {
                let at = first + position("    examples:").unwrap();
                lines.insert(at, "    keywords:".to_owned());
                at
            }
        };
        lines.insert(at + 1, format!("      - {rule}"));
    }

    /// Leaves the first `count` examples.
    fn keep(&mut self, intent: &str, lang: &str, count: usize) {
        let (file, lines) = self.list(intent, "examples", lang);
        if count == 0 {
            self.0[file].1[lines.start - 1].push_str(" []");
        }
        self.0[file].1.drain(lines.start + count..lines.end);
    }

    fn drop_key(&mut self, intent: &str, key: &str, lang: &str) {
        let (file, lines) = self.list(intent, key, lang);
        self.0[file].1.drain(lines.start - 1..lines.end);
    }

    /// Moves every second example to a new intent with the same answers.
    fn split(&mut self, intent: &str) {
        let (file, first, _) = self.block(intent);
        let (_, zh) = self.list(intent, "answers", "zh");
        let mut block = vec![format!("  - id: {intent}_again"), "    answers:".to_owned()];
        let (_, en) = self.list(intent, "answers", "en");
        block.extend(self.0[file].1[zh.start - 1..en.end].iter().cloned());
        block.push("    examples:".to_owned());
        for lang in ["zh", "en"] {
            let (_, lines) = self.list(intent, "examples", lang);
            block.push(format!("      {lang}:"));
            for at in lines.clone().rev().step_by(2) {
                block.push(self.0[file].1.remove(at));
            }
        }
        self.0[file].1.splice(first..first, block);
    }

    /// File and line, from 1.
    fn find(&self, (intent, text): (&str, &str)) -> (PathBuf, u64) {
        let (file, first, end) = self.block(intent);
        let (path, lines) = &self.0[file];
        let at = lines[first..end].iter().rposition(|line| line.contains(text)).unwrap();
        (path.clone(), (first + at + 1) as u64)
    }
}

/// Embeddings by the default model; what was embedded once is kept in the target folder.
fn embeddings(texts: &[String]) -> kefu::encoder::Embeddings {
    static OPEN: OnceLock<(SentenceEncoder, Mutex<EmbeddingCache>)> = OnceLock::new();
    let (encoder, cache) = OPEN.get_or_init(|| {
        let encoder = SentenceEncoder::load(&default_model().spec()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lint");
        let cache = EmbeddingCache::open(&folder, encoder.info());
        (encoder, Mutex::new(cache))
    });
    let mut cache = cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let embeddings = embed(encoder, texts, cache.known(), &Silent).unwrap();
    cache.add(texts, &embeddings).unwrap();
    embeddings
}
