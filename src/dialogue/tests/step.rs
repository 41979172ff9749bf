//! Conversations with the step, and what holds for all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::kit::{Talk, found};
use crate::dialogue::consent::Consent;
use crate::dialogue::event::{
    ActionOutcome, Effect, Event, Note, Reason, Say, SayKind, Understanding,
};
use crate::dialogue::hours::{Day, Hours, HoursConfig};
use crate::dialogue::owner::Owner;
use crate::dialogue::state::{About, MAX_QUEUED, Phase, PhaseName, Question, Said, State, Work};

const ORDER: &str = "20261103887421";

/// Each turn of the visitor and what comes of it.
#[test]
#[rustfmt::skip]
fn conversations() {
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("an answer", &[("@shipping 运费多少", "满 99 元包邮。")]),
        ("in English", &[("@shipping how much is shipping", "Free from 99 yuan.")]),
        ("slot, confirmation, action", &[
            ("@cancel 取消订单", "哪个订单？"), (ORDER, "取消订单 20261103887421？"), ("嗯嗯好的", ""),
        ]),
        ("a no", &[("@close 注销", "确定注销？"), ("还是算了", "好的，已为您取消，什么都没有改动。")]),
        ("neither, then neither", &[
            ("@close 注销", "确定注销？"), ("我再想想", "抱歉，我没听明白您同不同意。 / 确定注销？"), ("嗯这个嘛", "刚才那件事先不办了。"),
        ]),
        ("another question drops the confirmation", &[
            ("@close 注销", "确定注销？"), ("@shipping 运费多少", "刚才那件事先不办了。 | 满 99 元包邮。"), ("是的", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"),
        ]),
        ("a correction is confirmed anew", &[
            ("@cancel 取消订单 20261103887421", "取消订单 20261103887421？"), ("对，不过订单是20261103887422", "取消订单 20261103887422？"),
        ]),
        ("取消 urges a cancellation on", &[
            ("@cancel 取消订单 20261103887421", "取消订单 20261103887421？"), ("@cancel 取消", "抱歉，我没听明白您同不同意。 / 取消订单 20261103887421？"), ("确定取消", ""),
        ]),
        ("a question between slots", &[
            ("@cancel 取消订单", "哪个订单？"), ("@shipping 运费多少", "满 99 元包邮。 | 哪个订单？"), (ORDER, "取消订单 20261103887421？"),
        ]),
        ("a form between slots", &[
            ("@cancel 取消订单", "哪个订单？"), ("@close 注销", "确定注销？"), ("不用了", "好的，已为您取消，什么都没有改动。 | 哪个订单？"),
        ]),
        ("back to the form that waits", &[
            ("@cancel 取消订单", "哪个订单？"), ("@close 注销", "确定注销？"), ("@cancel 取消订单 20261103887421", "刚才那件事先不办了。 | 取消订单 20261103887421？"),
        ]),
        ("a slot given up", &[
            ("@cancel cancel my order", "Which order?"), ("no idea", "That is no order number. / Which order?"), ("i forgot", "I'm connecting you to one of our agents."),
        ]),
        ("did you mean, by number", &[("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("第二个", "确定注销？")]),
        ("did you mean, by title", &[("~shipping,close that", "Which of these did you mean? A number will do.\n1. Shipping cost\n2. Close the account"), ("shipping cost", "Free from 99 yuan.")]),
        ("did you mean, one", &[("~cancel 20261103887421那个", "您是想问“取消订单”吗？"), ("对", "取消订单 20261103887421？")]),
        ("did you mean, yes to several", &[
            ("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("是的", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("是的", "正在为您转接人工客服，请稍等。"),
        ]),
        ("did you mean, none", &[("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("都不是", "正在为您转接人工客服，请稍等。")]),
        ("did you mean, said otherwise", &[("~shipping,close 那个", "您是想问下面哪一个？回复数字就行。\n1. 运费\n2. 注销账户"), ("@shipping 邮费", "满 99 元包邮。")]),
        ("twice not understood", &[("天气如何", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"), ("~shipping,close 那个", "正在为您转接人工客服，请稍等。")]),
        ("an answer between", &[
            ("天气如何", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"), ("@shipping 运费", "满 99 元包邮。"), ("天气如何", "抱歉，我没太明白。您可以换个说法再问一次，例如“我的订单到哪了”。"),
        ]),
        ("no words are no failure", &[("🙂", "我在的，请直接告诉我您想问什么。"), ("🙂🙂", "我在的，请直接告诉我您想问什么。"), ("!!", "我在的，请直接告诉我您想问什么。")]),
        ("an intent that is gone", &[("@gone 那个", "抱歉，这项服务刚刚有变动，麻烦您再说一次您的需要。")]),
        ("a human", &[("@human 转人工", "这就为您转人工。"), ("你好", "")]),
    ];
    for (name, turns) in rows {
        let mut talk = Talk::new();
        for (text, expected) in *turns {
            talk.says(text);
            assert_eq!(talk.said(), *expected, "{name}: {text}");
        }
    }
}

#[test]
fn an_action_gets_its_values_and_its_answer() {
    let mut talk = Talk::new();
    talk.says("@cancel 取消订单").says(ORDER).says("是");
    let [Effect::Act(webhook), Effect::SetTimer { .. }] = &talk.effects[..] else {
        panic!("{:?}", talk.effects)
    };
    let id = webhook.id;
    assert_eq!(id, talk.seq(), "the same on a retry");
    assert_eq!(webhook.url, "https://shop.example/cancel");
    assert_eq!(webhook.slots["order"], ORDER);
    let replied =
        |texts: &[&str]| ActionOutcome::Replied(texts.iter().map(|t| (*t).into()).collect());
    let mut other = talk.clone();
    talk.on(Event::ActionDone { id, outcome: replied(&[]) });
    assert_eq!(talk.said(), "订单 20261103887421 已取消。");
    talk.on(Event::ActionDone { id, outcome: replied(&["twice"]) });
    assert_eq!(talk.effects, [], "an action ends once");
    other.on(Event::ActionDone { id, outcome: replied(&["已退回 35 元。"]) });
    assert_eq!(other.said(), "已退回 35 元。", "the service's own words go first");
}

/// What was written before a question was asked cannot agree to it.
#[test]
fn a_yes_from_before_the_question_is_none() {
    let mut talk = Talk::new();
    talk.writes("@close 注销");
    let seq = talk.seq();
    talk.writes("是的");
    assert_eq!(talk.effects, []);
    talk.on(Event::Understood { seq, found: found("@close 注销") });
    assert_eq!(talk.told(), "waiting_reply: say confirm, understand");
    talk.reads();
    assert_eq!(talk.told(), "waiting_confirm: say confirm", "asked again");
    talk.says("是的");
    assert_eq!(talk.told(), "processing: act close");
    // A no is always safe.
    let mut talk = Talk::new();
    talk.writes("@close 注销").writes("不用了");
    talk.on(Event::Understood { seq, found: found("@close 注销") });
    assert_eq!(talk.told(), "idle: say confirm, say notice");
}

#[test]
fn meaning_decides_where_words_do_not() {
    let close = || {
        let mut talk = Talk::new();
        talk.says("@close 注销").writes("那就照你说的来");
        talk
    };
    for (meaning, text, expected) in [
        (Some(Consent::Yes), "那就照你说的来", "processing: act close"),
        (Some(Consent::No), "@shipping 那就", "idle: say notice"),
        (Some(Consent::Unclear), "那就照你说的来", "waiting_confirm: say confirm"),
        (None, "那就照你说的来", "waiting_confirm: say confirm"),
    ] {
        let mut talk = close();
        let found = Understanding { meaning, ..found(text) };
        talk.on(Event::Understood { seq: talk.seq(), found });
        assert_eq!(talk.told(), expected, "{meaning:?}");
    }
    let mut talk = close();
    let found = Understanding {
        meaning: Some(Consent::Yes),
        tier: crate::intent::answer::Tier::Keyword,
        ..found("@shipping 运费")
    };
    talk.on(Event::Understood { seq: talk.seq(), found });
    assert_eq!(talk.told(), "idle: say notice, say answer", "a sure question is no yes");
}

#[test]
fn messages_wait_their_turn() {
    let mut talk = Talk::new();
    talk.writes("@shipping 一");
    let first = talk.seq();
    for _ in 0..MAX_QUEUED {
        talk.writes("二");
        assert_eq!(talk.effects, []);
    }
    talk.writes("三");
    assert_eq!(talk.told(), "waiting_reply: say notice", "too many at once is said");
    talk.on(Event::Understood { seq: first, found: found("@shipping 一") });
    let Some(Effect::Understand(next)) = talk.effects.get(1) else { panic!("{:?}", talk.effects) };
    assert_eq!((next.seq, next.text.as_str()), (first + 1, "二"));
    let again = Said { seq: first + 1, text: "二".into() };
    talk.on(Event::Message(again));
    assert_eq!(talk.notes, [Note::Ignored { what: "message" }], "a message counts once");
}

#[test]
fn out_of_hours_the_bot_stays() {
    let week = [(Day::Mon, vec!["09:00-18:00".to_owned()])].into();
    let config = HoursConfig { time_zone: "Asia/Shanghai".into(), week, ..Default::default() };
    let mut talk = Talk::new();
    talk.hours = Hours::new(&config).unwrap();
    talk.says("@human 转人工");
    assert_eq!(talk.told(), "idle: say notice, follow up");
    assert!(talk.said().contains("9 月 28 日（周一）09:00"), "{}", talk.said());
    assert!(talk.effects.iter().any(|effect| matches!(
        effect,
        Effect::FollowUp { reason: Reason::Asked { .. }, from_ms: Some(1_790_557_200_000) }
    )));
    assert!(talk.state.ownership.is_bots());
    assert_eq!(talk.says("@shipping 运费").told(), "idle: say answer");
}

#[test]
fn a_bot_is_silent_beside_a_human() {
    let mut talk = Talk::new();
    talk.writes("@shipping 运费").writes("快点");
    let fence = talk.state.ownership.fence();
    talk.on(Event::TakenOver { agent: "li".into() });
    assert_eq!(talk.told(), "idle: –");
    assert!(!talk.state.ownership.admits(fence), "what was begun before does not commit");
    talk.reads();
    assert_eq!(talk.told(), "idle: –");
    assert_eq!(talk.says("在吗").told(), "idle: –");
    talk.on(Event::QueueJoined { position: 1, wait_ms: None });
    assert_eq!(talk.told(), "idle: –", "a late place in the queue");
    assert_eq!(talk.on(Event::Resumed).told(), "idle: –");
    assert_eq!(talk.says("@shipping 运费").told(), "idle: say answer");
}

/// A state that is older than the knowledge base, or the program, goes on.
#[test]
fn an_old_state_goes_on() {
    let bare: State = serde_json::from_str(r#"{"lang": "en", "later": 1}"#).unwrap();
    assert_eq!(bare, State::new(crate::intent::knowledge::Lang::En));
    let old = r#"{"lang": "zh", "seen": 9, "deadline": {"timer": "confirm", "at_ms": 1},
        "phase": {"waiting_confirm": {"from_seq": 9, "about": {"action": {"intent": "gone", "lang": "zh"}}}}}"#;
    let mut talk = Talk::new();
    talk.state = serde_json::from_str(old).unwrap();
    let before = talk.clone();
    assert_eq!(talk.says("是的").told(), "idle: say fallback");
    talk = before;
    assert_eq!(talk.says("@shipping 运费").told(), "idle: say answer");
}

/// What may happen next; the numbers pick a message, or which one is meant.
#[derive(Debug, Clone)]
enum Move {
    Write(&'static str),
    Start,
    Read(Option<Consent>),
    Fail,
    Done(bool),
    Late(u64),
    Wait(u64),
    Join,
    Queue,
    Take,
    Resume,
}

fn moves() -> impl Strategy<Value = Move> {
    let texts = prop::sample::select(vec![
        "@shipping 运费",
        "@cancel 取消订单",
        "@cancel 取消 20261103887421",
        "@track 查物流",
        "@close 注销",
        "@human 转人工",
        "@gone 什么",
        "~shipping,close 那个",
        "~gone 那个",
        "~cancel 这个",
        "天气",
        "🙂",
        "",
        "是",
        "不用了",
        "1",
        "第二个",
        "都不是",
        "20261103887422",
        "不知道",
        "取消",
        "yes but order 20261103887423",
    ]);
    let meaning =
        prop::option::of(prop::sample::select(vec![Consent::Yes, Consent::No, Consent::Unclear]));
    prop_oneof![
        6 => texts.prop_map(Move::Write),
        2 => Just(Move::Start),
        6 => meaning.prop_map(Move::Read),
        1 => Just(Move::Fail),
        2 => any::<bool>().prop_map(Move::Done),
        1 => (0..9u64).prop_map(Move::Late),
        1 => prop::sample::select(vec![1_000, 15_000, 300_000, 1_800_000]).prop_map(Move::Wait),
        1 => Just(Move::Join), 1 => Just(Move::Queue), 1 => Just(Move::Take), 2 => Just(Move::Resume),
    ]
}

/// The messages that the state still holds.
fn held(state: &State) -> BTreeSet<u64> {
    let now = match &state.phase {
        Phase::Idle | Phase::WaitingConfirm(_) => None,
        Phase::WaitingReply(reading) | Phase::Processing(Work::Understanding(reading)) => {
            Some(reading.message.seq)
        }
        Phase::Processing(Work::Acting { id, .. }) => Some(*id),
    };
    state.queued.iter().map(|said| said.seq).chain(now).collect()
}

fn asks_to_act(question: &Question) -> bool {
    matches!(question.about, About::Action(_))
}

/// Whether the state holds an agreement that a yes can act on.
fn may_act(state: &State) -> bool {
    match &state.phase {
        Phase::WaitingConfirm(question) => asks_to_act(question),
        Phase::WaitingReply(reading) | Phase::Processing(Work::Understanding(reading)) => {
            reading.asked.as_ref().is_some_and(asks_to_act)
        }
        Phase::Idle | Phase::Processing(Work::Acting { .. }) => false,
    }
}

/// Makes the move; true when it was one that hands the conversation to people.
fn make(talk: &mut Talk, texts: &mut Vec<&'static str>, one: &Move) {
    let current = held(&talk.state);
    let reading = match &talk.state.phase {
        Phase::WaitingReply(r) | Phase::Processing(Work::Understanding(r)) => r.message.seq,
        Phase::Idle | Phase::Processing(Work::Acting { .. }) | Phase::WaitingConfirm(_) => 0,
    };
    let acting = current.last().copied().unwrap_or(0);
    let found_in = |seq: u64| found(texts.get((seq as usize).saturating_sub(1)).unwrap_or(&""));
    match one {
        Move::Write(text) => {
            texts.push(text);
            let bare = text.strip_prefix(['@', '~']).and_then(|rest| rest.split_once(' '));
            let text = bare.map_or(*text, |(_, bare)| bare).to_owned();
            talk.on(Event::Message(Said { seq: texts.len() as u64, text }));
        }
        Move::Start => {
            talk.on(Event::UnderstandingStarted { seq: reading });
        }
        Move::Read(meaning) => {
            let found = Understanding { meaning: *meaning, ..found_in(reading) };
            talk.on(Event::Understood { seq: reading, found });
        }
        Move::Late(seq) => {
            talk.on(Event::Understood { seq: *seq, found: found_in(*seq) });
        }
        Move::Fail => {
            talk.on(Event::UnderstandingFailed { seq: reading });
        }
        Move::Done(well) => {
            let id = match &talk.state.phase {
                Phase::Processing(Work::Acting { id, .. }) => *id,
                Phase::Idle
                | Phase::WaitingReply(_)
                | Phase::Processing(Work::Understanding(_))
                | Phase::WaitingConfirm(_) => acting,
            };
            let outcome =
                if *well { ActionOutcome::Replied(vec![]) } else { ActionOutcome::Failed };
            talk.on(Event::ActionDone { id, outcome });
        }
        Move::Wait(ms) => {
            talk.effects.clear();
            talk.waits(*ms);
        }
        Move::Join => {
            talk.on(Event::QueueJoined { position: 2, wait_ms: Some(60_000) });
        }
        Move::Queue => {
            talk.on(Event::Queued);
        }
        Move::Take => {
            talk.on(Event::TakenOver { agent: "li".into() });
        }
        Move::Resume => {
            talk.on(Event::Resumed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_message_is_lost_and_the_bot_knows_its_place(all in prop::collection::vec(moves(), 1..60)) {
        let mut talk = Talk::new();
        let mut texts = Vec::new();
        for one in &all {
            let before = talk.state.clone();
            make(&mut talk, &mut texts, one);
            let (after, effects) = (&talk.state, &talk.effects);
            let says: Vec<&Say> = effects
                .iter()
                .filter_map(|effect| if let Effect::Say(say) = effect { Some(say) } else { None })
                .collect();
            let off = effects.iter().filter(|e| matches!(e, Effect::HandOff { .. })).count();
            let acts: Vec<_> = effects
                .iter()
                .filter_map(|effect| if let Effect::Act(act) = effect { Some(act) } else { None })
                .collect();

            // Every message is answered, is with a human, or is still held.
            let mut open = held(&before);
            if matches!(one, Move::Write(_)) && before.ownership.is_bots() {
                open.insert(texts.len() as u64);
            }
            let gone = open.difference(&held(after)).count();
            let human = off > 0 || matches!(one, Move::Take | Move::Queue);
            prop_assert!(human || gone <= says.len(), "{gone} gone, said {says:?}");

            // Whoever is no owner is silent.
            match before.ownership.owner() {
                Owner::Bot => {}
                Owner::Queue => prop_assert!(
                    says.iter().all(|say| say.kind == SayKind::Notice && matches!(one, Move::Join))
                ),
                Owner::Agent(_) => prop_assert!(says.is_empty()),
            }
            if !before.ownership.is_bots() {
                prop_assert!(effects.iter().all(|e| matches!(e, Effect::Say(_))), "{effects:?}");
            }
            prop_assert!(says.iter().all(|say| !say.texts.is_empty() && say.texts.iter().all(|t| !t.is_empty())));

            // Ownership and epoch move together; a hand-off is the last thing that is done.
            let moved = before.ownership.owner() != after.ownership.owner();
            prop_assert_eq!(after.ownership.epoch() > before.ownership.epoch(), moved);
            prop_assert!(off <= 1);
            prop_assert!(off == 0 || *after.ownership.owner() == Owner::Queue);

            // Nothing that needs a yes happens without the question.
            for act in acts {
                prop_assert!(act.intent == "track" || may_act(&before), "{act:?}");
                prop_assert!(act.intent == "close" || act.slots.contains_key("order"));
            }

            // The state is whole.
            let name = after.phase.name();
            prop_assert_eq!(after.deadline.is_some(), name != PhaseName::Idle);
            let at_rest = matches!(name, PhaseName::Idle | PhaseName::WaitingConfirm);
            prop_assert!(!at_rest || after.queued.is_empty());
            prop_assert!(after.ownership.is_bots() || name == PhaseName::Idle);
            prop_assert!(after.queued.len() <= MAX_QUEUED && after.misses < 2);
            let json = serde_json::to_string(after).unwrap();
            prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), after);
        }
    }
}
