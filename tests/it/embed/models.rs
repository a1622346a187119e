//! Models: how they are declared, what is wrong with them, and what depends on them.

use super::{
    check_refusal, near, one, refused, run, start_on, taught, tiny::Tiny, tiny_model, vector,
};
use tokio_postgres::error::SqlState;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_its_remedy_and_fails_its_statement_only() {
    let tiny = Tiny::new(5, 8);
    let (node, client, folder) = taught(&[("m", &tiny)]).await;
    let at = |name: &str| folder.path().join(name);

    check_refusal(&refused(&client, "SELECT embed('x')").await, "22023", "not told which model");
    let refusal = refused(&client, "SELECT embed('x', 'n')").await;
    check_refusal(&refusal, "42704", "\"n\" does not exist");
    assert_eq!(refusal.2, "did you mean \"m\"?");
    check_refusal(
        &refused(&client, "SELECT embed('x', m) FROM (VALUES ('m')) AS t(m)").await,
        "0A000",
        "literal",
    );
    check_refusal(
        &refused(&client, "SELECT rerank('x', 'y', 'm')").await,
        "42809",
        "embedding model",
    );
    let refusal = refused(
        &client,
        "CREATE TABLE t (b text, v vector(7) GENERATED ALWAYS AS (embed(b, 'm')) STORED)",
    )
    .await;
    check_refusal(&refusal, "22000", "expected 7 dimensions, not 8");
    for (sql, state, word) in [
        ("CREATE EMBEDDING MODEL x WITH (path = '/no/such/folder')", "58P01", "/no/such/folder"),
        ("CREATE EMBEDDING MODEL x WITH (dims = 8)", "22023", "comes from"),
        ("CREATE EMBEDDING MODEL x WITH (pth = 'x')", "22023", "unrecognized parameter"),
        ("ALTER EMBEDDING MODEL m SET (max_length = 65)", "22023", "more than the model has"),
        ("CREATE EMBEDDING MODEL x WITH (path = '/', pooling = max)", "22023", "pooling"),
        ("DROP EMBEDDING MODEL x", "42704", "does not exist"),
    ] {
        check_refusal(&refused(&client, sql).await, state, word);
    }
    let wide = tiny_model(folder.path(), "wide", &tiny, ", max_length = 65");
    check_refusal(&refused(&client, &wide).await, "22023", "more than the model has positions for");
    run(&client, "DROP EMBEDDING MODEL IF EXISTS x").await;
    run(
        &client,
        &tiny_model(folder.path(), "m", &tiny, "").replace("MODEL m", "MODEL IF NOT EXISTS m"),
    )
    .await;

    // Ten megabytes; a file that is cut off; a tokenizer of another model; other dimensions.
    let refusal = refused(&client, "SELECT embed(repeat('cat ', 2621440), 'm')").await;
    check_refusal(&refusal, "54000", "10485760 bytes");
    let cut = tiny.write(&at("cut"));
    let whole = std::fs::read(cut.join("model.onnx")).unwrap();
    std::fs::write(cut.join("model.onnx"), &whole[..whole.len() / 2]).unwrap();
    let garbled = tiny.write(&at("garbled"));
    std::fs::write(garbled.join("tokenizer.json"), "{}").unwrap();
    let other = tiny.write(&at("other"));
    let text = std::fs::read_to_string(other.join("tokenizer.json")).unwrap();
    std::fs::write(other.join("tokenizer.json"), text.replace("\"cat\":6", "\"cat\":6000"))
        .unwrap();
    tiny.write(&at("dims"));
    let make = async |name: &str, options: &str| {
        let path = at(name);
        let sql =
            format!("CREATE EMBEDDING MODEL {name} WITH (path = '{}'{options})", path.display());
        run(&client, &sql).await;
    };
    for (name, options, state, word) in [
        ("cut", "", "XX001", "model \"cut\""),
        ("garbled", "", "XX001", "model \"garbled\""),
        ("other", "", "XX001", "model \"other\""),
        ("dims", ", dims = 9", "22000", "8 dimensions, not 9"),
    ] {
        make(name, options).await;
        check_refusal(
            &refused(&client, &format!("SELECT embed('cat', '{name}')")).await,
            state,
            word,
        );
    }
    // Bytes that are no UTF-8 do not get so far.
    let refusal = client
        .simple_query("SELECT embed(convert_from('\\xff'::bytea, 'UTF8'), 'm')")
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE));
    // Only its own statement fails.
    run(
        &client,
        "CREATE TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)",
    )
    .await;
    let long = "cat ".repeat(20);
    let insert = format!("INSERT INTO t VALUES (1, 'cat'), (2, '{long}')");
    check_refusal(&refused(&client, &insert).await, "54000", "too long");
    run(&client, "INSERT INTO t VALUES (3, 'dog')").await;
    assert_eq!(one(&client, "SELECT string_agg(id::text, ' ') FROM t").await, "3");
    near(&vector(&client, "SELECT embed('cat', 'm')").await, &tiny.vector("cat"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_refused_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let (tiny, other) = (Tiny::new(6, 8), Tiny::new(7, 8));
    let node = start_on(data).await;
    let client = node.client().await;
    run(&client, &tiny_model(folder.path(), "m", &tiny, "")).await;
    near(&vector(&client, "SELECT embed('cat', 'm')").await, &tiny.vector("cat"));
    other.write(&folder.path().join("m"));
    // What is in memory is what was checked.
    near(&vector(&client, "SELECT embed('dog', 'm')").await, &tiny.vector("dog"));
    node.stop().await;

    let node = start_on(data).await;
    let client = node.client().await;
    check_refusal(&refused(&client, "SELECT embed('cat', 'm')").await, "55000", "has changed");
    run(&client, "ALTER EMBEDDING MODEL m ACCEPT FILES").await;
    near(&vector(&client, "SELECT embed('cat', 'm')").await, &other.vector("cat"));
    assert_eq!(one(&client, "SELECT version::text FROM nearlake_models").await, "2");

    // The same files elsewhere are the same model, also for columns that have its vectors.
    run(&client, "CREATE TABLE t (b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)")
        .await;
    let elsewhere = other.write(&folder.path().join("elsewhere"));
    let moved = format!("ALTER EMBEDDING MODEL m SET (path = '{}')", elsewhere.display());
    run(&client, &moved).await;
    assert_eq!(one(&client, "SELECT version::text FROM nearlake_models").await, "2");
    std::fs::remove_dir_all(folder.path().join("m")).unwrap();
    run(&client, "INSERT INTO t VALUES ('ship')").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_others_change_or_use_is_not_taken_for_what_it_was() {
    let tiny = Tiny::new(49, 8);
    let (node, client, _folder) = taught(&[("m", &tiny), ("n", &tiny)]).await;
    let other = node.client().await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM nearlake_models";
    let table = |name: &str, model: &str| {
        format!(
            "CREATE TABLE {name} (b text, v vector(8) GENERATED ALWAYS AS (embed(b, '{model}')) STORED)"
        )
    };
    for late in [
        table("t", "m"),
        "ALTER EMBEDDING MODEL m SET (max_length = 8)".to_owned(),
        "DROP EMBEDDING MODEL m".to_owned(),
    ] {
        run(&client, begin).await;
        run(&other, "ALTER EMBEDDING MODEL m SET (overflow = truncate)").await;
        assert_eq!(refused(&client, &late).await.0, "40001", "{late}");
        run(&client, "ROLLBACK").await;
        run(&other, "ALTER EMBEDDING MODEL m SET (overflow = error)").await;
    }
    // A column that the transaction does not see depends on it all the same.
    run(&client, begin).await;
    run(&other, &table("u", "n")).await;
    assert_eq!(refused(&client, "DROP EMBEDDING MODEL n").await.0, "2BP01");
    run(&client, "ROLLBACK").await;
    node.stop().await;
}
