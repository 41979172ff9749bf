//! A folder in the hub's layout that somebody put there by hand: how it wants to be used is read
//! from the files that sentence-transformers writes, with mean pooling and no prefix by default.

use std::path::Path;

use serde_json::Value;

use crate::encoder::Pooling;

use super::ModelError;
use super::install::{CARD, FILES, ModelCard, ModelDir, describe, read_file};

/// Opens `path`: by its `kefu-model.json` if it has one, else by what else lies in it. The latter
/// hashes all files, which takes about a second for 500 MB.
///
/// # Errors
/// [`ModelError::Damaged`] when a file is missing or asks for what we can't do.
pub(super) fn open(path: &Path) -> Result<ModelDir, ModelError> {
    if path.join(CARD).exists() {
        return ModelDir::read(path);
    }
    let damaged = |reason: String| ModelError::Damaged { path: path.to_owned(), reason };
    if let Some(missing) = FILES.iter().find(|name| !path.join(name).is_file()) {
        return Err(damaged(format!("it has no {missing}")));
    }
    let config = json(&path.join(FILES[0]))?;
    let size = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
    };
    let dimension = size(&config, "hidden_size")
        .ok_or_else(|| damaged("config.json has no hidden_size".into()))?;
    let positions = size(&config, "max_position_embeddings").unwrap_or(512);
    let limit = optional_json(&path.join("sentence_bert_config.json"))?
        .and_then(|value| size(&value, "max_seq_length"));
    let pooling = match optional_json(&path.join("1_Pooling").join("config.json"))? {
        None => Pooling::Mean,
        Some(value) => pooling(&value).map_err(damaged)?,
    };
    let absolute = std::fs::canonicalize(path).map_err(|e| ModelError::io(path, e))?;
    let name = absolute.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let card = ModelCard {
        format: 1,
        name,
        source: format!("folder {}", path.display()),
        license: None,
        languages: Vec::new(),
        pooling,
        query_prefix: String::new(),
        max_tokens: limit.unwrap_or(positions).min(positions),
        dimension,
        pruned: None,
        tuned: false,
        files: FILES.iter().map(|name| describe(path, name)).collect::<Result<_, _>>()?,
    };
    Ok(ModelDir { path: path.to_owned(), card })
}

/// What sentence-transformers' `1_Pooling/config.json` asks for.
fn pooling(value: &Value) -> Result<Pooling, String> {
    let on = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    match (on("pooling_mode_mean_tokens"), on("pooling_mode_cls_token")) {
        (true, false) => Ok(Pooling::Mean),
        (false, true) => Ok(Pooling::Cls),
        _ => Err("1_Pooling/config.json asks for neither mean nor cls pooling".to_owned()),
    }
}

fn optional_json(path: &Path) -> Result<Option<Value>, ModelError> {
    if path.is_file() { json(path).map(Some) } else { Ok(None) }
}

fn json(path: &Path) -> Result<Value, ModelError> {
    serde_json::from_slice(&read_file(path)?)
        .map_err(|error| ModelError::Source { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_transformers_files_are_followed() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert");
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).unwrap_err().to_string().contains("it has no config.json"));
        for name in FILES {
            std::fs::copy(fixture.join(name), folder.path().join(name)).unwrap();
        }
        let plain = open(folder.path()).unwrap();
        assert_eq!((plain.card.pooling, plain.card.max_tokens), (Pooling::Mean, 40));
        assert_eq!(plain.card.query_prefix, "");
        assert_eq!((plain.card.dimension, plain.card.files.len()), (16, 3));
        std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        let cases = [
            (r#"{"pooling_mode_cls_token": true}"#, Some(Pooling::Cls)),
            (r#"{"pooling_mode_mean_tokens": true}"#, Some(Pooling::Mean)),
            (r#"{"pooling_mode_max_tokens": true}"#, None),
        ];
        for (text, expected) in cases {
            std::fs::write(folder.path().join("1_Pooling/config.json"), text).unwrap();
            assert_eq!(
                open(folder.path()).ok().map(|model| model.card.pooling),
                expected,
                "{text}"
            );
        }
        std::fs::remove_dir_all(folder.path().join("1_Pooling")).unwrap();
        let limit = r#"{"max_seq_length": 8}"#;
        std::fs::write(folder.path().join("sentence_bert_config.json"), limit).unwrap();
        let cut = open(folder.path()).unwrap();
        assert_eq!(cut.card.max_tokens, 8);
        assert_ne!(cut.card.identity(), plain.card.identity());
    }
}
