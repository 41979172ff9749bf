//! The ring: one small record a group, in the group's own batch, so that a group that went missing
//! leaves a hole between its neighbours.
//!
//! Groups have dense numbers. The ring keeps the last `SLOTS` of them, so it sees a hole that is not
//! older; what lies in tables has checksums besides, which `check` reads.

use serde::{Deserialize, Serialize};

use super::engine::{Area, Engine};

/// How many groups the ring remembers.
const SLOTS: u64 = 1 << 16;

/// Groups that were acknowledged and are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// First group that is missing.
    pub from_group: u64,
    /// Last group that is missing. Groups between the two may be there.
    pub to_group: u64,
    /// How many batches were in the missing groups.
    pub batches: u64,
}

/// How far the store came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Number of the last group; groups are counted from one.
    pub(super) group: u64,
    /// How many batches there were, with those of this group.
    pub(super) batches: u64,
}

/// Where a group's record lies.
pub(super) fn slot(group: u64) -> [u8; 8] {
    (group % SLOTS).to_be_bytes()
}

/// The record of the group that takes the store from `before` to `after`.
pub(super) fn record(before: Mark, after: Mark) -> [u8; 20] {
    let own = u32::try_from(after.batches - before.batches).expect("a group is small");
    let mut record = [0; 20];
    record[..8].copy_from_slice(&after.group.to_be_bytes());
    record[8..16].copy_from_slice(&before.batches.to_be_bytes());
    record[16..].copy_from_slice(&own.to_be_bytes());
    record
}

struct Record {
    group: u64,
    batches_before: u64,
    batches: u32,
}

impl Record {
    fn read(value: &[u8]) -> Option<Self> {
        let value: &[u8; 20] = value.try_into().ok()?;
        let (group, rest) = value.split_first_chunk()?;
        let (before, own) = rest.split_first_chunk()?;
        Some(Self {
            group: u64::from_be_bytes(*group),
            batches_before: u64::from_be_bytes(*before),
            batches: u32::from_be_bytes(own.try_into().ok()?),
        })
    }
}

/// What the ring says about the store.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Up to where the store came, whatever is missing before.
    pub(super) last: Mark,
    /// What is missing, and was not reported before.
    pub(super) lost: Option<Loss>,
    /// What was reported before.
    pub(super) earlier: Vec<Loss>,
}

/// Goes through the ring, and compares its end with the witness.
pub(super) fn look(engine: &Engine, witness: Option<Mark>) -> fjall::Result<Found> {
    let mut earlier = Vec::new();
    for row in engine.rows(Area::Losses) {
        earlier.extend(serde_json::from_slice::<Loss>(&row.into_inner()?.1));
    }
    let mut records = Vec::new();
    for row in engine.rows(Area::Ring) {
        records.extend(Record::read(&row.into_inner()?.1));
    }
    records.sort_unstable_by_key(|record| record.group);
    let newest = records.last().map_or(0, |record| record.group);
    let reported = earlier.iter().map(|loss| loss.to_group).max().unwrap_or(0);
    let mut walk = Walk::from(newest.saturating_sub(SLOTS).max(reported));
    for record in records {
        walk.pass(&record);
    }
    if let Some(witness) = witness.filter(|witness| witness.group >= walk.at.group) {
        walk.miss(witness.group, witness.batches);
        walk.at = witness;
    }
    Ok(Found { last: walk.at, lost: walk.lost, earlier })
}

/// Goes over the groups one by one, and adds up those that are not there.
struct Walk {
    at: Mark,
    /// Whether the batches up to here are known.
    counted: bool,
    lost: Option<Loss>,
}

impl Walk {
    fn from(group: u64) -> Self {
        Self { at: Mark { group, batches: 0 }, counted: group == 0, lost: None }
    }

    fn pass(&mut self, record: &Record) {
        if record.group <= self.at.group {
            return;
        }
        self.miss(record.group - 1, record.batches_before);
        let batches = record.batches_before + u64::from(record.batches);
        (self.at, self.counted) = (Mark { group: record.group, batches }, true);
    }

    /// Says that nothing lies between here and `to_group`, where there were `batches` batches.
    fn miss(&mut self, to_group: u64, batches: u64) {
        let from_group = self.at.group + 1;
        if to_group < from_group {
            return;
        }
        // A group has at least one batch.
        let missing = match self.counted {
            true => batches.saturating_sub(self.at.batches),
            false => to_group - self.at.group,
        };
        let loss = self.lost.get_or_insert(Loss { from_group, to_group, batches: 0 });
        loss.to_group = to_group;
        loss.batches += missing;
    }
}

/// Notes a loss that was reported, so that the next start does not report it again.
pub(super) fn note(engine: &Engine, loss: Loss) -> fjall::Result<()> {
    let value = serde_json::to_vec(&loss).expect("numbers are JSON");
    let mut write = engine.write(1);
    write.set(Area::Losses, &loss.to_group.to_be_bytes(), Some(&value));
    write.commit(fjall::PersistMode::SyncAll)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(groups: impl IntoIterator<Item = u64>, from: u64) -> Walk {
        let mut walk = Walk::from(from);
        for group in groups {
            // Each group had three batches.
            let mark = |group| Mark { group, batches: group * 3 };
            walk.pass(&Record::read(&record(mark(group - 1), mark(group))).unwrap());
        }
        walk
    }

    #[test]
    fn holes_are_added_up() {
        let loss = |from_group, to_group, batches| Some(Loss { from_group, to_group, batches });
        let rows: [(&[u64], u64, Option<Loss>); 6] = [
            (&[], 0, None),
            (&[1, 2, 3], 0, None),
            (&[3, 4], 0, loss(1, 2, 6)),
            (&[1, 4, 5, 6, 8], 0, loss(2, 7, 9)),
            (&[2, 3, 7, 8], 6, None),
            (&[2, 9, 10], 6, loss(7, 8, 2)),
        ];
        for (groups, from, lost) in rows {
            assert_eq!(passed(groups.iter().copied(), from).lost, lost, "{groups:?} from {from}");
        }
        let batches = passed(1..=8, 0).at.batches;
        assert_eq!(batches, 24);
    }

    #[test]
    fn the_last_groups_have_slots_of_their_own() {
        let slots: std::collections::BTreeSet<_> = (7..7 + SLOTS).map(slot).collect();
        assert_eq!(slots.len() as u64, SLOTS);
        assert_eq!(slot(7), slot(7 + SLOTS));
    }
}
