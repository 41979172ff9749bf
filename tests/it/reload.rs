//! Models that are replaced while questions are on their way.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kefu::artifact::Model;
use kefu::encoder::{Encoder, EncoderPool, PoolOptions};
use kefu::progress::Silent;
use kefu::training::build::build;
use kefu::understand::{AskOptions, Understander};

use crate::support::{KNOWLEDGE, tiny_encoder};

/// A model in which the keyword "快递状态" belongs to the intent `intent_<number>`.
fn numbered(encoder: &dyn Encoder, number: usize) -> Arc<Model> {
    let text = KNOWLEDGE
        .replace("delivery_delay", &format!("intent_{number}"))
        .replace("[物流不更新]", "[快递状态]");
    let knowledge = kefu::knowledge::parse(&[(PathBuf::from("shop.yaml"), text)]).unwrap();
    Arc::new(build(knowledge, &[], encoder, None, &Silent).unwrap())
}

/// 1,000 questions, in batches of a keyword and a meaning, while the model changes 20 times: each
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
                for _ in 0..125 {
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
