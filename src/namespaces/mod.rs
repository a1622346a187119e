//! Namespaces: documents with vectors, for clients that speak JSON instead of SQL.
//!
//! A namespace is a table of the schema `namespaces`, and a table of that schema is a namespace; an
//! attribute is a column. What a request asks becomes typed SQL of one transaction of a session,
//! so that both wires see the same documents in the same order, and nothing here knows how rows are
//! kept.
//!
//! ```text
//!   request      the shapes of requests                      what serde says is what clients read
//!   shape        a namespace as the catalog shows it         schema: what is declared, and DDL
//!   value, cell  JSON becomes columns, columns become JSON   attribute: the types of both worlds
//!   vectors      those of JSON                               json: what it has instead of what is expected
//!   documents    a write's rows and columns together         write, writer, written: upserts, patches, deletes
//!   filter, rank conditions and orders in SQL                query, aggregate, multi, recall
//!   webhooks     the SQL of webhooks, for clients that speak JSON
//!   config       all of how a namespace is, in one place
//!   manage, warm what there is, and what of it is near
//!   work         a session that a request borrows            background: what nobody waits for
//!   billing      what answers say that a request cost
//! ```

mod aggregate;
mod attribute;
mod background;
mod billing;
mod cell;
mod config;
mod copy;
mod documents;
mod embed;
mod fault;
mod filter;
mod glob;
mod json;
mod manage;
mod multi;
mod names;
mod query;
mod rank;
mod recall;
mod request;
mod rights;
mod schema;
mod shape;
mod sql;
mod value;
mod vectors;
mod warm;
mod webhooks;
mod work;
mod write;
mod writer;
mod written;

pub use billing::{QueryBilling, WriteBilling};
pub use cell::VectorEncoding;
pub use config::Config;
pub use embed::{Embed, EmbedAnswer};
pub use fault::{Answer, Fault, FaultKind};
pub use manage::Page;
pub use query::{MultiQueryAnswer, QueryAnswer, QueryPerformance};
pub use recall::RecallAnswer;
pub use request::{
    Consistency, Include, Level, Limit, List, MetadataPatch, MultiQuery, Per, Query, Recall, Start,
    Write,
};
pub use warm::Warming;
pub use webhooks::{DeadLetters, Deliveries, NewWebhook, WebhookAction, WebhookPatch};
pub use written::{WriteAnswer, WritePerformance};

use crate::{clock::SharedClock, session::Engine};
use background::{Changes, Operations, Tasks};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The role whose rights count.
    pub role: Arc<str>,
}

/// The namespaces of a node.
#[derive(Debug)]
pub struct Namespaces {
    engine: Arc<Engine>,
    clock: SharedClock,
    pool: Arc<work::Pool>,
    tasks: Tasks,
    operations: Operations<serde_json::Value>,
    changes: Arc<Changes>,
    started_micros: i64,
    stopping: CancellationToken,
}

impl Namespaces {
    /// Those of an engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>, clock: SharedClock) -> Arc<Self> {
        let started_micros = clock.now_micros();
        let this = Self {
            pool: Arc::new(work::Pool::new(Arc::clone(&engine), Arc::clone(&clock))),
            tasks: Tasks::default(),
            operations: Operations::default(),
            changes: Arc::new(Changes::new(started_micros)),
            stopping: CancellationToken::new(),
            started_micros,
            engine,
            clock,
        };
        let watch = Changes::watch(
            Arc::downgrade(&this.changes),
            Arc::clone(&this.engine),
            Arc::clone(&this.clock),
            this.stopping.clone(),
        );
        this.tasks.start("watch".to_owned(), async move {
            watch.await;
            Ok(())
        });
        Arc::new(this)
    }

    /// Takes no more requests and ends what goes on behind them.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.pool.close();
        self.tasks.stop().await;
    }
}
