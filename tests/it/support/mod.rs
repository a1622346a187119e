//! Nodes, clients for them, stores that fail when told to.

/// What every store must pass.
pub(crate) mod conformance;
/// The XML API of Google Cloud Storage, in memory, with faults at will.
pub(crate) mod fakegcs;
/// The program as a process of its own.
pub(crate) mod process;
/// Numbers that look random.
pub(crate) mod seeded;

use nearlake::{clock::SystemClock, config, namespaces::Namespaces, node::Node};
use std::{ffi::OsString, net::SocketAddr, sync::Arc, time::Duration};
use tokio_postgres::{Client, NoTls, Row, error::SqlState};

/// A node that runs for one test.
pub(crate) struct Running {
    node: Node,
}

/// Starts a node in memory on free ports. It finds what runs models, where that is installed.
pub(crate) async fn start() -> Running {
    start_with(&[]).await
}

/// The same with more flags.
pub(crate) async fn start_with(flags: &[&str]) -> Running {
    let venv = std::env::var("NEARLAKE_VENV").ok();
    let models = venv.iter().flat_map(|venv| ["--onnxruntime", venv]);
    let flags: Vec<&str> = models.chain(flags.iter().copied()).collect();
    start_on("memory:", &flags).await
}

/// Starts a node on a store, with more settings as flags.
pub(crate) async fn start_on(data: &str, flags: &[&str]) -> Running {
    Running { node: Node::start(configuration(data, flags)).await.unwrap() }
}

/// The configuration that these flags make.
pub(crate) fn configuration(data: &str, flags: &[&str]) -> config::Config {
    let fixed = ["nearlake", "serve", "--data", data];
    let ports = ["--pg-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
    let arguments = fixed.iter().chain(&ports).chain(flags);
    let matches = config::command().get_matches_from(arguments);
    let nothing = std::iter::empty::<(OsString, OsString)>();
    match config::request(&matches, nothing).unwrap() {
        config::Request::Serve(config) => config,
        config::Request::Show(_) => panic!("serve was asked for"),
    }
}

/// Checks that an index is what its table wants it to be, as soon as upkeep has had the time to make
/// it so: what may never be otherwise at once.
pub(crate) async fn verify_index(client: &Client, index: &str) {
    /// Put right by upkeep, in time.
    const PASSING: [&str; 4] = ["nearest_partition", "stale_entries", "posting_size", "fill"];
    let clock = SystemClock::shared();
    let begun = clock.elapsed();
    let query = format!(
        "SELECT \"check\", ok, measured, bound, detail FROM nearlake_verify_index('{index}')"
    );
    loop {
        let (wrong, passes) = match client.query(&query, &[]).await {
            Ok(checks) => {
                assert_eq!(checks.len(), 10);
                let wrong = checks.iter().filter(|row| !row.get::<_, bool>(1));
                let wrong: Vec<String> = wrong.map(wrong_check).collect();
                let passes = |wrong: &String| PASSING.iter().any(|name| wrong.starts_with(name));
                let passes = wrong.iter().all(passes);
                (wrong, passes)
            }
            // It is being built, again perhaps.
            Err(error) => {
                let state = error.code().cloned();
                let built = state == Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
                (vec![error.to_string()], built)
            }
        };
        if wrong.is_empty() {
            return;
        }
        let late = clock.elapsed().saturating_sub(begun) > Duration::from_secs(60);
        assert!(passes && !late, "{wrong:?}");
        clock.sleep(Duration::from_millis(200)).await;
    }
}

/// How many postings of an index a query reads: 0 where it reads rows instead.
pub(crate) async fn postings_probed(client: &Client, query: &str) -> usize {
    let plan = client.query(&format!("EXPLAIN (ANALYZE) {query}"), &[]).await.unwrap();
    let lines = plan.iter().map(|row| row.get::<_, String>(0));
    let counts = lines.filter_map(|line| {
        let shown = line.split("postings_probed=").nth(1)?;
        shown.chars().map_while(|c| c.to_digit(10)).reduce(|number, digit| number * 10 + digit)
    });
    counts.sum::<u32>() as usize
}

fn wrong_check(row: &Row) -> String {
    let (measured, bound): (f64, f64) = (row.get(2), row.get(3));
    let (check, detail): (&str, &str) = (row.get(0), row.get(4));
    format!("{check}: {measured}, not {bound}: {detail}")
}

impl Running {
    /// Where HTTP clients connect.
    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.node.http_addr()
    }

    /// Where PostgreSQL clients connect.
    pub(crate) fn pg_addr(&self) -> SocketAddr {
        self.node.pg_addr()
    }

    /// Namespaces of the node's engine, apart from those that it serves itself.
    pub(crate) fn namespaces(&self) -> Arc<Namespaces> {
        Namespaces::new(Arc::clone(self.node.engine()), SystemClock::shared())
    }

    /// A client that is connected.
    pub(crate) async fn client(&self) -> Client {
        self.client_as("postgres").await
    }

    /// A client of a role.
    pub(crate) async fn client_as(&self, role: &str) -> Client {
        let at = self.pg_addr();
        let url = format!("host={} port={} user={role} dbname=postgres", at.ip(), at.port());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Stops the node as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.node.stop().await.unwrap();
    }
}
