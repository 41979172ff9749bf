//! The Unigram model of SentencePiece (Kudo 2018, <https://arxiv.org/abs/1804.10959>) in little
//! memory, as a model for the `tokenizers` library.
//!
//! The library keeps a hash map for each node of its trie: by their sizes 74 MB for the pieces of
//! multilingual-e5-small, which here take 3 MB, and an allocation for each piece it looks at. Called
//! by [`super::tokenizer`]; the ids are the library's (a property test holds it).

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::{Model, Result, Token};

/// An unknown character costs this much more than the worst piece (as in SentencePiece).
const UNKNOWN_PENALTY: f64 = 10.0;

const NONE: u32 = u32::MAX;

/// A Unigram model without byte fallback.
pub(super) struct CompactUnigram {
    trie: Trie,
    /// Log-probability of each piece.
    scores: Vec<f64>,
    unknown: u32,
    unknown_score: f64,
}

/// A step of the best path: the piece `id` from `start` to where the step is stored.
#[derive(Clone, Copy)]
struct Step {
    score: f64,
    start: u32,
    id: u32,
}

impl CompactUnigram {
    /// Takes the pieces with their scores, by id; none when `unknown` is not one of them.
    pub(super) fn new(pieces: &[(String, f64)], unknown: usize) -> Option<Self> {
        if unknown >= pieces.len() || pieces.len() >= NONE as usize {
            return None;
        }
        let scores: Vec<f64> = pieces.iter().map(|(_, score)| *score).collect();
        let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let trie = Trie::new(pieces.iter().map(|(piece, _)| piece.as_bytes()).zip(0..).collect());
        let unknown_score = worst - UNKNOWN_PENALTY;
        Some(Self { trie, scores, unknown: unknown as u32, unknown_score })
    }

    /// The most probable pieces of `text`: `(id, end)`, in order. Neighbouring unknown characters
    /// are one piece. `text` must be shorter than 4 GiB.
    fn best_path(&self, text: &str) -> Vec<(u32, usize)> {
        let unreached = Step { score: 0.0, start: NONE, id: NONE };
        let mut steps = vec![unreached; text.len() + 1];
        for (start, c) in text.char_indices() {
            let so_far = steps[start].score;
            let mut reach = |end: usize, id: u32, score: f64| {
                let step = &mut steps[end];
                if step.start == NONE || so_far + score > step.score {
                    *step = Step { score: so_far + score, start: start as u32, id };
                }
            };
            let mut is_known = false;
            self.trie.prefixes(&text.as_bytes()[start..], |length, id| {
                reach(start + length, id, self.scores[id as usize]);
                is_known |= length == c.len_utf8();
            });
            if !is_known {
                reach(start + c.len_utf8(), self.unknown, self.unknown_score);
            }
        }
        let mut path: Vec<(u32, usize)> = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let Step { start, id, .. } = steps[end];
            let fused = id == self.unknown && path.last().is_some_and(|last| last.0 == id);
            if !fused {
                path.push((id, end));
            }
            end = start as usize;
        }
        path.reverse();
        path
    }
}

