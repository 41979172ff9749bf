//! Which rows go through a step together.
//!
//! Each epoch sees every row once. Rows of an intent come in small groups, so that the contrastive
//! loss finds pairs within a batch; groups come in random order, or next to groups of intents that
//! are near. Lengths do not matter: nothing is padded.

use super::random::Random;

/// The rows and how they are grouped.
pub(super) struct Sampler<'a> {
    labels: &'a [u32],
    batch: usize,
    group: usize,
}

impl<'a> Sampler<'a> {
    /// Batches of about `batch` rows, with `group` rows of an intent together.
    pub(super) fn new(labels: &'a [u32], batch: usize, group: usize) -> Self {
        Self { labels, batch: batch.max(1), group: group.max(1) }
    }

    /// Steps of an epoch: the same in every epoch.
    pub(super) fn batches(&self) -> usize {
        self.labels.len().div_ceil(self.batch)
    }

    /// The batches of an epoch. `near` orders the intents by nearness to one.
    pub(super) fn epoch(
        &self,
        seed: u64,
        epoch: usize,
        near: Option<&dyn Fn(u32) -> Vec<u32>>,
    ) -> Vec<Vec<usize>> {
        let mut random = Random::new(seed ^ (epoch as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95));
        let mut groups = self.groups(&mut random);
        random.shuffle(&mut groups);
        if let Some(near) = near {
            groups = self.neighbours_together(groups, near);
        }
        let rows = groups.concat();
        // Batches of equal size, so that none at the end is too small to say anything.
        let batches = self.batches();
        let cut = |index: usize| index * rows.len() / batches;
        (0..batches).map(|index| rows[cut(index)..cut(index + 1)].to_vec()).collect()
    }

    /// Rows of one intent, shuffled, in groups; a single one that is left joins the group before.
    fn groups(&self, random: &mut Random) -> Vec<Vec<usize>> {
        let intents = self.labels.iter().max().map_or(0, |most| *most as usize + 1);
        let mut by_intent: Vec<Vec<usize>> = vec![Vec::new(); intents];
        for (row, label) in self.labels.iter().enumerate() {
            by_intent[*label as usize].push(row);
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for mut rows in by_intent {
            random.shuffle(&mut rows);
            let first = groups.len();
            groups.extend(rows.chunks(self.group).map(<[usize]>::to_vec));
            if self.group > 1
                && groups.len() > first + 1
                && groups.last().is_some_and(|last| last.len() == 1)
            {
                let single = groups.pop().unwrap_or_default();
                groups.last_mut().expect("there is one before").extend(single);
            }
        }
        groups
    }

    /// Begins each batch with the next group and fills half of it with groups of near intents; the
    /// other half stays random.
    fn neighbours_together(
        &self,
        groups: Vec<Vec<usize>>,
        near: &dyn Fn(u32) -> Vec<u32>,
    ) -> Vec<Vec<usize>> {
        let intent = |group: &[usize]| self.labels[group[0]];
        let mut waiting: Vec<Option<Vec<usize>>> = groups.into_iter().map(Some).collect();
        let mut ordered = Vec::with_capacity(waiting.len());
        let mut next = 0;
        while next < waiting.len() {
            let Some(seed) = waiting[next].take() else {
                next += 1;
                continue;
            };
            let around = near(intent(&seed));
            let mut rows = seed.len();
            ordered.push(seed);
            for wanted in around {
                if rows >= self.batch / 2 {
                    break;
                }
                let found = waiting[next..]
                    .iter_mut()
                    .find(|one| one.as_deref().is_some_and(|group| intent(group) == wanted));
                if let Some(group) = found.and_then(Option::take) {
                    rows += group.len();
                    ordered.push(group);
                }
            }
            for one in &mut waiting[next..] {
                if rows >= self.batch {
                    break;
                }
                if let Some(group) = one.take() {
                    rows += group.len();
                    ordered.push(group);
                }
            }
        }
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<u32> {
        (0..230).map(|row| row % 23).collect()
    }

    #[test]
    fn an_epoch_sees_each_row_once_in_batches_of_like_size() {
        let labels = labels();
        let sampler = Sampler::new(&labels, 64, 3);
        let backwards = |intent: u32| (0..23).filter(|one| *one != intent).rev().collect();
        for near in [None, Some(&backwards as &dyn Fn(u32) -> Vec<u32>)] {
            let batches = sampler.epoch(7, 0, near);
            assert_eq!(batches.len(), sampler.batches());
            assert!(batches.iter().all(|batch| (57..=58).contains(&batch.len())));
            let mut rows = batches.concat();
            rows.sort_unstable();
            assert_eq!(rows, (0..230).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat() {
        let labels = labels();
        let sampler = Sampler::new(&labels, 64, 2);
        assert_eq!(sampler.epoch(1, 0, None), sampler.epoch(1, 0, None));
        assert_ne!(sampler.epoch(1, 0, None), sampler.epoch(1, 1, None));
        assert_ne!(sampler.epoch(1, 0, None), sampler.epoch(2, 0, None));
    }

    #[test]
    fn nearly_every_row_has_a_friend_in_its_batch() {
        let labels = labels();
        let batches = Sampler::new(&labels, 32, 2).epoch(3, 0, None);
        let alone = batches.iter().flat_map(|batch| {
            batch.iter().filter(|row| {
                batch.iter().filter(|other| labels[**other] == labels[**row]).count() == 1
            })
        });
        // A cut between two batches may part a group.
        assert!(alone.count() <= 2 * batches.len());
    }

    #[test]
    fn near_intents_share_batches() {
        let labels = labels();
        let pairs = |intent: u32| vec![intent ^ 1];
        let together = |near: Option<&dyn Fn(u32) -> Vec<u32>>| -> usize {
            let batches = Sampler::new(&labels, 8, 2).epoch(3, 0, near);
            let has = |batch: &[usize], intent| batch.iter().any(|row| labels[*row] == intent);
            batches.iter().filter(|b| b.iter().any(|row| has(b, labels[*row] ^ 1))).count()
        };
        assert!(together(Some(&pairs)) > 2 * together(None).max(1));
    }
}
