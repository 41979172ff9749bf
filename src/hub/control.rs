//! What agents do with conversations: take, pass on, hand back, resolve, tag.

use std::sync::Arc;

use kefu_proto::v1::{ErrorCode, Holder, Owner, Status, control::Action};

use super::Hub;
use super::client::Client;
use super::slot::{AckTo, Asked, Change};
use crate::chat::conversation::Actor;
use crate::chat::party::Party;
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
        let (owner, status, reason) = match action {
            Action::SetTags(set) => {
                change.conversation().set_tags(set.tags, &mut by, now_ms);
                return Ok(());
            }
            Action::Take(_) => {
                let agent = Some(by.user.clone());
                (Owner { holder: Holder::Agent.into(), agent }, Status::Open, "taken")
            }
            Action::Transfer(to) if to.agent.is_empty() => {
                (Owner { holder: Holder::Queue.into(), agent: None }, Status::Waiting, "passed_on")
            }
            Action::Transfer(to) => {
                let name = self.at_work(&to.agent).ok_or_else(|| {
                    let message = "that agent is not at work; choose another, or the queue";
                    Refusal::new(ErrorCode::NoSuchAgent, message)
                })?;
                let agent = Some(Party::agent(&to.agent).user(&name));
                (Owner { holder: Holder::Agent.into(), agent }, Status::Open, "passed_on")
            }
            Action::HandBack(_) => {
                (self.bot.reception(&change.conversation().head().app), Status::Open, "handed_back")
            }
            Action::Resolve(_) => (
                self.bot.reception(&change.conversation().head().app),
                Status::Resolved,
                "resolved",
            ),
        };
        let finished = status == Status::Resolved;
        let id = change.conversation().id();
        // A shop without a bot: what is resolved waits for nobody.
        let owner = match (finished, owner.holder()) {
            (true, Holder::Queue) => Owner { holder: Holder::Nobody.into(), agent: None },
            _ => owner,
        };
        let status = match (finished, owner.holder()) {
            (false, Holder::Queue) => Status::Waiting,
            _ => status,
        };
        change.conversation().hand_over(Some(owner.clone()), status, reason, &mut by, now_ms);
        self.bot.owner_changed(change);
        change.then(move |hub, result| {
            if result.is_ok() {
                hub.moved(id, &owner, finished);
            }
        });
        Ok(())
    }
}
