//! Nearlake: a database for vectors that speaks PostgreSQL and lives on object storage.
//!
//! The modules in the order in which a statement meets them; `ARCHITECTURE.md` tells the journey.
//! Imports point down this list, never up.

pub mod node;

pub mod http;
pub mod server;

pub mod namespaces;

pub mod session;

pub mod exec;

pub mod sql;

pub mod catalog;
pub mod index;
pub mod webhook;

pub mod embed;
pub mod storage;

pub mod telemetry;

pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod pgtype;
pub mod scram;
pub mod text;
pub mod tls;
pub mod vector;
