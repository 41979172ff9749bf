//! Getting the real default model, by the code path that the programs use.

use std::path::PathBuf;
use std::sync::OnceLock;

use kefu::models::{ModelDir, Options, ensure, list};
use kefu::progress::Silent;

/// The checkout's own `models/` folder, shared by all tests and by the programs.
pub(crate) fn models_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// The default model; fetched once if it is missing. A test that needs it fails without it.
pub(crate) fn default_model() -> &'static ModelDir {
    static MODEL: OnceLock<ModelDir> = OnceLock::new();
    MODEL.get_or_init(|| {
        let options = Options::from_vars(models_dir(), |name| std::env::var(name).ok());
        ensure("multilingual-e5-small", &options, &Silent).expect("the default model can be had")
    })
}

#[test]
fn the_default_model_is_pruned_and_described() {
    let model = default_model();
    let pruned = model.card.pruned.expect("the default model is pruned");
    assert_eq!((pruned.pieces, pruned.of), (131_733, 250_002));
    assert_eq!(model.card.query_prefix, "query: ");
    assert_eq!((model.card.dimension, model.card.max_tokens), (384, 512));
    assert!(model.bytes() < 200_000_000, "{} bytes", model.bytes());
    assert_eq!(model.spec().sha256.len(), 64);
}

#[test]
fn the_list_shows_what_is_installed() {
    let model = default_model();
    let list = list(&models_dir());
    let first = &list[0];
    assert_eq!(first.known.name, "multilingual-e5-small");
    assert_eq!(first.known.license, "MIT");
    assert_eq!(first.installed.as_ref().unwrap().as_ref().unwrap(), model);
}
