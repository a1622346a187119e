//! Whom a test talks to: a node of its own or, with `NEARLAKE_TEST_ORACLE`, a database of its own
//! in the PostgreSQL that `PGHOST` and `PGPORT` name. What passes on both is an answer on which
//! both agree.

use crate::support;
use std::process::Command;
use tokio_postgres::{Client, NoTls};

/// A server with an empty database for one test.
pub(crate) struct Peer {
    host: String,
    port: u16,
    database: String,
    node: Option<support::Running>,
}

/// Whether the tests run against PostgreSQL.
pub(crate) fn is_oracle() -> bool {
    std::env::var_os("NEARLAKE_TEST_ORACLE").is_some()
}

impl Peer {
    /// A node in memory, or the database `name`, made anew.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// The same with more flags for a node.
    pub(crate) async fn start_with(name: &str, flags: &[&str]) -> Self {
        if !is_oracle() {
            let node = support::start_with(flags).await;
            let at = node.pg_addr();
            let (host, database) = (at.ip().to_string(), "postgres".into());
            return Self { host, port: at.port(), database, node: Some(node) };
        }
        let host = std::env::var("PGHOST").expect("scripts/oracle.py sets it");
        let port = std::env::var("PGPORT").expect("scripts/oracle.py sets it").parse().unwrap();
        let server = Self { host, port, database: "postgres".into(), node: None };
        let client = server.connect().await;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\"")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await.unwrap();
        Self { database: name.into(), ..server }
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Client {
        let Self { host, port, database, .. } = self;
        let target = format!("host={host} port={port} user=postgres dbname={database}");
        let (client, connection) =
            tokio_postgres::connect(&target, NoTls).await.expect("the server lets us in");
        tokio::spawn(connection);
        client
    }

    /// A program whose environment names this server as libpq does.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", &self.database)
            .env("PGTZ", "UTC")
            .env("LC_ALL", "C.UTF-8");
        if let Some(node) = &self.node {
            command.env("NEARLAKE_HTTP", format!("http://{}", node.http_addr()));
        }
        command
    }

    /// Ends the node, if it is one.
    pub(crate) async fn stop(self) {
        if let Some(node) = self.node {
            node.stop().await;
        }
    }
}
