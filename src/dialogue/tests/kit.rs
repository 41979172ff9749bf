//! A conversation with a stand-in for the engine, for the tests of the step.

use std::sync::LazyLock;

use crate::dialogue::event::{Effect, Event, Note, Say, SayKind, Understanding};
use crate::dialogue::form::Forms;
use crate::dialogue::hours::Hours;
use crate::dialogue::owner::Owner;
use crate::dialogue::state::{Said, State};
use crate::dialogue::step::{Context, Step, step};
use crate::intent::answer::{Status, Tier};
use crate::intent::entity::Extractor;
use crate::intent::entity::date::calendar::Moment;
use crate::intent::knowledge::{KnowledgeBase, Lang};
use crate::intent::normalize::normalize;
use crate::knowledge::parse;

const KNOWLEDGE: &str = r#"
version: 1
intents:
  - id: shipping
    title: {zh: 运费, en: Shipping cost}
    keywords: [{exact: [x1]}]
    answers: {zh: [满 99 元包邮。], en: [Free from 99 yuan.]}
  - id: cancel
    title: {zh: 取消订单, en: Cancel an order}
    keywords: [{exact: [取消, 取消订单]}]
    answers: {zh: ["订单 {order} 已取消。"], en: ["Order {order} is cancelled."]}
    slots:
      - {name: order, entity: order_number, required: true, prompt: {zh: 哪个订单？, en: Which order?}, invalid: {zh: 这不是订单号。, en: That is no order number.}}
    confirm: {zh: "取消订单 {order}？", en: "Cancel order {order}?"}
    action: {webhook: {url: "https://shop.example/cancel"}}
  - id: track
    title: {zh: 查物流, en: Track an order}
    keywords: [{exact: [x3]}]
    answers: {zh: ["订单 {order} 在路上。"], en: ["Order {order} is on its way."]}
    slots:
      - {name: order, entity: order_number, required: true, prompt: {zh: 查哪个订单？, en: Track which order?}}
    action: {webhook: {url: "https://shop.example/track"}}
  - id: close
    title: {zh: 注销账户, en: Close the account}
    keywords: [{exact: [x4]}]
    answers: {zh: [账户已注销。], en: [Your account is closed.]}
    confirm: {zh: 确定注销？, en: Really close it?}
    action: {webhook: {url: "https://shop.example/close"}}
  - id: human
    title: {zh: 转人工, en: Talk to a human}
    keywords: [{exact: [x5]}]
    answers: {zh: [这就为您转人工。], en: [Getting you a human.]}
    action: handoff
"#;

pub(super) static KNOWN: LazyLock<KnowledgeBase> =
    LazyLock::new(|| parse(&[("a.yaml".into(), KNOWLEDGE.to_owned())]).unwrap());
pub(super) static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms::new(&KNOWN).unwrap());
static EXTRACTOR: LazyLock<Extractor> = LazyLock::new(|| Extractor::new(&KNOWN).unwrap());

/// A conversation and its clock.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) state: State,
    pub(super) hours: Hours,
    pub(super) now_ms: u64,
    pub(super) effects: Vec<Effect>,
    pub(super) notes: Vec<Note>,
    /// Text of the last message, and its seq.
    last: Said,
}

impl Talk {
    pub(super) fn new() -> Self {
        let last = Said { seq: 0, text: String::new() };
        Self {
            state: State::new(Lang::Zh),
            hours: Hours::always(),
            now_ms: 1_790_000_000_000,
            effects: vec![],
            notes: vec![],
            last,
        }
    }

    /// One step.
    pub(super) fn on(&mut self, event: Event) -> &mut Self {
        let moment = Moment::parse("2026-11-24T15:30").unwrap();
        let Self { hours, now_ms, .. } = &*self;
        let (knowledge, forms) = (&*KNOWN, &*FORMS);
        let context = Context { knowledge, forms, hours, now_ms: *now_ms, moment };
        let Step { state, effects, notes } = step(self.state.clone(), event, &context);
        self.state = state;
        self.effects = effects;
        self.notes = notes;
        self
    }

