//! The HNSW graph: built by `hnsw_rs`, kept and written as flat arrays.
//!
//! `hnsw_rs` gets row numbers, not vectors: its distance looks the codes up, so no copy of the
//! vectors exists. Bytes on disk are little-endian u32: entry, number of layers, number of rows;
//! then for each layer the ends of its lists (one a row) and the lists themselves, one after the
//! other. The manifest beside it (`store`) holds the format's version and the checksum.

use hnsw_rs::prelude::{Distance, Hnsw};

use super::codes::ByteCodes;

/// Layers that `hnsw_rs` can have.
const MAX_LAYERS: usize = 16;

/// How dense a graph is built.
///
/// The defaults find 99.8 % of the 10 neighbours among 43,000 real embeddings at the default
/// `ef_search`, in 50 s of one core; an `ef_construction` of 100 takes half of that and finds 99 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphParameters {
    /// Neighbours of a row on the upper layers; twice as many on the lowest. M in the paper, 2 to
    /// 255.
    pub max_neighbors: u8,
    /// Rows in sight while a row is inserted; `efConstruction` in the paper.
    pub ef_construction: usize,
}

impl Default for GraphParameters {
    fn default() -> Self {
        Self { max_neighbors: 16, ef_construction: 200 }
    }
}

/// Neighbours that a row may come to by [`link_back`].
const MAX_LINKED: usize = 64;

/// Adds the way back to each edge, where the list has room.
///
/// `hnsw_rs` keeps the nearest when a list overflows and so forgets ways back to outlying rows; on
/// real embeddings the graph finds a quarter of what it missed once they are put back.
fn link_back(lists: &mut [Vec<u32>]) {
    let given: Vec<usize> = lists.iter().map(Vec::len).collect();
    for from in 0..lists.len() {
        for position in 0..given[from] {
            let to = lists[from][position] as usize;
            if lists[to].len() < MAX_LINKED && !lists[to].contains(&(from as u32)) {
                lists[to].push(from as u32);
            }
        }
    }
}

/// Lists of neighbours, by layer and row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Graph {
    /// Where a search begins: a row of the highest layer.
    entry: u32,
    /// The lowest first; it holds every row that is in the graph.
    layers: Vec<Layer>,
}

#[derive(Debug, PartialEq, Eq)]
struct Layer {
    /// Where the list of each row ends in `edges`; a row that is not in the layer has an empty one.
    ends: Vec<u32>,
    edges: Vec<u32>,
}

impl Graph {
    /// Builds a graph of the rows `ids`, inserted in this order by one thread: the same codes give
    /// the same graph.
    pub(super) fn build(codes: &ByteCodes, ids: &[u32], parameters: GraphParameters) -> Self {
        let GraphParameters { max_neighbors, ef_construction } = parameters;
        let distance = CodeDistance(codes);
        let m = usize::from(max_neighbors.max(2));
        let built = Hnsw::new(m, ids.len(), MAX_LAYERS, ef_construction.max(1), distance);
        for &id in ids {
            built.insert((&[id], id as usize));
        }
        Self::freeze(&built, codes.len(), ids.is_empty())
    }

    /// Copies the lists out of the structure they were built in.
    fn freeze(built: &Hnsw<'_, u32, CodeDistance<'_>>, rows: usize, empty: bool) -> Self {
        let top = if empty { 0 } else { usize::from(built.get_max_level_observed()) };
        let mut lists = vec![vec![Vec::new(); rows]; top + 1];
        let mut entry = 0;
        if !empty {
            for point in built.get_point_indexation() {
                let level = usize::from(point.get_point_id().0);
                // Lists above a point's own level are left over from its insertion.
                for (layer, list) in point.get_neighborhood_id().into_iter().enumerate() {
                    if layer <= level {
                        let ids = list.iter().map(|neighbor| neighbor.d_id as u32);
                        lists[layer][point.get_origin_id()] = ids.collect();
                    }
                }
                // The first of the highest layer, as in the structure itself.
                if level == top && point.get_point_id().1 == 0 {
                    entry = point.get_origin_id() as u32;
                }
            }
        }
        lists.iter_mut().for_each(|lists| link_back(lists));
        Self { entry, layers: lists.iter().map(|lists| Layer::new(lists)).collect() }
    }

