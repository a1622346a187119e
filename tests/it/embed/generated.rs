//! Columns whose vectors are made of texts, with the statement that writes these.

use super::{
    check_refusal, column, near, numbers, one, refused, run, taught, texts, tiny::Tiny, vector,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_vector_is_made_where_its_text_changes_and_nowhere_else() {
    let tiny = Tiny::new(3, 8);
    let (node, client, _folder) = taught(&[("m", &tiny)]).await;
    run(
        &client,
        "SET nearlake.embedding_model = 'm';
         CREATE TABLE t (id int PRIMARY KEY, body text, n int DEFAULT 0,
           v vector(8) GENERATED ALWAYS AS (embed(body)) STORED)",
    )
    .await;
    // The expression names the model that the session meant, the column remembers it.
    let generation = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 't'::regclass AND adnum = 4";
    assert_eq!(one(&client, generation).await, "(embed(body, 'm'))");
    let models = "SELECT models::text || versions::text || length(checksums[1]) FROM nearlake_stat_embedding";
    assert_eq!(one(&client, models).await, "{m}{1}64");
    run(&client, "RESET nearlake.embedding_model").await;

    let mut done = texts(&node).await;
    let mut spent = async |what: &str, expected: f64| {
        let now = texts(&node).await;
        assert_eq!(now - done, expected, "{what}");
        done = now;
    };
    run(&client, "INSERT INTO t (id, body) VALUES (1, 'red cat'), (2, 'blue dog'), (3, NULL)")
        .await;
    spent("an insert", 2.0).await;
    let sink = client.copy_in::<_, bytes::Bytes>("COPY t (id, body) FROM STDIN").await.unwrap();
    futures::pin_mut!(sink);
    futures::SinkExt::send(&mut sink, bytes::Bytes::from("4\tslow boat\n5\tfast car\n"))
        .await
        .unwrap();
    assert_eq!(sink.finish().await.unwrap(), 2);
    spent("a COPY", 2.0).await;
    run(&client, "UPDATE t SET n = n + 1").await;
    spent("an update of another column", 0.0).await;
    run(&client, "UPDATE t SET body = CASE id WHEN 2 THEN 'green dog' ELSE body END, n = 7").await;
    spent("an update that leaves all texts but one", 1.0).await;
    run(&client, "UPDATE t SET body = NULL WHERE id = 1").await;
    spent("a text that goes", 0.0).await;
    run(&client, "INSERT INTO t (id, body) VALUES (2, 'green dog') ON CONFLICT (id) DO UPDATE SET body = excluded.body").await;

    let made = column(&client, "SELECT v::text FROM t ORDER BY id").await;
    assert_eq!((made[0].as_ref(), made[2].as_ref()), (None, None));
    for (place, text) in [(1, "green dog"), (3, "slow boat"), (4, "fast car")] {
        near(&numbers(made[place].as_ref().unwrap()), &tiny.vector(text));
    }

    check_refusal(&refused(&client, "DROP EMBEDDING MODEL m").await, "2BP01", "cannot drop");
    check_refusal(
        &refused(&client, "ALTER EMBEDDING MODEL m SET (pooling = cls)").await,
        "2BP01",
        "cannot change",
    );
    check_refusal(
        &refused(&client, "ALTER EMBEDDING MODEL m RENAME TO n").await,
        "2BP01",
        "cannot rename",
    );
    run(&client, "DROP TABLE t; ALTER EMBEDDING MODEL m SET (pooling = cls); ALTER EMBEDDING MODEL m RENAME TO n").await;
    assert_eq!(
        one(&client, "SELECT version::text FROM nearlake_models WHERE name = 'n'").await,
        "2"
    );
    run(&client, "DROP EMBEDDING MODEL n").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_vectors_go_through_returning_conflicts_views_and_rollback() {
    let tiny = Tiny::new(50, 8);
    let (node, client, _folder) = taught(&[("m", &tiny)]).await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED);
         CREATE VIEW w AS SELECT id, v <=> embed('cat', 'm') AS far FROM t",
    )
    .await;
    let vector = async |sql: &str| vector(&client, sql).await;

    near(
        &vector("INSERT INTO t VALUES (1, 'red cat') RETURNING v::text").await,
        &tiny.vector("red cat"),
    );
    let conflict = "INSERT INTO t VALUES (1, 'dog') ON CONFLICT (id) DO";
    assert_eq!(column(&client, &format!("{conflict} NOTHING RETURNING v::text")).await.len(), 0);
    let update = format!("{conflict} UPDATE SET b = excluded.b || ' fast' RETURNING v::text");
    near(&vector(&update).await, &tiny.vector("dog fast"));
    near(&vector("UPDATE t SET b = 'cat' RETURNING v::text").await, &tiny.vector("cat"));
    assert_eq!(one(&client, "SELECT (far < 0.0001)::text FROM w").await, "true");
    let set = refused(&client, "UPDATE t SET v = NULL").await;
    assert_eq!(set.0, "428C9");

    run(&client, "BEGIN; UPDATE t SET b = 'milk'; SAVEPOINT s").await;
    run(&client, "INSERT INTO t VALUES (2, 'bread'); ROLLBACK TO s").await;
    near(&vector("SELECT v::text FROM t").await, &tiny.vector("milk"));
    run(&client, "ROLLBACK").await;
    near(&vector("DELETE FROM t RETURNING v::text").await, &tiny.vector("cat"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_table_has_its_vectors_at_once() {
    let (tiny, other) = (Tiny::new(42, 8), Tiny::new(43, 12));
    let (node, client, _folder) = taught(&[("m", &tiny), ("n", &other)]).await;
    run(
        &client,
        "CREATE TEMP TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)
           WITH (embedding = deferred);
         CREATE INDEX ON t USING spfresh (v vector_cosine_ops);
         INSERT INTO t SELECT n, 'sea ' || n FROM generate_series(1, 299) n;
         INSERT INTO t VALUES (300, 'cat')",
    )
    .await;
    let made = "SELECT v::text FROM t WHERE id = 300";
    near(&vector(&client, made).await, &tiny.vector("cat"));
    run(&client, "ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))").await;
    near(&vector(&client, made).await, &other.vector("cat"));
    assert_eq!(one(&client, "SELECT count(v)::text FROM t").await, "300");
    let nearest = "SELECT id::text FROM t ORDER BY v <=> embed('cat', 'n') LIMIT 1";
    assert_eq!(one(&client, nearest).await, "300");
    node.stop().await;
}
