//! Vectors that come behind the statement.

use super::{eventually, near, one, refused, replaced, run, settled, taught, tiny::Tiny, vector};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deferred_vectors_come_later_and_to_every_row() {
    let tiny = Tiny::new(8, 8);
    let (node, client, _folder) = taught(&[("m", &tiny)]).await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, b text, n int DEFAULT 0,
           v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED) WITH (embedding = deferred);
         CREATE INDEX ON t USING spfresh (v vector_cosine_ops)",
    )
    .await;
    // Rows of an open transaction have none, and are there.
    run(
        &client,
        "BEGIN; INSERT INTO t (id, b) SELECT n, 'cat ' || n FROM generate_series(1, 500) n",
    )
    .await;
    assert_eq!(one(&client, "SELECT count(*) || ' ' || count(v) FROM t").await, "500 0");
    run(&client, "COMMIT; INSERT INTO t (id, b) VALUES (501, NULL)").await;
    settled(&client, "t", 500).await;
    near(&vector(&client, "SELECT v::text FROM t WHERE id = 77").await, &tiny.vector("cat x"));

    // A new text drops the old vector at once; another column leaves it.
    run(&client, "BEGIN; UPDATE t SET b = 'dog' WHERE id = 5; UPDATE t SET n = 1 WHERE id = 6")
        .await;
    assert_eq!(
        one(
            &client,
            "SELECT string_agg((v IS NULL)::text, ' ' ORDER BY id) FROM t WHERE id IN (5, 6)"
        )
        .await,
        "true false"
    );
    run(&client, "COMMIT").await;
    settled(&client, "t", 500).await;
    near(&vector(&client, "SELECT v::text FROM t WHERE id = 5").await, &tiny.vector("dog"));
    assert_eq!(
        one(&client, "SELECT id::text FROM t ORDER BY v <=> embed('dog', 'm') LIMIT 1").await,
        "5"
    );

    // A text that no model takes keeps none of the others waiting, and is told.
    let long = "cat ".repeat(20);
    run(&client, &format!("INSERT INTO t (id, b) VALUES (600, '{long}'), (601, 'sea')")).await;
    settled(&client, "t", 501).await;
    let told = "SELECT rows_failed || ' ' || last_error FROM nearlake_stat_embedding";
    eventually(&client, told, "1 a text of 22 tokens is too long").await;
    run(&client, "UPDATE t SET b = 'river' WHERE id = 600").await;
    settled(&client, "t", 502).await;
    // Nor does a vector that a constraint refuses.
    run(
        &client,
        "ALTER TABLE t ADD CONSTRAINT no_milk CHECK (v <=> embed('milk', 'm') > 0.0001);
         INSERT INTO t (id, b) VALUES (700, 'milk'), (701, 'sea')",
    )
    .await;
    settled(&client, "t", 503).await;
    let told = "SELECT rows_failed || ' ' || last_error FROM nearlake_stat_embedding";
    eventually(&client, told, "1 new row for relation \"t\" violates check constraint").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_written_with_quotes_is_read_as_any_other() {
    let (tiny, other) = (Tiny::new(40, 8), Tiny::new(41, 8));
    let (node, client, _folder) = taught(&[("m", &tiny), ("n", &other)]).await;
    run(
        &client,
        r#"CREATE TABLE t (id int, "my-text" text, "body ""of"" it" text,
             v vector(8) GENERATED ALWAYS AS (embed("my-text" || ' ' || "body ""of"" it", 'm')) STORED)
             WITH (embedding = deferred);
           INSERT INTO t VALUES (1, 'red', 'cat'), (2, 'blue', NULL)"#,
    )
    .await;
    settled(&client, "t", 1).await;
    let made = "SELECT v::text FROM t WHERE id = 1";
    near(&vector(&client, made).await, &tiny.vector("red cat"));
    run(&client, r#"ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed("my-text", 'n'))"#).await;
    replaced(&client).await;
    settled(&client, "t", 2).await;
    near(&vector(&client, made).await, &other.vector("red"));
    let drop = r#"ALTER TABLE t DROP COLUMN "my-text""#;
    assert_eq!(refused(&client, drop).await.0, "2BP01");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_wait_get_their_vectors_whatever_becomes_of_the_table() {
    let tiny = Tiny::new(44, 8);
    let (node, client, _folder) = taught(&[("m", &tiny)]).await;
    run(
        &client,
        "CREATE TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)
           WITH (embedding = deferred);
         BEGIN; INSERT INTO t SELECT n, 'cat' FROM generate_series(1, 400) n;
         ALTER TABLE t RESET (embedding); COMMIT;
         INSERT INTO t VALUES (401, 'dog')",
    )
    .await;
    // From then on they are made at once.
    near(&vector(&client, "SELECT v::text FROM t WHERE id = 401").await, &tiny.vector("dog"));
    settled(&client, "t", 401).await;

    // A new column of a large table is completed behind the statement; of a small one it is there.
    let notices =
        "SELECT phase || ' ' || rows_total FROM nearlake_stat_embedding WHERE attname = 'w'";
    run(
        &client,
        "ALTER TABLE t ADD COLUMN w vector(8) GENERATED ALWAYS AS (embed(b || ' red', 'm')) STORED",
    )
    .await;
    assert_eq!(one(&client, notices).await, "inline 401");
    eventually(&client, "SELECT count(w)::text FROM t", "401").await;
    near(&vector(&client, "SELECT w::text FROM t WHERE id = 401").await, &tiny.vector("dog red"));
    run(
        &client,
        "CREATE TABLE s (b text); INSERT INTO s VALUES ('sea'); BEGIN;
         ALTER TABLE s ADD COLUMN v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED",
    )
    .await;
    near(&vector(&client, "SELECT v::text FROM s").await, &tiny.vector("sea"));
    run(&client, "COMMIT").await;
    node.stop().await;
}
