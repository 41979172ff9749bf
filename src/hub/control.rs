//! What agents do with conversations: take, pass on, hand back, resolve, tag.

use std::sync::Arc;

use kefu_proto::v1::{ErrorCode, Holder, Owner, Status, control::Action};

use super::Hub;
use super::client::Client;
use super::slot::{AckTo, Asked, Change};
use crate::chat::conversation::Actor;
use crate::chat::party::{Party, owned_by, queue, status};
use crate::chat::refusal::Refusal;
use crate::chat::request::Control;

impl Hub {
    pub(super) async fn control(
        self: &Arc<Self>,
        client: &Client,
        request: u64,
        control: Control,
    ) -> Result<(), Refusal> {
        let slot = self.conversation(control.conversation).await?;
        let to = AckTo { outbox: Arc::clone(&client.outbox), request, id: control.id };
        let sent = control.digest();
        let asked = self.change(&slot, |change| {
            let user = client.user.user(&client.name);
            if let Some(seq) = change.conversation().find(&user, control.id) {
                return change.again(seq, to.clone(), &sent);
            }
            let by = Actor { user, request: Some((control.id, sent.clone())) };
            let seq = change.conversation().last_seq() + 1;
            self.act(change, control.action.clone(), by)?;
            change.ack(seq, to.clone());
            Ok(Asked::New(seq))
        })?;
        self.settle(&slot, asked, to, &sent).await
    }

    fn act(
        self: &Arc<Self>,
        change: &mut Change<'_>,
        action: Action,
        mut by: Actor,
    ) -> Result<(), Refusal> {
        let now_ms = change.now_ms;
        let reception = self.bot.reception(&change.conversation().head().app);
        let (owner, reason) = match action {
            Action::SetTags(set) => {
                change.conversation().set_tags(set.tags, &mut by, now_ms);
                return Ok(());
            }
            Action::Take(_) => (owned_by(by.user.clone()), "taken"),
            Action::Transfer(to) if to.agent.is_empty() => (queue(), "passed_on"),
            Action::Transfer(to) => {
                let name = self.at_work(&to.agent).ok_or_else(|| {
                    let message = "that agent is not at work; choose another, or the queue";
                    Refusal::new(ErrorCode::NoSuchAgent, message)
                })?;
                (owned_by(Party::agent(&to.agent).user(&name)), "passed_on")
            }
            Action::HandBack(_) => (reception, "handed_back"),
            Action::Resolve(_) => {
                // What is resolved waits for nobody, even in a shop without a bot.
                let owner = match reception.holder() {
                    Holder::Queue => Owner { holder: Holder::Nobody.into(), agent: None },
                    _ => reception,
                };
                let conversation = change.conversation();
                conversation.hand_over(Some(owner), Status::Resolved, "resolved", &mut by, now_ms);
                self.follow(change);
                return Ok(());
            }
        };
        let status = status(&owner);
        change.conversation().hand_over(Some(owner), status, reason, &mut by, now_ms);
        self.follow(change);
        Ok(())
    }

    /// The conversation has another owner or status: the bot learns of it now, the queue when it is
    /// durable.
    pub(super) fn follow(self: &Arc<Self>, change: &mut Change<'_>) {
        self.bot.owner_changed(change);
        let conversation = change.conversation();
        let id = conversation.id();
        let (owner, status) = (conversation.head().owner.clone(), conversation.head().status());
        change.then(move |hub, result| match result {
            Ok(()) => hub.moved(id, &owner, status),
            Err(_) => hub.resync(id),
        });
    }
}
