//! Every option is a flag, a variable and a key, explained in the help and in the docs.

use std::path::Path;

use clap::CommandFactory;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn args(line: &str) -> Vec<OsString> {
    std::iter::once("kefu-server").chain(line.split_whitespace()).map(OsString::from).collect()
}

/// Parses as [`Cli::load`] does, with `toml` for the file.
fn load(line: &str, toml: &str) -> Result<ServerOptions, String> {
    let file = file::parse(Path::new("kefu.toml"), toml).map_err(|error| error.to_string())?;
    let command = file.as_defaults(&Cli::command()).map_err(|error| error.to_string())?;
    let cli = Cli::parse_with(command, &args(line)).map_err(|error| error.to_string())?;
    cli.options.check().map_err(|error| error.to_string())?;
    Ok(cli.options)
}

fn options() -> Vec<clap::Arg> {
    let command = Cli::command();
    let own = |arg: &&clap::Arg| !["help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(own).cloned().collect()
}

/// A good value of each key that is not the default.
const SAMPLES: [(&str, &str); 35] = [
    ("mode", "\"mini\""),
    ("store", "\"embedded\""),
    ("store_dir", "\"kept\""),
    ("durability", "\"interval\""),
    ("retention_days", "30"),
    ("max_sessions", "100"),
    ("new_sessions_per_s", "0"),
    ("new_visitors_per_s", "9"),
    ("host", "\"127.0.0.2\""),
    ("port", "0"),
    ("intents", "\"kb\""),
    ("training_data", "\"rows\""),
    ("models", "\"m\""),
    ("model", "\"all-MiniLM-L6-v2\""),
    ("model_source", "\"hub\""),
    ("artifact", "\"a\""),
    ("build", "\"never\""),
    ("max_false_accept", "0.2"),
    ("golden", "\"warn\""),
    ("held_out", "\"README.md\""),
    ("hours", "\"h.yaml\""),
    ("threads", "3"),
    ("queue", "2048"),
    ("max_text_chars", "10"),
    ("max_body_bytes", "2048"),
    ("max_batch", "7"),
    ("rate_limit", "0"),
    ("max_concurrent", "9"),
    ("api_key", "\"0123456789abcdef\""),
    ("review", "\"off\""),
    ("review_dir", "\"r\""),
    ("review_max", "5"),
    ("log", "\"json\""),
    ("log_level", "\"debug\""),
    ("shutdown_timeout_s", "1"),
];

#[test]
fn clap_accepts_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn each_option_is_a_flag_a_variable_and_a_key_and_is_explained() {
    let mut long_help = Cli::command();
    let long_help = long_help.render_long_help().to_string();
    for arg in options() {
        let id = arg.get_id().as_str();
        let flag = id.replace('_', "-");
        assert_eq!(arg.get_long(), Some(flag.as_str()), "{id}");
        let env = arg.get_env().and_then(|env| env.to_str());
        assert_eq!(env, Some(format!("KEFU_{}", id.to_uppercase()).as_str()), "{id}");
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(!help.is_empty(), "{id} has no help");
        assert!(long_help.contains(&format!("--{flag}")), "{id} is not in --help");
        let sampled = id == "config" || SAMPLES.iter().any(|(key, _)| *key == id);
        assert!(sampled, "{id} has no sample, so its key is not tested");
    }
    assert_eq!(options().len(), SAMPLES.len() + 1);
}

#[test]
fn the_file_sets_every_option_by_either_spelling() {
    for dash in ["_", "-"] {
        let toml: String = SAMPLES
            .iter()
            .map(|(key, value)| format!("{} = {value}\n", key.replace('_', dash)))
            .collect();
        let options = load("", &toml).unwrap();
        assert_eq!(options.address().to_string(), "127.0.0.2:0");
        assert_eq!((options.queue, options.threads, options.shutdown_timeout_s), (2048, 3, 1));
        assert_eq!(options.limits().max_batch, 7);
        assert_eq!(options.model_source, ModelSource::Hub);
        assert!(options.review_options().is_none());
        assert_eq!(options.api_key.unwrap().reveal(), "0123456789abcdef");
        assert_eq!((options.build, options.log), (Build::Never, LogFormat::Json));
    }
}

#[test]
fn a_flag_beats_the_file_which_beats_the_default() {
    assert_eq!(load("", "").unwrap().port, 8811);
    assert_eq!(load("", "port = 1").unwrap().port, 1);
    assert_eq!(load("--port 2", "port = 1").unwrap().port, 2);
}

#[test]
fn refusals_say_what_would_be_good() {
    let rows = [
        ("--mode=cluster", "", "cluster mode is not part of this build yet"),
        ("--mode=maxi", "", "use mini"),
        ("--store=tikv", "", "use embedded"),
        ("--host=example.org", "", "127.0.0.1"),
        ("--port=70000", "", "0..=65535"),
        ("--threads=0", "", "whole number from 1"),
        ("--max-body-bytes=1", "", "from 1024"),
        ("--review=maybe", "", "use on or off"),
        ("--review-max=0", "", "from 1"),
        ("--log=xml", "", "human or json"),
        ("--log-level=loud", "", "use error, warn, info"),
        ("--build=always", "", "auto or never"),
        ("--golden=maybe", "", "required, warn or off"),
        ("--held-out=nowhere.jsonl", "", "--held-out nowhere.jsonl is no file"),
        ("--host=0.0.0.0", "", "openssl rand -hex 32"),
        ("--host=::", "", "openssl rand -hex 32"),
        ("--queue=10", "", "--max-batch 10 or less"),
        ("--model-source=/no/such/folder", "", "auto, hub, pypi"),
        ("--frobnicate", "", "unexpected argument"),
        ("", "port = 70000", "kefu.toml: port: \"70000\" is not good"),
        ("", "threads = 0", "whole number from 1"),
        ("", "mode = 'cluster'", "cluster mode is not part of this build yet"),
        ("", "prot = 1", "use one of mode, store"),
        ("", "config = 'x'", "no such key"),
        ("", "[server]\nport = 1", "use a string or a number"),
        ("", "max-batch = 1\nmax_batch = 2", "says the same"),
        ("", "port = ", "kefu.toml:1:"),
    ];
    for (line, toml, wanted) in rows {
        let error = load(line, toml).expect_err(&format!("{line} {toml}"));
        assert!(error.contains(wanted), "{line} {toml}: {error}");
    }
}

#[test]
fn with_a_key_the_server_may_be_reached() {
    let options = load(&format!("--host 0.0.0.0 --api-key {KEY}"), "").unwrap();
    assert_eq!(options.api_key.unwrap().reveal(), KEY);
}

#[test]
fn the_api_key_shows_nowhere() {
    let options = load(&format!("--api-key {KEY}"), "").unwrap();
    assert!(!format!("{options:?}").contains(KEY));
    let file = file::parse(Path::new("kefu.toml"), &format!("api_key = '{KEY}'")).unwrap();
    let mut command = file.as_defaults(&Cli::command()).unwrap();
    assert!(!command.render_long_help().to_string().contains(KEY));
    for weak in ["hunter2", "sixteen chars in all", "密钥密钥密钥密钥"] {
        let error = load("", &format!("api_key = '{weak}'")).unwrap_err();
        assert!(error.contains("openssl rand -hex 32") && !error.contains(weak), "{error}");
    }
}

#[test]
fn subcommands() {
    let cli = Cli::parse_with(Cli::command(), &args("models pull e5 --models /m")).unwrap();
    let Some(Command::Models(command)) = cli.command else { panic!("models was asked for") };
    assert_eq!(command, ModelsCommand::Pull { name: "e5".to_owned() });
    assert_eq!(cli.options.models, Path::new("/m"));
}

#[test]
fn the_docs_list_every_option() {
    let mut table =
        "\n| flag | variable | key | default | what |\n|---|---|---|---|---|\n".to_owned();
    for arg in options() {
        let (id, flag) = (arg.get_id().as_str(), arg.get_long().unwrap());
        let default = match (id, arg.get_default_values()) {
            ("threads", _) => "processors".to_owned(),
            (_, []) => "none".to_owned(),
            (_, values) => format!("`{}`", values[0].to_str().unwrap()),
        };
        let key = if id == "config" { "not a key".to_owned() } else { format!("`{id}`") };
        let (env, help) = (id.to_uppercase(), arg.get_help().unwrap());
        let line = format!("| `--{flag}` | `KEFU_{env}` | {key} | {default} | {help} |\n");
        table.push_str(&line);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let docs = std::fs::read_to_string(&path).unwrap();
    let start = docs.find("GOLDEN=1 -->\n").unwrap() + "GOLDEN=1 -->\n".len();
    let end = docs.find("<!-- end of options -->").unwrap();
    let wanted = format!("{}{table}{}", &docs[..start], &docs[end..]);
    if std::env::var_os("KEFU_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            docs == wanted,
            "docs/configuration.md is not what the options are; run the tests with \
             KEFU_UPDATE_GOLDEN=1"
        );
    }
}