impl Model for CompactUnigram {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, sequence: &str) -> Result<Vec<Token>> {
        let mut start = 0;
        let path = self.best_path(sequence).into_iter();
        let token = |(id, end)| {
            let offsets = (start, end);
            start = end;
            Token::new(id, sequence[offsets.0..offsets.1].to_owned(), offsets)
        };
        Ok(path.map(token).collect())
    }

    fn get_vocab_size(&self) -> usize {
        self.scores.len()
    }

    // The library asks these to decode, to save and to train, which nobody here does.

    fn token_to_id(&self, token: &str) -> Option<u32> {
        let mut found = None;
        self.trie.prefixes(token.as_bytes(), |length, id| {
            found = (length == token.len()).then_some(id).or(found);
        });
        found
    }

    fn id_to_token(&self, _id: u32) -> Option<String> {
        None
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        HashMap::new()
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> Result<Vec<PathBuf>> {
        Err("a compact model is not saved".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        ModelWrapper::Unigram(Default::default()).get_trainer()
    }
}

/// A trie in three arrays, its nodes level by level: the children of a node stand side by side,
/// and end where those of the next node begin.
struct Trie {
    /// The byte that leads to each node.
    labels: Vec<u8>,
    /// Position of each node's first child; one more entry for the end of the last node's.
    children: Vec<u32>,
    /// The piece that ends at each node, or [`NONE`].
    ids: Vec<u32>,
}

impl Trie {
    /// Of two equal pieces the last one counts.
    fn new(mut pieces: Vec<(&[u8], u32)>) -> Self {
        pieces.sort_unstable();
        let mut trie = Self { labels: vec![0], children: Vec::new(), ids: Vec::new() };
        // Nodes that wait for their children: the pieces that go through them, and their depth.
        let mut waiting = VecDeque::from([(pieces.as_slice(), 0)]);
        while let Some((pieces, depth)) = waiting.pop_front() {
            let ending = pieces.partition_point(|(piece, _)| piece.len() == depth);
            trie.ids.push(pieces[..ending].last().map_or(NONE, |piece| piece.1));
            trie.children.push(trie.labels.len() as u32);
            for below in pieces[ending..].chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                trie.labels.push(below[0].0[depth]);
                waiting.push_back((below, depth + 1));
            }
        }
        trie.children.push(trie.labels.len() as u32);
        trie
    }

    /// Calls `found` with the length and the id of each piece that `text` begins with, shortest
    /// first.
    fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut node = 0;
        for (at, byte) in text.iter().enumerate() {
            let first = self.children[node] as usize;
            let labels = &self.labels[first..self.children[node + 1] as usize];
            let Ok(child) = labels.binary_search(byte) else { return };
            node = first + child;
            if self.ids[node] != NONE {
                found(at + 1, self.ids[node]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::models::unigram::Unigram;

    use super::*;

    fn both(pieces: &[(&str, f64)]) -> (Unigram, CompactUnigram) {
        let pieces: Vec<(String, f64)> =
            pieces.iter().map(|(piece, score)| ((*piece).to_owned(), *score)).collect();
        let compact = CompactUnigram::new(&pieces, 0).unwrap();
        (Unigram::from(pieces, Some(0), false).unwrap(), compact)
    }

    #[test]
    fn table() {
        let (library, compact) = both(&[
            ("\0<unk>", 0.0),
            ("a", -2.0),
            ("b", -2.5),
            ("ab", -3.0),
            ("abc", -9.0),
            ("款", -4.0),
            ("退款", -5.0),
            ("退", -6.0),
            ("ab", -3.5),
        ]);
        for (text, ids) in [
            ("", vec![]),
            ("ab", vec![8]),
            ("aab", vec![1, 8]),
            ("退款", vec![6]),
            ("款退", vec![5, 7]),
            ("xy", vec![0]),
            ("x退y", vec![0, 7, 0]),
            ("abc", vec![4]),
        ] {
            let tokens = compact.tokenize(text).unwrap();
            assert_eq!(tokens, library.tokenize(text).unwrap(), "{text}");
            assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), ids, "{text}");
        }
        assert_eq!((compact.token_to_id("退款"), compact.token_to_id("x")), (Some(6), None));
        assert!(CompactUnigram::new(&[], 0).is_none());
    }

    proptest! {
        #[test]
        fn ids_are_those_of_the_library(
            pieces in prop::collection::vec(("[ab退款é]{0,4}", -20.0..0.0), 0..40),
            texts in prop::collection::vec("[abx退款é龘]{0,12}", 1..8),
        ) {
            let mut all = vec![("\0<unk>", 0.0)];
            all.extend(pieces.iter().map(|(piece, score)| (piece.as_str(), *score)));
            let (library, compact) = both(&all);
            for text in &texts {
                prop_assert_eq!(compact.tokenize(text).unwrap(), library.tokenize(text).unwrap());
            }
        }
    }
}
