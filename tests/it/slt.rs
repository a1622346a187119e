//! Runs `tests/slt/*.slt`, each on a server of its own, by the simple query protocol. With
//! `NEARLAKE_TEST_UPDATE` the results in the files are written anew, which only makes sense
//! against PostgreSQL: `NEARLAKE_TEST_UPDATE=1 make test-oracle`.

use crate::peer::{Peer, is_oracle};
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner, default_normalizer};
use std::{fmt, path::PathBuf};
use tokio_postgres::{Client, SimpleQueryMessage};

struct Session(Client);

/// What the server refused: `22P02: invalid input syntax for type integer: "x"`.
#[derive(Debug)]
struct Refused {
    code: String,
    message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(told) => Self { code: told.code().code().into(), message: told.message().into() },
            None => Self { code: "lost".into(), message: error.to_string() },
        }
    }
}

#[async_trait]
impl AsyncDB for Session {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    /// The rows of the message's last statement.
    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let mut output = DBOutput::StatementComplete(0);
        for message in self.0.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    let types = vec![DefaultColumnType::Any; columns.len()];
                    output = DBOutput::Rows { types, rows: Vec::new() };
                }
                SimpleQueryMessage::Row(row) => {
                    let DBOutput::Rows { rows, .. } = &mut output else {
                        panic!("a row before its description");
                    };
                    rows.push((0..row.len()).map(|i| shown(row.get(i))).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => {
                    if let DBOutput::StatementComplete(done) = &mut output {
                        *done = count;
                    }
                }
                _ => {}
            }
        }
        Ok(output)
    }

    async fn shutdown(&mut self) {}

    fn error_sql_state(error: &Refused) -> Option<String> {
        Some(error.code.clone())
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".into(),
        Some("") => "(empty)".into(),
        Some(text) => text.into(),
    }
}

#[expect(clippy::ptr_arg, reason = "the signature is the runner's")]
fn same_width(actual: &Vec<DefaultColumnType>, expected: &Vec<DefaultColumnType>) -> bool {
    actual.len() == expected.len()
}

/// Runs one file; returns what it has to say against the server.
async fn run(path: PathBuf) -> Option<String> {
    let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let peer = Peer::start(&format!("slt_{name}")).await;
    peer.connect().await.batch_execute("CREATE EXTENSION vector").await.unwrap();
    let mut runner = Runner::new(|| async { Ok(Session(peer.connect().await)) });
    runner.with_column_validator(same_width);
    // `skipif nearlake` marks where answers still differ; docs/sql.md lists these.
    if !is_oracle() {
        runner.add_label("nearlake");
    }

    let complaint = if std::env::var_os("NEARLAKE_TEST_UPDATE").is_some() {
        let validator = sqllogictest::default_validator;
        let updated =
            runner.update_test_file(&path, " ", validator, default_normalizer, same_width).await;
        updated.err().map(|error| error.to_string())
    } else {
        complaints(&mut runner, &path).await
    };
    runner.shutdown_async().await;
    drop(runner);
    peer.stop().await;
    complaint.map(|complaint| format!("{name}.slt\n{complaint}"))
}

/// Every record of the file is run, so that one fault does not hide the next.
async fn complaints<M: sqllogictest::MakeConnection<Conn = Session>>(
    runner: &mut Runner<Session, M>,
    path: &std::path::Path,
) -> Option<String> {
    let records = match sqllogictest::parse_file(path) {
        Ok(records) => records,
        Err(error) => return Some(error.to_string()),
    };
    let mut complaints = Vec::new();
    for record in records {
        if let Err(error) = runner.run_async(record).await {
            complaints.push(error.to_string());
        }
    }
    (!complaints.is_empty()).then(|| complaints.join("\n\n"))
}

/// One test a file, so that a report names it; the list is checked against the folder.
macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let path = folder().join(concat!(stringify!($name), ".slt"));
            if let Some(complaint) = run(path).await {
                panic!("{complaint}");
            }
        })*

        #[test]
        fn every_file_is_listed() {
            let mut found: Vec<_> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            let mut listed = vec![$(stringify!($name).to_owned()),*];
            found.sort();
            listed.sort();
            assert_eq!(found, listed);
        }
    };
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slt"))
}

files!(
    bit,
    casts,
    catalog,
    conflicts,
    datestyle,
    datetime_functions,
    ddl,
    dml,
    domains,
    enums,
    errors,
    expressions,
    functions,
    generated,
    grouping,
    halfvec,
    index_forms,
    intervals,
    json_build,
    json_records,
    jsonpath,
    merge,
    nearest,
    nearest_join,
    patterns,
    pgvector_bit,
    pgvector_halfvec,
    pgvector_index,
    pgvector_sparsevec,
    pgvector_vector,
    privileges,
    returning,
    rows,
    sampling,
    search_forms,
    select,
    session,
    sparsevec,
    sql_json,
    subscripts,
    temporary,
    text_search,
    ties_and_locks,
    time_precision,
    timetz,
    to_char,
    transactions,
    types,
    variadic,
    vector,
    with_changes,
);
