//! “Did you mean”: what is offered, and which of it an answer picks.

use super::consent::{self, Consent};
use super::event::{Note, Reason, SayKind, Understanding};
use super::phrases::{self, Phrase};
use super::state::{About, Offer, Question, Said};
use super::step::Run;
use super::words;
use crate::intent::knowledge::localized;

/// What an answer to an offer picks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pick {
    /// This intent.
    Intent(String),
    /// Yes, whatever was offered.
    Yes,
    /// None of it.
    NoneOfThem,
    /// Nothing any more.
    Nothing,
}

/// How the candidates are counted off, the first ones first.
const NUMERALS: [[&str; 6]; 5] = [
    ["1", "一", "①", "first", "one", "the first one"],
    ["2", "二", "②", "second", "two", "the second one"],
    ["3", "三", "③", "third", "three", "the third one"],
    ["4", "四", "④", "fourth", "four", "the fourth one"],
    ["5", "五", "⑤", "fifth", "five", "the fifth one"],
];

/// What may stand around a number.
const AROUND: &[&str] = &[
    "选", "第", "个", "条", "项", "的", "吧", "号", "number ", "option ", "no. ", "no ", "the ",
    " one", "#",
];

/// Ways to pick nothing, besides no.
const NONE: &[&str] = &[
    "都不是",
    "都不对",
    "都不",
    "没有一个",
    "没有一个对",
    "没有我要的",
    "其他",
    "其它",
    "别的",
    "none",
    "none of these",
    "none of those",
    "none of them",
    "none of the above",
    "neither",
    "neither of them",
    "something else",
    "other",
];

impl Run<'_> {
    /// Offers the candidates; false when there is none that can be shown.
    pub(super) fn offer(&mut self, message: &Said, found: &Understanding) -> bool {
        let known = |id: &&String| self.intent(id).is_some() && self.form(id).is_some();
        let mut candidates: Vec<String> = found.candidates.iter().filter(known).cloned().collect();
        candidates.truncate(NUMERALS.len());
        if candidates.is_empty() {
            return false;
        }
        let (message, entities) = (message.clone(), found.entities.clone());
        self.show(Offer { message, entities, candidates }, false);
        true
    }

    fn show(&mut self, offer: Offer, again: bool) {
        let lang = self.state.lang;
        let titles: Vec<&str> = offer.candidates.iter().map(|id| self.title(id)).collect();
        let one = titles.len() == 1;
        let replies =
            if one { [Phrase::Yes, Phrase::No].as_slice() } else { &[Phrase::NoneOfThem] };
        let titled = titles.iter().filter(|_| !one).map(|title| (*title).to_owned());
        let options = titled.chain(replies.iter().map(|one| one.text(lang).to_owned())).collect();
        let text = phrases::did_you_mean(&titles, lang);
        self.say(SayKind::DidYouMean, vec![text], options);
        let question = Question::new(About::Offer(offer), self.state.seen);
        self.wait_for(Question { again, ..question });
    }

    /// What the words of an answer pick, if they pick anything.
    pub(super) fn pick(&self, offer: &Offer, text: &str) -> Option<Pick> {
        let said = words::phrase(text);
        if NONE.contains(&said.as_str()) {
            return Some(Pick::NoneOfThem);
        }
        let titled = offer.candidates.iter().find(|id| {
            let titles = self.intent(id).into_iter().flat_map(|intent| intent.title.values());
            **id == said || titles.into_iter().any(|title| words::phrase(title) == said)
        });
        let counted = number(&said).and_then(|at| offer.candidates.get(at));
        if let Some(id) = titled.or(counted) {
            return Some(Pick::Intent(id.clone()));
        }
        if words::cancels(text) {
            return Some(Pick::Nothing);
        }
        match consent::by_words(text) {
            Consent::Yes => Some(Pick::Yes),
            Consent::No => Some(Pick::NoneOfThem),
            Consent::Unclear => None,
        }
    }

    /// Goes on with what was picked.
    pub(super) fn picked(&mut self, question: Question, pick: Pick, seq: u64) {
        let About::Offer(offer) = question.about else { return };
        let chosen = match (pick, offer.candidates.as_slice()) {
            (Pick::Intent(id), _) => Some(id),
            (Pick::Yes, [only]) => Some(only.clone()),
            (Pick::Yes, _) if !question.again => return self.show(offer, true),
            (Pick::Yes | Pick::NoneOfThem, _) => None,
            (Pick::Nothing, _) => return self.cancelled(),
        };
        self.notes.push(Note::Chosen { seq, intent: chosen.clone() });
        match chosen {
            Some(id) => {
                let said = Said { seq, text: offer.message.text };
                self.take_up(&id, &said, &offer.entities);
            }
            None => self.hand_off(Reason::NotUnderstood, vec![]),
        }
    }

    /// What people call the intent; without a title, its id.
    fn title<'i>(&'i self, id: &'i str) -> &'i str {
        let intent = self.intent(id);
        let title = intent.and_then(|intent| localized(&intent.title, self.state.lang));
        title.map_or(id, String::as_str)
    }
}

/// The place that a number names, from 0.
fn number(said: &str) -> Option<usize> {
    let mut bare = said.to_owned();
    for word in AROUND {
        bare = bare.replace(word, "");
    }
    NUMERALS.iter().position(|names| names.contains(&said) || names.contains(&bare.trim()))
}
