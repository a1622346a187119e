//! Text becomes vectors: models, `embed()`, generated columns, the worker behind them, HTTP.
//!
//! Most tests ask tiny models that they write themselves; `real.rs` asks all-MiniLM-L6-v2.

/// Killed while vectors are made.
mod crash;
/// Over HTTP, both ways.
mod http;
/// The real model, beside Python's.
mod real;
/// Measurements.
mod speed;
/// Models of a few KB.
pub(crate) mod tiny;

pub(crate) use real::model;

use crate::support::{self, Running};
use std::path::{Path, PathBuf};
use tiny::{Tiny, unit};
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

/// The virtual environment, whose onnxruntime runs the models.
pub(crate) fn venv() -> PathBuf {
    let venv = std::env::var_os("NEARLAKE_VENV")
        .expect("NEARLAKE_VENV names the virtual environment; run the tests by `make test`");
    let venv = PathBuf::from(venv);
    assert!(
        venv.join("bin/python").exists(),
        "{} has no Python: pip could not deliver what scripts/requirements.txt lists",
        venv.display()
    );
    venv
}

/// A node in memory that finds the runtime.
async fn start() -> Running {
    start_on("memory:").await
}

async fn start_on(data: &str) -> Running {
    support::start_on(data, &["--onnxruntime", venv().to_str().unwrap()]).await
}

/// The error's code, message and hint.
async fn refused(client: &Client, sql: &str) -> (String, String, String) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
    let hint = error.hint().unwrap_or_default().to_owned();
    (error.code().code().to_owned(), error.message().to_owned(), hint)
}

#[track_caller]
fn check_refusal((code, message, hint): &(String, String, String), state: &str, word: &str) {
    assert_eq!(code, state, "{message}");
    assert!(message.contains(word), "`{word}` is not in: {message}");
    assert!(!hint.is_empty(), "no hint: {message}");
}

/// Values of one column as text.
async fn column(client: &Client, sql: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for message in client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    {
        if let SimpleQueryMessage::Row(row) = message {
            values.push(row.get(0).map(str::to_owned));
        }
    }
    values
}

async fn one(client: &Client, sql: &str) -> String {
    let mut values = column(client, sql).await;
    assert_eq!(values.len(), 1, "{sql}");
    values.remove(0).unwrap_or_else(|| panic!("{sql} gave NULL"))
}

fn numbers(text: &str) -> Vec<f32> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    inner.split(',').map(|number| number.parse().unwrap()).collect()
}

#[track_caller]
fn near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    let far = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-5, "{actual:?} is not {expected:?}");
}

/// A folder with a tiny model, and the statement that makes it known.
pub(crate) fn tiny_model(folder: &Path, name: &str, tiny: &Tiny, options: &str) -> String {
    let path = tiny.write(&folder.join(name));
    let path = path.display();
    format!("CREATE EMBEDDING MODEL {name} WITH (path = '{path}'{options})")
}

