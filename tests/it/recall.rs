//! Recall against exact neighbours, through SQL: after the build, under filters, after updates and
//! deletes. The rows are seeded; the exact answer is the same query with the index turned off.

use crate::support::{self, Running, seeded::Seeded};
use tokio_postgres::Client;

const ROWS: usize = 12_000;
// So many that postings hold codes.
const DIMS: usize = 96;
const QUERIES: usize = 40;

impl Seeded {
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
    support::verify_index(&client, "t_v").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_the_sessions_then_the_indexes() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    let nearest = format!("t ORDER BY v <-> '{}'", Seeded(5).vector());
    let told = async |statement: &str, expected: &str| {
        client.batch_execute(statement).await.unwrap();
        let plan = explained(&client, &nearest).await;
        assert!(plan.contains(expected), "{statement}\n{plan}");
    };
    told("SET hnsw.ef_search = 40", "index=t_v, recall_target=0.95 (exact").await;
    told("ALTER INDEX t_v SET (recall_target = 0.8)", "recall_target=0.8 (the index's)").await;
    told("SET nearlake.recall_target = 0.95", "recall_target=0.95 (exact").await;
    told("SET hnsw.ef_search = 320", "recall_target=0.95, at least 20 postings (exact").await;
    told("RESET nearlake.recall_target", "recall_target=0.8 (the index's), at least 20").await;
    told("ALTER INDEX t_v SET (recall_target = 1.0)", "exact (recall_target is 1)").await;
    told("ALTER INDEX t_v RESET (recall_target)", "recall_target=0.95").await;

