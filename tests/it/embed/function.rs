//! `embed()` and `rerank()` in a query: what they give, what they refuse, and how they share a model.

use super::{
    check_refusal, column, metric, near, numbers, one, real, refused, run, taught, texts,
    tiny::{self, Tiny, unit},
    tiny_model, vector,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_what_its_model_makes_of_it() {
    let tiny = Tiny::new(1, 8);
    let (node, client, folder) = taught(&[("m", &tiny)]).await;
    for (name, options) in [
        ("plain", ", normalize = none"),
        ("first", ", normalize = none, pooling = cls"),
        ("wide", ", max_length = 64"),
    ] {
        run(&client, &tiny_model(folder.path(), name, &tiny, options)).await;
    }
    let vector = async |sql: &str| vector(&client, sql).await;

    near(&vector("SELECT embed('The cat sits', 'm')").await, &tiny.vector("the cat sits"));
    near(&vector("SELECT embed('the cat sits', 'plain')").await, &tiny.mean("the cat sits"));
    near(&vector("SELECT embed('the cat sits', 'first')").await, &tiny.first());
    near(&vector("SELECT embed('', 'm')").await, &tiny.vector(""));
    near(&vector("SELECT embed(E'unheard\\nof \\u00e9', 'm')").await, &tiny.vector("x x x"));
    near(&vector("SELECT l2_normalize(embed('red car', 'plain'))").await, &tiny.vector("red car"));
    assert_eq!(column(&client, "SELECT embed(NULL, 'm')").await, [None]);

    // The session's model, parameters, columns, arrays.
    run(&client, "SET nearlake.embedding_model = 'm'").await;
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
    let tiny = Tiny::new(2, 8);
    let (node, client, _folder) = taught(&[("m", &tiny)]).await;
    run(
        &client,
        "SET nearlake.embedding_model = 'm';
         CREATE TABLE t (id int PRIMARY KEY, body text,
           v vector(8) GENERATED ALWAYS AS (embed(body)) STORED);
         INSERT INTO t SELECT n, (ARRAY['cat','dog','boat','ship','road','sea','bread','milk'])[n % 8 + 1]
           || ' ' || (ARRAY['red','blue','green','fast','slow','light','night'])[n % 7 + 1] FROM generate_series(1, 6000) n;
         CREATE INDEX ON t USING spfresh (v vector_cosine_ops)",
    )
    .await;
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
async fn a_long_text_is_what_the_model_declares() {
    let tiny = Tiny::new(4, 8);
    let (node, client, folder) = taught(&[]).await;
    let words: Vec<&str> = tiny::WORDS.iter().cycle().take(33).copied().collect();
    let long = words.join(" ");
    for overflow in ["error", "truncate", "mean_of_chunks"] {
        let options = format!(", overflow = {overflow}, normalize = none");
        run(&client, &tiny_model(folder.path(), &format!("m_{overflow}"), &tiny, &options)).await;
    }

    let refusal = refused(&client, &format!("SELECT embed('{long}', 'm_error')")).await;
    check_refusal(&refusal, "54000", "35 tokens is too long for model \"m_error\", which takes 16");
    let vector =
        async |model: &str| vector(&client, &format!("SELECT embed('{long}', '{model}')")).await;
    near(&vector("m_truncate").await, &tiny.mean(&words[..14].join(" ")));
    assert_eq!(metric(&node, "nearlake_embed_truncated_total").await, 1.0);
    // 14 words, 14 words, 5 words, each with two tokens of the tokenizer.
    let parts = [&words[..14], &words[14..28], &words[28..]].map(|part| tiny.mean(&part.join(" ")));
    let mean: Vec<f32> = (0..8)
        .map(|dim| (16.0 * parts[0][dim] + 16.0 * parts[1][dim] + 7.0 * parts[2][dim]) / 39.0)
        .collect();
    near(&vector("m_mean_of_chunks").await, &mean);
    run(&client, "ALTER EMBEDDING MODEL m_mean_of_chunks SET (normalize = l2)").await;
    let parts = parts.map(|part| unit(&part));
    let mean: Vec<f32> = (0..8)
        .map(|dim| 16.0 * parts[0][dim] + 16.0 * parts[1][dim] + 7.0 * parts[2][dim])
        .collect();
    near(&vector("m_mean_of_chunks").await, &unit(&mean));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_of_many_pieces_takes_turns() {
    let tiny = Tiny::new(51, 8);
    let (node, client, folder) = taught(&[]).await;
    let options = ", overflow = mean_of_chunks, normalize = none";
    run(&client, &tiny_model(folder.path(), "m", &tiny, options)).await;
    // Each piece is 14 times the same word, so that the mean of all is that of one.
    let long = "SELECT embed(repeat('cat ', 14 * 1000), 'm')::text";
    near(&vector(&client, long).await, &tiny.mean(&"cat ".repeat(14)));
    // Beside others of its request, whose pieces run in between.
    let beside = "SELECT v::text FROM unnest(embed(ARRAY[repeat('cat ', 14 * 200), 'dog', repeat('sea ', 14 * 100)], 'm')) AS v";
    let made = column(&client, beside).await;
    for (made, text) in made.iter().zip(["cat ".repeat(14), "dog".to_owned(), "sea ".repeat(14)]) {
        near(&numbers(made.as_ref().unwrap()), &tiny.mean(&text));
    }
    assert_eq!(metric(&node, "nearlake_embed_waiting_texts").await, 0.0);
    // It is not waited for by whoever cancels, nor by those who ask next.
    run(&client, "SET statement_timeout = '100ms'").await;
    let all =
        "SELECT count(embed(repeat('cat ', 200000) || n, 'm')) FROM generate_series(1, 100) n";
    assert_eq!(refused(&client, all).await.0, "57014");
    run(&client, "RESET statement_timeout").await;
    near(&vector(&client, "SELECT embed('dog', 'm')").await, &tiny.mean("dog"));
    node.stop().await;
}

/// Models are asked before a query runs for the texts that it holds itself: nothing else is to show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_asked_ahead_is_that_of_the_call() {
    let tiny = Tiny::new(77, 8);
    let (node, client, folder) = taught(&[]).await;
    run(&client, &tiny_model(folder.path(), "m", &tiny, ", normalize = none")).await;
    let other = Tiny::new(78, 8);
    run(&client, &tiny_model(folder.path(), "other", &other, ", normalize = none")).await;
    let (ask, both) = (
        "SELECT embed($1, 'm')::text, embed($2, 'other')::text, embed('sea', 'm')::text",
        "SELECT embed($1, 'm')::text UNION ALL SELECT embed($1 || ' dog', 'm')::text",
    );
    let (ask, both) = (client.prepare(ask).await.unwrap(), client.prepare(both).await.unwrap());
    for (first, second) in [("cat", Some("dog")), ("dog", None), ("boat", Some("cat"))] {
        let row = client.query_one(&ask, &[&first, &second]).await.unwrap();
        near(&numbers(row.get(0)), &tiny.mean(first));
        near(&numbers(row.get(2)), &tiny.mean("sea"));
        match (row.get::<_, Option<&str>>(1), second) {
            (Some(vector), Some(second)) => near(&numbers(vector), &other.mean(second)),
            (vector, second) => assert_eq!((vector, second), (None, None)),
        }
        let rows = client.query(&both, &[&first]).await.unwrap();
        near(&numbers(rows[0].get(0)), &tiny.mean(first));
        near(&numbers(rows[1].get(0)), &tiny.mean(&format!("{first} dog")));
    }
    // More than are asked ahead.
    let nine = tiny::WORDS[..9].iter().map(|word| format!("('{word}', embed('{word}', 'm'))"));
    let nine = nine.collect::<Vec<String>>().join(", ");
    let nine = format!("SELECT v::text FROM (VALUES {nine}) AS t (w, v)");
    for (made, word) in column(&client, &nine).await.iter().zip(tiny::WORDS) {
        near(&numbers(made.as_ref().unwrap()), &tiny.mean(word));
    }
    // What is never evaluated is never told, however often it was asked.
    let long = "cat ".repeat(40);
    let never =
        format!("SELECT CASE WHEN n > 9 THEN embed('{long}', 'm') END FROM (VALUES (1)) AS t (n)");
    assert_eq!(column(&client, &never).await, [None]);
    let (code, ..) = refused(&client, &format!("SELECT embed('{long}', 'm')")).await;
    assert_eq!(code, "54000");
    assert_eq!(metric(&node, "nearlake_embed_waiting_texts").await, 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sessions_ask_at_once_and_each_gets_its_own() {
    let tiny = Tiny::new(12, 8);
    let (node, client, _folder) = taught(&[("m", &tiny)]).await;
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
    run(&client, "SET statement_timeout = '200ms'").await;
    assert_eq!(refused(&client, text).await.0, "57014");
    run(&client, "RESET statement_timeout").await;
    near(&vector(&client, "SELECT embed('dog', 'm')").await, &tiny.vector("dog"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reranker_gives_what_python_gives() {
    let (node, client, folder) = taught(&[]).await;
    tiny::write_reranker(11, folder.path());
    let make = format!(
        "CREATE EMBEDDING MODEL r WITH (path = '{}', purpose = reranking)",
        folder.path().display()
    );
    run(&client, &make).await;

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
