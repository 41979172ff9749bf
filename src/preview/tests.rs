//! Previews of a small shop in a temporary folder, with an encoder that knows words.

use std::fs;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::encoder::{Embeddings, EncoderInfo, EncoderPool, PoolOptions};
use crate::flips::{CauseKind, FlipVerdict};

/// An intent with examples about one thing.
fn intent(id: &str, english: &str, chinese: &str) -> String {
    let list = |words: [&str; 8], of: &dyn Fn(&str) -> String| words.map(of).join(", ");
    let en = ["please", "now", "today", "again", "how", "why", "when", "help"];
    let zh = ["吧", "呢", "吗", "啊", "多久", "怎么办", "在哪", "什么时候"];
    format!(
        "  - id: {id}\n    examples:\n      zh: [{}]\n      en: [{}]\n",
        list(zh, &|word| format!("我的{chinese}{word}")),
        list(en, &|word| format!("{word} my {english}")),
    )
}

fn topics() -> String {
    let intents = intent("refund", "refund", "退款") + &intent("delay", "parcel", "快递");
    format!("version: 1\nintents:\n{intents}")
}

/// What a text is about, by words; counts the texts and may be made to wait.
struct Words {
    info: EncoderInfo,
    asked: AtomicUsize,
    held: AtomicBool,
}

impl Encoder for Words {
    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn encode(&self, texts: &[&str]) -> Result<Embeddings, EncodeError> {
        while self.held.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        let topics = [["refund", "退款"], ["parcel", "快递"], ["invoice", "发票"]];
        let row = |text: &str| {
            let about =
                topics.map(|words| f32::from(u8::from(words.iter().any(|w| text.contains(w)))));
            let spread = (text.len() % 7) as f32 / 40.0;
            let mut row = [about[0], about[1], about[2], 0.2 + spread];
            crate::intent::whitening::normalize_length(&mut row);
            row
        };
        Ok(Embeddings::new(4, texts.iter().flat_map(|text| row(text)).collect()))
    }
}

struct Fixed(Vec<String>);

impl LoggedMessages for Fixed {
    fn recent(&self, most: usize) -> Vec<String> {
        self.0.iter().rev().take(most).rev().cloned().collect()
    }
}

struct Shop {
    folder: tempfile::TempDir,
    encoder: Arc<Words>,
    previewer: Arc<Previewer>,
}

impl Shop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("intents")).unwrap();
        fs::write(at("intents/shop.yaml"), topics()).unwrap();
        fs::write(
            at("intents/golden.yaml"),
            "version: 1\ngolden:\n  - {text: my refund soon, intent: refund}\n",
        )
        .unwrap();
        let rows = "{\"text\":\"发票快递\",\"intent\":\"invoice\"}\n{\"text\":\"where is the parcel\",\"intent\":\"delay\"}\n";
        fs::write(at("rows.jsonl"), rows).unwrap();
        let folders = Folders {
            intents: at("intents"),
            training_data: at("training-data"),
            models: at("models"),
            policy: Default::default(),
        };
        let info = EncoderInfo {
            name: "words".into(),
            sha256: "00".into(),
            dimension: 4,
            max_tokens: 64,
            tuned: false,
        };
        let (asked, held) = (AtomicUsize::new(0), AtomicBool::new(false));
        let encoder = Arc::new(Words { info, asked, held });
        let data = provision::data(&folders).unwrap();
        let model =
            build::build(data.knowledge, &[], &*encoder, build::Given::default(), &Silent).unwrap();
        let pool = EncoderPool::start(Arc::clone(&encoder) as _, PoolOptions::default()).unwrap();
        let understander = Arc::new(Understander::new(Arc::new(model), pool));
        let sources = MessageSources {
            held_out: Some(at("rows.jsonl")),
            logged: Arc::new(Fixed(vec!["my invoice soon".into(), "my refund  soon".into()])),
        };
        let memo = Arc::new(crate::encoder::Memo::new(Arc::clone(&encoder) as _, 100));
        let previewer = Arc::new(Previewer::new(folders, sources, understander, memo));
        Self { folder, encoder, previewer }
    }

    async fn preview(&self, draft: Draft) -> Result<Preview, PreviewError> {
        Arc::clone(&self.previewer).preview(draft).await
    }
}

fn edit(name: &str, text: impl Into<Option<String>>) -> Draft {
    Draft { edits: Edits::from([(name.to_owned(), text.into())]), ..Draft::default() }
}

/// The shop with an intent more.
fn with_invoice() -> String {
    topics() + &intent("invoice", "invoice", "发票")
}