/// What the node has counted.
async fn metric(node: &Running, name: &str) -> f64 {
    let text = http::get(node.http_addr(), "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
}

async fn texts(node: &Running) -> f64 {
    metric(node, "nearlake_embed_texts_total").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_what_its_model_makes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(1, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    for (name, options) in [
        ("plain", ", normalize = none"),
        ("first", ", normalize = none, pooling = cls"),
        ("wide", ", max_length = 64"),
    ] {
        client.batch_execute(&tiny_model(folder.path(), name, &tiny, options)).await.unwrap();
    }
    let vector = async |sql: &str| numbers(&one(&client, sql).await);

    near(&vector("SELECT embed('The cat sits', 'm')").await, &tiny.vector("the cat sits"));
    near(&vector("SELECT embed('the cat sits', 'plain')").await, &tiny.mean("the cat sits"));
    near(&vector("SELECT embed('the cat sits', 'first')").await, &tiny.first());
    near(&vector("SELECT embed('', 'm')").await, &tiny.vector(""));
    near(&vector("SELECT embed(E'unheard\\nof \\u00e9', 'm')").await, &tiny.vector("x x x"));
    near(&vector("SELECT l2_normalize(embed('red car', 'plain'))").await, &tiny.vector("red car"));
    assert_eq!(column(&client, "SELECT embed(NULL, 'm')").await, [None]);

    // The session's model, parameters, columns, arrays.
    client.batch_execute("SET nearlake.embedding_model = 'm'").await.unwrap();
    near(&vector("SELECT embed('slow boat')").await, &tiny.vector("slow boat"));
    let row = client.query_one("SELECT embed($1)::text", &[&"fast ship"]).await.unwrap();
    near(&numbers(row.get(0)), &tiny.vector("fast ship"));
    let words = "SELECT embed(w)::text FROM (VALUES (1, 'milk'), (2, NULL), (3, 'bread and milk')) AS t(n, w) ORDER BY n";
    let made = column(&client, words).await;
    near(&numbers(made[0].as_ref().unwrap()), &tiny.vector("milk"));
    assert_eq!(made[1], None);
    near(&numbers(made[2].as_ref().unwrap()), &tiny.vector("bread x milk"));
    let each = "SELECT v::text FROM unnest(embed(ARRAY['red', NULL, 'blue'])) AS v";
    let made = column(&client, each).await;
    assert_eq!(made.len(), 3);
    near(&numbers(made[2].as_ref().unwrap()), &tiny.vector("blue"));
    assert_eq!(column(&client, "SELECT embed(NULL::text[])").await, [None]);
    let condition = "SELECT count(*) FROM (VALUES ('cat'), ('dog')) AS t(w) WHERE embed(w) <=> embed('cat') < 0.0001";
    assert_eq!(one(&client, condition).await, "1");
    let folded = "SELECT vector_dims(avg(embed(w))) FROM (VALUES ('cat'), ('dog')) AS t(w) GROUP BY embed(w) <=> embed('cat') > 9";
    assert_eq!(one(&client, folded).await, "8");

    let shown = one(&client, "SELECT dims || ' ' || pooling || ' ' || version || ' ' || loaded FROM nearlake_models WHERE name = 'first'").await;
    assert_eq!(shown, "8 cls 1 true");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_embeds_its_text_once_and_goes_by_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(2, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client
        .batch_execute(
            "SET nearlake.embedding_model = 'm';
             CREATE TABLE t (id int PRIMARY KEY, body text,
               v vector(8) GENERATED ALWAYS AS (embed(body)) STORED);
             INSERT INTO t SELECT n, (ARRAY['cat','dog','boat','ship','road','sea','bread','milk'])[n % 8 + 1]
               || ' ' || (ARRAY['red','blue','green','fast','slow','light','night'])[n % 7 + 1] FROM generate_series(1, 6000) n;
             CREATE INDEX ON t USING spfresh (v vector_cosine_ops)",
        )
        .await
        .unwrap();
    assert!(texts(&node).await >= 6000.0);

    let search = "SELECT body FROM t ORDER BY v <=> embed('boat green') LIMIT 3";
    let plan = column(&client, &format!("EXPLAIN {search}")).await;
    let plan: Vec<String> = plan.into_iter().flatten().collect();
    assert!(
        plan.iter().any(|line| line.contains("Index Scan") || line.contains("Nearest")),
        "{plan:?}"
    );
    assert!(!plan.iter().any(|line| line.contains("Sort")), "{plan:?}");
    let before = texts(&node).await;
    let statement =
        client.prepare("SELECT body FROM t ORDER BY v <=> embed($1) LIMIT 3").await.unwrap();
    for (text, first) in [("boat night", "boat"), ("milk slow", "milk"), ("the bread red", "bread")]
    {
        let rows = client.query(&statement, &[&text]).await.unwrap();
        assert!(rows[0].get::<_, &str>(0).starts_with(first), "{text}");
    }
    assert_eq!(texts(&node).await - before, 3.0);
    // What was asked lately is known.
    let hits = metric(&node, "nearlake_embed_cache_total{outcome=\"hit\"}").await;
    client.query(&statement, &[&"boat night"]).await.unwrap();
    assert_eq!(texts(&node).await - before, 3.0);
    assert_eq!(metric(&node, "nearlake_embed_cache_total{outcome=\"hit\"}").await - hits, 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_vector_is_made_where_its_text_changes_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(3, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client
        .batch_execute(
            "SET nearlake.embedding_model = 'm';
             CREATE TABLE t (id int PRIMARY KEY, body text, n int DEFAULT 0,
               v vector(8) GENERATED ALWAYS AS (embed(body)) STORED)",
        )
        .await
        .unwrap();
    // The expression names the model that the session meant, the column remembers it.
    let generation = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 't'::regclass AND adnum = 4";
    assert_eq!(one(&client, generation).await, "(embed(body, 'm'))");
    let models = "SELECT models::text || versions::text || length(checksums[1]) FROM nearlake_stat_embedding";
    assert_eq!(one(&client, models).await, "{m}{1}64");
    client.batch_execute("RESET nearlake.embedding_model").await.unwrap();

    let mut done = texts(&node).await;
    let mut spent = async |what: &str, expected: f64| {
        let now = texts(&node).await;
        assert_eq!(now - done, expected, "{what}");
        done = now;
    };
    client
        .batch_execute("INSERT INTO t (id, body) VALUES (1, 'red cat'), (2, 'blue dog'), (3, NULL)")
        .await
        .unwrap();
    spent("an insert", 2.0).await;
    let sink = client.copy_in::<_, bytes::Bytes>("COPY t (id, body) FROM STDIN").await.unwrap();
    futures::pin_mut!(sink);
    futures::SinkExt::send(&mut sink, bytes::Bytes::from("4\tslow boat\n5\tfast car\n"))
        .await
        .unwrap();
    assert_eq!(sink.finish().await.unwrap(), 2);
    spent("a COPY", 2.0).await;
    client.batch_execute("UPDATE t SET n = n + 1").await.unwrap();
    spent("an update of another column", 0.0).await;
    client
        .batch_execute("UPDATE t SET body = CASE id WHEN 2 THEN 'green dog' ELSE body END, n = 7")
        .await
        .unwrap();
    spent("an update that leaves all texts but one", 1.0).await;
    client.batch_execute("UPDATE t SET body = NULL WHERE id = 1").await.unwrap();
    spent("a text that goes", 0.0).await;
    client
        .batch_execute("INSERT INTO t (id, body) VALUES (2, 'green dog') ON CONFLICT (id) DO UPDATE SET body = excluded.body")
        .await
        .unwrap();

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
    client.batch_execute("DROP TABLE t; ALTER EMBEDDING MODEL m SET (pooling = cls); ALTER EMBEDDING MODEL m RENAME TO n").await.unwrap();
    assert_eq!(
        one(&client, "SELECT version::text FROM nearlake_models WHERE name = 'n'").await,
        "2"
    );
    client.batch_execute("DROP EMBEDDING MODEL n").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_text_is_what_the_model_declares() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(4, 8));
    let client = node.client().await;
    let words: Vec<&str> = tiny::WORDS.iter().cycle().take(33).copied().collect();
    let long = words.join(" ");
    for overflow in ["error", "truncate", "mean_of_chunks"] {
        let options = format!(", overflow = {overflow}, normalize = none");
        client
            .batch_execute(&tiny_model(folder.path(), &format!("m_{overflow}"), &tiny, &options))
            .await
            .unwrap();
    }

    let refusal = refused(&client, &format!("SELECT embed('{long}', 'm_error')")).await;
    check_refusal(&refusal, "54000", "35 tokens is too long for model \"m_error\", which takes 16");
    let vector = async |model: &str| {
        numbers(&one(&client, &format!("SELECT embed('{long}', '{model}')")).await)
    };
    near(&vector("m_truncate").await, &tiny.mean(&words[..14].join(" ")));
    assert_eq!(metric(&node, "nearlake_embed_truncated_total").await, 1.0);
    // 14 words, 14 words, 5 words, each with two tokens of the tokenizer.
    let parts = [&words[..14], &words[14..28], &words[28..]].map(|part| tiny.mean(&part.join(" ")));
    let mean: Vec<f32> = (0..8)
        .map(|dim| (16.0 * parts[0][dim] + 16.0 * parts[1][dim] + 7.0 * parts[2][dim]) / 39.0)
        .collect();
    near(&vector("m_mean_of_chunks").await, &mean);
    client
        .batch_execute("ALTER EMBEDDING MODEL m_mean_of_chunks SET (normalize = l2)")
        .await
        .unwrap();
    let parts = parts.map(|part| unit(&part));
    let mean: Vec<f32> = (0..8)
        .map(|dim| 16.0 * parts[0][dim] + 16.0 * parts[1][dim] + 7.0 * parts[2][dim])
        .collect();
    near(&vector("m_mean_of_chunks").await, &unit(&mean));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_its_remedy_and_fails_its_statement_only() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(5, 8));
    let client = node.client().await;
    let at = |name: &str| folder.path().join(name);
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();

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
    client.batch_execute("DROP EMBEDDING MODEL IF EXISTS x").await.unwrap();
    client
        .batch_execute(
            &tiny_model(folder.path(), "m", &tiny, "").replace("MODEL m", "MODEL IF NOT EXISTS m"),
        )
        .await
        .unwrap();

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
        client.batch_execute(&sql).await.unwrap();
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
    client
        .batch_execute("CREATE TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)")
        .await
        .unwrap();
    let long = "cat ".repeat(20);
    let insert = format!("INSERT INTO t VALUES (1, 'cat'), (2, '{long}')");
    check_refusal(&refused(&client, &insert).await, "54000", "too long");
    client.batch_execute("INSERT INTO t VALUES (3, 'dog')").await.unwrap();
    assert_eq!(one(&client, "SELECT string_agg(id::text, ' ') FROM t").await, "3");
    near(&numbers(&one(&client, "SELECT embed('cat', 'm')").await), &tiny.vector("cat"));
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
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    near(&numbers(&one(&client, "SELECT embed('cat', 'm')").await), &tiny.vector("cat"));
    other.write(&folder.path().join("m"));
    // What is in memory is what was checked.
    near(&numbers(&one(&client, "SELECT embed('dog', 'm')").await), &tiny.vector("dog"));
    node.stop().await;

    let node = start_on(data).await;
    let client = node.client().await;
    check_refusal(&refused(&client, "SELECT embed('cat', 'm')").await, "55000", "has changed");
    client.batch_execute("ALTER EMBEDDING MODEL m ACCEPT FILES").await.unwrap();
    near(&numbers(&one(&client, "SELECT embed('cat', 'm')").await), &other.vector("cat"));
    assert_eq!(one(&client, "SELECT version::text FROM nearlake_models").await, "2");

    // The same files elsewhere are the same model, also for columns that have its vectors.
    client
        .batch_execute(
            "CREATE TABLE t (b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)",
        )
        .await
        .unwrap();
    let elsewhere = other.write(&folder.path().join("elsewhere"));
    let moved = format!("ALTER EMBEDDING MODEL m SET (path = '{}')", elsewhere.display());
    client.batch_execute(&moved).await.unwrap();
    assert_eq!(one(&client, "SELECT version::text FROM nearlake_models").await, "2");
    std::fs::remove_dir_all(folder.path().join("m")).unwrap();
    client.batch_execute("INSERT INTO t VALUES ('ship')").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deferred_vectors_come_later_and_to_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(8, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, b text, n int DEFAULT 0,
               v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED) WITH (embedding = deferred);
             CREATE INDEX ON t USING spfresh (v vector_cosine_ops)",
        )
        .await
        .unwrap();
    // Rows of an open transaction have none, and are there.
    client
        .batch_execute(
            "BEGIN; INSERT INTO t (id, b) SELECT n, 'cat ' || n FROM generate_series(1, 500) n",
        )
        .await
        .unwrap();
    assert_eq!(one(&client, "SELECT count(*) || ' ' || count(v) FROM t").await, "500 0");
    client.batch_execute("COMMIT; INSERT INTO t (id, b) VALUES (501, NULL)").await.unwrap();
    settled(&client, "t", 500).await;
    near(
        &numbers(&one(&client, "SELECT v::text FROM t WHERE id = 77").await),
        &tiny.vector("cat x"),
    );

    // A new text drops the old vector at once; another column leaves it.
    client
        .batch_execute(
            "BEGIN; UPDATE t SET b = 'dog' WHERE id = 5; UPDATE t SET n = 1 WHERE id = 6",
        )
        .await
        .unwrap();
    assert_eq!(
        one(
            &client,
            "SELECT string_agg((v IS NULL)::text, ' ' ORDER BY id) FROM t WHERE id IN (5, 6)"
        )
        .await,
        "true false"
    );
    client.batch_execute("COMMIT").await.unwrap();
    settled(&client, "t", 500).await;
    near(&numbers(&one(&client, "SELECT v::text FROM t WHERE id = 5").await), &tiny.vector("dog"));
    assert_eq!(
        one(&client, "SELECT id::text FROM t ORDER BY v <=> embed('dog', 'm') LIMIT 1").await,
        "5"
    );

    // A text that no model takes keeps none of the others waiting, and is told.
    let long = "cat ".repeat(20);
    client
        .batch_execute(&format!("INSERT INTO t (id, b) VALUES (600, '{long}'), (601, 'sea')"))
        .await
        .unwrap();
    settled(&client, "t", 501).await;
    let told = "SELECT rows_failed || ' ' || last_error FROM nearlake_stat_embedding";
    eventually(&client, told, "1 a text of 22 tokens is too long").await;
    client.batch_execute("UPDATE t SET b = 'river' WHERE id = 600").await.unwrap();
    settled(&client, "t", 502).await;
    // Nor does a vector that a constraint refuses.
    client
        .batch_execute(
            "ALTER TABLE t ADD CONSTRAINT no_milk CHECK (v <=> embed('milk', 'm') > 0.0001);
             INSERT INTO t (id, b) VALUES (700, 'milk'), (701, 'sea')",
        )
        .await
        .unwrap();
    settled(&client, "t", 503).await;
    let told = "SELECT rows_failed || ' ' || last_error FROM nearlake_stat_embedding";
    eventually(&client, told, "1 new row for relation \"t\" violates check constraint").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_written_with_quotes_is_read_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny, other) = (start().await, Tiny::new(40, 8), Tiny::new(41, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client.batch_execute(&tiny_model(folder.path(), "n", &other, "")).await.unwrap();
    client
        .batch_execute(
            r#"CREATE TABLE t (id int, "my-text" text, "body ""of"" it" text,
                 v vector(8) GENERATED ALWAYS AS (embed("my-text" || ' ' || "body ""of"" it", 'm')) STORED)
                 WITH (embedding = deferred);
               INSERT INTO t VALUES (1, 'red', 'cat'), (2, 'blue', NULL)"#,
        )
        .await
        .unwrap();
    settled(&client, "t", 1).await;
    let made = "SELECT v::text FROM t WHERE id = 1";
    near(&numbers(&one(&client, made).await), &tiny.vector("red cat"));
    client
        .batch_execute(r#"ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed("my-text", 'n'))"#)
        .await
        .unwrap();
    replaced(&client).await;
    settled(&client, "t", 2).await;
    near(&numbers(&one(&client, made).await), &other.vector("red"));
    let drop = r#"ALTER TABLE t DROP COLUMN "my-text""#;
    assert_eq!(refused(&client, drop).await.0, "2BP01");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_table_has_its_vectors_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny, other) = (start().await, Tiny::new(42, 8), Tiny::new(43, 12));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client.batch_execute(&tiny_model(folder.path(), "n", &other, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TEMP TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)
               WITH (embedding = deferred);
             CREATE INDEX ON t USING spfresh (v vector_cosine_ops);
             INSERT INTO t SELECT n, 'sea ' || n FROM generate_series(1, 299) n;
             INSERT INTO t VALUES (300, 'cat')",
        )
        .await
        .unwrap();
    let made = "SELECT v::text FROM t WHERE id = 300";
    near(&numbers(&one(&client, made).await), &tiny.vector("cat"));
    client
        .batch_execute("ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))")
        .await
        .unwrap();
    near(&numbers(&one(&client, made).await), &other.vector("cat"));
    assert_eq!(one(&client, "SELECT count(v)::text FROM t").await, "300");
    let nearest = "SELECT id::text FROM t ORDER BY v <=> embed('cat', 'n') LIMIT 1";
    assert_eq!(one(&client, nearest).await, "300");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_wait_get_their_vectors_whatever_becomes_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(44, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED)
               WITH (embedding = deferred);
             BEGIN; INSERT INTO t SELECT n, 'cat' FROM generate_series(1, 400) n;
             ALTER TABLE t RESET (embedding); COMMIT;
             INSERT INTO t VALUES (401, 'dog')",
        )
        .await
        .unwrap();
    // From then on they are made at once.
    near(
        &numbers(&one(&client, "SELECT v::text FROM t WHERE id = 401").await),
        &tiny.vector("dog"),
    );
    settled(&client, "t", 401).await;

    // A new column of a large table is completed behind the statement; of a small one it is there.
    let notices =
        "SELECT phase || ' ' || rows_total FROM nearlake_stat_embedding WHERE attname = 'w'";
    client
        .batch_execute("ALTER TABLE t ADD COLUMN w vector(8) GENERATED ALWAYS AS (embed(b || ' red', 'm')) STORED")
        .await
        .unwrap();
    assert_eq!(one(&client, notices).await, "inline 401");
    eventually(&client, "SELECT count(w)::text FROM t", "401").await;
    near(
        &numbers(&one(&client, "SELECT w::text FROM t WHERE id = 401").await),
        &tiny.vector("dog red"),
    );
    client
        .batch_execute(
            "CREATE TABLE s (b text); INSERT INTO s VALUES ('sea'); BEGIN;
             ALTER TABLE s ADD COLUMN v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED",
        )
        .await
        .unwrap();
    near(&numbers(&one(&client, "SELECT v::text FROM s").await), &tiny.vector("sea"));
    client.batch_execute("COMMIT").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_keeps_every_row_and_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (node, old, new) = (start().await, Tiny::new(45, 8), Tiny::new(46, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &old, "")).await.unwrap();
    client.batch_execute(&tiny_model(folder.path(), "n", &new, "")).await.unwrap();
    // Whatever transactions are by default, the worker sees what was committed before its lock.
    client
        .batch_execute(
            "ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read';
             ALTER DATABASE postgres SET default_transaction_read_only = on;
             CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED);
             INSERT INTO t SELECT n, 'cat' FROM generate_series(1, 300) n",
        )
        .await
        .unwrap();
    let writer = node.client().await;
    writer
        .batch_execute("SET default_transaction_read_only = off; SET statement_timeout = '1s'")
        .await
        .unwrap();
    client
        .batch_execute("ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))")
        .await
        .unwrap();
    let holder = node.client().await;
    holder
        .batch_execute(
            "SET default_transaction_read_only = off; BEGIN; INSERT INTO t VALUES (1000, 'dog')",
        )
        .await
        .unwrap();
    let pending = "SELECT coalesce(max(rows_pending), 0)::text FROM nearlake_stat_embedding";
    eventually(&client, pending, "0").await;
    // The switch would have to wait for the holder; those who write meanwhile do not wait for it.
    for id in 2000..2040 {
        writer.batch_execute(&format!("INSERT INTO t VALUES ({id}, 'sea')")).await.unwrap();
    }
    holder.batch_execute("COMMIT").await.unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let (node, old, new) = (start().await, Tiny::new(47, 8), Tiny::new(48, 12));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &old, "")).await.unwrap();
    client.batch_execute(&tiny_model(folder.path(), "n", &new, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (id int, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED,
               CONSTRAINT narrow CHECK (vector_dims(v) < 10));
             INSERT INTO t SELECT n, 'cat' FROM generate_series(1, 10) n;
             ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))",
        )
        .await
        .unwrap();
    let told = "SELECT phase || ' ' || coalesce(last_error, '') FROM nearlake_stat_embedding";
    let refusal = "replacing new row for relation \"t\" violates check constraint \"narrow\"";
    eventually(&client, told, refusal).await;
    assert_eq!(one(&client, "SELECT max(vector_dims(v))::text FROM t").await, "8");
    client.batch_execute("ALTER TABLE t DROP CONSTRAINT narrow").await.unwrap();
    replaced(&client).await;
    assert_eq!(one(&client, "SELECT min(vector_dims(v))::text FROM t").await, "12");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_others_change_or_use_is_not_taken_for_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(49, 8));
    let (client, other) = (node.client().await, node.client().await);
    for name in ["m", "n"] {
        client.batch_execute(&tiny_model(folder.path(), name, &tiny, "")).await.unwrap();
    }
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
        client.batch_execute(begin).await.unwrap();
        other.batch_execute("ALTER EMBEDDING MODEL m SET (overflow = truncate)").await.unwrap();
        assert_eq!(refused(&client, &late).await.0, "40001", "{late}");
        client.batch_execute("ROLLBACK").await.unwrap();
        other.batch_execute("ALTER EMBEDDING MODEL m SET (overflow = error)").await.unwrap();
    }
    // A column that the transaction does not see depends on it all the same.
    client.batch_execute(begin).await.unwrap();
    other.batch_execute(&table("u", "n")).await.unwrap();
    assert_eq!(refused(&client, "DROP EMBEDDING MODEL n").await.0, "2BP01");
    client.batch_execute("ROLLBACK").await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_vectors_go_through_returning_conflicts_views_and_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(50, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED);
             CREATE VIEW w AS SELECT id, v <=> embed('cat', 'm') AS far FROM t",
        )
        .await
        .unwrap();
    let vector = async |sql: &str| numbers(&one(&client, sql).await);

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

    client.batch_execute("BEGIN; UPDATE t SET b = 'milk'; SAVEPOINT s").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2, 'bread'); ROLLBACK TO s").await.unwrap();
    near(&vector("SELECT v::text FROM t").await, &tiny.vector("milk"));
    client.batch_execute("ROLLBACK").await.unwrap();
    near(&vector("DELETE FROM t RETURNING v::text").await, &tiny.vector("cat"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_of_many_pieces_takes_turns() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(51, 8));
    let client = node.client().await;
    let options = ", overflow = mean_of_chunks, normalize = none";
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, options)).await.unwrap();
    // Each piece is 14 times the same word, so that the mean of all is that of one.
    let long = "SELECT embed(repeat('cat ', 14 * 1000), 'm')::text";
    near(&numbers(&one(&client, long).await), &tiny.mean(&"cat ".repeat(14)));
    // Beside others of its request, whose pieces run in between.
    let beside = "SELECT v::text FROM unnest(embed(ARRAY[repeat('cat ', 14 * 200), 'dog', repeat('sea ', 14 * 100)], 'm')) AS v";
    let made = column(&client, beside).await;
    for (made, text) in made.iter().zip(["cat ".repeat(14), "dog".to_owned(), "sea ".repeat(14)]) {
        near(&numbers(made.as_ref().unwrap()), &tiny.mean(&text));
    }
    assert_eq!(metric(&node, "nearlake_embed_waiting_texts").await, 0.0);
    // It is not waited for by whoever cancels, nor by those who ask next.
    client.batch_execute("SET statement_timeout = '100ms'").await.unwrap();
    let all =
        "SELECT count(embed(repeat('cat ', 200000) || n, 'm')) FROM generate_series(1, 100) n";
    assert_eq!(refused(&client, all).await.0, "57014");
    client.batch_execute("RESET statement_timeout").await.unwrap();
    near(&numbers(&one(&client, "SELECT embed('dog', 'm')").await), &tiny.mean("dog"));
    node.stop().await;
}

