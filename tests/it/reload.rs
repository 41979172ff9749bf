//! Models that are replaced while questions are on their way.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kefu::artifact::Model;
use kefu::encoder::{
    Embeddings, EncodeError, Encoder, EncoderInfo, EncoderPool, Memo, PoolOptions, SentenceEncoder,
};
use kefu::flips::golden::GoldenRule;
use kefu::progress::Silent;
use kefu::provision::{self, Folders};
use kefu::reload::Keeper;
use kefu::training::build::{Given, build};
use kefu::understand::{AskOptions, Understander};

use crate::support::{KNOWLEDGE, tiny_encoder};

/// A model in which the keyword "快递状态" belongs to the intent `intent_<number>`.
fn numbered(encoder: &dyn Encoder, number: usize) -> Arc<Model> {
    let text = KNOWLEDGE
        .replace("delivery_delay", &format!("intent_{number}"))
        .replace("[物流不更新]", "[快递状态]");
    let knowledge = kefu::knowledge::parse(&[(PathBuf::from("shop.yaml"), text)]).unwrap();
    Arc::new(build(knowledge, &[], encoder, Given::default(), &Silent).unwrap())
}

/// 1,000 requests, each of a keyword and a meaning, while the model changes 20 times: each
/// batch is answered by one model, the one it names.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_answer_is_of_one_model_and_right_for_it() {
    let encoder = tiny_encoder();
    let models: Vec<Arc<Model>> = (0..21).map(|number| numbered(&encoder, number)).collect();
    let intents: HashMap<String, String> = models
        .iter()
        .enumerate()
        .map(|(number, model)| (model.identity.version(), format!("intent_{number}")))
        .collect();
    assert_eq!(intents.len(), 21);
    let pool = EncoderPool::start(Arc::new(encoder), PoolOptions::default()).unwrap();
    let understander = Arc::new(Understander::new(Arc::clone(&models[0]), pool));
    let asked_all = Arc::new(AtomicBool::new(false));

    let swapping = tokio::spawn({
        let (understander, asked_all) = (Arc::clone(&understander), Arc::clone(&asked_all));
        async move {
            // At least 20 swaps, and as many more as fit beside the questions.
            let mut swaps = 0;
            while swaps < 20 || !asked_all.load(Ordering::Relaxed) {
                swaps += 1;
                understander.replace(Arc::clone(&models[swaps % models.len()]));
                tokio::task::yield_now().await;
            }
        }
    });
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (understander, intents) = (Arc::clone(&understander), intents.clone());
            tokio::spawn(async move {
                for _ in 0..250 {
                    let texts = ["快递状态".to_owned(), "我的包裹在哪里呢".to_owned()];
                    let options = AskOptions { top_k: 20, explain: false };
                    let answered = understander.ask_all(&texts, options).await.unwrap();
                    let named = &intents[&answered.model.version];
                    assert_eq!(answered.answer[0].intent.as_ref(), Some(named));
                    let known: Vec<&str> =
                        answered.answer[1].alternatives.iter().map(|a| a.intent.as_str()).collect();
                    assert!(known.contains(&named.as_str()), "{named}: {known:?}");
                }
            })
        })
        .collect();
    for task in asking {
        task.await.unwrap();
    }
    asked_all.store(true, Ordering::Relaxed);
    swapping.await.unwrap();
}

/// Counts the texts, and waits while it is held.
struct Watched {
    encoder: SentenceEncoder,
    texts: AtomicUsize,
    held: AtomicBool,
}

impl Watched {
    fn new() -> Arc<Self> {
        let encoder = tiny_encoder();
        Arc::new(Self { encoder, texts: AtomicUsize::new(0), held: AtomicBool::new(false) })
    }
}

impl Encoder for Watched {
    fn info(&self) -> &EncoderInfo {
        self.encoder.info()
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        while self.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.encoder.encode(texts)
    }
}

