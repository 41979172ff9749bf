//! The dialogue: one step from a state and an event to the next state and what to do.
//!
//! The shell around it feeds the events and carries out the effects. `docs/dialogue.md` has the
//! table of states and events; a test reads it. What an understood message leads to is `reply`'s.

use super::event::{ActionOutcome, Effect, Event, Note, Reason, Say, SayKind};
use super::form::Forms;
use super::hours::Hours;
use super::owner::Owner;
use super::phrases::{self, Phrase};
use super::state::{Deadline, MAX_QUEUED, Phase, Question, Reading, Said, State, Timer, Work};
use super::words;
use crate::intent::entity::Entity;
use crate::intent::entity::date::calendar::Moment;
use crate::intent::knowledge::KnowledgeBase;

/// What a step looks at besides state and event.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the bot can say and do.
    pub knowledge: &'a KnowledgeBase,
    /// Its forms.
    pub forms: &'a Forms,
    /// When human agents are at work.
    pub hours: &'a Hours,
    /// Unix time now.
    pub now_ms: u64,
    /// The visitor's date and time.
    pub moment: Moment,
}

/// The next state, and what to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The next state.
    pub state: State,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
    /// What the bot thought.
    pub notes: Vec<Note>,
}

/// A step on its way.
pub(super) struct Run<'a> {
    pub(super) state: State,
    pub(super) context: &'a Context<'a>,
    pub(super) effects: Vec<Effect>,
    pub(super) notes: Vec<Note>,
}

/// Takes `event` in `state`.
pub fn step(state: State, event: Event, context: &Context<'_>) -> Step {
    let (from, deadline) = (state.phase.name(), state.deadline);
    let mut run = Run { state, context, effects: Vec::new(), notes: Vec::new() };
    run.take(event);
    run.take_up_queued();
    if run.state.deadline != deadline {
        run.effects.push(run.timer().unwrap_or(Effect::ClearTimer));
    }
    let Run { state, effects, mut notes, .. } = run;
    let to = state.phase.name();
    if from != to {
        notes.push(Note::Moved { from, to });
    }
    Step { state, effects, notes }
}

