//! The queue in memory: what events make of it, bounded, and how it is listed.
//!
//! The same events in the same order give the same queue, which is how the journal restores it. Pure.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryStatus, Reason, Resolution, Seen, id_of};
use crate::intent::knowledge::Lang;

/// What happens to a queue; a line of the journal each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A message was seen.
    Seen(Seen),
    /// An editor decided about some entries.
    Resolved {
        /// The entries.
        ids: Vec<String>,
        /// One each.
        resolutions: Vec<Resolution>,
    },
    /// An entry as it stood when the journal was written anew.
    Entry(Box<Entry>),
}

/// Entries by id, with room for `max` open ones and as many that were decided about.
#[derive(Debug)]
pub struct Queue {
    entries: HashMap<String, Entry>,
    max: usize,
    open: usize,
    revision: u64,
}

/// What a listing is to show. None: any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Where it stands.
    pub status: Option<EntryStatus>,
    /// Why it is here.
    pub reason: Option<Reason>,
    /// Its language.
    pub lang: Option<Lang>,
}

/// A place in a listing: after the entry that was last seen then and has this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    last_seen_ms: u64,
    id: String,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Last seen first.
    pub entries: Vec<Entry>,
    /// Where it goes on; none at the end.
    pub next: Option<Cursor>,
    /// How many the filter lets through altogether.
    pub total: usize,
}

/// How many entries stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Somebody should look.
    pub open: usize,
    /// Examples now.
    pub accepted: usize,
    /// Teach nothing.
    pub dismissed: usize,
}

impl Queue {
    /// An empty queue with room for `max` open entries.
    pub fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max: max.max(1), open: 0, revision: 0 }
    }

    /// Takes an event in, and returns how many open entries had to go for it.
    pub fn apply(&mut self, event: Event) -> usize {
        self.revision += 1;
        let touched = match event {
            Event::Seen(seen) => {
                let id = id_of(&seen.text);
                match self.entries.get_mut(&id) {
                    Some(entry) => {
                        let was_open = entry.status() == EntryStatus::Open;
                        entry.again(seen);
                        self.open += usize::from(!was_open && entry.status() == EntryStatus::Open);
                    }
                    None => {
                        self.entries.insert(id.clone(), Entry::first(id.clone(), seen));
                        self.open += 1;
                    }
                }
                id
            }
            Event::Resolved { ids, resolutions } => {
                for (id, resolution) in ids.iter().zip(resolutions) {
                    if let Some(entry) = self.entries.get_mut(id) {
                        self.open -= usize::from(entry.status() == EntryStatus::Open);
                        entry.resolution = Some(resolution);
                    }
                }
                ids.into_iter().next().unwrap_or_default()
            }
            Event::Entry(entry) => {
                let id = entry.id.clone();
                self.open += usize::from(entry.status() == EntryStatus::Open);
                if let Some(old) = self.entries.insert(id.clone(), *entry) {
                    self.open -= usize::from(old.status() == EntryStatus::Open);
                }
                id
            }
        };
        self.make_room(&touched)
    }

    /// Open entries beyond the limit go: the rarest first, of those the one not seen for longest.
    /// Of those decided about, the one that was decided first is forgotten.
    fn make_room(&mut self, keep: &str) -> usize {
        let mut evicted = 0;
        while self.open > self.max {
            let open = self.entries.values().filter(|e| e.status() == EntryStatus::Open);
            let rarest = open
                .filter(|entry| entry.id != keep)
                .min_by_key(|entry| (entry.count, entry.last_seen_ms, &entry.id));
            let Some(id) = rarest.map(|entry| entry.id.clone()) else { break };
            self.entries.remove(&id);
            self.open -= 1;
            evicted += 1;
        }
        while self.entries.len() - self.open > self.max {
            let decided = self
                .entries
                .values()
                .filter_map(|entry| entry.resolution.as_ref().map(|one| (one.at_ms, &entry.id)));
            let Some(id) = decided.min().map(|(_, id)| id.clone()) else { break };
            self.entries.remove(&id);
        }
        evicted
    }

    /// The entry `id`.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Changes with every event.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries stand where.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { open: self.open, ..Counts::default() };
        for entry in self.entries.values() {
            match entry.status() {
                EntryStatus::Open => {}
                EntryStatus::Accepted => counts.accepted += 1,
                EntryStatus::Dismissed => counts.dismissed += 1,
            }
        }
        counts
    }

    /// All entries that `filter` lets through, last seen first, ids ascending among equals.
    pub fn listed(&self, filter: &Filter) -> Vec<&Entry> {
        let fits = |entry: &&Entry| {
            filter.status.is_none_or(|status| status == entry.status())
                && filter.reason.is_none_or(|reason| reason == entry.reason)
                && filter.lang.is_none_or(|lang| lang == entry.lang)
        };
        let mut entries: Vec<&Entry> = self.entries.values().filter(fits).collect();
        entries.sort_by(|a, b| b.last_seen_ms.cmp(&a.last_seen_ms).then(a.id.cmp(&b.id)));
        entries
    }

    /// The part of a listing after `cursor`, at most `limit` entries.
    pub fn page(&self, filter: &Filter, cursor: Option<&Cursor>, limit: usize) -> Page {
        let all = self.listed(filter);
        let passed = |entry: &&Entry| {
            cursor.is_some_and(|cursor| {
                (std::cmp::Reverse(entry.last_seen_ms), &entry.id)
                    <= (std::cmp::Reverse(cursor.last_seen_ms), &cursor.id)
            })
        };
        let start = all.partition_point(passed);
        let part = &all[start..all.len().min(start + limit)];
        let more = start + part.len() < all.len();
        let next = part
            .last()
            .filter(|_| more)
            .map(|entry| Cursor { last_seen_ms: entry.last_seen_ms, id: entry.id.clone() });
        Page { entries: part.iter().map(|&entry| entry.clone()).collect(), next, total: all.len() }
    }

    /// Everything, as events that restore it; in a stable order.
    pub fn snapshot(&self) -> impl Iterator<Item = Event> {
        let all = self.listed(&Filter::default());
        all.into_iter().map(|entry| Event::Entry(Box::new(entry.clone())))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.last_seen_ms, self.id)
    }
}

