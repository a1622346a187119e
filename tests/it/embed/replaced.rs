//! A column goes over to another model.

use super::{
    column, eventually, near, numbers, one, replaced, run, taught, tiny::Tiny, tiny_model, vector,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_goes_over_to_another_model_at_once() {
    let (old, new) = (Tiny::new(9, 8), Tiny::new(10, 12));
    let (node, client, folder) = taught(&[("m", &old), ("n", &new)]).await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED);
         INSERT INTO t SELECT n, (ARRAY['cat','dog','boat','ship','road','sea','bread','milk'])[n % 8 + 1] || ' ' ||
           (ARRAY['red','blue','green','fast','slow','light','night'])[n % 7 + 1] FROM generate_series(1, 6000) n;
         CREATE INDEX i ON t USING spfresh (v vector_cosine_ops);
         DELETE FROM t WHERE id % 10 = 0",
    )
    .await;

    run(&client, "ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))").await;
    // Until then everything is as it was, and whoever looks sees one model or the other.
    let mut seen = Vec::new();
    let clock = nearlake::clock::SystemClock::shared();
    for round in 0.. {
        let dims = column(&client, "SELECT DISTINCT vector_dims(v)::text FROM t").await;
        assert_eq!(dims.len(), 1, "{dims:?}");
        if seen.last() != dims.first() {
            seen.extend(dims);
        }
        if round < 40 {
            let insert = format!("INSERT INTO t VALUES ({}, 'fast car')", 10_000 + round);
            run(&client, &insert).await;
        }
        if round >= 40 && seen.len() == 2 {
            break;
        }
        assert!(round < 2000, "{seen:?}");
        clock.sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(seen, [Some("8".to_owned()), Some("12".to_owned())]);
    replaced(&client).await;
    assert_eq!(one(&client, "SELECT count(*)::text || ' ' || count(v) FROM t").await, "5440 5440");
    let kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'v'";
    assert_eq!(one(&client, kind).await, "vector(12)");
    for row in
        client.query("SELECT b, v::text FROM t WHERE id < 40 OR id >= 10000", &[]).await.unwrap()
    {
        near(&numbers(row.get(1)), &new.vector(row.get(0)));
    }
    // The index is there, and finds what a scan finds.
    let search = "SELECT string_agg(b, ',') FROM (SELECT b FROM t ORDER BY v <=> embed('sea slow', 'n') LIMIT 20) AS x";
    let by_index = one(&client, search).await;
    run(&client, "SET enable_indexscan = off").await;
    assert_eq!(by_index, one(&client, search).await);
    run(&client, "RESET enable_indexscan; DROP EMBEDDING MODEL m").await;
    assert_eq!(
        column(&client, "SELECT relname FROM pg_class WHERE relname LIKE 'nearlake_embedding_%'")
            .await
            .len(),
        0
    );

    // It can be called off, and a table without rows goes over at once.
    run(&client, &tiny_model(folder.path(), "o", &old, "")).await;
    run(
        &client,
        "CREATE TABLE e (b text, v vector(12) GENERATED ALWAYS AS (embed(b, 'n')) STORED);
         CREATE INDEX ON e USING spfresh (v vector_cosine_ops);
         ALTER TABLE e ALTER COLUMN v SET EXPRESSION AS (embed(b, 'o')); INSERT INTO e VALUES ('cat')",
    )
    .await;
    near(&vector(&client, "SELECT v::text FROM e").await, &old.vector("cat"));
    run(
        &client,
        "BEGIN; ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'o'));
         ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n')); COMMIT",
    )
    .await;
    replaced(&client).await;
    assert_eq!(one(&client, kind).await, "vector(12)");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_keeps_every_row_and_nobody_waiting() {
    let (old, new) = (Tiny::new(45, 8), Tiny::new(46, 8));
    let (node, client, _folder) = taught(&[("m", &old), ("n", &new)]).await;
    // Whatever transactions are by default, the worker sees what was committed before its lock.
    run(
        &client,
        "ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read';
         ALTER DATABASE postgres SET default_transaction_read_only = on;
         CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED);
         INSERT INTO t SELECT n, 'cat' FROM generate_series(1, 300) n",
    )
    .await;
    let writer = node.client().await;
    run(&writer, "SET default_transaction_read_only = off; SET statement_timeout = '1s'").await;
    run(&client, "ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))").await;
    let holder = node.client().await;
    run(
        &holder,
        "SET default_transaction_read_only = off; BEGIN; INSERT INTO t VALUES (1000, 'dog')",
    )
    .await;
    let pending = "SELECT coalesce(max(rows_pending), 0)::text FROM nearlake_stat_embedding";
    eventually(&client, pending, "0").await;
    // The switch would have to wait for the holder; those who write meanwhile do not wait for it.
    for id in 2000..2040 {
        run(&writer, &format!("INSERT INTO t VALUES ({id}, 'sea')")).await;
    }
    run(&holder, "COMMIT").await;
    replaced(&client).await;
    assert_eq!(one(&client, "SELECT count(*) || ' ' || count(v) FROM t").await, "341 341");
    for (id, text) in [(1, "cat"), (1000, "dog"), (2039, "sea")] {
        let made = one(&client, &format!("SELECT v::text FROM t WHERE id = {id}")).await;
        near(&numbers(&made), &new.vector(text));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_constraints_refuse_is_told_before_the_switch() {
    let (old, new) = (Tiny::new(47, 8), Tiny::new(48, 12));
    let (node, client, _folder) = taught(&[("m", &old), ("n", &new)]).await;
    run(
        &client,
        "CREATE TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED,
           CONSTRAINT narrow CHECK (vector_dims(v) < 10));
         INSERT INTO t SELECT n, 'cat' FROM generate_series(1, 10) n;
         ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))",
    )
    .await;
    let told = "SELECT phase || ' ' || coalesce(last_error, '') FROM nearlake_stat_embedding";
    let refusal = "replacing new row for relation \"t\" violates check constraint \"narrow\"";
    eventually(&client, told, refusal).await;
    assert_eq!(one(&client, "SELECT max(vector_dims(v))::text FROM t").await, "8");
    run(&client, "ALTER TABLE t DROP CONSTRAINT narrow").await;
    replaced(&client).await;
    assert_eq!(one(&client, "SELECT min(vector_dims(v))::text FROM t").await, "12");
    node.stop().await;
}
