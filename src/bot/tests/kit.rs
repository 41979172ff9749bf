//! A shop with a hub, a bot and one visitor, for the tests; the engine and the shop's service are
//! stand-ins, and the store loses what a crash would lose.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kefu_proto::v1::control::Action;
use kefu_proto::v1::event::What;
use kefu_proto::v1::message::Content;
use kefu_proto::v1::{self, Role};
use tokio::sync::Semaphore;

use crate::bot::mind::{Apps, Mind, Read, Taught};
use crate::bot::webhook::Outcome;
use crate::bot::{Attendant, Options};
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::party::{Party, Side};
use crate::chat::request::{Control, Pull, PullFrom, Request, Send};
use crate::dialogue::form::Forms;
use crate::dialogue::hours::Hours;
use crate::hub::outbox::Outbox;
use crate::hub::{Client, Hub};
use crate::identity::{Reception, Secret};
use crate::intent::answer::{Alternative, Answer, Status, Tier};
use crate::intent::knowledge::KnowledgeBase;
use crate::knowledge::parse;
use crate::shutdown::Shutdown;
use crate::store::{Batch, Done, MemoryStore, Rows, Scan, Store, StoreError};

const KNOWLEDGE: &str = r#"
version: 1
intents:
  - id: shipping
    title: {zh: 运费}
    keywords: [{exact: [x1]}]
    answers: {zh: [满 99 元包邮。]}
  - id: returns
    title: {zh: 退货}
    keywords: [{exact: [x2]}]
    answers: {zh: [七天内可退。]}
  - id: close
    title: {zh: 注销账户}
    keywords: [{exact: [x4]}]
    answers: {zh: [账户已注销。]}
    confirm: {zh: 确定注销？}
    action: {webhook: {url: "https://shop.example/close"}}
  - id: human
    title: {zh: 转人工}
    keywords: [{exact: [x5]}]
    answers: {zh: [这就为您转人工。]}
    action: handoff
"#;

struct Lessons(KnowledgeBase, Forms);

static LESSONS: LazyLock<Arc<Lessons>> = LazyLock::new(|| {
    let knowledge = parse(&[("a.yaml".into(), KNOWLEDGE.to_owned())]).unwrap();
    let forms = Forms::new(&knowledge).unwrap();
    Arc::new(Lessons(knowledge, forms))
});

impl Taught for Lessons {
    fn knowledge(&self) -> &KnowledgeBase {
        &self.0
    }

    fn forms(&self) -> &Forms {
        &self.1
    }
}

/// Reads the title of an intent as that intent, as soon as it may.
pub(super) struct Brain {
    pub(super) may: Semaphore,
    pub(super) asked: AtomicU64,
}

impl Mind for Brain {
    fn taught(&self) -> Arc<dyn Taught> {
        Arc::clone(&*LESSONS) as Arc<dyn Taught>
    }

    fn read<'a>(&'a self, text: &'a str, _weigh: bool) -> BoxFuture<'a, Result<Read, String>> {
        async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.may.acquire().await.map_err(|error| error.to_string())?.forget();
            let titled = |one: &&crate::intent::knowledge::Intent| {
                one.title.values().any(|title| title == text)
            };
            let intent = LESSONS.0.intents.iter().find(titled).map(|one| one.id.clone());
            let alternatives =
                intent.iter().map(|intent| Alternative { intent: intent.clone(), confidence: 0.9 });
            let answer = Answer {
                status: if intent.is_some() { Status::Matched } else { Status::OutOfScope },
                confidence: 0.9,
                tier: Tier::Semantic,
                alternatives: alternatives.collect(),
                candidates: vec![],
                entities: vec![],
                explanation: None,
                intent,
            };
            Ok(Read { answer, model: "m1".to_owned(), meaning: None })
        }
        .boxed()
    }
}

struct OneApp;

impl Apps for OneApp {
    fn reception(&self, app: &str) -> Reception {
        if app == "shop" { Reception::Bot } else { Reception::Queue }
    }

