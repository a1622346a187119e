//! Filters of searches: postings that hold no match are passed over, before and after a restart,
//! whatever happens to the rows; what conditions answered is kept; the dear ones are asked of few
//! rows; a cursor goes on with its search. The right answer is that of the same query with the
//! index turned off.

use crate::support::{self, Running, seeded::Seeded};
use std::path::Path;
use tokio_postgres::Client;

const ROWS: usize = 12_000;
const DIMS: usize = 24;
const CENTRES: usize = 60;
const SHOPS: usize = 3;

impl Seeded {
    /// A vector near a centre.
    fn near(&mut self, centre: usize) -> String {
        let mut centre = Seeded(1 + centre as u64);
        centre.unit();
        let part = |_| (4.0 * centre.unit() + self.unit()).to_string();
        let parts: Vec<String> = (0..DIMS).map(part).collect();
        format!("[{}]", parts.join(","))
    }
}

/// The rows from one id to another: each near the centre that its id names, in a shop that a third of
/// the centres share.
fn rows(seeded: &mut Seeded, from: usize, to: usize) -> String {
    let row = |id: usize| {
        let centre = id * 7 % CENTRES;
        let shop = centre % SHOPS;
        format!("({id}, {shop}, 'shop {shop}', {}, '{}')", shop == 1, seeded.near(centre))
    };
    let rows: Vec<String> = (from..to).map(row).collect();
    format!("INSERT INTO t VALUES {}", rows.join(","))
}

async fn loaded(node: &Running) -> Client {
    let client = node.client().await;
    let columns = "id int PRIMARY KEY, shop int, name text, open bool";
    let table = format!("CREATE TABLE t ({columns}, v vector({DIMS}))");
    client.batch_execute(&table).await.unwrap();
    let mut seeded = Seeded(7);
    for first in (0..ROWS).step_by(2000) {
        client.batch_execute(&rows(&mut seeded, first, first + 2000)).await.unwrap();
    }
    let index = "CREATE INDEX t_v ON t USING spfresh (v) INCLUDE (shop, name, open)";
    client.batch_execute(index).await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    client
}

pub(crate) async fn lines(client: &Client, query: &str) -> String {
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}

/// What EXPLAIN ANALYZE counted, to three digits.
pub(crate) fn counted(plan: &str, what: &str) -> usize {
    let from = plan.find(&format!("{what}=")).unwrap_or_else(|| panic!("no {what} in\n{plan}"));
    let shown = plan[from + what.len() + 1..].split([',', ']']).next().unwrap();
    let (digits, unit) = shown.split_once(' ').unwrap_or((shown, ""));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let unit = match unit {
        "M" => 1_000_000,
        "K" => 1000,
        _ => 1,
    };
    let part: usize = format!("{part:0<3}").parse().unwrap();
    whole.parse::<usize>().unwrap() * unit + part * unit / 1000
}

fn nearest(vector: &str, filter: &str) -> String {
    format!("SELECT v <-> '{vector}' AS d FROM t WHERE {filter} ORDER BY d LIMIT 10")
}