    pub(super) fn entry(&self) -> u32 {
        self.entry
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Neighbours of row `id` on `layer`.
    pub(super) fn neighbors(&self, layer: usize, id: u32) -> &[u32] {
        let Layer { ends, edges } = &self.layers[layer];
        let id = id as usize;
        let start = if id == 0 { 0 } else { ends[id - 1] };
        &edges[start as usize..ends[id] as usize]
    }

    /// The graph as bytes; [`Graph::from_bytes`] reads them.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let rows = self.layers.first().map_or(0, |layer| layer.ends.len());
        let header = [self.entry, self.layers.len() as u32, rows as u32];
        let lists = self.layers.iter().flat_map(|layer| layer.ends.iter().chain(&layer.edges));
        header.iter().chain(lists).flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads what [`Graph::to_bytes`] wrote for `rows` rows.
    ///
    /// # Errors
    /// What does not fit. Whatever passes can be searched without a panic.
    pub(super) fn from_bytes(bytes: &[u8], rows: usize) -> Result<Self, String> {
        let (chunks, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("its size is not a multiple of 4".into());
        }
        let words: Vec<u32> = chunks.iter().map(|&chunk| u32::from_le_bytes(chunk)).collect();
        let [entry, layers, stored, body @ ..] = words.as_slice() else {
            return Err("it is shorter than its header".into());
        };
        if *stored as usize != rows {
            return Err(format!("it has {stored} rows, the vectors {rows}"));
        }
        if !(1..=MAX_LAYERS).contains(&(*layers as usize)) || *entry as usize >= rows.max(1) {
            return Err(format!("entry {entry} or number of layers {layers} is out of range"));
        }
        let mut body = body;
        let layers =
            (0..*layers).map(|_| Layer::read(&mut body, rows)).collect::<Result<_, _>>()?;
        if !body.is_empty() {
            return Err(format!("{} bytes follow its end", 4 * body.len()));
        }
        Ok(Self { entry: *entry, layers })
    }
}

impl Layer {
    fn new(lists: &[Vec<u32>]) -> Self {
        let ends = lists.iter().scan(0, |end, list| {
            *end += list.len() as u32;
            Some(*end)
        });
        Self { ends: ends.collect(), edges: lists.concat() }
    }

    /// Takes one layer off the front of `words`.
    fn read(words: &mut &[u32], rows: usize) -> Result<Self, String> {
        let cut = "it ends in the middle of a layer";
        let (ends, rest) = words.split_at_checked(rows).ok_or(cut)?;
        let edges = ends.last().map_or(0, |&end| end as usize);
        let (edges, rest) = rest.split_at_checked(edges).ok_or(cut)?;
        *words = rest;
        if !ends.is_sorted() {
            return Err("its lists overlap".into());
        }
        match edges.iter().find(|&&id| id as usize >= rows) {
            Some(id) => Err(format!("it names row {id} of {rows}")),
            None => Ok(Self { ends: ends.to_vec(), edges: edges.to_vec() }),
        }
    }
}

/// The distance that `hnsw_rs` sees between two row numbers: never negative, never NaN, which it
/// would answer with a panic.
struct CodeDistance<'a>(&'a ByteCodes);

impl Distance<u32> for CodeDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        self.0.distance(a[0], b[0]) as f32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three rows on one layer: 0 – 1, 1 – 2.
    fn small() -> Graph {
        Graph { entry: 0, layers: vec![Layer::new(&[vec![1], vec![0, 2], vec![1]])] }
    }

    #[test]
    fn ways_back_are_added_once_and_up_to_a_limit() {
        let mut lists = vec![vec![1, 2], vec![], vec![0]];
        link_back(&mut lists);
        assert_eq!(lists, [vec![1, 2], vec![0], vec![0]]);
        let mut star = vec![vec![0]; MAX_LINKED + 10];
        star[0].clear();
        link_back(&mut star);
        assert_eq!(star[0].len(), MAX_LINKED);
    }

    #[test]
    fn bytes_give_the_graph_back() {
        let graph = small();
        assert_eq!(Graph::from_bytes(&graph.to_bytes(), 3), Ok(graph));
    }

    #[test]
    fn what_cannot_be_a_graph_is_refused() {
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        // (bytes for two rows, what the message says)
        let table = [
            (vec![0; 5], "multiple of 4"),
            (words(&[0, 1]), "shorter than its header"),
            (words(&[0, 1, 3, 0, 0, 0]), "it has 3 rows"),
            (words(&[2, 1, 2, 0, 0]), "entry 2"),
            (words(&[0, 0, 2]), "number of layers 0"),
            (words(&[0, 99, 2]), "number of layers 99"),
            (words(&[0, 1, 2, 0]), "middle of a layer"),
            (words(&[0, 1, 2, 0, 7, 1]), "middle of a layer"),
            (words(&[0, 1, 2, u32::MAX, 0]), "overlap"),
            (words(&[0, 1, 2, 1, 2, 0, 5]), "names row 5"),
            (words(&[0, 1, 2, 0, 0, 0]), "4 bytes follow"),
        ];
        for (bytes, expected) in table {
            let error = Graph::from_bytes(&bytes, 2).expect_err(expected);
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }

    proptest! {
        /// Whatever is accepted has lists for every row and layer, and names only rows that exist.
        #[test]
        fn no_bytes_lead_to_a_panic(mut words in prop::collection::vec(0_u32..4, 3..24)) {
            words[2] = 3;
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            if let Ok(graph) = Graph::from_bytes(&bytes, 3) {
                for (layer, id) in (0..graph.layers()).flat_map(|l| (0..3).map(move |id| (l, id))) {
                    prop_assert!(graph.neighbors(layer, id).iter().all(|&id| id < 3));
                }
            }
        }
    }
}
