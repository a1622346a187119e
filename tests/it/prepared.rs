//! Statements that run again: each run sees its own parameters, its own snapshot, its own time.

use crate::support;
use tokio_postgres::{Client, types::ToSql};

async fn client() -> (support::Running, Client) {
    let node = support::start().await;
    let client = node.client().await;
    (node, client)
}

/// The first column of all rows.
async fn ids(
    client: &Client,
    statement: &tokio_postgres::Statement,
    parameters: &[&(dyn ToSql + Sync)],
) -> Vec<i64> {
    let rows = client.query(statement, parameters).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_run_sees_what_is_committed_by_then() {
    let (node, client) = client().await;
    client.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)").await.unwrap();
    let count = client.prepare("SELECT count(*) FROM t").await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2), ($1 + 100, $2)").await.unwrap();
    let by_key = client.prepare("SELECT name FROM t WHERE id = $1").await.unwrap();
    for n in 1..=5_i64 {
        assert_eq!(ids(&client, &count, &[]).await, [(n - 1) * 2]);
        let name = format!("n{n}");
        assert_eq!(client.execute(&insert, &[&n, &name]).await.unwrap(), 2);
        let row = client.query_one(&by_key, &[&(n + 100)]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), name);
        assert!(client.query_opt(&by_key, &[&(n + 1)]).await.unwrap().is_none());
    }
    let key: Option<i64> = None;
    assert!(client.query_opt(&by_key, &[&key]).await.unwrap().is_none(), "NULL equals nothing");
    let delete = client.prepare("DELETE FROM t WHERE id = $1").await.unwrap();
    for n in 1..=3_i64 {
        assert_eq!(client.execute(&delete, &[&n]).await.unwrap(), 1);
        assert_eq!(client.execute(&delete, &[&n]).await.unwrap(), 0);
    }
    assert_eq!(ids(&client, &count, &[]).await, [7]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_keys_and_limits_are_parameters_too() {
    let (node, client) = client().await;
    let load = "CREATE TABLE t (id bigint PRIMARY KEY, v vector(2));
        INSERT INTO t SELECT g, ARRAY[g, 0]::vector FROM generate_series(1, 20) g";
    client.batch_execute(load).await.unwrap();

    let any = client.prepare("SELECT id FROM t WHERE id = ANY($1) ORDER BY id").await.unwrap();
    let list = "SELECT id FROM t WHERE id IN ($1, $2, $3) ORDER BY id";
    let list = client.prepare(list).await.unwrap();
    for n in 1..=5_i64 {
        assert_eq!(ids(&client, &any, &[&vec![n + 1, n, 99]]).await, [n, n + 1]);
        assert_eq!(ids(&client, &list, &[&n, &(n + 2), &n]).await, [n, n + 2]);
    }
    assert!(ids(&client, &any, &[&Vec::<i64>::new()]).await.is_empty());

    let nearest = "SELECT id FROM t ORDER BY v <-> ($1::text)::vector LIMIT $2 OFFSET $3";
    let nearest = client.prepare(nearest).await.unwrap();
    for _ in 0..2 {
        for limit in [1_i64, 3, 7, 2, 5, 4] {
            let found = ids(&client, &nearest, &[&"[0,0]", &limit, &1_i64]).await;
            assert_eq!(found, (2..limit + 2).collect::<Vec<_>>());
        }
        let wrong = client.query(&nearest, &[&"[0,0,0]", &1_i64, &0_i64]).await.unwrap_err();
        assert_eq!(wrong.code().unwrap().code(), "22000");
    }
    client.batch_execute("INSERT INTO t VALUES (0, '[0,0]')").await.unwrap();
    assert_eq!(ids(&client, &nearest, &[&"[0,0]", &2_i64, &0_i64]).await, [0, 1]);
    let like = "SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = $1) LIMIT 2";
    let explained = client.query(&format!("EXPLAIN {}", like.replace("$1", "7")), &[]).await;
    let searches = |row: &tokio_postgres::Row| row.get::<_, &str>(0).contains("NearestExec");
    assert!(explained.unwrap().iter().any(searches), "a subquery's vector is searched for");
    let like = client.prepare(like).await.unwrap();
    for key in [7_i64, 3, 20] {
        assert_eq!(ids(&client, &like, &[&key]).await, [key, key - 1]);
    }
    let nothing: Option<&str> = None;
    assert_eq!(ids(&client, &nearest, &[&nothing, &2_i64, &0_i64]).await.len(), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_constant_in_a_statement_is_not_constant_in_its_plan() {
    let (node, mut client) = client().await;
    let now = client.prepare("SELECT (extract(epoch FROM now()) * 1e6)::bigint").await.unwrap();
    let first = ids(&client, &now, &[]).await[0];
    assert!(ids(&client, &now, &[]).await[0] > first, "another statement, another time");
    let transaction = client.transaction().await.unwrap();
    let time = transaction.query_one(&now, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(transaction.query_one(&now, &[]).await.unwrap().get::<_, i64>(0), time);
    transaction.commit().await.unwrap();

    let shown = client.prepare("SELECT current_setting('application_name')").await.unwrap();
    for name in ["a", "b"] {
        client.batch_execute(&format!("SET application_name = '{name}'")).await.unwrap();
        assert_eq!(client.query_one(&shown, &[]).await.unwrap().get::<_, String>(0), name);
    }
    // The same text means another moment in another zone.
    let text = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::bigint";
    let mut moments = Vec::new();
    for zone in ["UTC", "Asia/Tokyo"] {
        client.batch_execute(&format!("SET timezone = '{zone}'")).await.unwrap();
        moments.push(client.query_one(text, &[]).await.unwrap().get::<_, i64>(0));
    }
    assert_eq!(moments[0] - moments[1], 9 * 3600);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_found_for_the_role_of_now() {
    let (node, client) = client().await;
    let load = "CREATE ROLE alice; CREATE ROLE bob; CREATE SCHEMA alice AUTHORIZATION alice;
        CREATE SCHEMA bob AUTHORIZATION bob;
        CREATE TABLE alice.t (id bigint); INSERT INTO alice.t VALUES (1);
        CREATE TABLE bob.t (id bigint); INSERT INTO bob.t VALUES (2);
        GRANT SELECT ON alice.t TO alice; GRANT SELECT ON bob.t TO bob";
    client.batch_execute(load).await.unwrap();
    client.batch_execute("SET ROLE alice").await.unwrap();
    let rows = client.prepare("SELECT id FROM t").await.unwrap();
    assert_eq!(ids(&client, &rows, &[]).await, [1]);
    client.batch_execute("SET ROLE bob").await.unwrap();
    assert_eq!(ids(&client, &rows, &[]).await, [2]);
    client.batch_execute("BEGIN; SET LOCAL ROLE alice").await.unwrap();
    assert_eq!(ids(&client, &rows, &[]).await, [1]);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&client, &rows, &[]).await, [2]);
    client.batch_execute("RESET ROLE").await.unwrap();
    assert!(client.query(&rows, &[]).await.is_err(), "nobody else has a table of that name");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_follow_the_catalog_and_keep_nothing_of_a_run() {
    let (node, mut client) = client().await;
    client.batch_execute("CREATE TABLE a (x int); INSERT INTO a VALUES (1), (2)").await.unwrap();
    let text = "SELECT * FROM a ORDER BY 1";
    assert_eq!(client.query(text, &[]).await.unwrap()[0].len(), 1);
    client.batch_execute("ALTER TABLE a ADD COLUMN y int DEFAULT 7").await.unwrap();
    assert_eq!(client.query(text, &[]).await.unwrap()[0].get::<_, i32>(1), 7);

    let steps =
        "WITH RECURSIVE s(n) AS (SELECT $1::bigint UNION ALL SELECT n + 1 FROM s WHERE n < 5)
        SELECT n FROM s";
    let steps = client.prepare(steps).await.unwrap();
    let join = "SELECT count(*) FROM a JOIN a b ON a.x = b.x WHERE b.x > $1";
    let join = client.prepare(join).await.unwrap();
    for from in 1..=3_i64 {
        assert_eq!(ids(&client, &steps, &[&from]).await, (from..=5).collect::<Vec<_>>());
        let above = i32::try_from(from).unwrap() - 1;
        assert_eq!(ids(&client, &join, &[&above]).await, [(2 - i64::from(above)).max(0)]);
    }

    // Two portals of one statement, read in turns.
    let many = client.prepare("SELECT g + $1 FROM generate_series(1, 3) g").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let one = transaction.bind(&many, &[&10_i32]).await.unwrap();
    let two = transaction.bind(&many, &[&20_i32]).await.unwrap();
    for n in 1..=3 {
        for (portal, base) in [(&one, 10), (&two, 20)] {
            let rows = transaction.query_portal(portal, 1).await.unwrap();
            assert_eq!(rows[0].get::<_, i32>(0), base + n);
        }
    }
    transaction.commit().await.unwrap();
    node.stop().await;
}
