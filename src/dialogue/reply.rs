//! What an understood message leads to: an answer, a question, an action, or a human.

use std::collections::BTreeMap;

use super::consent::{self, Consent};
use super::event::{Effect, Note, Reason, SayKind, Understanding, Webhook};
use super::form::Form;
use super::offer::Pick;
use super::phrases::Phrase;
use super::slots::{Filling, Message, Next, Turn};
use super::state::{About, Phase, Question, Reading, Said, Work};
use super::step::Run;
use super::words;
use crate::intent::answer::{Status, Tier};
use crate::intent::entity::Entity;
use crate::intent::knowledge::{Action, Intent, localized};

/// Messages in a row that the bot may fail to understand, the last of which calls a human.
const MAX_MISSES: u8 = 2;

impl Run<'_> {
    /// Answers a question where the words of `said` settle it; else gives the question back.
    pub(super) fn settled_by_words(&mut self, question: Question, said: &Said) -> Option<Question> {
        // What was written before the question was asked cannot agree to it.
        let fresh = said.seq >= question.from_seq;
        match question.about {
            About::Slot(_) => Some(question),
            About::Action(filling) => {
                let form = self.form(&filling.intent);
                let urges = |word: &str| form.is_some_and(|form| form.is_asked_by(word));
                let verdict = consent::by_words_about(&said.text, urges);
                if verdict == Consent::Unclear || verdict == Consent::Yes && !fresh {
                    return Some(Question { about: About::Action(filling), ..question });
                }
                self.hear(&said.text, &[]);
                self.notes.push(Note::Consent { seq: said.seq, verdict, by_words: true });
                self.decided(filling, verdict == Consent::Yes, said.seq);
                None
            }
            About::Offer(offer) => {
                let pick = self.pick(&offer, &said.text).filter(|_| fresh);
                let question = Question { about: About::Offer(offer), ..question };
                match pick {
                    None => Some(question),
                    Some(pick) => {
                        self.hear(&said.text, &[]);
                        self.picked(question, pick, said.seq);
                        None
                    }
                }
            }
        }
    }

    /// Goes on with what the engine found in a message.
    pub(super) fn understood(&mut self, reading: Reading, found: &Understanding) {
        let Reading { message, asked, .. } = reading;
        self.hear(&message.text, &found.entities);
        self.notes.push(Note::Understood {
            seq: message.seq,
            status: found.status,
            intent: found.intent.clone(),
            confidence: found.confidence,
            tier: found.tier,
            model: found.model.clone(),
        });
        match asked {
            None => self.question(&message, found),
            Some(Question { about: About::Slot(filling), .. }) => {
                self.slot_answered(filling, &message, found);
            }
            Some(Question { about: About::Action(filling), from_seq, again }) => {
                let fresh = message.seq >= from_seq;
                self.confirm_answered(filling, again, fresh, &message, found);
            }
            Some(Question { about: About::Offer(offer), from_seq, again }) => {
                let fresh = message.seq >= from_seq;
                let pick = match self.meaning(&message, found, fresh, None) {
                    Consent::Yes if offer.candidates.len() == 1 => Pick::Yes,
                    // “No, I want an invoice” says more than no.
                    Consent::No if found.matched().is_none() => Pick::NoneOfThem,
                    Consent::Yes | Consent::No | Consent::Unclear => {
                        return self.question(&message, found);
                    }
                };
                let question = Question { about: About::Offer(offer), from_seq, again };
                self.picked(question, pick, message.seq);
            }
        }
    }

    /// A message that answers nothing.
    fn question(&mut self, message: &Said, found: &Understanding) {
        match found.status {
            Status::Matched => match &found.intent {
                Some(intent) => self.take_up(intent, message, &found.entities),
                None => self.missed(message, found),
            },
            Status::OutOfScope if found.tier == Tier::None => {
                self.tell(SayKind::Fallback, Phrase::Nothing);
                self.rest();
            }
            // “算了” and “嗯嗯好的” ask nothing, so that nobody fails to understand them.
            Status::Ambiguous | Status::OutOfScope if words::cancels(&message.text) => {
                self.cancelled();
            }
            Status::Ambiguous | Status::OutOfScope
                if consent::by_words(&message.text) == Consent::Yes =>
            {
                self.tell(SayKind::Answer, Phrase::Acknowledged);
                self.rest();
            }
            Status::Ambiguous | Status::OutOfScope => self.missed(message, found),
        }
    }

    /// Not understood: once the bot asks, twice it gets a human.
    fn missed(&mut self, message: &Said, found: &Understanding) {
        self.state.misses = self.state.misses.saturating_add(1);
        if self.state.misses >= MAX_MISSES {
            return self.hand_off(Reason::NotUnderstood, vec![]);
        }
        if found.status == Status::Ambiguous && self.offer(message, found) {
            return;
        }
        self.tell(SayKind::Fallback, Phrase::Fallback);
        self.rest();
    }

    /// Begins with an intent, or goes on with its form if that waits.
    pub(super) fn take_up(&mut self, intent: &str, said: &Said, entities: &[Entity]) {
        self.state.misses = 0;
        let Some(form) = self.form(intent) else {
            self.tell(SayKind::Fallback, Phrase::Gone);
            return self.rest();
        };
        let lang = Some(self.state.lang);
        let message = Message { text: &said.text, entities, matched: Some(intent), lang };
        let turn = match self.state.suspended.take_if(|waiting| waiting.intent == intent) {
            Some(waiting) => form.resume(waiting, &message, self.context.moment),
            None => form.begin(&message, self.context.moment),
        };
        self.follow(turn, said, entities);
    }

    /// Does what the form says.
    fn follow(&mut self, turn: Turn, said: &Said, entities: &[Entity]) {
        let Turn { filling, next, .. } = turn;
        match next {
            Next::Ask { prompt, .. } => self.ask(filling, vec![prompt]),
            Next::Invalid { message, prompt, .. } => {
                self.ask(filling, message.into_iter().chain([prompt]).collect());
            }
            Next::Complete { confirm: Some(question) } => {
                self.ask_to_confirm(filling, vec![question], false);
            }
            Next::Complete { confirm: None } => self.perform(filling, said.seq),
            Next::GiveUp { slot } => {
                self.hand_off(Reason::SlotGivenUp { intent: filling.intent, slot }, vec![]);
            }
            Next::Cancelled => self.cancelled(),
            Next::Digressed { intent } => {
                self.state.suspended = Some(filling);
                self.take_up(&intent, said, entities);
            }
        }
    }

    fn slot_answered(&mut self, filling: Filling, said: &Said, found: &Understanding) {
        let Some(form) = self.form(&filling.intent) else {
            return self.question(said, found);
        };
        let turn = form.fill(filling, &self.heard(said, found), self.context.moment);
        self.follow(turn, said, &found.entities);
    }

    fn confirm_answered(
        &mut self,
        filling: Filling,
        again: bool,
        fresh: bool,
        said: &Said,
        found: &Understanding,
    ) {
        let Some(form) = self.form(&filling.intent) else {
            return self.question(said, found);
        };
        let turn = form.fill(filling.clone(), &self.heard(said, found), self.context.moment);
        // “Yes, but order …22” changes what is agreed to: asked anew.
        if !turn.events.is_empty() {
            return self.follow(turn, said, &found.entities);
        }
        match self.meaning(said, found, fresh, Some(&filling.intent)) {
            Consent::Yes => return self.decided(filling, true, said.seq),
            Consent::No => return self.decided(filling, false, said.seq),
            Consent::Unclear => {}
        }
        match turn.next {
            Next::Digressed { intent } => {
                self.tell(SayKind::Notice, Phrase::Dropped);
                self.take_up(&intent, said, &found.entities);
            }
            Next::Complete { confirm: Some(_) } if again => {
                self.tell(SayKind::Notice, Phrase::Dropped);
                self.rest();
            }
            Next::Complete { confirm: Some(question) } => {
                // Only an answer to the question counts as one of its two tries.
                let unclear = Phrase::Unclear.text(self.state.lang).to_owned();
                self.ask_to_confirm(turn.filling, vec![unclear, question], fresh);
            }
            Next::Ask { .. }
            | Next::Invalid { .. }
            | Next::Complete { confirm: None }
            | Next::GiveUp { .. }
            | Next::Cancelled => self.follow(turn, said, &found.entities),
        }
    }

    /// Yes or no by meaning. The engine finds an intent in many an answer (“yes, carry on” sounds
    /// like a goodbye), so a match alone is no other question; a keyword rule is, and so is what has
    /// the form of one. A message older than the question answers nothing.
    fn meaning(
        &mut self,
        said: &Said,
        found: &Understanding,
        fresh: bool,
        pending: Option<&str>,
    ) -> Consent {
        let other = found.matched().is_some_and(|intent| Some(intent) != pending);
        let verdict = found.meaning.unwrap_or(Consent::Unclear);
        let asks = other && (found.tier == Tier::Keyword || words::questions(&said.text));
        let usable = fresh && !asks;
        if verdict == Consent::Unclear || !usable {
            return Consent::Unclear;
        }
        self.notes.push(Note::Consent { seq: said.seq, verdict, by_words: false });
        verdict
    }

    fn decided(&mut self, filling: Filling, yes: bool, seq: u64) {
        if !yes {
            return self.cancelled();
        }
        // The knowledge base or the day may have changed since the question.
        match self
            .form(&filling.intent)
            .map(|form| form.ask_again(filling.clone(), self.context.moment))
        {
            Some(Turn { filling, next: Next::Complete { .. }, .. }) => self.perform(filling, seq),
            Some(turn) => self.follow(turn, &Said { seq, text: String::new() }, &[]),
            None => self.perform(filling, seq),
        }
    }

    pub(super) fn cancelled(&mut self) {
        self.tell(SayKind::Notice, Phrase::Cancelled);
        self.rest();
    }

    fn ask(&mut self, filling: Filling, texts: Vec<String>) {
        self.say(SayKind::Ask, texts, vec![]);
        self.wait_for(Question::new(About::Slot(filling), self.state.seen));
    }

    fn ask_to_confirm(&mut self, filling: Filling, texts: Vec<String>, again: bool) {
        let lang = self.state.lang;
        let options = [Phrase::Yes, Phrase::No].map(|one| one.text(lang).to_owned());
        self.say(SayKind::Confirm, texts, options.into());
        let question = Question::new(About::Action(filling), self.state.seen);
        self.wait_for(Question { again, ..question });
    }

    /// Does what the intent is for.
    fn perform(&mut self, filling: Filling, seq: u64) {
        let Some(intent) = self.intent(&filling.intent) else {
            self.tell(SayKind::Fallback, Phrase::Gone);
            return self.rest();
        };
        match &intent.action {
            Action::Reply => self.answer(&filling, vec![], seq),
            Action::Handoff => {
                let texts = self.answers(intent, &filling, seq);
                self.hand_off(Reason::Asked { intent: intent.id.clone() }, texts);
            }
            Action::Webhook(webhook) => {
                let slots: BTreeMap<String, String> = filling
                    .values
                    .iter()
                    .map(|one| (one.slot.clone(), one.value.clone()))
                    .collect();
                let (intent, url) = (intent.id.clone(), webhook.url.clone());
                self.effects.push(Effect::Act(Webhook { id: seq, intent, url, slots }));
                self.enter(Phase::Processing(Work::Acting { id: seq, filling, waited: false }));
            }
        }
    }

    /// Says `texts`, or else what the intent answers, and goes back to what waits.
    pub(super) fn answer(&mut self, filling: &Filling, mut texts: Vec<String>, seq: u64) {
        if texts.is_empty()
            && let Some(intent) = self.intent(&filling.intent)
        {
            texts = self.answers(intent, filling, seq);
        }
        if texts.is_empty() {
            texts.push(Phrase::Done.text(self.state.lang).to_owned());
        }
        self.say(SayKind::Answer, texts, vec![]);
        self.rest();
    }

    /// One of the intent's answers that can be said with the values that are there.
    fn answers(&self, intent: &Intent, filling: &Filling, seq: u64) -> Vec<String> {
        let known = localized(&intent.answers, self.state.lang).map(Vec::as_slice);
        let form = self.form(&intent.id);
        let mut can: Vec<String> = known
            .unwrap_or_default()
            .iter()
            .filter_map(|text| form.and_then(|form| form.say(text, filling)))
            .collect();
        if can.is_empty() {
            return can;
        }
        let turn = (seq % can.len() as u64) as usize;
        vec![can.swap_remove(turn)]
    }

    /// Nothing is to be done any more: back to the form that waits, else idle.
    pub(super) fn rest(&mut self) {
        self.enter(Phase::Idle);
        if let Some(waiting) = self.state.suspended.take()
            && let Some(form) = self.form(&waiting.intent)
        {
            let waiting = Filling { lang: self.state.lang, ..waiting };
            let turn = form.ask_again(waiting, self.context.moment);
            let nothing = Said { seq: self.state.seen.saturating_sub(1), text: String::new() };
            self.follow(turn, &nothing, &[]);
        }
    }

    /// A question that nobody answered.
    pub(super) fn expire(&mut self, question: &Question) {
        match question.about {
            About::Slot(_) | About::Action(_) => self.tell(SayKind::Notice, Phrase::Expired),
            About::Offer(_) => {}
        }
        self.state.suspended = None;
        self.state.misses = 0;
        self.enter(Phase::Idle);
    }

    fn heard<'m>(&self, said: &'m Said, found: &'m Understanding) -> Message<'m> {
        let lang = Some(self.state.lang);
        Message { text: &said.text, entities: &found.entities, matched: found.matched(), lang }
    }
}

impl<'a> Run<'a> {
    pub(super) fn form(&self, intent: &str) -> Option<&'a Form> {
        self.context.forms.get(intent)
    }

    pub(super) fn intent(&self, id: &str) -> Option<&'a Intent> {
        self.context.knowledge.intents.iter().find(|intent| intent.id == id)
    }
}
