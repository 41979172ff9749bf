//! One client's session, whatever carries its frames: a greeting, then requests in order, then the
//! end.
//!
//! Pure: [`Session::accept`] says what a frame asks for, [`Session::check`] whether the client was
//! silent for too long. The transports own one each and do what it says.

use kefu_proto::CloseCode;
use kefu_proto::limits::{HELLO_WITHIN_MS, IDLE_MS, MAX_CLIENT_ID_BYTES, MAX_CURSORS};
use kefu_proto::v1::{self, ErrorCode, MessageHeader, body::Kind};

use super::party::Side;
use super::refusal::Refusal;
use super::request::{Asker, Request};

/// Where a session stands.
#[derive(Debug)]
enum Phase {
    /// Nothing came yet.
    Greeting,
    /// The Hello is being verified.
    Verifying,
    /// Requests are welcome.
    Ready(Asker),
    /// It is over.
    Ended,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    client_id: String,
    last_request: u64,
    heard_ms: u64,
}

/// What a frame asks for.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Verify this, then call [`Session::welcome`]. The device is [`Session::client_id`].
    Verify(Box<v1::Hello>),
    /// Do this.
    Do(Request),
    /// Answer with an error and go on.
    Refuse(Refusal),
    /// Answer with an error and end.
    End(Refusal, CloseCode),
}

impl Session {
    /// A session that begins now.
    pub fn new(now_ms: u64) -> Self {
        Self { phase: Phase::Greeting, client_id: String::new(), last_request: 0, heard_ms: now_ms }
    }

    /// The device's name; empty before the Hello.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The Hello was good.
    pub fn welcome(&mut self, side: Side, max_text_chars: usize) {
        self.phase = Phase::Ready(Asker { side, max_text_chars });
    }

    /// Takes a frame. After [`Step::End`] no more may follow.
    pub fn accept(&mut self, header: &MessageHeader, body: Option<Kind>, now_ms: u64) -> Step {
        self.heard_ms = now_ms;
        let step = self.step(header, body);
        if let Step::End(..) = step {
            self.phase = Phase::Ended;
        }
        step
    }

    fn step(&mut self, header: &MessageHeader, body: Option<Kind>) -> Step {
        let (asker, body) = match (&self.phase, body) {
            (Phase::Greeting, Some(Kind::Hello(hello))) => return self.greet(header, hello),
            (Phase::Greeting | Phase::Verifying | Phase::Ended, _) => {
                return violation(
                    "the first frame is a Hello, and nothing follows before a Welcome",
                );
            }
            (Phase::Ready(asker), body) => (*asker, body),
        };
        if !header.client_id.is_empty() && header.client_id != self.client_id {
            return violation("client_id is another than that of the Hello");
        }
        if header.seq <= self.last_request {
            let message = format!(
                "header.seq is {} after {}; count up, and send what is repeated under a new number",
                header.seq, self.last_request
            );
            return Step::Refuse(Refusal::new(ErrorCode::Unexpected, message));
        }
        self.last_request = header.seq;
        match body.map(|body| asker.read(body)) {
            Some(Ok(request)) => Step::Do(request),
            Some(Err(refusal)) => Step::Refuse(refusal),
            None => {
                let message = "the frame has no body that this server knows";
                Step::Refuse(Refusal::new(ErrorCode::Unexpected, message))
            }
        }
    }

    fn greet(&mut self, header: &MessageHeader, hello: v1::Hello) -> Step {
        let named = header.client_id.trim();
        if named.is_empty() || named.len() > MAX_CLIENT_ID_BYTES {
            let message = format!(
                "header.client_id names the device: 1 to {MAX_CLIENT_ID_BYTES} bytes, made once and kept"
            );
            return Step::End(Refusal::invalid(message), CloseCode::ProtocolViolation);
        }
        if hello.cursors.len() > MAX_CURSORS {
            let message = format!("a Hello has at most {MAX_CURSORS} cursors; pull the others");
            return Step::End(Refusal::invalid(message), CloseCode::ProtocolViolation);
        }
        named.clone_into(&mut self.client_id);
        self.last_request = header.seq;
        self.phase = Phase::Verifying;
        Step::Verify(Box::new(hello))
    }

