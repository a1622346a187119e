//! Every integration test, in one binary: it links once and runs at once.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

// The stores that fail are shared with the unit tests, which know these by `crate::`.
use nearlake::{clock, error, storage};

/// Indexes built while all else goes on.
mod builds;
/// What the clients people use see.
mod clients;
/// Two sessions at once.
mod concurrency;
/// COPY with files of the server.
mod copy_file;
/// Killed at any moment, nothing is lost.
mod crash;
/// What is damaged or wrong is refused, by its name.
mod damage;
/// Who gets in over HTTP, and how much of it.
mod doors;
/// Text becomes vectors.
mod embed;
/// `sql/examples`, each against its expected output.
mod examples;
/// Filters of searches: what is passed over, kept, asked of few rows.
mod filters;
/// Sessions beside each other.
mod interleaved;
/// What clients ask of the catalog, as it was recorded.
mod introspection;
/// An index whose objects are gone or damaged.
mod lost_index;
/// Namespaces: filters beside what they mean, writers that meet, who may ask.
mod namespaces;
/// The nearest rows of each row of another table.
mod nearest_join;
/// LISTEN and NOTIFY.
mod notify;
/// Whom a test talks to.
mod peer;
/// `halfvec`, `sparsevec` and bit strings: restarts and plans.
mod points;
/// Statements that run again.
mod prepared;
/// Who may do what: sessions, keys, what was prepared before, what a restart keeps.
mod privileges;
/// Recall against exact neighbours, through SQL.
mod recall;
/// `tests/slt`.
mod slt;
/// SQL over HTTP, what statements cost, how namespaces are configured.
mod sql_over_http;
/// On object stores, good ones and bad ones.
mod stores;
/// A node, a client, stores that fail by seed.
mod support;
/// What a node tells of itself: health, metrics, logs, traces.
mod telling;
/// Temporary relations until their end.
mod temporary;
/// Encryption on both ports.
mod tls;
/// Indexes while rows come and go.
mod upkeep;
/// Types that users made: restarts, kills, sessions beside each other.
mod user_types;
/// Webhooks, under faults of every kind.
mod webhooks;
/// The protocol, byte by byte.
mod wire;