    fn webhook_secret(&self, _app: &str) -> Option<Secret> {
        Some(Secret::new("s"))
    }
}

/// Keeps rows that outlive it, until it is cut off.
#[derive(Debug)]
pub(super) struct Behind {
    rows: Arc<MemoryStore>,
    pub(super) cut: AtomicBool,
}

impl Behind {
    pub(super) fn new(rows: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { rows, cut: AtomicBool::new(false) })
    }
}

impl Store for Behind {
    fn get(&self, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        self.rows.get(key)
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Rows, StoreError>> {
        self.rows.scan(scan)
    }

    fn commit(&self, batch: Batch, done: Done) -> Result<(), StoreError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(StoreError::Closed("it was cut off".to_owned()));
        }
        self.rows.commit(batch, done)
    }

    fn close(&self) {}
}

/// The shop's own service: what it will answer, and what it was asked.
#[derive(Default)]
pub(super) struct Service {
    pub(super) answers: Mutex<VecDeque<Outcome>>,
    pub(super) asked: Mutex<Vec<String>>,
}

/// A server.
pub(super) struct Shop {
    pub(super) hub: Arc<Hub>,
    pub(super) bot: Arc<Attendant>,
    pub(super) brain: Arc<Brain>,
    pub(super) store: Arc<Behind>,
    pub(super) shutdown: Shutdown,
}

/// What outlives a server.
pub(super) struct World {
    pub(super) rows: Arc<MemoryStore>,
    pub(super) now_ms: Arc<AtomicU64>,
    pub(super) service: Arc<Service>,
    pub(super) hours: Hours,
    pub(super) options: Options,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            rows: Arc::default(),
            now_ms: Arc::new(AtomicU64::new(1_790_000_000_000)),
            service: Arc::default(),
            hours: Hours::always(),
            options: Options { lanes: 2, depth: 16, senders: 1 },
        }
    }

    /// A server that does not work yet. The engine reads `ready` messages, then it hangs.
    pub(super) async fn open(&self, ready: usize) -> Shop {
        let brain = Arc::new(Brain { may: Semaphore::new(ready), asked: AtomicU64::new(0) });
        let service = Arc::clone(&self.service);
        let post = move |attempt: &crate::bot::webhook::Attempt| {
            service.asked.lock().unwrap().push(attempt.order.name());
            let next = service.answers.lock().unwrap().pop_front();
            next.unwrap_or(Outcome::Done(vec![]))
        };
        let mind = Arc::clone(&brain) as Arc<dyn Mind>;
        let (hours, options) = (self.hours.clone(), self.options);
        let bot = Attendant::with(mind, Arc::new(OneApp), hours, options, Arc::new(post));
        let bot = Arc::new(bot);
        let store = Behind::new(Arc::clone(&self.rows));
        let now_ms = Arc::clone(&self.now_ms);
        let clock: crate::clock::Clock = Arc::new(move || now_ms.load(Ordering::SeqCst));
        let random = |bytes: &mut [u8]| rand::fill(bytes);
        let hub = Hub::open(Arc::clone(&store) as _, clock, random, Arc::clone(&bot) as _);
        let hub = hub.await.unwrap();
        Shop { hub, bot, brain, store, shutdown: Shutdown::new() }
    }

    /// A server that works.
    pub(super) async fn run(&self, ready: usize) -> Shop {
        let shop = self.open(ready).await;
        shop.begin();
        shop
    }

    pub(super) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

fn client(user: Party, app: &str) -> Client {
    Client {
        user,
        name: "Li".to_owned(),
        app: app.to_owned(),
        lang: "zh".to_owned(),
        device: "d".to_owned(),
        capacity: 5,
        outbox: Arc::new(Outbox::default()),
    }
}

impl Shop {
    pub(super) fn begin(&self) {
        let (bot, hub) = (Arc::clone(&self.bot), Arc::clone(&self.hub));
        self.shutdown.spawn(bot.run(hub, self.shutdown.clone()));
    }

