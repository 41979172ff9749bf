//! The books of a run: which messages were acked how often, and whether logs have gaps.
//!
//! Pure. The `client_msg_id` itself says when a message was due, so the moment of any answer to it, on
//! any connection, gives a latency without a table of what is under way.

use std::collections::BTreeSet;

use kefu_proto::v1::Conversation;

/// A `client_msg_id` of this tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageId {
    /// Of the run, so that runs with the same tokens do not repeat ids.
    pub(crate) run: u32,
    pub(crate) connection: u32,
    /// Counts the messages of the connection from 0.
    pub(crate) number: u32,
    /// When the message was due, in microseconds since the run began.
    pub(crate) due_us: u32,
}

impl MessageId {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let parts = [self.run, self.connection, self.number, self.due_us];
        let mut bytes = [0; 16];
        for (four, part) in bytes.chunks_exact_mut(4).zip(parts) {
            four.copy_from_slice(&part.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = u128::from_be_bytes(bytes.try_into().ok()?);
        let part = |at: u32| (number >> (96 - 32 * at)) as u32;
        Some(Self { run: part(0), connection: part(1), number: part(2), due_us: part(3) })
    }
}

/// What an ack did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    First,
    Again,
    /// For what was never sent.
    Unknown,
}

/// Which messages of a connection were acked, a bit each.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    sent: u32,
    acked: u32,
    bits: Vec<u64>,
}

impl Acks {
    /// The number of the next message.
    pub(crate) fn send(&mut self) -> u32 {
        if self.sent.is_multiple_of(64) {
            self.bits.push(0);
        }
        self.sent += 1;
        self.sent - 1
    }

    pub(crate) fn ack(&mut self, number: u32) -> Acked {
        if number >= self.sent {
            return Acked::Unknown;
        }
        let bit = 1 << (number % 64);
        let bits = &mut self.bits[number as usize / 64];
        if *bits & bit != 0 {
            return Acked::Again;
        }
        *bits |= bit;
        self.acked += 1;
        Acked::First
    }

    pub(crate) fn is_acked(&self, number: u32) -> bool {
        number < self.sent && self.bits[number as usize / 64] & 1 << (number % 64) != 0
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent
    }

    pub(crate) fn acked(&self) -> u32 {
        self.acked
    }
}

/// Which messages of a log a device has seen.
#[derive(Debug, Default)]
pub(crate) struct Seqs {
    /// All up to here.
    upto: u64,
    /// Those above a gap.
    above: BTreeSet<u64>,
}

impl Seqs {
    pub(crate) fn after(upto: u64) -> Self {
        Self { upto, above: BTreeSet::new() }
    }

    pub(crate) fn see(&mut self, seq: u64) {
        if seq == self.upto + 1 {
            self.upto = seq;
            while self.above.first() == Some(&(self.upto + 1)) {
                self.above.pop_first();
                self.upto += 1;
            }
        } else if seq > self.upto {
            self.above.insert(seq);
        }
    }

    pub(crate) fn upto(&self) -> u64 {
        self.upto
    }

    /// How many below the highest one were not seen.
    pub(crate) fn missing(&self) -> u64 {
        self.above.last().map_or(0, |last| last - self.upto - self.above.len() as u64)
    }
}

/// The logs that a device follows; mostly one.
#[derive(Debug, Default)]
pub(crate) struct Logs(Vec<(String, Seqs)>);

impl Logs {
    /// Where a device stands that has all of these.
    pub(crate) fn of(conversations: &[Conversation]) -> Self {
        let log = |one: &Conversation| (one.conversation.clone(), Seqs::after(one.last_seq));
        Self(conversations.iter().map(log).collect())
    }

    pub(crate) fn see(&mut self, conversation: &str, seq: u64) {
        match self.0.iter_mut().find(|log| log.0 == conversation) {
            Some((_, seqs)) => seqs.see(seq),
            None => {
                let mut seqs = Seqs::after(0);
                seqs.see(seq);
                self.0.push((conversation.to_owned(), seqs));
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, Seqs)> {
        self.0.iter()
    }

    /// How far this device has seen a log without a gap.
    pub(crate) fn upto(&self, conversation: &str) -> u64 {
        self.iter().find(|log| log.0 == conversation).map_or(0, |log| log.1.upto())
    }

    pub(crate) fn missing(&self) -> u64 {
        self.iter().map(|log| log.1.missing()).sum()
    }

    /// Whether this device has all that the other one has without a gap.
    pub(crate) fn reaches(&self, other: &Self) -> bool {
        other.iter().all(|(conversation, seqs)| self.upto(conversation) >= seqs.upto())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_was_put_into_it() {
        let id = MessageId { run: 1, connection: u32::MAX, number: 3, due_us: 0x0102_0304 };
        assert_eq!(MessageId::from_bytes(&id.to_bytes()), Some(id));
        assert_eq!(MessageId::from_bytes(b"short"), None);
    }

    #[test]
    fn each_ack_counts_once() {
        let mut acks = Acks::default();
        let numbers: Vec<u32> = (0..130).map(|_| acks.send()).collect();
        assert_eq!(numbers, (0..130).collect::<Vec<u32>>());
        assert_eq!(
            [acks.ack(129), acks.ack(129), acks.ack(130)],
            [Acked::First, Acked::Again, Acked::Unknown]
        );
        assert_eq!(
            (acks.sent(), acks.acked(), acks.is_acked(129), acks.is_acked(128)),
            (130, 1, true, false)
        );
    }

    #[test]
    fn a_gap_is_seen_until_it_is_filled() {
        let mut seqs = Seqs::after(10);
        for seq in [11, 14, 13, 17, 14] {
            seqs.see(seq);
        }
        assert_eq!((seqs.upto(), seqs.missing()), (11, 3));
        for seq in [15, 12, 16] {
            seqs.see(seq);
        }
        assert_eq!((seqs.upto(), seqs.missing()), (17, 0));
    }
}
