//! `halfvec`, `sparsevec` and bit strings where SQL alone does not see them: through a restart and
//! the segments, and in plans.

use crate::support::{self, Running};
use tokio_postgres::{Client, SimpleQueryMessage};

const KINDS: [(&str, &str); 5] = [
    ("h", "halfvec(3)"),
    ("free_h", "halfvec"),
    ("s", "sparsevec(9)"),
    ("b", "bit(130)"),
    ("v", "bit varying"),
];

async fn start(folder: &tempfile::TempDir) -> Running {
    support::start_on(folder.path().to_str().unwrap(), &[]).await
}

async fn load(client: &Client) {
    let columns: Vec<String> = KINDS
        .iter()
        .flat_map(|(name, kind)| [format!("{name} {kind}"), format!("{name}s {kind}[]")])
        .collect();
    let create = format!("CREATE TABLE t (id int PRIMARY KEY, {})", columns.join(", "));
    let insert = "INSERT INTO t SELECT i,
        ARRAY[i, i / 7.0, -i]::halfvec, ARRAY[ARRAY[i, 0, 1]::halfvec, NULL],
        CASE WHEN i % 3 > 0 THEN ARRAY[i, 1]::halfvec END, NULL,
        ARRAY[0, i, 0, 0, -i, 0, 0, 0, 1]::sparsevec, ARRAY[ARRAY[i, 0, 0, 0, 0, 0, 0, 0, 0]::sparsevec],
        i::bit(130), ARRAY[i::bit(130), ~ i::bit(130)],
        repeat('10', i % 200)::varbit, '{}'
        FROM generate_series(1, 3000) i";
    client.batch_execute("CREATE EXTENSION vector").await.unwrap();
    client.batch_execute(&create).await.unwrap();
    client.batch_execute(insert).await.unwrap();
    client.batch_execute("INSERT INTO t (id) VALUES (0)").await.unwrap();
}

/// All rows as text.
async fn contents(client: &Client) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query("SELECT * FROM t ORDER BY id").await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    });
    rows.collect()
}

async fn plan(client: &Client, order: &str) -> String {
    let query = format!("EXPLAIN SELECT id FROM t ORDER BY {order} LIMIT 3");
    let rows = client.query(&query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_of_every_type_survive_the_log_and_the_segments() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder).await;
    let client = node.client().await;
    load(&client).await;
    let before = contents(&client).await;
    assert_eq!(before.len(), 3001);
    node.stop().await;

    let node = start(&folder).await;
    let client = node.client().await;
    assert_eq!(contents(&client).await, before);
    client.batch_execute("CHECKPOINT").await.unwrap();
    client.batch_execute("VACUUM t").await.unwrap();
    assert_eq!(contents(&client).await, before);
    node.stop().await;

    let node = start(&folder).await;
    let client = node.client().await;
    assert_eq!(contents(&client).await, before);
    let nearest = "SELECT id FROM t ORDER BY s <-> ARRAY[0,7,0,0,-7,0,0,0,1]::sparsevec LIMIT 1";
    let found: i32 = client.query_one(nearest, &[]).await.unwrap().get(0);
    assert_eq!(found, 7);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_index_is_searched_exactly_and_says_so() {
    let node = support::start().await;
    let client = node.client().await;
    load(&client).await;
    let searches = [
        ("h <+> '[1,2,3]'", "h", "halfvec_l1_ops"),
        ("s <-> '{1:1}/9'", "s", "sparsevec_l2_ops"),
        ("b <~> 5::bit(130)", "b", "bit_hamming_ops"),
        ("b <%> 5::bit(130)", "b", "bit_jaccard_ops"),
    ];
    for (order, column, class) in searches {
        let before = plan(&client, order).await;
        assert!(before.contains("exact (no index for this distance)"), "{before}");
        client
            .batch_execute(&format!("CREATE INDEX ON t USING hnsw ({column} {class})"))
            .await
            .unwrap();
        let recorded = plan(&client, order).await;
        assert!(recorded.contains("exact (the index is recorded"), "{recorded}");
    }
    client.batch_execute("CREATE INDEX t_h ON t USING hnsw (h halfvec_cosine_ops)").await.unwrap();
    let indexed = plan(&client, "h <=> '[1,2,3]'").await;
    assert!(indexed.contains("index=t_h,"), "{indexed}");
    node.stop().await;
}
