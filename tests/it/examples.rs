//! Runs `sql/examples/*.sql` by psql and compares what it prints with the `.out` beside each:
//! documentation that cannot rot. `NEARLAKE_TEST_UPDATE` writes the `.out` anew.

use crate::{
    embed,
    peer::{Peer, is_oracle},
};
use std::path::Path;

/// Text to vectors is Nearlake's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_become_vectors() {
    if !is_oracle() {
        check("07_embed").await;
    }
}

/// Runs one example on a server of its own.
async fn check(name: &str) {
    let peer = Peer::start(&format!("example_{name}")).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/examples");
    // One file descriptor for both, so that errors stand where they happen.
    let script = format!("psql -X -q -f {name}.sql 2>&1");
    let mut psql = peer.command("sh");
    psql.args(["-c", &script]).current_dir(&folder);
    if name == "07_embed" {
        psql.env("NEARLAKE_MODEL", embed::model());
    }
    let output = tokio::task::spawn_blocking(move || psql.output()).await.unwrap().unwrap();
    let actual = String::from_utf8(output.stdout).unwrap();
    peer.stop().await;

    let expected = folder.join(format!("{name}.out"));
    if std::env::var_os("NEARLAKE_TEST_UPDATE").is_some() {
        std::fs::write(&expected, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&expected).unwrap();
    assert!(actual == expected, "{name}.sql printed\n{actual}\ninstead of\n{expected}");
}

macro_rules! examples {
    ($($test:ident $name:literal),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            check($name).await;
        })*
    };
}

examples! {
    first_table "01_first_table",
    metrics_and_schema "02_metrics_and_schema",
    nearest "03_nearest",
    filters "04_filters",
    upserts "05_upserts",
    index "06_index",
    text_and_vectors "08_text_and_vectors",
    webhooks "09_webhooks",
}

/// The README's statements, each with what psql answers in the comments behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readme() {
    let readme = include_str!("../../README.md");
    let sql = readme.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let peer = Peer::start("example_readme").await;
    peer.connect().await.batch_execute("CREATE EXTENSION IF NOT EXISTS vector").await.unwrap();

    let mut count = 0;
    for piece in sql.split("\n\n").filter(|piece| !piece.trim().is_empty()) {
        let told: Vec<_> = piece.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let mut psql = peer.command("psql");
        psql.args(["-X", "-P", "footer=off", "-c", piece]);
        let output = tokio::task::spawn_blocking(move || psql.output()).await.unwrap().unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let answered: Vec<_> =
            output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        assert_eq!(answered, told, "{piece}");
        count += 1;
    }
    assert_eq!(count, 5);
    peer.stop().await;
}
