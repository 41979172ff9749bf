//! Whether stored conversations are whole: `kefu-server check` feeds every row in the order of keys.
//!
//! It remembers one conversation at a time; what must agree elsewhere is looked up.

use std::fmt;

use kefu_proto::v1::Status;
use prost::Message as _;

use super::conversation::Conversation;
use super::id::ConversationId;
use super::keys::{self, kind};
use super::record::{Head, Run};

/// Most findings that are kept; more are counted.
const MAX_FINDINGS: usize = 1_000;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which conversation, as far as can be told.
    pub conversation: Option<ConversationId>,
    /// What.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conversation {
            Some(id) => write!(f, "conversation {id}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The first ones.
    pub findings: Vec<Finding>,
    /// All, also those that are not kept.
    pub found: u64,
    /// Conversations that were seen.
    pub conversations: u64,
    /// Messages that were seen.
    pub messages: u64,
}

/// A check that is going on.
#[derive(Debug, Default)]
pub struct Checker {
    report: Report,
    /// The log that is being read, and its next message.
    log: Option<(ConversationId, u64)>,
}

/// Looks a key up in the same state of the store.
pub type Get<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

impl Checker {
    /// Takes the next row.
    pub fn row(&mut self, key: &[u8], value: &[u8], get: Get<'_>) {
        match key.first() {
            Some(&kind::HEAD) => self.head(key, value, get),
            Some(&kind::MESSAGES) => self.run(key, value, get),
            Some(&(kind::OWNED | kind::QUEUE | kind::STATUS | kind::VISITOR)) => {
                self.listed(key, get);
            }
            _ => {}
        }
    }

    /// What was found; after the last row.
    pub fn end(self) -> Report {
        self.report
    }

    fn found(&mut self, conversation: Option<ConversationId>, what: impl Into<String>) {
        self.report.found += 1;
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(Finding { conversation, what: what.into() });
        }
    }

    fn head(&mut self, key: &[u8], value: &[u8], get: Get<'_>) {
        self.report.conversations += 1;
        let Some(id) = keys::tail(key).filter(|_| key.len() == 17) else {
            return self.found(None, "the key of a head names no conversation");
        };
        let Ok(head) = Head::decode(value) else {
            return self.found(Some(id), "its head cannot be read");
        };
        if head.status() == Status::Unspecified {
            self.found(Some(id), "its head has no status");
        }
        if head.first_seq <= 1 && get(&keys::run(id, 1)).is_none() {
            self.found(Some(id), "message 1 is missing");
        }
        for listed in Conversation::load(id, head, 0).listed() {
            if get(&listed).is_none() {
                self.found(Some(id), format!("it is missing in {}", list(&listed)));
            }
        }
    }

    fn run(&mut self, key: &[u8], value: &[u8], get: Get<'_>) {
        let Some((id, first)) = keys::parse_run(key) else {
            return self.found(None, "the key of messages names no conversation");
        };
        let next = match self.log {
            Some((log, next)) if log == id => next,
            _ => match get(&keys::head(id)).map(|head| Head::decode(&*head)) {
                Some(Ok(head)) => head.first_seq.max(1),
                // That is a finding of the head's own row.
                Some(Err(_)) => first,
                None => {
                    self.found(Some(id), "it has messages, but no head");
                    first
                }
            },
        };
        if first > next {
            self.found(Some(id), format!("messages {next} to {} are missing", first - 1));
        } else if first < next {
            self.found(Some(id), format!("message {first} is there twice, or was to be removed"));
        }
        let mut last = first.max(next);
        match Run::decode(value) {
            Err(_) => self.found(Some(id), format!("the messages from {first} cannot be read")),
            Ok(run) => {
                self.report.messages += run.entries.len() as u64;
                let count = run.entries.len() as u64;
                let dense =
                    (first..).zip(&run.entries).all(|(seq, entry)| entry.message.seq == seq);
                if !dense || count == 0 {
                    self.found(Some(id), format!("the messages from {first} are not numbered on"));
                }
                last = first + count;
            }
        }
        self.log = Some((id, last));
    }

    /// A row of a list: the head must say the same.
    fn listed(&mut self, key: &[u8], get: Get<'_>) {
        let Some(id) = keys::tail(key) else {
            return self.found(None, format!("a row of {} names no conversation", list(key)));
        };
        match get(&keys::head(id)).map(|head| Head::decode(&*head)) {
            None => self.found(Some(id), format!("it is in {}, but has no head", list(key))),
            Some(Err(_)) => {}
            Some(Ok(head)) => {
                if Conversation::load(id, head, 0).listed().all(|listed| listed != key) {
                    self.found(
                        Some(id),
                        format!("it is in {}, its head says otherwise", list(key)),
                    );
                }
            }
        }
    }
}