    client.batch_execute("ALTER ROLE postgres SET nearlake.recall_target = 0.7").await.unwrap();
    client.batch_execute("ALTER INDEX t_v SET (recall_target = 0.8)").await.unwrap();
    let plan = explained(&node.client().await, &nearest).await;
    assert!(plan.contains("recall_target=0.7"), "a role's default goes before an index's: {plan}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recall_is_measured_on_demand_and_in_the_background() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    client.batch_execute("CREATE INDEX t_ip ON t USING spfresh (v vector_ip_ops)").await.unwrap();

    let measure = "SELECT target, recall, confidence_low, confidence_high, samples, live_samples \
                   FROM nearlake_recall('t_v', 10, 60)";
    let row = client.query_one(measure, &[]).await.unwrap();
    let (target, share): (f64, f64) = (row.get(0), row.get(1));
    let (low, high): (f64, f64) = (row.get(2), row.get(3));
    assert_eq!(target, 0.95);
    assert!(low <= share && share <= high && low < high, "{low} {share} {high}");
    assert!(high >= 0.95, "{low} {share} {high}");
    assert_eq!((row.get::<_, i32>(4), row.get::<_, i32>(5)), (60, 0));

    // As little effort as there can be shows: a measurement that finds all would find nothing out.
    let wide = "SELECT recall FROM nearlake_recall('t_v', 300, 40)";
    let good: f64 = client.query_one(wide, &[]).await.unwrap().get(0);
    client.batch_execute("SET nearlake.recall_target = 0.5").await.unwrap();
    let poor: f64 = client.query_one(wide, &[]).await.unwrap().get(0);
    assert!(good >= 0.93 && poor + 0.1 < good, "{poor} {good}");
    client.batch_execute("RESET nearlake.recall_target").await.unwrap();
    for (call, state) in [
        ("nearlake_recall('t_v', 0)", "22023"),
        ("nearlake_recall('t')", "42809"),
        ("nearlake_recall('t_w')", "42P01"),
    ] {
        let error = client.query(&format!("SELECT * FROM {call}"), &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), state, "{call}");
    }
    let refused = client.batch_execute("ALTER INDEX t_v SET (recall_target = 0.3)").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "22023");

    let known = "SELECT count(*), sum(samples)::bigint, count(measured) FROM nearlake_stat_recall";
    let row = client.query_one(known, &[]).await.unwrap();
    let before: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(before, (2, 0, 0), "every index has a row, and nothing is known");
    let nearest = format!("SELECT id FROM t ORDER BY v <-> '{}' LIMIT 10", Seeded(5).vector());
    let mut samples = 0_i64;
    while samples == 0 {
        client.query(&nearest, &[]).await.unwrap();
        samples = client.query_one(known, &[]).await.unwrap().get(1);
    }
    let row = "SELECT indexrelname::text, filter, target, measured FROM nearlake_stat_recall \
               WHERE samples > 0";
    let row = client.query_one(row, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "t_v");
    assert_eq!((row.get::<_, String>(1).as_str(), row.get::<_, f64>(2)), ("unfiltered", 0.95));
    assert_eq!(row.get::<_, Option<f64>>(3), None, "too few are known");
    let row = client.query_one(measure, &[]).await.unwrap();
    assert!(row.get::<_, i32>(5) > 0, "what clients asked is asked again");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_key_decides_between_all_rows_at_the_same_distance() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    // Sixty rows lie at one place and thirty a little off, their ids falling as they come.
    let place = Seeded(3).vector();
    let (first, rest) = place[1..].split_once(',').unwrap();
    let beside = format!("[{},{rest}", first.parse::<f32>().unwrap() + 0.1);
    let copies = format!(
        "INSERT INTO t SELECT -g, 0, '{place}' FROM generate_series(1, 60) g; \
         INSERT INTO t SELECT -g, 0, '{beside}' FROM generate_series(61, 90) g"
    );
    client.batch_execute(&copies).await.unwrap();
    let ids = async |order: &str| -> Vec<i32> {
        let query = format!("SELECT id FROM t ORDER BY v <-> '{place}', {order}");
        let plan = client.query(&format!("EXPLAIN {query}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.join("\n").contains("index=t_v"), "{plan:?}");
        client.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(ids("id LIMIT 5").await, [-60, -59, -58, -57, -56]);
    assert_eq!(ids("id DESC LIMIT 5").await, [-1, -2, -3, -4, -5]);
    assert_eq!(ids("id LIMIT 2 OFFSET 59").await, [-1, -90]);
    assert_eq!(ids("id % 10 DESC, id LIMIT 3").await, [-60, -50, -40]);
    let all: Vec<i32> = (-60..0).chain(-90..-60).collect();
    assert_eq!(ids("id LIMIT 90").await, all);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_on_the_distance_is_kept() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    let (mut seeded, mut right, mut wanted) = (Seeded(99), 0, 0);
    for _ in 0..QUERIES {
        let query = seeded.vector();
        let ids = async |filter: &str, setting: &str| -> Vec<(i32, f64)> {
            client.batch_execute(&format!("SET enable_indexscan = {setting}")).await.unwrap();
            let from = format!("FROM t {filter} ORDER BY d LIMIT 10");
            let query = format!("SELECT id, v <-> '{query}' AS d {from}");
            let rows = client.query(&query, &[]).await.unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        let exact = ids("", "off").await;
        for (operator, expected) in [("<", 5), ("<=", 6)] {
            let within = format!("WHERE v <-> '{query}' {operator} {}", exact[5].1);
            let found = ids(&within, "on").await;
            assert!(found.len() <= expected && found.iter().all(|row| exact.contains(row)));
            right += found.len();
            wanted += expected;
        }
        // The bound lies behind the tenth: ten rows.
        let far = format!("WHERE '{}' > v <-> '{query}' AND shop < 19", 2.0 * exact[9].1);
        assert_eq!(ids(&far, "on").await.len(), 10);
        let nothing = format!("WHERE v <-> '{query}' < NULL");
        assert!(ids(&nothing, "on").await.is_empty());
    }
    assert!(right * 100 >= wanted * 95, "{right} of {wanted}");
    node.stop().await;
}

/// From one row in a thousand to nine in ten, near the query, anywhere, and far from it. The larger
/// matrix is that of `make filters`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_matches_ten_rows_are_found_and_the_right_ones() {
    const EACH: usize = 6;
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    let centre = Seeded(3).vector();
    // The queries nearest to a point and farthest from it, and the rows nearest to it.
    let mut seeded = Seeded(99);
    let drawn: Vec<String> = (0..200).map(|_| seeded.vector()).collect();
    let values: Vec<String> = drawn.iter().map(|vector| format!("('{vector}'::vector)")).collect();
    let sorted =
        format!("SELECT q::text FROM (VALUES {}) x(q) ORDER BY q <-> '{centre}'", values.join(","));
    let sorted = client.query(&sorted, &[]).await.unwrap();
    let sorted: Vec<String> = sorted.iter().map(|row| row.get(0)).collect();
    let (mut right, mut wanted, mut seen) = (0, 0, Vec::new());
    for share in [0.001, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9] {
        let radius = format!(
            "SELECT percentile_disc({share}) WITHIN GROUP (ORDER BY v <-> '{centre}') FROM t"
        );
        let radius: f64 = client.query_one(&radius, &[]).await.unwrap().get(0);
        let near = format!("WHERE v <-> '{centre}' <= {radius}");
        let any = format!("WHERE id * 7919 % 1000 < {}", 1000.0 * share);
        let cells = [
            (&near, &sorted[..EACH]),
            (&any, &drawn[..EACH]),
            (&near, &sorted[sorted.len() - EACH..]),
        ];
        for (filter, queries) in cells {
            let before = right;
            for query in queries {
                let query =
                    format!("SELECT v <-> '{query}' AS d FROM t {filter} ORDER BY d LIMIT 10");
                let answer = async |setting: &str| -> Vec<f64> {
                    client
                        .batch_execute(&format!("SET enable_indexscan = {setting}"))
                        .await
                        .unwrap();
                    let rows = client.query(&query, &[]).await.unwrap();
                    rows.iter().map(|row| row.get(0)).collect()
                };
                let (exact, found) = (answer("off").await, answer("on").await);
                assert_eq!(found.len(), 10, "{share} {filter}");
                right += found.iter().filter(|&&d| d <= exact[9] + 1e-6).count();
                wanted += exact.len();
            }
            seen.push((share, right - before));
        }
    }
    assert!(right * 100 >= wanted * 95, "{right} of {wanted}: {seen:?}");
    node.stop().await;
}

/// The plan of the ten nearest rows.
async fn explained(client: &Client, from: &str) -> String {
    let query = format!("EXPLAIN SELECT id FROM {from} LIMIT 10");
    let plan = client.query(&query, &[]).await.unwrap();
    plan.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}

/// Under the inner product a vector may be longer than an index can square, and is then the nearest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_an_index_cannot_hold_are_found() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    let huge = |id: usize, shop: usize| {
        let parts = vec!["1e18"; DIMS].join(",");
        format!("INSERT INTO t VALUES ({id}, {shop}, '[{parts}]')")
    };
    client.batch_execute(&huge(90_000, 1)).await.unwrap();
    client.batch_execute("CREATE INDEX t_ip ON t USING spfresh (v vector_ip_ops)").await.unwrap();
    client.batch_execute(&huge(90_001, 2)).await.unwrap();
    support::verify_index(&client, "t_ip").await;

    let query = Seeded(5).vector();
    let nearest =
        |filter: &str| format!("SELECT id FROM t {filter} ORDER BY v <#> '{query}' LIMIT 10");
    for (filter, first) in [
        ("", vec![90_000, 90_001]),
        ("WHERE shop < 12", vec![90_000, 90_001]),
        ("WHERE shop < 12 AND shop <> 1", vec![90_001]),
        ("WHERE id % 2 = 0", vec![90_000]),
    ] {
        let query = nearest(filter);
        assert!(support::postings_probed(&client, &query).await > 0, "{filter}");
        let rows = client.query(&query, &[]).await.unwrap();
        let found: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found[..first.len()], first, "{filter}");
    }
    let cursor = format!("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY v <#> '{query}'");
    client.batch_execute(&format!("BEGIN; {cursor}")).await.unwrap();
    let rows = client.query("FETCH 2 FROM c", &[]).await.unwrap();
    let found: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, [90_000, 90_001]);
    client.batch_execute("COMMIT; DELETE FROM t WHERE id = 90000").await.unwrap();
    let row = client.query(&nearest(""), &[]).await.unwrap();
    assert_eq!(row[0].get::<_, i32>(0), 90_001);
    node.stop().await;
}

