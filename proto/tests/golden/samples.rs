//! The frames that golden files are made of: one of each kind at least, with all its fields set.

use kefu_proto::limits;
use kefu_proto::v1::body::Kind;
use kefu_proto::v1::control::Action;
use kefu_proto::v1::event::What;
use kefu_proto::v1::message::Content;
use kefu_proto::v1::{
    Ack, ActionChanged, Body, Candidate, Control, Conversation, Cursor, Deliver, DialogueChanged,
    DialogueState, Edit, Edited, Error, ErrorCode, Event, HandBack, Hello, Holder, Kind as Why,
    Limits, Message, MessageHeader, Open, Option as Choice, Owner, OwnerChanged, Ping, Pong,
    Presence, Pull, Queue, Range, Read, ReadState, Recall, Recalled, Resolve, Role, Send, SetTags,
    Status, StatusChanged, TagsChanged, Take, Text, Thought, Transfer, Typing, TypingNotice, User,
    Watch, Welcome,
};
use prost::bytes::Bytes;

const CONVERSATION: &str = "c-01j9";
const DEVICE: &str = "d-7f3a";
const ID: Bytes =
    Bytes::from_static(b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff");
const AT_MS: u64 = 1_767_225_600_123;
const EPOCH: u64 = 0xfedc_ba98_7654_3210;

fn conversation_id() -> String {
    CONVERSATION.to_owned()
}

fn user(role: Role, id: &str, name: &str) -> User {
    User { role: role.into(), id: id.to_owned(), name: name.to_owned() }
}

fn thought(of_seq: u64) -> Thought {
    Thought {
        of_seq,
        status: "ambiguous".to_owned(),
        intent: "delivery_delay".to_owned(),
        confidence: 0.625,
        tier: "semantic".to_owned(),
        model: "3f9c2a".to_owned(),
        candidates: vec![
            Candidate { intent: "delivery_delay".to_owned(), confidence: 0.625 },
            Candidate { intent: "order_status".to_owned(), confidence: 0.25 },
        ],
        took_us: 2100,
    }
}

fn conversation() -> Conversation {
    Conversation {
        conversation: conversation_id(),
        log_epoch: EPOCH,
        first_seq: 1,
        last_seq: 9,
        read_seq: 7,
        unread: 2,
        status: Status::Waiting.into(),
        owner: Some(Owner { holder: Holder::Queue.into(), agent: None }),
        owner_epoch: 3,
        dialogue: DialogueState::Idle.into(),
        tags: vec!["vip".to_owned(), "退款".to_owned()],
        visitor: Some(user(Role::Visitor, "v-1", "小王")),
        opened_at_ms: AT_MS,
        updated_at_ms: AT_MS + 60_000,
        subject: "订单 20260101".to_owned(),
        queue_position: 2,
        queue_wait_ms: 90_000,
    }
}

fn message(seq: u64, sender: User, content: Content) -> Message {
    let client_msg_id = if sender.role() == Role::Visitor { ID } else { Bytes::new() };
    Message { seq, at_ms: AT_MS + seq, sender: Some(sender), client_msg_id, content: Some(content) }
}

/// One message of each content and each event.
fn messages() -> Vec<Message> {
    let (visitor, bot) = (user(Role::Visitor, "v-1", "小王"), user(Role::Bot, "bot", "Kefu"));
    let (agent, system) = (user(Role::Agent, "a-2", "Li"), user(Role::System, "", ""));
    let said = Text { text: "我的快递怎么还没到".to_owned(), ..Text::default() };
    let chosen = Text { option: "yes".to_owned(), text: "是".to_owned(), ..Text::default() };
    let asked = Text {
        text: "您是想问这个吗？".to_owned(),
        options: vec![Choice { id: "yes".to_owned(), label: "是".to_owned() }],
        kind: Why::DidYouMean.into(),
        thought: Some(thought(1)),
        answers_seq: 1,
        ..Text::default()
    };
    let taken_back = Text { recalled_by: 6, ..Text::default() };
    let agent_holds = Owner { holder: Holder::Agent.into(), agent: Some(agent.clone()) };
    let bot_holds = Owner { holder: Holder::Bot.into(), agent: None };
    let events = [
        What::Status(StatusChanged { before: Status::Open.into(), after: Status::Resolved.into() }),
        What::Owner(OwnerChanged {
            before: Some(bot_holds),
            after: Some(agent_holds),
            owner_epoch: 4,
            reason: "not_understood".to_owned(),
        }),
        What::Dialogue(DialogueChanged {
            before: DialogueState::Processing.into(),
            after: DialogueState::WaitingConfirm.into(),
            event: "needs_confirmation".to_owned(),
            thought: Some(thought(3)),
        }),
        What::Tags(TagsChanged { tags: vec!["vip".to_owned()] }),
        What::Action(ActionChanged {
            action_id: "act-1".to_owned(),
            intent: "refund".to_owned(),
            state: "failed".to_owned(),
            detail: "502".to_owned(),
        }),
    ];
    let contents = [
        (visitor.clone(), Content::Text(said)),
        (bot, Content::Text(asked)),
        (visitor.clone(), Content::Text(chosen)),
        (visitor.clone(), Content::Text(taken_back)),
        (agent, Content::Edited(Edited { seq: 2, text: "改过的".to_owned() })),
        (visitor, Content::Recalled(Recalled { seq: 4 })),
    ];
    let events = events.map(|what| (system.clone(), Content::Event(Event { what: Some(what) })));
    let all = contents.into_iter().chain(events).zip(1..);
    all.map(|((sender, content), seq)| message(seq, sender, content)).collect()
}

fn of_clients() -> Vec<(&'static str, Kind)> {
    let cursors = vec![Cursor { conversation: conversation_id(), seq: 7, log_epoch: EPOCH }];
    vec![
        (
            "hello",
            Kind::Hello(Hello {
                app_id: "default".to_owned(),
                token: "eyJ.eyJ.sig".to_owned(),
                cursors,
                accept_snappy: true,
                agent: "kefu-client/0.1.0".to_owned(),
                lang: "zh".to_owned(),
            }),
        ),
        (
            "send",
            Kind::Send(Send {
                conversation: conversation_id(),
                client_msg_id: ID,
                text: "我的快递怎么还没到 🚚".to_owned(),
                option: "yes".to_owned(),
                note: true,
            }),
        ),
        (
            "edit",
            Kind::Edit(Edit {
                conversation: conversation_id(),
                client_msg_id: ID,
                seq: 1,
                text: "新的".to_owned(),
            }),
        ),
        (
            "recall",
            Kind::Recall(Recall { conversation: conversation_id(), client_msg_id: ID, seq: 4 }),
        ),
        (
            "pull",
            Kind::Pull(Pull {
                conversation: conversation_id(),
                after_seq: 7,
                before_seq: 0,
                limit: 100,
            }),
        ),
        ("read", Kind::Read(Read { conversation: conversation_id(), seq: 9 })),
        ("typing", Kind::Typing(Typing { conversation: conversation_id(), on: true })),
        ("ping", Kind::Ping(Ping { token: u64::MAX })),
        ("open", Kind::Open(Open { client_msg_id: ID, subject: "订单 20260101".to_owned() })),
        ("control", control(Action::Take(Take {}))),
        ("control_transfer", control(Action::Transfer(Transfer { agent: "a-3".to_owned() }))),
        ("control_hand_back", control(Action::HandBack(HandBack {}))),
        ("control_resolve", control(Action::Resolve(Resolve {}))),
        ("control_set_tags", control(Action::SetTags(SetTags { tags: vec!["vip".to_owned()] }))),
        ("presence", Kind::Presence(Presence { online: true, capacity: 5 })),
        ("watch", Kind::Watch(Watch { conversation: conversation_id(), on: true })),
    ]
}

fn control(action: Action) -> Kind {
    let (conversation, client_msg_id) = (conversation_id(), ID);
    Kind::Control(Control { conversation, client_msg_id, action: Some(action) })
}

/// Answers, which repeat the number of their request.
fn answers() -> Vec<(&'static str, Kind)> {
    let limits = Limits {
        ping_every_ms: limits::PING_EVERY_MS as u32,
        max_frame_bytes: limits::MAX_FRAME_BYTES as u32,
        max_text_chars: limits::MAX_TEXT_CHARS as u32,
        max_pull: limits::MAX_PULL as u32,
        snappy_from_bytes: limits::SNAPPY_FROM_BYTES as u32,
    };
    vec![
        (
            "welcome",
            Kind::Welcome(Welcome {
                session: "s-9b1d".to_owned(),
                user: Some(user(Role::Visitor, "v-1", "小王")),
                conversations: vec![conversation()],
                limits: Some(limits),
                server_time_ms: AT_MS,
                snappy: true,
            }),
        ),
        (
            "ack",
            Kind::Ack(Ack {
                conversation: conversation_id(),
                client_msg_id: ID,
                seq: 8,
                at_ms: AT_MS,
                duplicate: true,
                log_epoch: EPOCH,
            }),
        ),
        ("range", range()),
        ("pong", Kind::Pong(Pong { token: u64::MAX, server_time_ms: AT_MS })),
        (
            "error",
            Kind::Error(Error {
                code: ErrorCode::RateLimited.into(),
                message: "too many messages; wait".to_owned(),
                retryable: true,
                retry_after_ms: 1500,
                client_msg_id: ID,
                conversation: conversation_id(),
            }),
        ),
    ]
}

fn range() -> Kind {
    Kind::Range(Range {
        conversation: conversation_id(),
        messages: messages(),
        has_more: true,
        first_seq: 1,
        last_seq: 40,
        log_epoch: EPOCH,
    })
}

fn pushes() -> Vec<(&'static str, Kind)> {
    let agent = Some(user(Role::Agent, "a-2", "Li"));
    let messages = messages().into_iter().take(2).collect();
    vec![
        ("deliver", Kind::Deliver(Deliver { conversation: conversation_id(), messages })),
        ("conversation", Kind::Conversation(conversation())),
        (
            "read_state",
            Kind::ReadState(ReadState {
                conversation: conversation_id(),
                user: agent.clone(),
                seq: 9,
            }),
        ),
        (
            "typing_notice",
            Kind::TypingNotice(TypingNotice {
                conversation: conversation_id(),
                user: agent,
                on: true,
            }),
        ),
        ("queue", Kind::Queue(Queue { waiting: vec![conversation()], length: 12 })),
    ]
}

/// All golden frames by name. `compress` in the header: it is written so.
pub(crate) fn frames() -> Vec<(&'static str, MessageHeader, Body)> {
    let of_a_device = MessageHeader { seq: 300, client_id: DEVICE.to_owned(), compress: false };
    let answer = MessageHeader { client_id: String::new(), ..of_a_device.clone() };
    let push = MessageHeader::default();
    let compressed = MessageHeader { compress: true, ..answer.clone() };
    let mut frames = Vec::new();
    for (header, kinds) in [
        (of_a_device, of_clients()),
        (answer, answers()),
        (push, pushes()),
        (compressed, vec![("range_compressed", range())]),
    ] {
        let with_header = |(name, kind)| (name, header.clone(), Body { kind: Some(kind) });
        frames.extend(kinds.into_iter().map(with_header));
    }
    frames
}

/// Frames that must be refused.
pub(crate) fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let long_id = [&[0x0a, 67, 0x12, 65][..], &[b'd'; 65]].concat();
    let large = limits::MAX_BODY_BYTES as u32 + 1;
    // Snappy begins with the inflated length as a varint.
    let mut claim: Vec<u8> =
        vec![large as u8 | 0x80, (large >> 7) as u8 | 0x80, (large >> 14) as u8, 0];
    claim.splice(0..0, [0x0a, 0x02, 0x18, 0x01, 0x12, 0x04]);
    vec![
        ("payload ends early", vec![0x12, 0x05, 0x01]),
        ("key without a value", vec![0x12]),
        ("number of 65 bits", vec![0x78, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]),
        ("number that does not end", [&[0x78][..], &[0x80; 11]].concat()),
        ("field number 0", vec![0x02, 0x00]),
        ("wire type 7", vec![0x0f]),
        ("end of a group that has no start", vec![0x1c]),
        ("payload as a number", vec![0x10, 0x01]),
        ("seq as bytes", vec![0x0a, 0x02, 0x0a, 0x00]),
        ("client_id that is not UTF-8", vec![0x0a, 0x03, 0x12, 0x01, 0xff]),
        ("client_id of 65 bytes", long_id),
        ("groups without an end", vec![0x1b; 40]),
        ("payload that is no Body", vec![0x12, 0x02, 0x0a, 0x05]),
        ("compressed, not agreed on", vec![0x0a, 0x02, 0x18, 0x01, 0x12, 0x01, 0x00]),
        ("snappy agreed, claims one byte too many", claim),
        (
            "snappy agreed, claims 4 GiB",
            vec![0x0a, 0x02, 0x18, 0x01, 0x12, 0x06, 255, 255, 255, 255, 15, 0],
        ),
        ("snappy agreed, is no Snappy", vec![0x0a, 0x02, 0x18, 0x01, 0x12, 0x03, 0x02, 0xff, 0xff]),
    ]
}
