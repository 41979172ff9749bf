//! What can happen to a conversation, and a device as a client keeps it.

use std::collections::HashMap;

use kefu_proto::v1::{Message, message::Content};
use proptest::prelude::*;

use super::*;
use crate::chat::request::PullFrom;

#[derive(Debug, Clone)]
pub(super) enum Op {
    Send(usize, u8),
    /// The same id again, with the same text or another.
    Retry(usize, usize, bool),
    Edit(usize, usize),
    Recall(usize, usize),
    Read(usize, usize, u64),
    Pull(usize, usize, PullFrom, usize),
    Resolve(usize),
    Disconnect(usize),
    /// Also when the device is connected: the older connection ends.
    Connect(usize),
    Release(u8),
    Fail(Fate),
    Restart(bool),
    Sweep,
}

pub(super) const DEVICES: usize = 5;

pub(super) fn op() -> impl Strategy<Value = Op> {
    let device = || 0..DEVICES;
    let from = prop_oneof![
        (0u64..40).prop_map(PullFrom::After),
        (1u64..40).prop_map(PullFrom::Before),
        Just(PullFrom::After(u64::MAX)),
    ];
    let fate = prop_oneof![Just(Fate::Refused), Just(Fate::Lost), Just(Fate::Unknown)];
    prop_oneof![
        8 => (device(), any::<u8>()).prop_map(|(d, at)| Op::Send(d, at)),
        3 => (device(), any::<usize>(), any::<bool>()).prop_map(|(d, n, o)| Op::Retry(d, n, o)),
        2 => (device(), any::<usize>()).prop_map(|(d, n)| Op::Edit(d, n)),
        2 => (device(), any::<usize>()).prop_map(|(d, n)| Op::Recall(d, n)),
        2 => (device(), any::<usize>(), 0u64..40).prop_map(|(d, c, n)| Op::Read(d, c, n)),
        2 => (device(), any::<usize>(), from, 1usize..8).prop_map(|(d, c, f, n)| Op::Pull(d, c, f, n)),
        1 => (0usize..8).prop_map(Op::Resolve),
        2 => device().prop_map(Op::Disconnect),
        3 => device().prop_map(Op::Connect),
        8 => (1u8..4).prop_map(Op::Release),
        1 => fate.prop_map(Op::Fail),
        1 => any::<bool>().prop_map(Op::Restart),
        1 => Just(Op::Sweep),
    ]
}

/// A device as a client keeps it.
pub(super) struct Device {
    pub(super) client: Arc<Client>,
    pub(super) connected: bool,
    /// What it applied, by conversation: contiguous from 1.
    pub(super) logs: HashMap<ConversationId, Vec<Message>>,
    /// What it asked for, by id: what it takes the acked message to say.
    pub(super) asked: HashMap<ClientMsgId, (Content, Request)>,
}

impl Device {
    /// Applies what comes next, as PROTOCOL.md says; the rest is known, or pulled later.
    pub(super) fn apply(&mut self, id: ConversationId, message: Message) {
        let log = self.logs.entry(id).or_default();
        if message.seq != log.len() as u64 + 1 {
            return;
        }
        let (of, text) = match &message.content {
            Some(Content::Edited(edited)) => (edited.seq, Some(edited.text.clone())),
            Some(Content::Recalled(recalled)) => (recalled.seq, Some(String::new())),
            _ => (0, None),
        };
        if let (Some(text), Some(Content::Text(old))) =
            (text, log.get_mut((of as usize).wrapping_sub(1)).and_then(|m| m.content.as_mut()))
        {
            old.text = text;
        }
        log.push(message);
    }
}