impl Run<'_> {
    fn take(&mut self, event: Event) {
        match event {
            Event::Message(said) => self.message(said),
            Event::UnderstandingStarted { seq } => self.started(seq),
            Event::Understood { seq, found } => match self.reading(seq) {
                Some(reading) => self.understood(reading, &found),
                None => self.ignored("understood"),
            },
            Event::UnderstandingFailed { seq } => match self.reading(seq) {
                Some(reading) => self.read_again(reading),
                None => self.ignored("understanding_failed"),
            },
            Event::ActionDone { id, outcome } => self.action_done(id, outcome),
            Event::Timeout(timer) => self.timeout(timer),
            Event::QueueJoined { position, wait_ms } => match self.state.ownership.owner() {
                Owner::Queue => {
                    let text = phrases::queued(position, wait_ms, self.state.lang);
                    self.say(SayKind::Notice, vec![text], vec![]);
                }
                Owner::Bot | Owner::Agent(_) => self.ignored("queue_joined"),
            },
            Event::Queued => self.give_away(Owner::Queue),
            Event::TakenOver { agent } => self.give_away(Owner::Agent(agent)),
            Event::Resumed => {
                if self.state.ownership.pass(Owner::Bot) {
                    self.state.misses = 0;
                }
            }
        }
    }

    fn message(&mut self, said: Said) {
        if said.seq < self.state.seen {
            return self.ignored("message");
        }
        self.state.seen = said.seq.saturating_add(1);
        if !self.state.ownership.is_bots() {
            return;
        }
        match &self.state.phase {
            Phase::Idle | Phase::WaitingConfirm(_) => self.open(said),
            Phase::WaitingReply(_) | Phase::Processing(_) => {
                if self.state.queued.len() < MAX_QUEUED {
                    self.state.queued.push_back(said);
                } else {
                    self.tell(SayKind::Notice, Phrase::TooFast);
                }
            }
        }
    }

    /// Works on a message, now that nothing else is worked on.
    fn open(&mut self, said: Said) {
        let late = self.is_due();
        let asked = match std::mem::take(&mut self.state.phase) {
            // Nobody was there to see the time run out: a late yes still agrees to nothing.
            Phase::WaitingConfirm(question) if late => {
                self.expire(&question);
                None
            }
            Phase::WaitingConfirm(question) => Some(question),
            Phase::Idle | Phase::WaitingReply(_) | Phase::Processing(_) => None,
        };
        let asked = match asked {
            Some(question) => match self.settled_by_words(question, &said) {
                Some(open) => Some(open),
                None => return,
            },
            None => None,
        };
        self.read(Reading { message: said, asked, retried: false });
    }

    fn read(&mut self, reading: Reading) {
        self.effects.push(Effect::Understand(reading.message.clone()));
        self.enter(Phase::WaitingReply(reading));
    }

    fn started(&mut self, seq: u64) {
        match std::mem::take(&mut self.state.phase) {
            Phase::WaitingReply(reading) if reading.message.seq == seq => {
                self.state.phase = Phase::Processing(Work::Understanding(reading));
            }
            other @ (Phase::Idle
            | Phase::WaitingReply(_)
            | Phase::Processing(_)
            | Phase::WaitingConfirm(_)) => {
                self.state.phase = other;
                self.ignored("understanding_started");
            }
        }
    }

    /// Takes the message `seq` out of the state, if it is the one that is read.
    fn reading(&mut self, seq: u64) -> Option<Reading> {
        match std::mem::take(&mut self.state.phase) {
            Phase::WaitingReply(reading) | Phase::Processing(Work::Understanding(reading))
                if reading.message.seq == seq =>
            {
                Some(reading)
            }
            other @ (Phase::Idle
            | Phase::WaitingReply(_)
            | Phase::Processing(Work::Understanding(_) | Work::Acting { .. })
            | Phase::WaitingConfirm(_)) => {
                self.state.phase = other;
                None
            }
        }
    }

    /// The engine failed: once more, then a human.
    fn read_again(&mut self, reading: Reading) {
        if reading.retried {
            return self.hand_off(Reason::EngineFailed, vec![]);
        }
        self.tell(SayKind::Notice, Phrase::Slow);
        self.read(Reading { retried: true, ..reading });
    }

    fn action_done(&mut self, done: u64, outcome: ActionOutcome) {
        match std::mem::take(&mut self.state.phase) {
            Phase::Processing(Work::Acting { id, filling, .. }) if id == done => match outcome {
                ActionOutcome::Replied(texts) => self.answer(&filling, texts, id),
                ActionOutcome::Failed => {
                    self.tell(SayKind::Notice, Phrase::Failed);
                    self.hand_off(Reason::ActionFailed { intent: filling.intent }, vec![]);
                }
            },
            other @ (Phase::Idle
            | Phase::WaitingReply(_)
            | Phase::Processing(Work::Understanding(_) | Work::Acting { .. })
            | Phase::WaitingConfirm(_)) => {
                self.state.phase = other;
                self.ignored("action_done");
            }
        }
    }

    fn timeout(&mut self, timer: Timer) {
        let current = self.state.deadline.is_some_and(|due| due.timer == timer);
        if !(current && self.is_due()) {
            // A clock that runs ahead must not leave the conversation without a timer.
            self.effects.extend(self.timer());
            return self.ignored("timeout");
        }
        match std::mem::take(&mut self.state.phase) {
            Phase::Idle => self.enter(Phase::Idle),
            Phase::WaitingReply(reading) | Phase::Processing(Work::Understanding(reading)) => {
                self.read_again(reading);
            }
            Phase::Processing(Work::Acting { id, filling, waited: false }) => {
                self.tell(SayKind::Notice, Phrase::Working);
                self.enter(Phase::Processing(Work::Acting { id, filling, waited: true }));
            }
            Phase::Processing(Work::Acting { filling, waited: true, .. }) => {
                self.hand_off(Reason::ActionFailed { intent: filling.intent }, vec![]);
            }
            Phase::WaitingConfirm(question) => self.expire(&question),
        }
    }

    fn is_due(&self) -> bool {
        self.state.deadline.is_some_and(|due| due.at_ms <= self.context.now_ms)
    }

    /// Sets the timer that the state wants.
    fn timer(&self) -> Option<Effect> {
        let Deadline { timer, at_ms } = self.state.deadline?;
        Some(Effect::SetTimer { timer, after_ms: at_ms.saturating_sub(self.context.now_ms) })
    }

    /// Lets somebody else answer: what was open is theirs.
    fn give_away(&mut self, owner: Owner) {
        self.state.ownership.pass(owner);
        self.state.queued.clear();
        self.state.suspended = None;
        self.state.misses = 0;
        self.enter(Phase::Idle);
    }

    /// Gets a human, or says when there will be one. `texts` are said before; none: the bot's own.
    pub(super) fn hand_off(&mut self, reason: Reason, mut texts: Vec<String>) {
        let (now_ms, lang) = (self.context.now_ms, self.state.lang);
        if self.context.hours.is_open(now_ms) {
            if texts.is_empty() {
                texts.push(Phrase::HandOff.text(lang).to_owned());
            }
            self.say(SayKind::Notice, texts, vec![]);
            self.effects.push(Effect::HandOff { reason });
            return self.give_away(Owner::Queue);
        }
        let opening = self.context.hours.next_opening(now_ms);
        self.say(SayKind::Notice, vec![self.context.hours.closed_text(now_ms, lang)], vec![]);
        self.effects.push(Effect::FollowUp { reason, from_ms: opening });
        self.state.suspended = None;
        self.state.misses = 0;
        self.enter(Phase::Idle);
    }

    /// Takes up what came meanwhile.
    fn take_up_queued(&mut self) {
        while self.state.ownership.is_bots()
            && matches!(self.state.phase, Phase::Idle | Phase::WaitingConfirm(_))
            && let Some(said) = self.state.queued.pop_front()
        {
            self.open(said);
        }
    }

    /// Changes the state, and the deadline with it.
    pub(super) fn enter(&mut self, phase: Phase) {
        let timer = match &phase {
            Phase::Idle => None,
            Phase::WaitingReply(_) | Phase::Processing(_) => Some(Timer::Processing),
            Phase::WaitingConfirm(question) => Some(question.timer()),
        };
        self.state.phase = phase;
        self.state.deadline = timer.map(|timer| Deadline {
            timer,
            at_ms: self.context.now_ms.saturating_add(timer.after_ms()),
        });
    }

    /// Waits for the answer to a question.
    pub(super) fn wait_for(&mut self, question: Question) {
        self.enter(Phase::WaitingConfirm(question));
    }

    /// Speaks the language that the message shows.
    pub(super) fn hear(&mut self, text: &str, entities: &[Entity]) {
        self.state.lang = words::language(text, entities).unwrap_or(self.state.lang);
    }

    pub(super) fn say(&mut self, kind: SayKind, texts: Vec<String>, options: Vec<String>) {
        self.effects.push(Effect::Say(Say { kind, texts, options }));
    }

    pub(super) fn tell(&mut self, kind: SayKind, phrase: Phrase) {
        self.say(kind, vec![phrase.text(self.state.lang).to_owned()], vec![]);
    }

    pub(super) fn ignored(&mut self, what: &'static str) {
        self.notes.push(Note::Ignored { what });
    }
}
