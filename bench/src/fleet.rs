//! Many connections at once: tokens for all, then handshakes a few at a time.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use kefu_proto::v1::Welcome;

use crate::client::{Connection, Device, Server};
use crate::options::Target;
use crate::run::run_id;
use crate::token::tokens;

/// Visitors of one run.
pub(crate) struct Fleet {
    pub(crate) target: Target,
    pub(crate) server: Server,
    tokens: Vec<String>,
    /// Random, so that devices and messages of two runs differ.
    pub(crate) run: u32,
}

impl Fleet {
    /// So many visitors, each with a token.
    pub(crate) async fn gather(target: &Target, visitors: usize) -> anyhow::Result<Self> {
        let server = Server::find(&target.url, target.source_addresses).await?;
        let tokens = tokens(target, &server, visitors).await?;
        Ok(Self { target: target.clone(), server, tokens, run: run_id() })
    }

    /// A device of a visitor; its number tells those of one visitor apart.
    pub(crate) fn device(&self, visitor: usize, number: usize) -> Device {
        let client_id = format!("bench-{:08x}-{visitor}-{number}", self.run);
        Device::new(&self.target, &self.tokens[visitor], client_id)
    }

    /// Logs device `number` of every visitor in; in the order of visitors.
    pub(crate) async fn log_in(&self, number: usize) -> anyhow::Result<Vec<(Connection, Welcome)>> {
        let log_in = |visitor: usize| async move {
            let source = visitor + number;
            Connection::log_in(&self.server, source, &self.device(visitor, number)).await
        };
        let opening = stream::iter(0..self.tokens.len()).map(log_in);
        all(opening.buffered(self.target.connect_concurrency)).await
    }
}

/// Connections to a peer that wants no Hello.
pub(crate) async fn open(target: &Target, count: usize) -> anyhow::Result<Vec<Connection>> {
    let server = &Server::find(&target.url, target.source_addresses).await?;
    let opening = stream::iter(0..count).map(|number| Connection::open(server, number));
    all(opening.buffered(target.connect_concurrency)).await
}

async fn all<T>(opening: impl Stream<Item = anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    opening.try_collect().await
}