    /// A message, not yet read.
    pub(super) fn writes(&mut self, text: &str) -> &mut Self {
        self.last = Said { seq: self.state.seen, text: text.to_owned() };
        let bare = text.strip_prefix(['@', '~']).and_then(|rest| rest.split_once(' '));
        let text = bare.map_or(text, |(_, text)| text).to_owned();
        self.on(Event::Message(Said { seq: self.last.seq, text }))
    }

    /// The engine reads the last message.
    pub(super) fn reads(&mut self) -> &mut Self {
        let (seq, found) = (self.last.seq, found(&self.last.text));
        self.on(Event::Understood { seq, found })
    }

    /// A message that is read at once, if the words alone do not settle it.
    pub(super) fn says(&mut self, text: &str) -> &mut Self {
        self.writes(text);
        let asked = self.effects.iter().any(|one| matches!(one, Effect::Understand(_)));
        if asked { self.reads() } else { self }
    }

    /// Lets `ms` pass, and what was due then happen.
    pub(super) fn waits(&mut self, ms: u64) -> &mut Self {
        self.now_ms += ms;
        match self.state.deadline {
            Some(due) if due.at_ms <= self.now_ms => self.on(Event::Timeout(due.timer)),
            _ => self,
        }
    }

    pub(super) fn seq(&self) -> u64 {
        self.last.seq
    }

    /// `state: what is done`, without the timers.
    pub(super) fn told(&self) -> String {
        let done: Vec<String> = self.effects.iter().filter_map(effect).collect();
        let done = if done.is_empty() { "–".to_owned() } else { done.join(", ") };
        let place = match self.state.ownership.owner() {
            Owner::Bot => self.state.phase.name().name(),
            Owner::Queue => "in the queue",
            Owner::Agent(_) => "with an agent",
        };
        format!("{place}: {done}")
    }

    /// All that was said in the last step.
    pub(super) fn said(&self) -> String {
        let texts = self.effects.iter().filter_map(|effect| match effect {
            Effect::Say(Say { texts, .. }) => Some(texts.join(" / ")),
            Effect::Understand(_)
            | Effect::Act(_)
            | Effect::HandOff { .. }
            | Effect::FollowUp { .. }
            | Effect::SetTimer { .. }
            | Effect::ClearTimer => None,
        });
        texts.collect::<Vec<_>>().join(" | ")
    }
}

fn effect(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Understand(_) => "understand".to_owned(),
        Effect::Say(say) => format!("say {}", kind(say.kind)),
        Effect::Act(webhook) => format!("act {}", webhook.intent),
        Effect::HandOff { .. } => "hand off".to_owned(),
        Effect::FollowUp { .. } => "follow up".to_owned(),
        Effect::SetTimer { .. } | Effect::ClearTimer => return None,
    })
}

fn kind(kind: SayKind) -> &'static str {
    match kind {
        SayKind::Answer => "answer",
        SayKind::Ask => "ask",
        SayKind::Confirm => "confirm",
        SayKind::DidYouMean => "did_you_mean",
        SayKind::Fallback => "fallback",
        SayKind::Notice => "notice",
    }
}

/// `@intent text` is matched, `~a,b text` ambiguous, all else out of scope.
pub(super) fn found(text: &str) -> Understanding {
    let mark = text.strip_prefix(['@', '~']).and_then(|rest| rest.split_once(' '));
    let bare = mark.map_or(text, |(_, bare)| bare);
    let entities = EXTRACTOR.extract(bare, &normalize(bare));
    let readable = bare.chars().any(char::is_alphanumeric);
    let base = Understanding {
        status: Status::OutOfScope,
        intent: None,
        confidence: 0.9,
        tier: if readable { Tier::Semantic } else { Tier::None },
        candidates: vec![],
        entities,
        model: "m1".to_owned(),
        meaning: None,
    };
    match mark {
        Some((id, _)) if text.starts_with('@') => {
            Understanding { status: Status::Matched, intent: Some(id.to_owned()), ..base }
        }
        Some((ids, _)) => Understanding {
            status: Status::Ambiguous,
            candidates: ids.split(',').map(str::to_owned).collect(),
            ..base
        },
        None => base,
    }
}