/// Waits until `done`, for as long as training may take.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// 20 saves, each with a new example and a keyword that changes hands, while questions are asked:
/// each answer is right for the model that it names, and only the new example is embedded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_saves_are_taken_up_and_only_what_is_new_is_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders {
        intents: folder.path().join("intents"),
        training_data: folder.path().join("training-data"),
        models: folder.path().join("models"),
        policy: Default::default(),
    };
    fs::create_dir(&folders.intents).unwrap();
    fs::create_dir(&folders.training_data).unwrap();
    let unmeant = "{\"text\": \"什么是黑洞\", \"intent\": \"oos\"}\n";
    fs::write(folders.training_data.join("oos.jsonl"), unmeant).unwrap();
    let golden = "version: 1\ngolden:\n  - {text: 退我钱, intent: refund_request}\n";
    fs::write(folders.intents.join("golden.yaml"), golden).unwrap();
    let save = |number: usize| {
        let text = KNOWLEDGE
            .replace("delivery_delay", &format!("intent_{number}"))
            .replace("[物流不更新]", "[快递状态]")
            .replace("[refund my money]", "[退我钱啊退我钱]")
            .replace("[我要退款,", &format!("[第{number}次要退款, 我要退款,"));
        fs::write(folders.intents.join("shop.yaml"), text).unwrap();
    };
    save(0);
    let encoder = Watched::new();
    let model = provision::model(&folders, &*encoder, true, &Silent).unwrap().0;
    let pool = EncoderPool::start(Arc::new(tiny_encoder()), PoolOptions::default()).unwrap();
    let understander = Arc::new(Understander::new(Arc::new(model), pool));
    let memo = Arc::new(Memo::new(Arc::clone(&encoder) as _, 1_000));
    let live = Arc::clone(&understander);
    let keeper = Keeper::start(folders.clone(), GoldenRule::Warn, live, memo).unwrap();
    until("the first look", || keeper.golden().is_some());
    let mut intents = HashMap::from([(understander.model().version.clone(), 0)]);

    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let (understander, over) = (Arc::clone(&understander), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answers: HashMap<String, Vec<Option<String>>> = HashMap::new();
                let mut asked = 0;
                while asked < 500 || !over.load(Ordering::Relaxed) {
                    asked += 1;
                    let options = AskOptions { top_k: 3, explain: false };
                    let answered = understander.ask("快递状态", options).await.unwrap();
                    let seen = answers.entry(answered.model.version.clone()).or_default();
                    if !seen.contains(&answered.answer.intent) {
                        seen.push(answered.answer.intent);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                answers
            })
        })
        .collect();
    for number in 1..=20 {
        let before = (understander.model().version.clone(), encoder.texts.load(Ordering::SeqCst));
        save(number);
        until("the new model", || understander.model().version != before.0);
        intents.insert(understander.model().version.clone(), number);
        let embedded = encoder.texts.load(Ordering::SeqCst) - before.1;
        // The new example, and the name of the intent, which is new as well. The sentence that no
        // intent means was embedded before the memory was there.
        let expected = if number == 1 { 3 } else { 2 };
        assert_eq!(embedded, expected, "save {number}");
    }
    over.store(true, Ordering::Relaxed);
    for task in asking {
        for (version, seen) in task.await.unwrap() {
            assert_eq!(seen, [Some(format!("intent_{}", intents[&version]))], "{version}");
        }
    }
    assert_eq!((keeper.counts().swapped, keeper.refused()), (20, None));
}

#[tokio::test]
async fn a_shadow_counts_where_it_differs_and_ends_when_it_is_taken_into_use() {
    let encoder = tiny_encoder();
    let (served, candidate) = (numbered(&encoder, 0), numbered(&encoder, 1));
    let pool = EncoderPool::start(Arc::new(encoder), PoolOptions::default()).unwrap();
    let understander = Understander::new(served, pool);
    understander.set_shadow(Some(Arc::clone(&candidate))).unwrap();
    let texts = ["快递状态", "快递状态", "？？", "我要退款"].map(str::to_owned);
    let options = AskOptions { top_k: 3, explain: false };
    let answered = understander.ask_all(&texts, options).await.unwrap();
    until("the judgements", || {
        let counts = understander.shadow().unwrap().counts;
        counts.agreed + counts.other_intent + counts.other_status == 4
    });
    let report = understander.shadow().unwrap();
    assert_eq!(report.version, candidate.identity.version());
    assert!(report.counts.other_intent >= 2 && report.counts.agreed >= 1, "{report:?}");
    let pair = &report.disagreements[0];
    assert_eq!((pair.answered.as_str(), pair.candidate.as_str()), ("intent_0", "intent_1"));
    assert!(pair.count >= 2, "{report:?}");
    assert_eq!(answered.answer[0].intent.as_deref(), Some("intent_0"));
    let said = serde_json::to_string(&report).unwrap();
    assert!(!said.contains("快递"), "it keeps no message: {said}");

    understander.replace(candidate);
    assert_eq!(understander.shadow(), None);
    assert_eq!(understander.shadow_counts(), report.counts);
}

#[tokio::test]
async fn a_shadow_that_lags_leaves_questions_out_and_delays_no_answer() {
    let encoder = Watched::new();
    let served = numbered(&*encoder, 0);
    // Here the message is no keyword's, so that the candidate has to encode it.
    let sources = [(PathBuf::from("shop.yaml"), KNOWLEDGE.to_owned())];
    let knowledge = kefu::knowledge::parse(&sources).unwrap();
    let candidate = Arc::new(build(knowledge, &[], &*encoder, Given::default(), &Silent).unwrap());
    let pool = EncoderPool::start(Arc::clone(&encoder) as _, PoolOptions::default()).unwrap();
    let understander = Understander::new(served, pool);
    understander.set_shadow(Some(candidate)).unwrap();
    encoder.held.store(true, Ordering::SeqCst);
    for _ in 0..400 {
        let options = AskOptions { top_k: 3, explain: false };
        let answered = understander.ask("快递状态", options).await.unwrap();
        assert_eq!(answered.answer.intent.as_deref(), Some("intent_0"));
    }
    let counts = understander.shadow().unwrap().counts;
    assert!(counts.asked == 400 && counts.left_out >= 100, "{counts:?}");
    encoder.held.store(false, Ordering::SeqCst);
    until("the judgements", || {
        let counts = understander.shadow().unwrap().counts;
        counts.left_out + counts.agreed + counts.other_intent + counts.other_status == 400
    });
}