async fn distances(client: &Client, query: &str) -> Vec<f64> {
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Asks near every fifth centre: the share of the right answer, and how many postings were passed
/// over in all. Always ten rows.
async fn asked(client: &Client, filter: &str) -> (f64, usize) {
    let (mut seeded, mut right, mut wanted, mut skipped) = (Seeded(99), 0_u32, 0_u32, 0);
    for centre in (0..CENTRES).step_by(5) {
        let query = nearest(&seeded.near(centre), filter);
        client.batch_execute("SET enable_indexscan = off").await.unwrap();
        let exact = distances(client, &query).await;
        client.batch_execute("SET enable_indexscan = on").await.unwrap();
        let found = distances(client, &query).await;
        assert_eq!((exact.len(), found.len()), (10, 10), "{filter}");
        for distance in found {
            right += u32::from(distance <= exact[9] + 1e-6);
            wanted += 1;
        }
        let plan = lines(client, &format!("EXPLAIN ANALYZE {query}")).await;
        skipped += counted(&plan, "postings_skipped");
    }
    (f64::from(right) / f64::from(wanted), skipped)
}

/// Filters that a third of the rows meet, all of which tell of shop 1.
const FILTERS: [&str; 8] = [
    "shop = 1",
    "shop IN (1, 9)",
    "shop > 0 AND shop <= 1",
    "shop BETWEEN 1 AND 1",
    "name = 'shop 1'",
    "name > 'shop 0' AND name < 'shop 2'",
    "open",
    "(shop = 1 OR name = 'nowhere') AND id >= 0",
];

/// Twelve searches by each: one filter may be unlucky, all together may not.
async fn check_recall(client: &Client, when: &str) {
    let mut all = 0.0;
    for filter in FILTERS {
        let (recall, _) = asked(client, filter).await;
        assert!(recall >= 0.9, "{when}: {filter}: {recall}");
        all += recall;
    }
    let mean = all / f64::from(u8::try_from(FILTERS.len()).unwrap());
    assert!(mean >= 0.95, "{when}: {mean}");
}

/// Whether all filters find what they should, and pass over what they may.
async fn check_all(client: &Client, when: &str) {
    check_recall(client, when).await;
    for filter in FILTERS {
        let (_, skipped) = asked(client, filter).await;
        assert!(skipped > 0, "{when}: {filter} passed no posting over");
    }
    for filter in ["id % 3 = 1", "shop <> 0", "shop = 1 OR id % 2 = 0", "NOT shop = 0"] {
        let (recall, skipped) = asked(client, filter).await;
        assert!(recall >= 0.9, "{when}: {filter}: {recall}");
        assert_eq!(skipped, 0, "{when}: {filter} says nothing of a posting");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_passes_postings_over_that_hold_no_match() {
    let data = tempfile::tempdir().unwrap();
    let path = |data: &Path| data.to_str().unwrap().to_owned();
    let node = support::start_on(&path(data.path()), &[]).await;
    let client = loaded(&node).await;
    let plan =
        lines(&client, &format!("EXPLAIN {}", nearest(&Seeded(5).near(1), FILTERS[0]))).await;
    assert!(plan.contains("prunes postings by shop ("), "{plan}");
    let both = nearest(&Seeded(5).near(1), FILTERS[7]);
    let plan = lines(&client, &format!("EXPLAIN {both}")).await;
    assert!(plan.contains("prunes postings by shop, name ("), "{plan}");
    check_all(&client, "at first").await;

    // What is known of postings holds for their rows of that time; others come and go.
    let moved = "UPDATE t SET shop = 1, name = 'shop 1', open = true WHERE id % 100 = 3";
    let gone = "DELETE FROM t WHERE id % 10 = 4";
    client.batch_execute(&format!("{moved}; {gone}")).await.unwrap();
    client.batch_execute(&rows(&mut Seeded(8), ROWS, ROWS + 3000)).await.unwrap();
    // Upkeep makes postings anew meanwhile, of which nothing is known until they are stored.
    check_recall(&client, "after changes").await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    check_recall(&client, "after changes and a checkpoint").await;
    drop(client);
    node.stop().await;

    let node = support::start_on(&path(data.path()), &[]).await;
    let client = node.client().await;
    check_all(&client, "after a restart").await;
    let shown = lines(&client, "SELECT pg_get_indexdef('t_v'::regclass)").await;
    assert_eq!(
        shown,
        "CREATE INDEX t_v ON public.t USING spfresh (v vector_l2_ops) INCLUDE (shop, name, open)"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_is_asked_once_of_rows_in_segments() {
    let node = support::start().await;
    let client = loaded(&node).await;
    let vector = Seeded(5).near(1);
    let of = async |filter: &str| {
        let query = nearest(&vector, filter);
        let plan = lines(&client, &format!("EXPLAIN ANALYZE {query}")).await;
        let counts = ["filter_groups_kept", "filter_groups_evaluated", "rows_matching"];
        counts.map(|what| counted(&plan, what))
    };
    let [kept, evaluated, matching] = of("shop = 1").await;
    assert!(kept == 0 && evaluated > 0 && matching == ROWS / 3, "{kept} {evaluated} {matching}");
    assert_eq!(of("shop = 1").await, [evaluated, 0, matching]);
    // Each condition by itself, in whatever company; another value is another condition.
    let [kept, rest, _] = of("shop = 1 AND id >= 0").await;
    assert_eq!((kept, rest), (evaluated, evaluated));
    let [kept, rest, none] = of("shop = 8").await;
    assert_eq!((kept, rest, none), (0, evaluated, 0));

    // Parameters are values; what a row answered is not asked again after others changed.
    let statement = "SELECT count(*) FROM (SELECT id FROM t WHERE shop = $1 ORDER BY v <-> \
                     (SELECT v FROM t WHERE id = 1) LIMIT 10000) x";
    for (shop, expected) in [(1, 4000_i64), (2, 4000), (1, 4000), (8, 0)] {
        let count: i64 = client.query_one(statement, &[&shop]).await.unwrap().get(0);
        assert_eq!(count, expected, "{shop}");
    }
    let gone = "DELETE FROM t WHERE shop = 1 AND id < 100; INSERT INTO t (id, shop) VALUES (-1, 1)";
    client.batch_execute(gone).await.unwrap();
    let left: i64 =
        client.query_one("SELECT count(*) FROM t WHERE shop = 1", &[]).await.unwrap().get(0);
    let count: i64 = client.query_one(statement, &[&1]).await.unwrap().get(0);
    assert_eq!(count, left);
    let [kept, _, matching] = of("shop = 1").await;
    assert!(kept == evaluated && matching.abs_diff(usize::try_from(left).unwrap()) < 10);
    // What holds at one time only is asked each time.
    let now = "now() > '2020-01-01'::timestamptz + id * interval '1 second'";
    let [_, first, _] = of(now).await;
    let [kept, again, matching] = of(now).await;
    assert!(kept == 0 && again == first && matching.abs_diff(ROWS - 33) < 100, "{kept} {again}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_over_all_rows_gives_each_once_and_in_order() {
    let node = support::start().await;
    let client = loaded(&node).await;
    let query = Seeded(5).near(1);
    let order =
        format!("SELECT id, v <-> '{query}' AS d FROM t WHERE shop < 2 ORDER BY v <-> '{query}'");
    let plan = lines(&client, &format!("EXPLAIN DECLARE c CURSOR FOR {order}")).await;
    assert!(plan.contains("k=all, as they are fetched") && plan.contains("index=t_v"), "{plan}");
    let exact = client.query(&order, &[]).await.unwrap();

    client.batch_execute(&format!("BEGIN; DECLARE c CURSOR FOR {order}")).await.unwrap();
    let mut seen: Vec<(i32, f64)> = Vec::new();
    let fetch = async |seen: &mut Vec<(i32, f64)>, count: &str| {
        let rows = client.query(&format!("FETCH {count} FROM c"), &[]).await.unwrap();
        seen.extend(rows.iter().map(|row| (row.get::<_, i32>(0), row.get::<_, f64>(1))));
        rows.len()
    };
    for _ in 0..5 {
        assert_eq!(fetch(&mut seen, "10").await, 10);
    }
    let right = seen.iter().filter(|(_, d)| *d <= exact[49].get::<_, f64>(1)).count();
    // Three deviations below what the recall target says of one query.
    assert!(right >= 43, "{right} of the first fifty");
    // Rows that others change meanwhile do not show.
    let other = node.client().await;
    other.batch_execute("DELETE FROM t WHERE id % 2 = 0").await.unwrap();
    while fetch(&mut seen, "777").await > 0 {}
    assert_eq!(seen.len(), exact.len());
    let back = seen.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
    assert!(back <= 10, "{back} steps back");
    let mut ids: Vec<i32> = seen.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), exact.len(), "each row once");
    client.batch_execute("ROLLBACK").await.unwrap();

    // Where nothing is missed the order is that of a sort; a bound ends it.
    client.batch_execute("SET nearlake.recall_target = 1").await.unwrap();
    let bound = f64::midpoint(exact[98].get(1), exact[99].get(1));
    let near =
        format!("{} WHERE v <-> '{query}' < {bound} ORDER BY v <-> '{query}'", "SELECT id FROM t");
    let sorted = client.query(&near, &[]).await.unwrap();
    client.batch_execute(&format!("BEGIN; DECLARE c CURSOR FOR {near}")).await.unwrap();
    let fetched = client.query("FETCH ALL FROM c", &[]).await.unwrap();
    let ids =
        |rows: &[tokio_postgres::Row]| -> Vec<i32> { rows.iter().map(|row| row.get(0)).collect() };
    assert_eq!(ids(&fetched), ids(&sorted));
    client.batch_execute("COMMIT").await.unwrap();
    node.stop().await;
}

/// Pages of ten, by LIMIT and OFFSET: all their rows in order.
async fn paged(client: &Client, order: &str, pages: usize) -> Vec<(i32, f64)> {
    let mut all = Vec::new();
    for page in 0..pages {
        let sql = format!("{order} LIMIT 10 OFFSET {}", 10 * page);
        let rows = client.query(&sql, &[]).await.unwrap();
        let rows: Vec<(i32, f64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(rows.len(), 10);
        assert!(rows.is_sorted_by(|a, b| a.1 <= b.1), "a page is in order");
        all.extend(rows);
    }
    all
}

fn distinct(rows: &[(i32, f64)]) -> usize {
    rows.iter().map(|row| row.0).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_with_the_search_of_the_pages_before() {
    let node = support::start().await;
    let client = loaded(&node).await;
    // Little is found, so that searches of their own would find other rows for each page.
    client.batch_execute("SET nearlake.recall_target = 0.5").await.unwrap();
    let mut seeded = Seeded(17);
    for (filter, further) in [("true", ""), ("shop = 1", ""), ("id % 3 > 0", ""), ("true", ", id")]
    {
        let query = seeded.near(4);
        let order = format!(
            "SELECT id, v <-> '{query}' AS d FROM t WHERE {filter} ORDER BY v <-> '{query}'{further}"
        );
        let plan = lines(&client, &format!("EXPLAIN {order} LIMIT 10 OFFSET 20")).await;
        assert!(plan.contains("k=30") && plan.contains("index=t_v"), "{plan}");
        assert_eq!(plan.contains("k=30, skip=20"), further.is_empty(), "{plan}");
        let rows = paged(&client, &order, 30).await;
        if further.is_empty() {
            assert_eq!(distinct(&rows), 300, "each row once: {filter}");
        }
        // A page that was read is as it was.
        let again = format!("{order} LIMIT 10 OFFSET 70");
        let again = client.query(&again, &[]).await.unwrap();
        let ids: Vec<i32> = again.iter().map(|row| row.get(0)).collect();
        let were: Vec<i32> = rows[70..80].iter().map(|row| row.0).collect();
        assert_eq!(ids, were);
        // And looks at nothing.
        let plan = lines(&client, &format!("EXPLAIN ANALYZE {order} LIMIT 10 OFFSET 70")).await;
        assert!(counted(&plan, "vectors_scanned") == 0 || !further.is_empty(), "{plan}");
    }

    // Another vector, another filter and another target are other lists.
    let (one, two) = (seeded.near(4), seeded.near(9));
    let page = |query: &str, filter: &str| {
        format!(
            "SELECT id, v <-> '{query}' AS d FROM t WHERE {filter} ORDER BY d LIMIT 10 OFFSET 10"
        )
    };
    for (query, filter) in [(&one, "true"), (&two, "true"), (&one, "shop = 1"), (&one, "shop = 2")]
    {
        client.batch_execute("SET nearlake.recall_target = 0.5").await.unwrap();
        client.query(&page(query, filter), &[]).await.unwrap();
        client.batch_execute("SET nearlake.recall_target = 1").await.unwrap();
        let exact = client.query(&page(query, filter), &[]).await.unwrap();
        client.batch_execute("SET enable_indexscan = off").await.unwrap();
        let read = client.query(&page(query, filter), &[]).await.unwrap();
        client.batch_execute("SET enable_indexscan = on").await.unwrap();
        let ids = |rows: &[tokio_postgres::Row]| -> Vec<i32> {
            rows.iter().map(|row| row.get(0)).collect()
        };
        assert_eq!(ids(&exact), ids(&read));
    }

    // Rows that come or go end what was remembered.
    client.batch_execute("SET nearlake.recall_target = 0.95").await.unwrap();
    let order = format!("SELECT id, v <-> '{one}' AS d FROM t ORDER BY v <-> '{one}'");
    let first = paged(&client, &order, 2).await;
    let gone = first[15].0;
    client.batch_execute(&format!("DELETE FROM t WHERE id = {gone}")).await.unwrap();
    let then = paged(&client, &order, 2).await;
    assert!(then.iter().all(|row| row.0 != gone));
    client.batch_execute(&format!("INSERT INTO t (id, v) VALUES (-5, '{one}')")).await.unwrap();
    let second = client.query(&format!("{order} LIMIT 1 OFFSET 1"), &[]).await.unwrap();
    assert_eq!(second[0].get::<_, i32>(0), then[0].0);
    // One's own rows too.
    client.batch_execute("BEGIN; DELETE FROM t WHERE id = -5").await.unwrap();
    let second = client.query(&format!("{order} LIMIT 1 OFFSET 1"), &[]).await.unwrap();
    assert_eq!(second[0].get::<_, i32>(0), then[1].0);
    client.batch_execute("ROLLBACK").await.unwrap();
    // Beyond the end there is nothing; a page of the end is short.
    let end = format!("{order} LIMIT 10 OFFSET {}", ROWS - 5);
    let rest = client.query(&end, &[]).await.unwrap().len();
    assert_eq!(rest, 5);
    let beyond = client.query(&format!("{order} LIMIT 10 OFFSET 20000"), &[]).await.unwrap();
    assert!(beyond.is_empty());
    node.stop().await;
}