impl std::str::FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(at, id)| Some((at.parse().ok()?, id)));
        let (last_seen_ms, id) = parts.ok_or("the cursor is none of this server's; drop it")?;
        Ok(Self { last_seen_ms, id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::entry::{Correction, Verdict};

    fn seen(text: &str, at_ms: u64) -> Event {
        Event::Seen(message(text, at_ms))
    }

    fn message(text: &str, at_ms: u64) -> Seen {
        Seen {
            text: text.to_owned(),
            reason: Reason::Ambiguous,
            status: None,
            alternatives: vec![],
            model: "m1".to_owned(),
            correction: None,
            at_ms,
        }
    }

    fn resolved(text: &str, at_ms: u64, verdict: Verdict) -> Event {
        let resolution = Resolution { verdict, at_ms, model: "m1".to_owned() };
        Event::Resolved { ids: vec![id_of(text)], resolutions: vec![resolution] }
    }

    fn accepted(intent: &str) -> Verdict {
        Verdict::Accepted { intent: intent.to_owned(), file: "a.yaml".to_owned(), line: 7 }
    }

    fn dismissed() -> Verdict {
        Verdict::Dismissed { reason: None }
    }

    #[test]
    fn the_same_message_is_one_entry_with_a_count() {
        let mut queue = Queue::new(10);
        for (text, at) in [("退款", 5), ("退 货", 6), ("退款", 9), ("退款 ", 3)] {
            queue.apply(seen(text, at));
        }
        let entry = queue.get(&id_of("退款")).unwrap();
        assert_eq!((entry.count, entry.first_seen_ms, entry.last_seen_ms), (3, 5, 9));
        assert_eq!(queue.counts(), Counts { open: 2, accepted: 0, dismissed: 0 });
    }

    #[test]
    fn a_full_queue_lets_the_rarest_and_oldest_go_never_the_newest() {
        let mut queue = Queue::new(2);
        queue.apply(seen("often", 1));
        queue.apply(seen("often", 2));
        queue.apply(seen("old", 3));
        assert_eq!(queue.apply(seen("new", 4)), 1);
        assert!(queue.get(&id_of("old")).is_none());
        assert_eq!(queue.apply(seen("newest", 5)), 1);
        assert!(queue.get(&id_of("often")).is_some() && queue.get(&id_of("newest")).is_some());
        // Those decided about take no room from the open ones, and are bounded as well.
        for (at, text) in ["a", "b", "c"].into_iter().enumerate() {
            queue.apply(seen(text, 10 + at as u64));
            queue.apply(resolved(text, 10 + at as u64, dismissed()));
        }
        assert_eq!(queue.counts(), Counts { open: 1, accepted: 0, dismissed: 2 });
        assert!(queue.get(&id_of("a")).is_none());
    }

    #[test]
    fn what_was_decided_stands_unless_it_did_not_help() {
        let open = |seen_again: Seen, verdict: Verdict| {
            let mut queue = Queue::new(10);
            queue.apply(seen("退款", 1));
            queue.apply(resolved("退款", 2, verdict));
            queue.apply(Event::Seen(seen_again));
            queue.counts().open == 1
        };
        let by_model = |model: &str| Seen { model: model.to_owned(), ..message("退款", 3) };
        let corrected = |intent: &str| {
            let intent = intent.to_owned();
            Seen { correction: Some(Correction { intent, source: None }), ..message("退款", 3) }
        };
        for (name, again, verdict, wanted) in [
            ("the same model", by_model("m1"), accepted("a"), false),
            ("a later model", by_model("m2"), accepted("a"), true),
            ("dismissed", by_model("m2"), dismissed(), false),
            ("corrected as accepted", corrected("a"), accepted("a"), false),
            ("corrected otherwise", corrected("b"), accepted("a"), true),
            ("corrected after all", corrected("b"), dismissed(), true),
        ] {
            assert_eq!(open(again, verdict), wanted, "{name}");
        }
    }

    #[test]
    fn pages_cover_everything_once_while_more_arrives() {
        let mut queue = Queue::new(100);
        for at in 0..25 {
            queue.apply(seen(&format!("message {}", char::from(b'a' + at as u8)), at / 2));
        }
        let filter = Filter { status: Some(EntryStatus::Open), ..Filter::default() };
        let (mut got, mut cursor) = (Vec::new(), None);
        loop {
            let page = queue.page(&filter, cursor.as_ref(), 4);
            assert!(page.entries.len() <= 4);
            got.extend(page.entries.into_iter().map(|entry| entry.text));
            let Some(next) = page.next else { break };
            cursor = Some(next.to_string().parse().unwrap());
            queue.apply(seen(&format!("later {}", got.len()), 1_000));
        }
        let unique: std::collections::HashSet<_> = got.iter().collect();
        assert_eq!((got.len(), unique.len()), (25, 25));
        assert_eq!(queue.page(&Filter { lang: Some(Lang::Zh), ..filter }, None, 4).total, 0);
        assert!("x".parse::<Cursor>().is_err());
    }

    #[test]
    fn a_snapshot_restores_the_queue() {
        let mut queue = Queue::new(3);
        for at in 0..9 {
            queue.apply(seen(&format!("message {}", char::from(b'a' + at as u8)), at));
            if at % 2 == 0 {
                let text = format!("message {}", char::from(b'a' + at as u8));
                queue.apply(resolved(&text, at, accepted("a")));
            }
        }
        let mut restored = Queue::new(3);
        for event in queue.snapshot() {
            let line = serde_json::to_string(&event).unwrap();
            restored.apply(serde_json::from_str(&line).unwrap());
        }
        let all = Filter::default();
        assert_eq!(restored.page(&all, None, 100), queue.page(&all, None, 100));
        assert_eq!(restored.counts(), queue.counts());
    }
}