/// What the index holds: every row, and its second copies.
async fn entries(client: &Client) -> usize {
    let check = "SELECT detail FROM nearlake_verify_index('t_v') WHERE \"check\" = 'stale_entries'";
    let detail: String = client.query_one(check, &[]).await.unwrap().get(0);
    detail.split(' ').nth(2).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_an_index_keeps_its_rows_it_finds_them() {
    let node = support::start().await;
    let client = loaded(&node, "vector").await;
    let soar = entries(&client).await;
    assert!((2 * ROWS - ROWS / 10..=2 * ROWS).contains(&soar), "{soar} entries");
    let refused = async |option: &str| {
        let index = format!("CREATE INDEX ON t USING spfresh (v vector_l2_ops) WITH ({option})");
        let error = client.batch_execute(&index).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        format!("{}: {}", error.message(), error.detail().unwrap_or_default())
    };
    assert_eq!(
        refused("spill = both").await,
        "invalid value for enum option \"spill\": both: Valid values are \"soar\", \"closure\" and \"none\"."
    );
    assert_eq!(
        refused("code_bits = 5").await,
        "invalid value for enum option \"code_bits\": 5: Valid values are \"4\" and \"8\"."
    );
    // What is set holds from the next build on.
    for (options, fewest, most) in [
        ("spill = none, code_bits = 8", ROWS, ROWS),
        ("spill = CLOSURE, code_bits = 4", ROWS, 2 * ROWS - ROWS / 10),
        ("spill = 'soar', code_bits = 4", 2 * ROWS - ROWS / 10, 2 * ROWS),
    ] {
        let before = entries(&client).await;
        client.batch_execute(&format!("ALTER INDEX t_v SET ({options})")).await.unwrap();
        // But for what upkeep still does for the changes before.
        let still = entries(&client).await;
        assert!(still.abs_diff(before) < ROWS / 20, "{options}: {before} entries, then {still}");
        client.batch_execute("REINDEX INDEX t_v").await.unwrap();
        let held = entries(&client).await;
        assert!((fewest..=most).contains(&held), "{options}: {held} entries");
        let found = recall(&client, "").await;
        assert!(found >= 0.9, "{options}: recall {found}");
        let moved = "UPDATE t SET v = v + (SELECT v FROM t WHERE id = 5) WHERE id % 40 = 7";
        client.batch_execute(moved).await.unwrap();
        support::verify_index(&client, "t_v").await;
        let found = recall(&client, "").await;
        assert!(found >= 0.9, "{options}, after changes: recall {found}");
    }
    node.stop().await;
}
