//! The knowledge base as the engine knows it: checked, in order, each example with its source.
//!
//! `crate::knowledge` makes it from files; training turns it into a model; the artifact carries it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A language that Kefu understands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// The language of `text`: Chinese as soon as it has a Han character.
    pub fn of(text: &str) -> Self {
        if text.chars().any(super::keyword::is_han) { Lang::Zh } else { Lang::En }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lang::Zh => "zh",
            Lang::En => "en",
        })
    }
}

/// One value a language.
pub type Localized<T> = BTreeMap<Lang, T>;

/// The text in `lang`, else in the other language.
pub fn localized<T>(texts: &Localized<T>, lang: Lang) -> Option<&T> {
    texts.get(&lang).or_else(|| texts.values().next())
}

/// All intents, in the order of their files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnowledgeBase {
    /// The intents; their position is their number in the engine.
    pub intents: Vec<Intent>,
    /// What the shop calls things, besides the built-in kinds of entities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntityDefinition>,
}

/// What a visitor may want.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Unique name, `snake_case` ASCII by convention.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Localized::is_empty")]
    pub title: Localized<String>,
    /// What the bot says.
    #[serde(default, skip_serializing_if = "Localized::is_empty")]
    pub answers: Localized<Vec<String>>,
    /// Tier-1 rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<KeywordRule>,
    /// What visitors write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// What sounds like this intent and is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negative_examples: Vec<Example>,
    /// What must be known before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// The question before the action; none: act at once.
    #[serde(default, skip_serializing_if = "Localized::is_empty")]
    pub confirm: Localized<String>,
    /// What happens.
    #[serde(default)]
    pub action: Action,
}

/// One sentence and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The sentence as written.
    pub text: String,
    /// Its language.
    pub lang: Lang,
    /// File name within the knowledge base.
    pub file: String,
    /// Line in the file, from 1.
    pub line: u32,
}

/// A tier-1 rule: fires when one of `any` (if there are some) and all of `all` are found and none
/// of `not`, or when the whole text is one of `exact`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeywordRule {
    /// At least one of these must occur.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<String>,
    /// All of these must occur.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<String>,
    /// None of these may occur.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not: Vec<String>,
    /// The whole message is one of these, punctuation at its ends aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exact: Vec<String>,
}

/// A value that an action needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Unique in its intent; `{name}` stands for the value in what the bot says.
    pub name: String,
    /// What kind of value fills it.
    pub entity: EntityKind,
    /// True when the action cannot go without it.
    #[serde(default)]
    pub required: bool,
    /// How to ask for it.
    pub prompt: Localized<String>,
    /// What a value must fulfil.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validation>,
    /// What to say before asking again.
    #[serde(default, skip_serializing_if = "Localized::is_empty")]
    pub invalid: Localized<String>,
}

/// What a slot's value must fulfil, beyond its kind. [`crate::intent::entity::check`] says what each
/// means and which kinds of entities take it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// A regular expression that the whole value matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The values that there are; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// The least amount, or the first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The largest amount, or the last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Fewest characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    /// Most characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

/// What kind of value an entity is: built in, or by the name of an entity of the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum EntityKind {
    /// The shop's order number.
    OrderNumber,
    /// A telephone number.
    Phone,
    /// A mail address.
    Email,
    /// An amount of money.
    Amount,
    /// A date or a time.
    Date,
    /// Anything.
    Text,
    /// An entity of the knowledge base.
    Custom(String),
}

impl EntityKind {
    /// The built-in kinds.
    pub const BUILT_IN: [Self; 6] =
        [Self::OrderNumber, Self::Phone, Self::Email, Self::Amount, Self::Date, Self::Text];

    /// The name in files and answers.
    pub fn name(&self) -> &str {
        match self {
            Self::OrderNumber => "order_number",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Amount => "amount",
            Self::Date => "date",
            Self::Text => "text",
            Self::Custom(name) => name,
        }
    }
}

impl From<String> for EntityKind {
    fn from(name: String) -> Self {
        let built_in = Self::BUILT_IN.into_iter().find(|kind| kind.name() == name);
        built_in.unwrap_or(Self::Custom(name))
    }
}

impl From<EntityKind> for String {
    fn from(kind: EntityKind) -> Self {
        kind.name().to_owned()
    }
}

/// A kind of entity that the shop defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityDefinition {
    /// Unique, and no built-in kind's.
    pub name: String,
    /// How it is found.
    pub rule: EntityRule,
}

/// How an entity is found in the normalised text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityRule {
    /// By one of these values or of their synonyms.
    Values(Vec<EntityValue>),
    /// By a regular expression.
    Pattern(String),
}

/// One value of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityValue {
    /// What answers and webhooks get; it is looked for too.
    pub value: String,
    /// Other ways to say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
}

/// What an intent does when it is understood and confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Say an answer.
    #[default]
    Reply,
    /// Put the conversation into the queue of the human agents.
    Handoff,
    /// Call the shop's own service.
    Webhook(Webhook),
}

/// Where an action is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Absolute `https://` address (`http://` for loopback hosts).
    pub url: String,
}

impl KnowledgeBase {
    /// All examples with the number of their intent, in order.
    pub fn examples(&self) -> impl Iterator<Item = (u32, &Example)> {
        self.intents.iter().enumerate().flat_map(|(intent, known)| {
            known.examples.iter().map(move |example| (intent as u32, example))
        })
    }

    /// The entity of the knowledge base that a kind names; none for a built-in kind.
    pub fn entity(&self, kind: &EntityKind) -> Option<&EntityDefinition> {
        self.entities
            .iter()
            .find(|one| matches!(kind, EntityKind::Custom(name) if *name == one.name))
    }

    /// The number of the intent `id`.
    pub fn position(&self, id: &str) -> Option<u32> {
        self.intents.iter().position(|intent| intent.id == id).map(|at| at as u32)
    }
}
