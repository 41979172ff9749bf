//! The golden gate and flip reports through the real commands.

use std::fs;

use serde_json::{Value, json};

use crate::process::{Shop, until};
use crate::support::KNOWLEDGE;

const GOLDEN: &str = r"
version: 1
golden:
  - {text: 物流不更新, intent: delivery_delay, tier: keyword}
  - {text: 火星上有水吗, intent: refund_request, tier: keyword}
";

fn post(url: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(url).content_type("application/json");
    let mut response = request.send(body.to_string()).unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
}

#[test]
fn a_save_that_loses_a_golden_sentence_is_refused() {
    let shop = Shop::new();
    let file = shop.path("intents/shop.yaml");
    fs::write(shop.path("intents/golden.yaml"), GOLDEN).unwrap();
    let server = shop.serve();
    let first = server.version();
    until("the first look", || !server.model()["golden"].is_null());
    // An old failure is told, and holds nothing up.
    let golden = server.model()["golden"].clone();
    assert_eq!((&golden["passed"], &golden["failed"]), (&json!(1), &json!(1)));
    assert_eq!(golden["failures"][0]["line"], 5);

    let moved = KNOWLEDGE.replace("- any: [物流不更新]", "- any: [物流慢慢的]");
    let preview = format!("{}/intents/preview", server.url);
    let (status, said) = post(&preview, &json!({"files": {"shop.yaml": moved}}));
    assert_eq!((status, &said["golden_lost"]), (200, &json!(1)), "{said}");
    assert_eq!(said["flips"][0]["verdict"], "worsened", "{said}");
    assert_eq!(said["flips"][0]["why"]["causes"][0]["kind"], "keyword_removed", "{said}");
    let broken = KNOWLEDGE.replace("keywords:", "keyword:");
    let (status, said) = post(&preview, &json!({"files": {"shop.yaml": broken}}));
    assert_eq!((status, &said["error"]["code"]), (422, &json!("invalid_knowledge")), "{said}");
    let found = &said["error"]["findings"][0];
    assert_eq!((&found["code"], &found["line"]), (&json!("KB001"), &json!(6)));
    let (status, said) = post(&preview, &json!({"files": {"../shop.yaml": null}}));
    assert_eq!((status, &said["error"]["code"]), (422, &json!("invalid_request")), "{said}");

    fs::write(&file, &moved).unwrap();
    until("the refusal", || !server.model()["refused"].is_null());
    let refused = server.model()["refused"].as_str().unwrap().to_owned();
    assert!(
        refused.contains("loses 1 of 2 golden") && refused.contains("golden.yaml:4"),
        "{refused}"
    );
    assert_eq!(server.version(), first);
    let mut response = ureq::get(format!("{}/metrics", server.url)).call().unwrap();
    let metrics = response.body_mut().read_to_string().unwrap();
    assert!(metrics.contains(r#"kefu_model_reloads_total{outcome="golden_lost"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"kefu_golden_sentences{result="failed"} 1"#), "{metrics}");

    // The refused model is a version like others: it may be tried in the shadow, and taken.
    let version = refused.split_whitespace().nth(3).unwrap();
    let shadow = |version: Value| post(&format!("{}/model/shadow", server.url), &version);
    assert_eq!(shadow(json!({"version": "nope"})).1["error"]["code"], "no_such_model");
    assert_eq!(shadow(json!({"version": first})).1["error"]["code"], "no_such_model");
    let (status, said) = shadow(json!({"version": version}));
    assert_eq!((status, &said["shadow"]["version"]), (200, &json!(version)), "{said}");
    server.ask("物流不更新");
    until("the judgement", || {
        let shadow = server.model()["shadow"].clone();
        let of = |name: &str| shadow[name].as_u64().unwrap();
        of("agreed") + of("other_status") + of("other_intent") == 1
    });
    assert_eq!(shadow(json!({"version": null})).1["shadow"], Value::Null);

    // The same save with a golden set that wants it is taken up.
    let golden = GOLDEN.replace("text: 物流不更新", "text: 物流慢慢的");
    fs::write(shop.path("intents/golden.yaml"), golden).unwrap();
    until("the new model", || server.version() != first);
    assert_eq!(server.model()["refused"], Value::Null);
    assert_eq!(server.model()["golden"]["passed"], 1);
}

#[test]
fn diff_and_the_golden_gate_of_the_commands() {
    let shop = Shop::new();
    let (code, said, error) = shop.train(&["--json", "build"]);
    assert_eq!(code, Some(0), "{error}");
    let built: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(built["golden"], Value::Null);
    let version = built["version"].as_str().unwrap();

    fs::write(shop.path("intents/golden.yaml"), GOLDEN).unwrap();
    let (code, said, _) = shop.train(&["build"]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(
            "golden.yaml:5: \"火星上有水吗\" should be refund_request by keyword, is "
        )
    );
    assert!(
        said.contains("1 of 2 golden sentences are answered as they should be\nbuilt "),
        "{said}"
    );
    for (args, expected) in [
        (vec!["build", "--golden=warn"], 0),
        (vec!["build", "--golden=off"], 0),
        (vec!["validate"], 1),
        (vec!["validate", "--golden=off"], 0),
        (vec!["validate", "--semantic=never"], 0),
    ] {
        assert_eq!(shop.train(&args).0, Some(expected), "{args:?}");
    }
    let faulty = GOLDEN.replace("intent: delivery_delay", "intent: delay");
    fs::write(shop.path("intents/golden.yaml"), faulty).unwrap();
    let (code, said, _) = shop.train(&["validate"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("golden.yaml:4:") && said.contains("KG001"), "{said}");
    fs::write(shop.path("intents/golden.yaml"), GOLDEN).unwrap();

    // A folder beside it, with a rule moved.
    fs::create_dir(shop.path("edited")).unwrap();
    let moved = KNOWLEDGE.replace("- any: [物流不更新]", "- any: [物流慢慢的]");
    fs::write(shop.path("edited/shop.yaml"), moved).unwrap();
    let row = |text: &str, intent: &str| format!("{}\n", json!({"text": text, "intent": intent}));
    fs::write(shop.path("rows.jsonl"), row("物流慢慢的呀", "delivery_delay")).unwrap();
    fs::write(shop.path("log.jsonl"), "{\"text\": \"物流不更新了吧\", \"at\": 1}\n").unwrap();
    let diff = |more: &[&str]| {
        let base = ["--from", version, "--to=edited", "--data=rows.jsonl", "--log=log.jsonl"];
        shop.train(&[&["--json", "diff"], &base[..], more].concat())
    };
    let (code, said, error) = diff(&["--report=out"]);
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["before"], version);
    assert_eq!(report["edit"]["rules_added"], 1);
    let total = &report["total"];
    assert_eq!(total["messages"], 4, "{report}");
    assert!(total["changed"].as_u64().unwrap() >= 1, "{report}");
    assert!(total["worsened"].as_u64().unwrap() >= 1, "{report}");
    for name in ["flips.json", "flips.md"] {
        let text = fs::read_to_string(shop.path("out").join(name)).unwrap();
        assert!(text.contains("物流不更新"), "{name}: {text}");
    }
    assert_eq!(diff(&["--max-worsened=0"]).0, Some(1));
    assert_eq!(diff(&["--max-worsened=9"]).0, Some(0));
    assert_eq!(fs::read_dir(shop.path("models/intents")).unwrap().count(), 1, "nothing was saved");

    fs::write(shop.path("rows.jsonl"), row("x", "nobody")).unwrap();
    let (code, _, error) = diff(&[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("rows.jsonl:1: no intent \"nobody\" before or after"), "{error}");
    let (code, _, error) = shop.train(&["diff", "--from=nowhere", "--to=edited"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("nowhere is neither a folder nor a version"), "{error}");
}