    /// Why the session must end now, if the client was silent for too long.
    pub fn check(&self, now_ms: u64) -> Option<CloseCode> {
        // A clock that was set back makes nobody late.
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        match self.phase {
            Phase::Greeting if silent_ms >= HELLO_WITHIN_MS => Some(CloseCode::HelloTimeout),
            Phase::Verifying | Phase::Ready(_) if silent_ms >= IDLE_MS => Some(CloseCode::Idle),
            Phase::Greeting | Phase::Verifying | Phase::Ready(_) | Phase::Ended => None,
        }
    }

    /// When to [`Self::check`] next, in milliseconds from now.
    pub fn check_after_ms(&self, now_ms: u64) -> u64 {
        let patience = match self.phase {
            Phase::Greeting => HELLO_WITHIN_MS,
            Phase::Verifying | Phase::Ready(_) | Phase::Ended => IDLE_MS,
        };
        patience.saturating_sub(now_ms.saturating_sub(self.heard_ms)).max(1)
    }
}

fn violation(message: &str) -> Step {
    Step::End(Refusal::new(ErrorCode::Unexpected, message), CloseCode::ProtocolViolation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u64, client_id: &str) -> MessageHeader {
        MessageHeader { seq, client_id: client_id.to_owned(), compress: false }
    }

    fn ping(token: u64) -> Option<Kind> {
        Some(Kind::Ping(v1::Ping { token }))
    }

    fn hello() -> Option<Kind> {
        Some(Kind::Hello(v1::Hello::default()))
    }

    fn ready() -> Session {
        let mut session = Session::new(0);
        assert!(matches!(session.accept(&header(1, "d"), hello(), 0), Step::Verify(_)));
        session.welcome(Side::Visitor, 10);
        session
    }

    #[test]
    fn a_hello_comes_first_once_and_names_the_device() {
        let ends = |step: Step| matches!(step, Step::End(_, CloseCode::ProtocolViolation));
        assert!(ends(Session::new(0).accept(&header(1, "d"), ping(1), 0)));
        assert!(ends(Session::new(0).accept(&header(1, ""), hello(), 0)));
        assert!(ends(Session::new(0).accept(&header(1, &"d".repeat(65)), hello(), 0)));
        assert!(ends(Session::new(0).accept(&header(1, "d"), None, 0)));
        let mut early = Session::new(0);
        early.accept(&header(1, "d"), hello(), 0);
        assert!(ends(early.accept(&header(2, "d"), ping(1), 0)), "not before the Welcome");
        assert!(matches!(ready().accept(&header(2, "d"), hello(), 0), Step::Refuse(_)));
        assert!(
            matches!(ready().accept(&header(2, "d"), None, 0), Step::Refuse(_)),
            "a newer kind"
        );
        assert!(ends(ready().accept(&header(2, "other"), ping(1), 0)));
        assert_eq!(ready().accept(&header(2, ""), ping(7), 0), Step::Do(Request::Ping(7)));
    }

    #[test]
    fn a_repeated_or_older_frame_is_not_done_again() {
        let mut session = ready();
        assert_eq!(session.accept(&header(5, "d"), ping(1), 0), Step::Do(Request::Ping(1)));
        for seq in [5, 4, 0] {
            let step = session.accept(&header(seq, "d"), ping(1), 0);
            assert!(matches!(step, Step::Refuse(refusal) if refusal.code == ErrorCode::Unexpected));
        }
        assert_eq!(session.accept(&header(6, "d"), ping(2), 0), Step::Do(Request::Ping(2)));
    }

    #[test]
    fn silence_ends_a_session_and_a_clock_set_back_does_not() {
        let greeting = Session::new(5_000);
        assert_eq!(greeting.check(14_999), None);
        assert_eq!(greeting.check(15_000), Some(CloseCode::HelloTimeout));
        assert_eq!(greeting.check(0), None);
        let mut session = ready();
        session.accept(&header(2, "d"), ping(1), 1_000);
        assert_eq!(session.check(999 + IDLE_MS), None);
        assert_eq!(session.check(1_000 + IDLE_MS), Some(CloseCode::Idle));
        assert_eq!(session.check_after_ms(3_000), IDLE_MS - 2_000);
    }
}