/// Waits until as many rows have vectors.
async fn settled(client: &Client, table: &str, rows: u64) {
    eventually(client, &format!("SELECT count(v)::text FROM {table}"), &rows.to_string()).await;
}

/// Waits until no column waits for its replacement.
async fn replaced(client: &Client) {
    let waiting = "SELECT count(*)::text FROM nearlake_stat_embedding WHERE phase = 'replacing'";
    eventually(client, waiting, "0").await;
}

/// Waits until a query gives what begins so.
async fn eventually(client: &Client, sql: &str, expected: &str) {
    let clock = nearlake::clock::SystemClock::shared();
    let mut given = String::new();
    for _ in 0..600 {
        given = one(client, sql).await;
        if given == expected || (expected.len() > 20 && given.starts_with(expected)) {
            return;
        }
        clock.sleep(std::time::Duration::from_millis(50)).await;
    }
    let state =
        "SELECT concat_ws(' ', phase, rows_pending, last_error) FROM nearlake_stat_embedding";
    panic!("{sql} gives {given}, not {expected}: {:?}", column(client, state).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_goes_over_to_another_model_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (node, old, new) = (start().await, Tiny::new(9, 8), Tiny::new(10, 12));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &old, "")).await.unwrap();
    client.batch_execute(&tiny_model(folder.path(), "n", &new, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, b text, v vector(8) GENERATED ALWAYS AS (embed(b, 'm')) STORED);
             INSERT INTO t SELECT n, (ARRAY['cat','dog','boat','ship','road','sea','bread','milk'])[n % 8 + 1] || ' ' ||
               (ARRAY['red','blue','green','fast','slow','light','night'])[n % 7 + 1] FROM generate_series(1, 6000) n;
             CREATE INDEX i ON t USING spfresh (v vector_cosine_ops);
             DELETE FROM t WHERE id % 10 = 0",
        )
        .await
        .unwrap();

    client
        .batch_execute("ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n'))")
        .await
        .unwrap();
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
            client.batch_execute(&insert).await.unwrap();
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
    client.batch_execute("SET enable_indexscan = off").await.unwrap();
    assert_eq!(by_index, one(&client, search).await);
    client.batch_execute("RESET enable_indexscan; DROP EMBEDDING MODEL m").await.unwrap();
    assert_eq!(
        column(&client, "SELECT relname FROM pg_class WHERE relname LIKE 'nearlake_embedding_%'")
            .await
            .len(),
        0
    );

    // It can be called off, and a table without rows goes over at once.
    client.batch_execute(&tiny_model(folder.path(), "o", &old, "")).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE e (b text, v vector(12) GENERATED ALWAYS AS (embed(b, 'n')) STORED);
             CREATE INDEX ON e USING spfresh (v vector_cosine_ops);
             ALTER TABLE e ALTER COLUMN v SET EXPRESSION AS (embed(b, 'o')); INSERT INTO e VALUES ('cat')",
        )
        .await
        .unwrap();
    near(&numbers(&one(&client, "SELECT v::text FROM e").await), &old.vector("cat"));
    client
        .batch_execute(
            "BEGIN; ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'o'));
             ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (embed(b, 'n')); COMMIT",
        )
        .await
        .unwrap();
    replaced(&client).await;
    assert_eq!(one(&client, kind).await, "vector(12)");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reranker_gives_what_python_gives() {
    let folder = tempfile::tempdir().unwrap();
    let node = start().await;
    let client = node.client().await;
    tiny::write_reranker(11, folder.path());
    let make = format!(
        "CREATE EMBEDDING MODEL r WITH (path = '{}', purpose = reranking)",
        folder.path().display()
    );
    client.batch_execute(&make).await.unwrap();

    let pairs = [
        ("red boat", "the ship sails"),
        ("red boat", "milk"),
        ("music", "a guitar"),
        ("music", ""),
    ];
    let expected = real::python("rerank", folder.path(), &serde_json::json!(pairs));
    let sql = "SELECT rerank(q, d) FROM (VALUES (1, 'red boat', 'the ship sails'), (2, 'red boat', 'milk'), \
               (3, 'music', 'a guitar'), (4, 'music', ''), (5, 'music', NULL)) AS t(n, q, d) ORDER BY n";
    let made = column(&client, sql).await;
    assert_eq!(made[4], None);
    let made: Vec<f32> = made.iter().flatten().map(|text| text.parse().unwrap()).collect();
    let expected: Vec<f32> = serde_json::from_value(expected).unwrap();
    near(&made, &expected);
    let order = "SELECT d FROM (VALUES ('milk'), ('the ship sails')) AS t(d) ORDER BY rerank('red boat', d, 'r') DESC";
    let first = if expected[0] > expected[1] { "the ship sails" } else { "milk" };
    assert_eq!(column(&client, order).await[0].as_deref(), Some(first));

    check_refusal(&refused(&client, "SELECT embed('x', 'r')").await, "42809", "reranking model");
    let long = "cat ".repeat(20);
    check_refusal(
        &refused(&client, &format!("SELECT rerank('x', '{long}')")).await,
        "54000",
        "24 tokens",
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sessions_ask_at_once_and_each_gets_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(12, 8));
    let client = node.client().await;
    client.batch_execute(&tiny_model(folder.path(), "m", &tiny, "")).await.unwrap();
    let mut sessions = Vec::new();
    for session in 0..64_usize {
        let (client, tiny) = (node.client().await, tiny.clone());
        sessions.push(tokio::spawn(async move {
            for round in 0..12 {
                let words = [session, session / 24, round].map(|n| tiny::WORDS[n % 24]);
                let text = words.join(" ");
                let row = client.query_one("SELECT embed($1, 'm')::text", &[&text]).await.unwrap();
                near(&numbers(row.get(0)), &tiny.vector(&text));
                if session % 8 == 0 {
                    let long = "cat ".repeat(20);
                    let refusal = refused(&client, &format!("SELECT embed('{long}', 'm')")).await;
                    check_refusal(&refusal, "54000", "too long");
                }
            }
        }));
    }
    for session in sessions {
        session.await.unwrap();
    }
    assert_eq!(metric(&node, "nearlake_embed_waiting_texts").await, 0.0);
    // One that is cancelled leaves nothing behind.
    let text = "SELECT count(embed('cat ' || n, 'm')) FROM generate_series(1, 200000) n";
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    assert_eq!(refused(&client, text).await.0, "57014");
    client.batch_execute("RESET statement_timeout").await.unwrap();
    near(&numbers(&one(&client, "SELECT embed('dog', 'm')").await), &tiny.vector("dog"));
    node.stop().await;
}