fn list(key: &[u8]) -> &'static str {
    match key.first() {
        Some(&kind::OWNED) => "the list of what an agent owns",
        Some(&kind::QUEUE) => "the queue",
        Some(&kind::STATUS) => "the list of its status",
        _ => "the list of the visitor",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kefu_proto::v1::{self, Holder, Owner, message::Content};

    use super::*;
    use crate::chat::conversation::Draft;
    use crate::chat::party::{Party, owned_by, status};
    use crate::store::Write;

    fn stored() -> (ConversationId, BTreeMap<Vec<u8>, Vec<u8>>) {
        let id = ConversationId([7; 16]);
        let owner = owned_by(Party::agent("eve").user(""));
        let mut head = Head { app: "shop".into(), visitor: "ann".into(), owner, ..Head::default() };
        head.set_status(status(&head.owner));
        let mut conversation = Conversation::begin(id, head, 5);
        let mut rows = BTreeMap::new();
        for _ in 0..4 {
            let content = Some(Content::Text(v1::Text::default())).unwrap();
            let sender = Party::visitor("shop", "ann").user("");
            let draft = Draft { sender, client_msg_id: None, digest: bytes::Bytes::new(), content };
            conversation.append(draft, 9);
            for write in conversation.take().unwrap().batch.writes {
                match write {
                    Write::Put(key, value) => drop(rows.insert(key, value)),
                    Write::Delete(key) => drop(rows.remove(&key)),
                }
            }
        }
        (id, rows)
    }

    fn check(rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<String> {
        let mut checker = Checker::default();
        for (key, value) in rows {
            checker.row(key, value, &mut |key| rows.get(key).cloned());
        }
        checker.end().findings.iter().map(|finding| finding.what.clone()).collect()
    }

    #[test]
    fn what_is_lost_broken_or_contradicts_itself_is_found() {
        let (id, whole) = stored();
        assert_eq!(check(&whole), [""; 0]);
        let without = |key: Vec<u8>| {
            let mut rows = whole.clone();
            assert!(rows.remove(&key).is_some());
            check(&rows)
        };
        assert_eq!(
            without(keys::run(id, 1)),
            ["message 1 is missing", "messages 1 to 1 are missing"]
        );
        assert_eq!(without(keys::run(id, 3)), ["messages 3 to 3 are missing"]);
        let owned = keys::with(keys::owned("eve"), id);
        assert_eq!(without(owned), ["it is missing in the list of what an agent owns"]);
        assert_eq!(without(keys::head(id)).len(), 4, "the lists and the log have no head");
        let with = |key: Vec<u8>, value: &[u8]| {
            let mut rows = whole.clone();
            rows.insert(key, value.to_vec());
            check(&rows)
        };
        assert_eq!(with(keys::head(id), b"\xff"), ["its head cannot be read"]);
        assert_eq!(with(keys::run(id, 2), b"\xff").len(), 2, "and the next number is unknown");
        let queued = keys::at(keys::queue("shop"), 5, id);
        assert_eq!(with(queued, b""), ["it is in the queue, its head says otherwise"]);
        let owner = Owner { holder: Holder::Nobody.into(), agent: None };
        assert_eq!(status(&owner), Status::Open);
    }
}
