//! The artifact's folder: written whole and renamed, checked file by file.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{ArtifactError, FileSum, Header, Identity, Model, hex, weights};
use crate::encoder::EncoderInfo;
use crate::index::Index;
use crate::intent::classifier::Classifier;
use crate::intent::engine::Engine;
use crate::intent::lexical::Vocabulary;
use crate::intent::normalize::NORMALIZER_VERSION;

const FORMAT: u32 = 2;
const HEADER: &str = "model.json";
const KNOWLEDGE: &str = "knowledge.json";
const VOCABULARY: &str = "vocabulary.json";
const WEIGHTS: &str = "weights.safetensors";
const INDEX: &str = "index";
/// Models that are kept to go back to.
const KEPT_VERSIONS: usize = 20;
const STAGING: &str = ".building-";
/// A staging folder that nobody touched for so long belongs to a build that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

pub(super) fn save(model: &Model, folder: &Path) -> Result<PathBuf, ArtifactError> {
    let target = folder.join(model.identity.version());
    if target.join(HEADER).is_file() {
        return Ok(target);
    }
    fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
    remove_abandoned(folder);
    let staging = tempfile::Builder::new()
        .prefix(STAGING)
        .tempdir_in(folder)
        .map_err(|source| io(folder, source))?;
    let at = staging.path();
    let engine = &model.engine;
    let heads = engine.classifier().heads();
    let files = [
        (KNOWLEDGE, json(engine.knowledge())),
        (VOCABULARY, json(&heads.vocabulary.store())),
        (WEIGHTS, weights::to_bytes(&model.embeddings, engine.vectors(), heads)),
    ];
    let mut sums = Vec::new();
    for (name, bytes) in &files {
        write(&at.join(name), bytes)?;
        sums.push(FileSum { name: (*name).to_owned(), sha256: hex(&Sha256::digest(bytes)) });
    }
    let index = at.join(INDEX);
    fs::create_dir(&index).map_err(|source| io(&index, source))?;
    model.index.save(&index).map_err(|error| damaged(&index, error.to_string()))?;
    let header = Header {
        format: FORMAT,
        identity: model.identity.clone(),
        calibration: engine.classifier().calibration().clone(),
        files: sums,
    };
    write(&at.join(HEADER), &json(&header))?;
    if let Err(source) = fs::rename(at, &target) {
        // Another process may have built the same model meanwhile.
        return if target.join(HEADER).is_file() { Ok(target) } else { Err(io(&target, source)) };
    }
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|source| io(folder, source))?;
    remove_old(folder);
    Ok(target)
}

/// Removes the oldest models beyond [`KEPT_VERSIONS`]; one that cannot be removed only takes room.
fn remove_old(folder: &Path) {
    let mut models: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(HEADER).is_file())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    models.sort();
    let surplus = models.len().saturating_sub(KEPT_VERSIONS);
    for (_, path) in &models[..surplus] {
        let _ = fs::remove_dir_all(path);
    }
}

/// Removes what killed builds left; one that cannot be removed only takes room.
fn remove_abandoned(folder: &Path) {
    let is_abandoned = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|data| data.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        entry.file_name().to_string_lossy().starts_with(STAGING)
            && age.is_some_and(|age| age > ABANDONED_AFTER)
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(is_abandoned) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

pub(super) fn load(path: &Path, encoder: &EncoderInfo) -> Result<Model, ArtifactError> {
    let header: Header = parse(&path.join(HEADER), &read(&path.join(HEADER))?)?;
    if header.format != FORMAT {
        let reason = format!("layout {} is unknown, this kefu reads {FORMAT}", header.format);
        return Err(damaged(&path.join(HEADER), reason));
    }
    check_fit(path, &header.identity, encoder)?;
    let file = |name: &str| -> Result<(PathBuf, Vec<u8>), ArtifactError> {
        let at = path.join(name);
        let bytes = read(&at)?;
        let expected = header.files.iter().find(|sum| sum.name == name);
        if expected.is_none_or(|sum| sum.sha256 != hex(&Sha256::digest(&bytes))) {
            return Err(damaged(&at, "its checksum is not the one in model.json"));
        }
        Ok((at, bytes))
    };
    let (at, bytes) = file(KNOWLEDGE)?;
    let knowledge = parse(&at, &bytes)?;
    let (at, bytes) = file(VOCABULARY)?;
    let vocabulary = Vocabulary::restore(parse(&at, &bytes)?)
        .ok_or_else(|| damaged(&at, "words and weights do not fit"))?;
    let (at, bytes) = file(WEIGHTS)?;
    let weights = weights::from_bytes(&bytes, vocabulary).map_err(|reason| damaged(&at, reason))?;
    drop(bytes);
    let vectors = Arc::new(weights.vectors);
    let index = Index::load(&path.join(INDEX), Arc::clone(&vectors))
        .map_err(|error| damaged(&path.join(INDEX), error.to_string()))?;
    let index = Arc::new(index);
    let classifier = Classifier::new(weights.heads, header.calibration);
    let engine = Engine::new(knowledge, Arc::clone(&index) as _, vectors, classifier)
        .map_err(|error| damaged(path, error.to_string()))?;
    Ok(Model { identity: header.identity, engine, index, embeddings: weights.embeddings })
}

fn check_fit(path: &Path, identity: &Identity, encoder: &EncoderInfo) -> Result<(), ArtifactError> {
    let misfit = |part, found: String, expected: String| ArtifactError::Misfit {
        path: path.to_owned(),
        part,
        found,
        expected,
    };
    if identity.encoder_sha256 != encoder.sha256 || identity.dimension != encoder.dimension {
        let name =
            |name: &str, sha256: &str| format!("{name} ({})", sha256.get(..12).unwrap_or(sha256));
        return Err(misfit(
            "the encoder",
            name(&identity.encoder, &identity.encoder_sha256),
            name(&encoder.name, &encoder.sha256),
        ));
    }
    if identity.normalizer != NORMALIZER_VERSION {
        let expected = NORMALIZER_VERSION.to_owned();
        return Err(misfit("the normaliser version", identity.normalizer.clone(), expected));
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data is JSON")
}

fn read(path: &Path) -> Result<Vec<u8>, ArtifactError> {
    fs::read(path).map_err(|source| io(path, source))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| io(path, source))
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ArtifactError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(path, error.to_string()))
}

fn io(path: &Path, source: std::io::Error) -> ArtifactError {
    ArtifactError::Io { path: path.to_owned(), source }
}

fn damaged(path: &Path, reason: impl Into<String>) -> ArtifactError {
    ArtifactError::Damaged { path: path.to_owned(), reason: reason.into() }
}
