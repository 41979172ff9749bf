//! One turn of a session, the same for every transport: a frame comes in, the session machine says
//! what it asks for, and that is done.

use std::sync::Arc;

use kefu_proto::v1::{self, ErrorCode, body::Kind};
use kefu_proto::{CloseCode, Compression};

use super::door::{Caller, Door};
use super::frames::{Frame, Wire};
use crate::chat::id::{ClientMsgId, ConversationId};
use crate::chat::refusal::Refusal;
use crate::chat::request::Request;
use crate::chat::session::{Session, Step};
use crate::hub::outbox::{Out, Outbox};
use crate::hub::{Client, error};

/// A session with what it needs to answer.
pub(super) struct Turn {
    pub(super) session: Session,
    pub(super) client: Option<Client>,
    door: Arc<Door>,
    /// Until the Hello was verified.
    caller: Caller,
}

/// What is to be sent, besides what the outbox holds.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Frames to send now, before the outbox.
    pub(super) frames: Vec<Out>,
    /// How the session ends after them, if it does.
    pub(super) end: Option<CloseCode>,
    /// The Hello was good and asked for compression, from the next frame on.
    pub(super) snappy: bool,
}

impl Turn {
    pub(super) fn new(door: &Arc<Door>, caller: Caller) -> Self {
        let session = Session::new(door.uptime_ms());
        Self { session, client: None, door: Arc::clone(door), caller }
    }

    /// The queue of what others send to this session; none before the Welcome.
    pub(super) fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.client.as_ref().map(|client| &client.outbox)
    }

    /// Takes one frame as it came.
    pub(super) async fn take(&mut self, wire: &Wire, bytes: &[u8]) -> Answer {
        self.door.count_in();
        match wire.read(bytes) {
            Ok(frame) => self.step(frame).await,
            Err(refusal) => {
                let close = match refusal.code {
                    ErrorCode::TooLarge => CloseCode::TooLarge,
                    _ => CloseCode::ProtocolViolation,
                };
                self.end(0, &refusal, close)
            }
        }
    }

    async fn step(&mut self, Frame { header, body }: Frame) -> Answer {
        let named = Named::of(body.as_ref());
        match self.session.accept(&header, body, self.door.uptime_ms()) {
            // On the heap while they last: a session is idle most of the time, and its task is as
            // large as the largest thing that it ever does.
            Step::Verify(hello) => Box::pin(self.greet(header.seq, *hello)).await,
            Step::Do(request) => match self.serve(header.seq, request).await {
                Ok(()) => Answer::default(),
                Err(refusal) => self.refuse(header.seq, &refusal, named),
            },
            Step::Refuse(refusal) => self.refuse(header.seq, &refusal, named),
            Step::End(refusal, close) => self.end(header.seq, &refusal, close),
        }
    }

    async fn greet(&mut self, request: u64, hello: v1::Hello) -> Answer {
        let caller = std::mem::take(&mut self.caller);
        let greeted = self.door.greet(hello, self.session.client_id(), &caller).await;
        let (client, welcome, greeting) = match greeted {
            Ok(greeted) => greeted,
            Err((refusal, close)) => return self.end(request, &refusal, close),
        };
        self.session.welcome(client.user.side, kefu_proto::limits::MAX_TEXT_CHARS);
        self.client = Some(client);
        let snappy = welcome.snappy;
        let mut frames = vec![Out::answer(request, Kind::Welcome(welcome))];
        frames.extend(greeting.missed.into_iter().map(Out::own));
        Answer { frames, end: None, snappy }
    }

    async fn serve(&self, number: u64, request: Request) -> Result<(), Refusal> {
        let client = self.client.as_ref().expect("requests come after the Welcome");
        if !matches!(request, Request::Ping(_)) {
            self.door.admit(client)?;
        }
        match self.door.hub.serve_at_once(client, number, request) {
            Ok(served) => served,
            Err(request) => Box::pin(self.door.hub.serve(client, number, request)).await,
        }
    }

    /// An error frame; `named` says about what.
    fn refuse(&self, request: u64, refusal: &Refusal, named: Named) -> Answer {
        self.door.count_error(refusal.code);
        let error = v1::Error {
            conversation: named.conversation.map(|id| id.to_string()).unwrap_or_default(),
            client_msg_id: named.id.map(|id| id.0.to_vec().into()).unwrap_or_default(),
            ..error(refusal)
        };
        let frames = vec![Out::answer(request, Kind::Error(error))];
        Answer { frames, ..Answer::default() }
    }

    fn end(&self, request: u64, refusal: &Refusal, close: CloseCode) -> Answer {
        Answer { end: Some(close), ..self.refuse(request, refusal, Named::default()) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(client) = &self.client {
            self.door.hub.leave(client);
        }
    }
}

impl Answer {
    /// What the session's frames are compressed with from now on, if that changes.
    pub(super) fn compression(&self) -> Option<Compression> {
        self.snappy.then_some(Compression::Snappy)
    }
}

/// What a request is about, for the error that may answer it.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    conversation: Option<ConversationId>,
    id: Option<ClientMsgId>,
}

impl Named {
    fn of(body: Option<&Kind>) -> Self {
        let nothing: &[u8] = &[];
        let (conversation, id) = match body {
            Some(Kind::Send(send)) => (&*send.conversation, &*send.client_msg_id),
            Some(Kind::Edit(edit)) => (&*edit.conversation, &*edit.client_msg_id),
            Some(Kind::Recall(recall)) => (&*recall.conversation, &*recall.client_msg_id),
            Some(Kind::Control(control)) => (&*control.conversation, &*control.client_msg_id),
            Some(Kind::Open(open)) => ("", &*open.client_msg_id),
            Some(Kind::Pull(pull)) => (&*pull.conversation, nothing),
            Some(Kind::Read(read)) => (&*read.conversation, nothing),
            Some(Kind::Typing(typing)) => (&*typing.conversation, nothing),
            Some(Kind::Watch(watch)) => (&*watch.conversation, nothing),
            _ => ("", nothing),
        };
        let (conversation, id) = (ConversationId::parse(conversation), ClientMsgId::parse(id));
        Self { conversation, id }
    }
}
