//! Recall against exact neighbours, through SQL: after the build, under filters, after updates and
//! deletes. The rows are seeded; the exact answer is the same query with the index turned off.

use crate::support::{self, Running};
use tokio_postgres::Client;

const ROWS: usize = 12_000;
// So many that postings hold codes.
const DIMS: usize = 96;
const QUERIES: usize = 40;

/// Numbers that look random and are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn unit(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(self.0 >> 48).unwrap()) / f32::from(u16::MAX)
    }

    /// A vector near one of a hundred centres, so that there is something to cluster.
    fn vector(&mut self) -> String {
        self.unit();
        let mut centre = Seeded(1 + (self.0 >> 33) % 100);
        let parts: Vec<String> =
            (0..DIMS).map(|_| (centre.unit() + 0.5 * self.unit()).to_string()).collect();
        format!("[{}]", parts.join(","))
    }
}

async fn loaded(node: &Running, kind: &str) -> Client {
    let client = node.client().await;
    let table = format!("CREATE TABLE t (id int PRIMARY KEY, shop int, v {kind}({DIMS}))");
    client.batch_execute(&format!("CREATE EXTENSION vector; {table}")).await.unwrap();
    let mut seeded = Seeded(7);
    for first in (0..ROWS).step_by(1000) {
        let row = |id: usize, v: String| format!("({id}, {}, '{v}')", id % 20);
        let rows: Vec<String> = (first..first + 1000).map(|id| row(id, seeded.vector())).collect();
        client.batch_execute(&format!("INSERT INTO t VALUES {}", rows.join(","))).await.unwrap();
    }
    client.batch_execute("CREATE INDEX t_v ON t USING spfresh (v)").await.unwrap();
    client
}

/// The share of the exact ten nearest that the index finds. Always ten rows.
async fn recall(client: &Client, filter: &str) -> f64 {
    let (mut seeded, mut right) = (Seeded(99), 0_usize);
    for _ in 0..QUERIES {
        let query = format!(
            "SELECT id, v <-> '{}' AS d FROM t {filter} ORDER BY d LIMIT 10",
            seeded.vector()
        );
        client.batch_execute("SET enable_indexscan = off").await.unwrap();
        let exact = client.query(&query, &[]).await.unwrap();
        client.batch_execute("SET enable_indexscan = on").await.unwrap();
        let found = client.query(&query, &[]).await.unwrap();
        assert_eq!(found.len(), 10);
        let tenth: f64 = exact[9].get(1);
        right += found.iter().filter(|row| row.get::<_, f64>(1) <= tenth + 1e-6).count();
    }
    f64::from(u32::try_from(right).unwrap()) / f64::from(u32::try_from(QUERIES * 10).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_finds_what_an_exact_search_finds() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;

    let query = "EXPLAIN SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 1) LIMIT 10";
    let by_subquery = client.query(query, &[]).await;
    assert!(by_subquery.is_ok(), "a query vector may come from a subquery: {by_subquery:?}");
    let plan = client
        .query(
            &format!("EXPLAIN SELECT id FROM t ORDER BY v <-> '{}' LIMIT 10", Seeded(5).vector()),
            &[],
        )
        .await
        .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.join("\n").contains("index=t_v"), "{plan:?}");

    let at_first = recall(&client, "").await;
    assert!(at_first >= 0.95, "after the build: {at_first}");
    let filtered = recall(&client, "WHERE shop < 12").await;
    assert!(filtered >= 0.95, "under a filter: {filtered}");
    // So few rows match that they are all looked at.
    assert_eq!(recall(&client, "WHERE shop = 3").await, 1.0);

    client.batch_execute("UPDATE t SET shop = shop + 100 WHERE id % 10 < 3").await.unwrap();
    client.batch_execute("DELETE FROM t WHERE id % 10 = 3").await.unwrap();
    let churned = recall(&client, "").await;
    assert!(churned >= 0.95, "after updates and deletes: {churned}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_halfvecs_finds_what_an_exact_search_finds() {
    let node = support::start().await;
    let client = loaded(&node, "halfvec").await;

    let nearest = format!("t ORDER BY v <-> '{}'", Seeded(5).vector());
    let plan = explained(&client, &nearest).await;
    assert!(plan.contains("index=t_v"), "{plan}");
    let at_first = recall(&client, "").await;
    assert!(at_first >= 0.95, "after the build: {at_first}");

    client.batch_execute("UPDATE t SET shop = shop + 100 WHERE id % 10 < 3").await.unwrap();
    let churned = recall(&client, "").await;
    assert!(churned >= 0.95, "after updates: {churned}");
    node.stop().await;
}

/// The plan of the ten nearest rows.
async fn explained(client: &Client, from: &str) -> String {
    let query = format!("EXPLAIN SELECT id FROM {from} LIMIT 10");
    let plan = client.query(&query, &[]).await.unwrap();
    plan.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}