    /// A visitor writes into the conversation that is theirs; gives its name.
    pub(super) async fn write(&self, visitor: &str, text: &str) -> ConversationId {
        let client = client(Party::visitor("shop", visitor), "shop");
        let send = Send {
            conversation: None,
            id: ClientMsgId(rand::random()),
            text: text.to_owned(),
            option: String::new(),
            note: false,
        };
        self.hub.join(&client, &[]).await.unwrap();
        self.hub.serve(&client, 1, Request::Send(send)).await.unwrap();
        // Acked is stored; only then it is listed.
        client.outbox.ready().await;
        let listed = self.hub.join(&client, &[]).await.unwrap().conversations;
        ConversationId::parse(&listed[0].conversation).unwrap()
    }

    pub(super) async fn take(&self, conversation: ConversationId) {
        let agent = client(Party::agent("ann"), "");
        let (id, action) = (ClientMsgId(rand::random()), Action::Take(v1::Take {}));
        let control = Control { conversation, id, action };
        self.hub.join(&agent, &[]).await.unwrap();
        self.hub.serve(&agent, 1, Request::Control(control)).await.unwrap();
        agent.outbox.ready().await;
    }

    /// The log, a line an entry.
    pub(super) async fn log(&self, id: ConversationId, side: Side) -> Vec<String> {
        let (head, last_seq) = self.hub.peek(id).await.unwrap();
        let pull = Pull { conversation: id, from: PullFrom::After(0), limit: 100 };
        let page = self.hub.page(&head, last_seq, pull, side).await.unwrap();
        page.messages.iter().map(line).collect()
    }

    /// Waits until the log has a line that begins so, and gives the log.
    pub(super) async fn until(&self, id: ConversationId, begin: &str) -> Vec<String> {
        for _ in 0..2_000 {
            let log = self.log(id, Side::Agent).await;
            if log.iter().any(|line| line.starts_with(begin)) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no {begin:?} in {:#?}", self.log(id, Side::Agent).await);
    }

    /// What was said to the visitor.
    pub(super) async fn said(&self, id: ConversationId) -> Vec<String> {
        let log = self.log(id, Side::Visitor).await;
        log.into_iter().filter_map(|line| line.strip_prefix("bot: ").map(str::to_owned)).collect()
    }

    pub(super) async fn stop(&self) {
        self.brain.may.close();
        self.shutdown.drain(Duration::from_secs(20)).await;
    }
}

fn line(message: &v1::Message) -> String {
    // What is for agents only has no content for a visitor.
    let Some(content) = message.content.as_ref() else { return "hidden".to_owned() };
    match content {
        Content::Text(text) => {
            let who = match message.sender.as_ref().unwrap().role() {
                Role::Bot if text.kind() == v1::Kind::Note => "note",
                Role::Bot => "bot",
                _ => "visitor",
            };
            format!("{who}: {}", text.text)
        }
        Content::Event(v1::Event { what: Some(what) }) => match what {
            What::Dialogue(changed) => {
                let thought = changed.thought.as_ref();
                let thought = thought.map_or_else(String::new, |t| {
                    format!(" ({} {} by {} of {})", t.status, t.intent, t.model, t.of_seq)
                });
                let after = changed.after().as_str_name();
                let after = after.trim_start_matches("DIALOGUE_STATE_").to_lowercase();
                format!("{} -> {after}{thought}", changed.event)
            }
            What::Action(changed) => format!("action {} {}", changed.state, changed.detail),
            What::Owner(changed) => {
                let holder = changed.after.as_ref().unwrap().holder().as_str_name();
                format!("owner {} {}", holder.trim_start_matches("HOLDER_"), changed.reason)
            }
            What::Status(_) => "status".to_owned(),
            What::Tags(_) => "tags".to_owned(),
        },
        other => format!("{other:?}"),
    }
}
