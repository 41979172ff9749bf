//! Sentences that are written, and those that must not be.

use super::*;

const YAML: &str = "version: 1\n# shop\nintents:\n  - id: refund\n    examples:\n      zh:\n        - 退款 # the word\n    negative_examples: {zh: [不退款]}\n  - id: delay\n    examples: {zh: [还没到]}\n";

struct Shop(tempfile::TempDir);

impl Shop {
    fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        fs::create_dir(shop.sources().intents).unwrap();
        fs::write(shop.sources().intents.join("shop.yaml"), YAML).unwrap();
        shop
    }

    fn sources(&self) -> Sources {
        let at = |name: &str| self.0.path().join(name);
        Sources { intents: at("intents"), training_data: at("rows") }
    }

    fn accept(
        &self,
        intent: &str,
        texts: &[&str],
        file: Option<&str>,
    ) -> Result<Vec<Placed>, AcceptError> {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let file = file.map(str::to_owned);
        accept(&self.sources(), &Wanted { texts, intent: intent.to_owned(), file })
    }

    fn yaml(&self) -> String {
        fs::read_to_string(self.sources().intents.join("shop.yaml")).unwrap()
    }
}

#[test]
fn sentences_are_written_once_with_the_comments_kept() {
    let shop = Shop::new();
    let placed = shop.accept("refund", &["把钱退我", "把钱退我！", "退款"], None).unwrap();
    let told: Vec<_> = placed.iter().map(|p| (p.file.as_str(), p.line, p.already)).collect();
    // An exclamation mark makes another sentence.
    assert_eq!(told, [("shop.yaml", 8, false), ("shop.yaml", 9, false), ("shop.yaml", 7, true)]);
    let after = "        - 退款 # the word\n        - 把钱退我\n        - 把钱退我！\n";
    assert_eq!(shop.yaml(), YAML.replace("        - 退款 # the word\n", after));
    let again = shop.accept("refund", &["把钱退我"], None).unwrap();
    assert!(again[0].already && again[0].line == 8);
    // The first English example makes its list; a later Chinese one moves it down.
    let both = shop.accept("refund", &["money back", "退我"], Some("shop.yaml")).unwrap();
    assert_eq!((both[0].line, both[1].line), (12, 10));
    let lines: Vec<String> = shop.yaml().lines().map(str::to_owned).collect();
    assert!(lines[11].contains("money back") && lines[9].contains("退我"), "{lines:?}");
}

#[test]
fn rows_go_to_the_training_data() {
    let shop = Shop::new();
    let placed = shop.accept("oos", &["你们招人吗", "天气 \"好\"吗"], None).unwrap();
    assert_eq!((placed[0].file.as_str(), placed[1].line), ("oos.jsonl", 2));
    let path = shop.sources().training_data.join("oos.jsonl");
    let rows = "{\"text\": \"你们招人吗\", \"intent\": \"oos\", \"lang\": \"zh\"}\n{\"text\": \"天气 \\\"好\\\"吗\", \"intent\": \"oos\", \"lang\": \"zh\"}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), rows);
    fs::write(&path, rows.trim_end()).unwrap();
    assert_eq!(shop.accept("oos", &["hiring?"], None).unwrap()[0].line, 3);
    assert!(shop.accept("oos", &["hiring?"], None).unwrap()[0].already);
    let placed = shop.accept("refund", &["refund row"], Some("more.jsonl")).unwrap();
    assert_eq!((placed[0].file.as_str(), placed[0].line), ("more.jsonl", 1));
    assert_eq!(shop.yaml(), YAML);
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let shop = Shop::new();
    shop.accept("oos", &["天气"], None).unwrap();
    for (name, intent, text, file, wanted) in [
        ("unknown intent", "nope", "x", None, "there is no intent \"nope\""),
        ("another intent's", "delay", "退款", None, "is an example of \"refund\" in "),
        ("with its place", "delay", "退款", None, "shop.yaml:7;"),
        ("a negative one", "refund", "不退款", None, "a negative example of \"refund\""),
        ("out of scope", "refund", "天气", None, "an out-of-scope row in "),
        ("an example", "oos", "退款", None, "is an example of"),
        ("nothing to read", "refund", " \n", None, "no visible text"),
        (
            "another file",
            "refund",
            "x",
            Some("other.yaml"),
            "is not the intent's file; name shop.yaml",
        ),
        ("out of the folder", "oos", "x", Some("../x.jsonl"), "is not the intent's file"),
    ] {
        let error = shop.accept(intent, &["fine so far", text], file).expect_err(name).to_string();
        assert!(error.contains(wanted) && !error.contains('\n'), "{name}: {error}");
        assert_eq!(shop.yaml(), YAML, "{name}");
    }
    // What is no refund may be a delay.
    assert!(shop.accept("delay", &["不退款"], None).is_ok());
    fs::write(shop.sources().intents.join("b.yaml"), "version: 9").unwrap();
    let error = shop.accept("refund", &["x"], None).unwrap_err().to_string();
    assert!(error.contains("b.yaml:1:10: KB002"), "{error}");
}
