//! A message gets another text, or is taken back.
//!
//! The log gains an entry that says so, and the stored message changes with it in one commit: who
//! reads the log later finds the new text, and nothing of what was taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kefu_proto::v1::{self, ErrorCode, User, message::Content};
use prost::Message as _;

use super::client::{Client, check_seen};
use super::commit::refusal;
use super::load::unreadable;
use super::slot::AckTo;
use super::{Hub, stripe};
use crate::chat::conversation::Draft;
use crate::chat::id::ConversationId;
use crate::chat::keys;
use crate::chat::record::{Entry, Run};
use crate::chat::refusal::Refusal;
use crate::chat::request::Change;
use crate::store::{Order, Scan, Write};

impl Hub {
    pub(super) async fn rewrite(
        self: &Arc<Self>,
        client: &Client,
        request: u64,
        asked: Change,
    ) -> Result<(), Refusal> {
        let id = asked.conversation;
        let slot = self.conversation(id).await?;
        check_seen(client, &slot.durable().0)?;
        // Stored runs are read, changed and written: one at a time.
        let _alone = self.rewriting[stripe(id)].lock().await;
        let sender = client.user.user(&client.name);
        let to = AckTo { outbox: Arc::clone(&client.outbox), request, id: asked.id };
        let sent = asked.digest();
        let known = self.change(&slot, |change| {
            let known = change.conversation().find(&sender, asked.id);
            known.map(|seq| change.again(seq, to.clone(), &sent)).transpose()
        })?;
        if let Some(known) = known {
            return self.settle(&slot, known, to, &sent).await;
        }
        let runs = self.runs_to_rewrite(id, &sender, &asked).await?;
        let (done, durable) = tokio::sync::oneshot::channel();
        self.change(&slot, |change| {
            let seq = change.conversation().last_seq() + 1;
            let content = match &asked.text {
                Some(text) => Content::Edited(v1::Edited { seq: asked.seq, text: text.clone() }),
                None => Content::Recalled(v1::Recalled { seq: asked.seq }),
            };
            let draft = Draft {
                sender,
                client_msg_id: Some(asked.id),
                digest: Bytes::copy_from_slice(&sent),
                content,
            };
            change.ask(to, draft)?;
            change.conversation().also(rewritten(runs, &asked, seq));
            change.then(move |_, result| drop(done.send(result)));
            Ok(())
        })?;
        // The next one may read the runs only when these are there. A failure was told already.
        let _ = durable.await;
        Ok(())
    }

    /// The runs that hold the message and, when it is taken back, its edits.
    async fn runs_to_rewrite(
        &self,
        id: ConversationId,
        sender: &User,
        asked: &Change,
    ) -> Result<BTreeMap<Vec<u8>, Run>, Refusal> {
        let mut runs = BTreeMap::new();
        let entry = self.entry(id, asked.seq).await?;
        check_own(&entry, sender)?;
        let edits = if asked.text.is_none() { &entry.edits[..] } else { &[] };
        for seq in std::iter::once(asked.seq).chain(edits.iter().copied()) {
            let mut scan = Scan::prefix(&keys::messages(id), Order::Descending, 1);
            scan.to = Some(keys::run(id, seq + 1));
            let rows = self.store.scan(scan).await.map_err(|error| refusal(&error))?.rows;
            for (key, value) in rows {
                let run = Run::decode(&*value).map_err(|error| unreadable(id, &error))?;
                runs.insert(key, run);
            }
        }
        Ok(runs)
    }
}

/// One changes one's own texts, as long as they are there.
fn check_own(entry: &Entry, sender: &User) -> Result<(), Refusal> {
    let own = entry.message.sender.as_ref();
    if !own.is_some_and(|own| own.role == sender.role && own.id == sender.id) {
        return Err(Refusal::new(ErrorCode::Forbidden, "the message is not yours"));
    }
    match &entry.message.content {
        Some(Content::Text(text)) if text.recalled_by == 0 => Ok(()),
        Some(Content::Text(_)) => {
            Err(Refusal::new(ErrorCode::NoSuchMessage, "the message was taken back already"))
        }
        Some(Content::Edited(_) | Content::Recalled(_) | Content::Event(_)) | None => {
            Err(Refusal::invalid("only texts can be changed"))
        }
    }
}

/// The runs as they are to be stored, when the change is entry `by`.
fn rewritten(runs: BTreeMap<Vec<u8>, Run>, asked: &Change, by: u64) -> Vec<Write> {
    let mut writes = Vec::new();
    for (key, mut run) in runs {
        for entry in &mut run.entries {
            match &mut entry.message.content {
                Some(Content::Text(text)) if entry.message.seq == asked.seq => {
                    text.text = asked.text.clone().unwrap_or_default();
                    text.recalled_by = if asked.text.is_none() { by } else { 0 };
                    if asked.text.is_some() {
                        entry.edits.push(by);
                    }
                }
                Some(Content::Edited(edited))
                    if edited.seq == asked.seq && asked.text.is_none() =>
                {
                    edited.text.clear();
                }
                _ => {}
            }
        }
        writes.push(Write::Put(key, run.encode_to_vec()));
    }
    writes
}
