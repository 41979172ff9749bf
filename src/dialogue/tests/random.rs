//! Random events: no message is lost, and the bot knows its place.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::kit::{Talk, found};
use crate::dialogue::consent::Consent;
use crate::dialogue::event::{ActionOutcome, Effect, Event, Say, SayKind, Understanding};
use crate::dialogue::owner::Owner;
use crate::dialogue::state::{About, MAX_QUEUED, Phase, PhaseName, Question, Said, State, Work};

/// What may happen next.
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