#[tokio::test]
async fn an_edit_is_compared_over_all_messages_and_nothing_is_written() {
    let shop = Shop::new();
    let draft = Draft {
        messages: vec!["my invoice quickly".into()],
        calibration: CalibrationMode::Fitted,
        ..edit("shop.yaml", with_invoice())
    };
    let preview = shop.preview(draft.clone()).await.unwrap();
    assert_ne!(preview.before, preview.after);
    assert_eq!(preview.calibration, CalibrationMode::Fitted);
    assert_eq!(preview.golden.passed + preview.golden.failed, 1);
    let counts: Vec<_> =
        preview.report.sources.iter().map(|one| (one.source, one.counts.messages)).collect();
    // What was logged and stands in the golden set counts there.
    let expected =
        [(Source::Golden, 1), (Source::HeldOut, 2), (Source::Logged, 1), (Source::Sent, 1)];
    assert_eq!(counts, expected);
    assert_eq!((preview.report.edit.intents_added, preview.report.edit.examples_added), (1, 16));
    let of = |text: &str| preview.report.flips.iter().find(|flip| flip.text == text);
    let flip = of("my invoice soon").unwrap_or_else(|| panic!("{preview:?}"));
    assert_eq!(flip.after.alternatives[0].intent, "invoice");
    assert!(flip.why.causes.iter().any(|cause| cause.kind == CauseKind::ExampleAdded), "{flip}");
    assert_eq!(of("my invoice quickly").map(|flip| flip.verdict), Some(FlipVerdict::Neutral));

    let asked = shop.encoder.asked.load(Ordering::Relaxed);
    let quick = Draft { calibration: CalibrationMode::Kept, ..draft };
    let kept = shop.preview(quick.clone()).await.unwrap();
    assert_eq!((kept.calibration, &kept.after), (CalibrationMode::Kept, &preview.after));
    assert_eq!(shop.preview(quick).await.unwrap(), kept);
    assert_eq!(shop.encoder.asked.load(Ordering::Relaxed), asked, "all embeddings were known");
    let saved = fs::read_to_string(shop.folder.path().join("intents/shop.yaml")).unwrap();
    assert_eq!(saved, topics());
    assert!(!shop.folder.path().join("models").exists());
}

#[tokio::test]
async fn no_edit_no_flips_and_lost_golden_sentences_are_told() {
    let shop = Shop::new();
    let same = shop.preview(edit("shop.yaml", topics() + "# a remark\n")).await.unwrap();
    assert_eq!((same.report.total.changed, same.before == same.after), (0, true));

    // The examples of both intents change places.
    let swapped = intent("refund", "parcel", "快递") + &intent("delay", "refund", "退款");
    let swapped = format!("version: 1\nintents:\n{swapped}");
    let lost = shop.preview(edit("shop.yaml", swapped)).await.unwrap();
    assert_eq!((lost.golden_lost, lost.golden.failed), (1, 1), "{lost:?}");
    assert_eq!(lost.report.flips[0].verdict, FlipVerdict::Worsened);
}

#[tokio::test]
async fn a_faulty_edit_is_refused_with_its_place() {
    let shop = Shop::new();
    let golden = "version: 1\ngolden:\n  - {text: x, intent: refunds}\n".to_owned();
    for (name, draft, code, line) in [
        ("a topic", edit("shop.yaml", topics().replace("examples", "exmples")), "KB001", 4),
        ("a new file", edit("b.yaml", "version: 7\nintents: []\n".to_owned()), "KB002", 1),
        ("the golden set", edit("golden.yaml", golden), "KG001", 3),
    ] {
        let Err(PreviewError::Findings(found)) = shop.preview(draft).await else {
            panic!("{name}")
        };
        assert_eq!((found[0].code, found[0].line), (code, line), "{name}: {found:?}");
    }
    let many = Draft {
        edits: (0..=MAX_FILES).map(|n| (format!("f{n}.yaml"), Some(String::new()))).collect(),
        ..Draft::default()
    };
    for draft in [
        edit("../shop.yaml", topics()),
        edit("a/b.yaml", topics()),
        edit(".yaml", topics()),
        edit("shop.txt", topics()),
        edit("nowhere.yaml", None),
        many,
    ] {
        let name = draft.edits.keys().next().unwrap().clone();
        let made = shop.preview(draft).await;
        assert!(matches!(made, Err(PreviewError::Files(_))), "{name}: {made:?}");
    }
    let made = shop.preview(edit("shop.yaml", None)).await;
    assert!(matches!(made, Err(PreviewError::Refused(_))), "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_preview_at_a_time() {
    let shop = Shop::new();
    shop.encoder.held.store(true, Ordering::Relaxed);
    let first =
        tokio::spawn(Arc::clone(&shop.previewer).preview(edit("shop.yaml", with_invoice())));
    while !shop.previewer.busy.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    let second = shop.preview(edit("shop.yaml", with_invoice())).await;
    assert!(matches!(second, Err(PreviewError::Busy)));
    shop.encoder.held.store(false, Ordering::Relaxed);
    first.await.unwrap().unwrap();
    shop.preview(edit("shop.yaml", with_invoice())).await.unwrap();
}

#[test]
fn a_held_out_row_of_no_known_intent_has_no_right_answer() {
    let row = |intent: &str| Row {
        text: "x".into(),
        intent: intent.into(),
        lang: crate::intent::knowledge::Lang::En,
        line: 7,
    };
    let expected = |intent: &str| held_out_message(row(intent), Some("f"), &[]).expected;
    assert_eq!(expected("oos"), Some(Expected::Status(Status::OutOfScope)));
    assert_eq!(expected("gone"), None);
}
