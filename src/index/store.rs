//! The index on disk: a manifest and, for a graph, its file.
//!
//! The manifest is written last and names sizes and checksums, so a folder that was left half
//! written, or whose files were swapped, is refused before anything in it is used.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::exact::ExactIndex;
use super::graph::Graph;
use super::hnsw::HnswIndex;
use super::{Index, IndexError, IndexKind};
use crate::encoder::Embeddings;

const MANIFEST: &str = "index.json";
const GRAPH: &str = "graph.bin";

/// Version of the folder's format; a change that old code cannot read raises it.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    kind: IndexKind,
    len: usize,
    dimension: usize,
    /// Lower-case hex SHA-256 over the vectors as little-endian f32, row-major.
    vectors_sha256: String,
    /// Only for [`IndexKind::Hnsw`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    graph: Option<FileSeal>,
}

/// Size and checksum of a file beside the manifest.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSeal {
    bytes: u64,
    sha256: String,
}

impl FileSeal {
    fn of(content: &[u8]) -> Self {
        Self { bytes: content.len() as u64, sha256: hex(&Sha256::digest(content)) }
    }
}

pub(super) fn save(index: &Index, dir: &Path) -> Result<(), IndexError> {
    let (vectors, graph) = match index {
        Index::Exact(index) => (index.vectors(), None),
        Index::Hnsw(index) => (index.vectors(), Some(index.graph().to_bytes())),
    };
    let manifest = Manifest {
        format: FORMAT,
        kind: index.kind(),
        len: vectors.len(),
        dimension: vectors.dimension(),
        vectors_sha256: vectors_sha256(vectors),
        graph: graph.as_deref().map(FileSeal::of),
    };
    if let Some(graph) = graph {
        write(&dir.join(GRAPH), &graph)?;
    }
    let json = serde_json::to_vec_pretty(&manifest).expect("a manifest has only plain fields");
    write(&dir.join(MANIFEST), &json)
}

pub(super) fn load(dir: &Path, vectors: Arc<Embeddings>) -> Result<Index, IndexError> {
    let path = dir.join(MANIFEST);
    let manifest: Manifest =
        serde_json::from_slice(&read(&path)?).map_err(|error| corrupt(&path, error.to_string()))?;
    if manifest.format != FORMAT {
        let reason = format!("its format is {}, this version reads {FORMAT}", manifest.format);
        return Err(corrupt(&path, reason));
    }
    compare(&path, &manifest, &vectors)?;
    match (manifest.kind, manifest.graph) {
        (IndexKind::Exact, None) => Ok(Index::Exact(ExactIndex::new(vectors))),
        (IndexKind::Hnsw, Some(seal)) => {
            let path = dir.join(GRAPH);
            let bytes = read(&path)?;
            if FileSeal::of(&bytes) != seal {
                let reason = format!("size or checksum differ from {MANIFEST}");
                return Err(corrupt(&path, reason));
            }
            let graph = Graph::from_bytes(&bytes, vectors.len())
                .map_err(|reason| corrupt(&path, reason))?;
            Ok(Index::Hnsw(HnswIndex::from_graph(vectors, graph)))
        }
        (kind, _) => Err(corrupt(&path, format!("kind {kind:?} and graph do not fit"))),
    }
}

fn compare(path: &Path, manifest: &Manifest, vectors: &Embeddings) -> Result<(), IndexError> {
    let mismatch = |reason: String| Err(IndexError::Mismatch { path: path.to_owned(), reason });
    let (stored, given) =
        ((manifest.len, manifest.dimension), (vectors.len(), vectors.dimension()));
    if stored != given {
        return mismatch(format!("(rows, dimension) were {stored:?} and are {given:?}"));
    }
    if manifest.vectors_sha256 != vectors_sha256(vectors) {
        return mismatch("their checksum differs".into());
    }
    Ok(())
}

fn vectors_sha256(vectors: &Embeddings) -> String {
    let mut hasher = Sha256::new();
    let mut bytes = Vec::new();
    for row in vectors.rows() {
        bytes.clear();
        bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, IndexError> {
    fs::read(path).map_err(|source| IndexError::Io { path: path.to_owned(), source })
}

/// Writes beside the target, syncs, renames: the name never holds half a file.
fn write(path: &Path, content: &[u8]) -> Result<(), IndexError> {
    let partial: PathBuf = path.with_extension("partial");
    let attempt = || {
        let mut file = fs::File::create(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().map_err(|source| IndexError::Io { path: path.to_owned(), source })
}

fn corrupt(path: &Path, reason: String) -> IndexError {
    IndexError::Corrupt { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::super::VectorIndex as _;
    use super::super::synthetic::{DIMENSION, vectors};
    use super::*;

    fn embeddings(count: usize) -> Arc<Embeddings> {
        Arc::new(Embeddings::new(DIMENSION, vectors(count, 0)))
    }

    fn saved(kind: IndexKind, count: usize) -> (tempfile::TempDir, Index) {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::build(embeddings(count), kind).unwrap();
        index.save(dir.path()).unwrap();
        (dir, index)
    }

    fn failure(dir: &Path, vectors: Arc<Embeddings>) -> IndexError {
        Index::load(dir, vectors).err().expect("the index must be refused")
    }

    #[test]
    fn a_loaded_index_answers_as_the_saved_one() {
        for (kind, count) in [
            (IndexKind::Exact, 300),
            (IndexKind::Hnsw, 300),
            (IndexKind::Hnsw, 1),
            (IndexKind::Hnsw, 0),
        ] {
            let (dir, index) = saved(kind, count);
            index.save(dir.path()).unwrap(); // over an old one
            let loaded = Index::load(dir.path(), embeddings(count)).unwrap();
            assert_eq!((loaded.kind(), loaded.len()), (kind, count));
            for query in vectors(5, 1).chunks_exact(DIMENSION) {
                assert_eq!(loaded.search(query, 10), index.search(query, 10), "{kind:?}");
            }
        }
    }

    #[test]
    fn other_vectors_are_refused() {
        for kind in [IndexKind::Exact, IndexKind::Hnsw] {
            let (dir, _) = saved(kind, 50);
            let others = Arc::new(Embeddings::new(DIMENSION, vectors(50, 9)));
            for other in [embeddings(51), others] {
                let error = failure(dir.path(), other);
                assert!(matches!(error, IndexError::Mismatch { .. }), "{error}");
            }
        }
    }

    #[test]
    fn damaged_files_are_named() {
        let (dir, _) = saved(IndexKind::Hnsw, 50);
        for name in [MANIFEST, GRAPH] {
            let path = dir.path().join(name);
            let good = fs::read(&path).unwrap();
            let mut flipped = good.clone();
            flipped[good.len() / 2] ^= 1;
            let longer = [good.as_slice(), b"{"].concat();
            for bad in [&good[..good.len() / 2], &[], &flipped, &longer] {
                fs::write(&path, bad).unwrap();
                let error = failure(dir.path(), embeddings(50)).to_string();
                assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
            }
            fs::remove_file(&path).unwrap();
            let error = failure(dir.path(), embeddings(50));
            assert!(matches!(&error, IndexError::Io { path: p, .. } if *p == path), "{error}");
            fs::write(&path, good).unwrap();
        }
        Index::load(dir.path(), embeddings(50)).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused() {
        let (dir, _) = saved(IndexKind::Exact, 5);
        let path = dir.path().join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(failure(dir.path(), embeddings(5)).to_string().contains("its format is 2"));
    }
}
