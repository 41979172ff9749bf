//! The best few of many: a bounded set of scored ids, ties broken by ascending id.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Neighbor;

/// Most similar first, equal similarities by ascending id.
pub(super) fn by_rank(a: &Neighbor, b: &Neighbor) -> Ordering {
    b.similarity.total_cmp(&a.similarity).then(a.id.cmp(&b.id))
}

/// Keeps the `capacity` best of all pushed neighbours.
pub(super) struct Top {
    capacity: usize,
    /// The worst kept one on top.
    heap: BinaryHeap<Ranked>,
    /// Similarity below which nothing enters any more.
    threshold: f32,
}

impl Top {
    /// `capacity` must not be 0.
    pub(super) fn new(capacity: usize) -> Self {
        let heap = BinaryHeap::with_capacity(capacity + 1);
        Self { capacity, heap, threshold: f32::NEG_INFINITY }
    }

    /// Offers a neighbour. Ids must come in ascending order: then an equal one never enters a full
    /// set, and one comparison rejects most.
    #[inline]
    pub(super) fn push(&mut self, id: u32, similarity: f32) {
        if similarity > self.threshold || self.heap.len() < self.capacity {
            self.insert(Neighbor { id, similarity });
        }
    }

    /// Offers the neighbours `first`, `first + 1`, …: as [`Top::push`], but a group without a
    /// better one costs a few vector comparisons.
    pub(super) fn push_all(&mut self, first: u32, similarities: &[f32]) {
        const GROUP: usize = 16;
        for (first, group) in (first..).step_by(GROUP).zip(similarities.chunks(GROUP)) {
            let threshold = self.threshold;
            // No short circuit, so that it compiles to vector instructions.
            let better = group.iter().fold(false, |any, &s| any | (s > threshold));
            if better || self.heap.len() < self.capacity {
                (first..).zip(group).for_each(|(id, &similarity)| self.push(id, similarity));
            }
        }
    }

    fn insert(&mut self, neighbor: Neighbor) {
        self.heap.push(Ranked(neighbor));
        if self.heap.len() > self.capacity {
            self.heap.pop();
        }
        if self.heap.len() == self.capacity
            && let Some(Ranked(worst)) = self.heap.peek()
        {
            self.threshold = worst.similarity;
        }
    }

    /// The kept ones in rank order.
    pub(super) fn into_sorted(self) -> Vec<Neighbor> {
        self.heap.into_sorted_vec().into_iter().map(|Ranked(neighbor)| neighbor).collect()
    }
}

/// Ordered so that the greatest is the worst.
struct Ranked(Neighbor);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        by_rank(&self.0, &other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}
