//! Who gets in over HTTP, and how much of it: keys, pages of other sites, clients that are slow, loud or
//! out to harm.

use crate::support;
use flate2::{Compression, write::GzEncoder};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use std::{io::Write as _, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// A password file in a folder that lasts as long as it is held.
fn password(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (folder, name)
}

async fn get(at: SocketAddr, path: &str, bearer: Option<&str>) -> StatusCode {
    let request = client().get(format!("http://{at}{path}"));
    let request = match bearer {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    request.send().await.unwrap().status()
}

/// What a server says to these bytes until it closes the connection.
async fn said(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // A server that has heard enough closes while it is still spoken to.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_are_open_where_the_settings_say_so() {
    let (_folder, file) = password("open sesame");
    for (public, health, metrics) in
        [("health", 200, 401), ("none", 401, 401), ("health,metrics", 200, 200)]
    {
        let flags = ["--password-file", &file, "--http-public", public];
        let node = support::start_on("memory:", &flags).await;
        let at = node.http_addr();
        for path in ["/livez", "/readyz", "/healthz"] {
            assert_eq!(get(at, path, None).await, health, "{public} {path}");
        }
        assert_eq!(get(at, "/metrics", None).await, metrics, "{public}");
        assert_eq!(get(at, "/metrics", Some("open sesame")).await, 200);
        assert_eq!(get(at, "/v1/namespaces", None).await, 401);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let node = support::start_on("memory:", &["--http-rate-limit", "3"]).await;
    let sql = node.client().await;
    let key = async |name: &str| -> String {
        sql.query_one(&format!("CREATE API KEY {name}"), &[]).await.unwrap().get(0)
    };
    let (loud, quiet) = (key("loud").await, key("quiet").await);
    let url = format!("http://{}/v1/namespaces", node.http_addr());

    let mut refused = None;
    for _ in 0..20 {
        let answer = client().get(&url).bearer_auth(&loud).send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let refused = refused.expect("twenty at once are more than three a second");
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let body: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(body["status"], "error");
    assert_eq!(client().get(&url).bearer_auth(&quiet).send().await.unwrap().status(), 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_listed_sites_may_talk_to_it_and_no_others() {
    let site = "https://shop.example";
    let node = support::start_on("memory:", &["--http-origins", site]).await;
    let url = format!("http://{}/v2/namespaces/items", node.http_addr());
    let ask = async |method: Method, origin: &str| {
        let request = client().request(method, &url).header("origin", origin);
        let asking = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .header("content-type", "application/json")
            .body(r#"{"upsert_rows": [{"id": 1}]}"#);
        asking.send().await.unwrap()
    };
    let allowed = |answer: &reqwest::Response| {
        let header = answer.headers().get("access-control-allow-origin");
        header.map(|value| value.to_str().unwrap().to_owned())
    };

    let before = ask(Method::OPTIONS, site).await;
    assert_eq!((before.status(), allowed(&before)), (StatusCode::NO_CONTENT, Some(site.into())));
    assert!(before.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let write = ask(Method::POST, site).await;
    assert_eq!((write.status(), allowed(&write)), (StatusCode::OK, Some(site.into())));
    let other = ask(Method::OPTIONS, "https://shop.example.evil").await;
    assert_eq!((other.status().is_success(), allowed(&other)), (false, None));
    let other = ask(Method::POST, "https://evil.example").await;
    assert_eq!((other.status(), allowed(&other)), (StatusCode::FORBIDDEN, None));
    node.stop().await;

    // Nobody is, unless someone says so.
    let node = support::start().await;
    let url = format!("http://{}/v1/namespaces", node.http_addr());
    let answer = client().get(&url).header("origin", "http://localhost:1").send().await.unwrap();
    assert_eq!((answer.status(), allowed(&answer)), (StatusCode::OK, None));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_a_role_that_only_reads_cannot_write() {
    let node = support::start().await;
    let sql = node.client().await;
    sql.batch_execute(
        "CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on",
    )
    .await
    .unwrap();
    let key = "CREATE API KEY k FOR ROLE reader";
    let key: String = sql.query_one(key, &[]).await.unwrap().get(0);
    let stored = sql.query_one("SELECT count(*) FROM nearlake_api_keys", &[]).await.unwrap();
    assert_eq!(stored.get::<_, i64>(0), 1);
    let at = node.http_addr();
    let post = async |path: &str, body: &str, key: Option<&str>| {
        let request = client()
            .post(format!("http://{at}{path}"))
            .header("content-type", "application/json")
            .body(body.to_owned());
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request.send().await.unwrap().status()
    };
    let write = r#"{"upsert_rows": [{"id": 1, "shop": 7}]}"#;
    assert_eq!(post("/v2/namespaces/items", write, None).await, 200);
    // It may write, for all that was granted; it only reads for what was said of it.
    sql.batch_execute(
        "GRANT ALL ON SCHEMA namespaces TO reader; GRANT ALL ON namespaces.items TO reader",
    )
    .await
    .unwrap();

    assert_eq!(post("/v2/namespaces/items", write, Some(&key)).await, 403);
    assert_eq!(post("/v2/namespaces/fresh", write, Some(&key)).await, 403);
    let deleted = client().delete(format!("http://{at}/v2/namespaces/items")).bearer_auth(&key);
    assert_eq!(deleted.send().await.unwrap().status(), 403);
    let query = r#"{"rank_by": ["id", "asc"], "limit": 1}"#;
    assert_eq!(post("/v2/namespaces/items/query", query, Some(&key)).await, 200);

    // By no words, over neither port.
    let reader = node.client_as("reader").await;
    for words in [
        "SET default_transaction_read_only = off; DELETE FROM namespaces.items",
        "BEGIN READ WRITE; DELETE FROM namespaces.items; COMMIT",
        "ALTER ROLE reader SUPERUSER",
        "ALTER ROLE reader RESET default_transaction_read_only",
        "ALTER ROLE postgres PASSWORD NULL",
        "CREATE ROLE other SUPERUSER LOGIN",
        "SET ROLE postgres; DELETE FROM namespaces.items",
        "SELECT set_config('default_transaction_read_only', 'off', false); TRUNCATE namespaces.items",
    ] {
        let body = serde_json::json!({ "sql": words }).to_string();
        assert!(!post("/v1/sql", &body, Some(&key)).await.is_success(), "{words}");
        assert!(reader.batch_execute(words).await.is_err(), "{words}");
        let _ = reader.batch_execute("ROLLBACK").await;
    }
    let left = sql.query_one("SELECT count(*) FROM namespaces.items", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 1);
    // A role that may write may not make itself another.
    sql.batch_execute("CREATE ROLE writer LOGIN; GRANT CREATE ON SCHEMA public TO writer")
        .await
        .unwrap();
    let writer = node.client_as("writer").await;
    writer.batch_execute("CREATE TABLE mine (a int)").await.unwrap();
    for words in ["ALTER ROLE writer SUPERUSER", "DROP ROLE reader", "CREATE DATABASE other"] {
        let refused = writer.batch_execute(words).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{words}");
    }
    writer.batch_execute("ALTER ROLE writer PASSWORD 'own'").await.unwrap();
    // A key is good for as long as its role may log in.
    sql.batch_execute("ALTER ROLE reader NOLOGIN; ALTER ROLE postgres PASSWORD 'sesame'")
        .await
        .unwrap();
    assert_eq!(post("/v2/namespaces/items/query", query, Some(&key)).await, 401);
    assert_eq!(post("/v2/namespaces/items/query", query, Some("sesame")).await, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_any_schema_is_a_namespace_where_it_says_so() {
    let node = support::start().await;
    let sql = node.client().await;
    let table = "CREATE TABLE item (id int PRIMARY KEY, shop text, v vector(2))
                 WITH (namespace_name = 'items', distance_metric = 'l2')";
    sql.batch_execute(table).await.unwrap();
    sql.batch_execute("CREATE INDEX ON item USING spfresh (v)").await.unwrap();
    sql.batch_execute("INSERT INTO item VALUES (1, 'a', '[0,0]'), (2, 'b', '[3,4]')")
        .await
        .unwrap();
    let at = node.http_addr();
    let post = async |path: &str, body: Value| -> Value {
        let request = client()
            .post(format!("http://{at}{path}"))
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let listed = client().get(format!("http://{at}/v1/namespaces")).send().await.unwrap();
    let listed: Value = serde_json::from_str(&listed.text().await.unwrap()).unwrap();
    assert_eq!(listed["namespaces"][0]["id"], "items");
    let nearest = serde_json::json!({ "rank_by": ["v", "ANN", [3, 4]], "limit": 1 });
    let found = post("/v2/namespaces/items/query", nearest).await;
    assert_eq!(found["rows"][0]["id"], 2);
    let write = serde_json::json!({ "upsert_rows": [{ "id": 3, "shop": "c", "v": [9, 9] }] });
    post("/v2/namespaces/items", write).await;
    // Its index lies where the table does, and is built anew there.
    let metric = serde_json::json!({ "distance_metric": "cosine_distance" });
    post("/v1/namespaces/items/config", metric).await;
    let kept = sql.query_one("SELECT count(*), max(shop) FROM public.item", &[]).await.unwrap();
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, &str>(1)), (3, "c"));
    let index = "SELECT indexdef LIKE '%cosine%' FROM pg_indexes WHERE schemaname = 'public'
                 AND tablename = 'item' AND indexdef LIKE '%spfresh%'";
    assert!(sql.query_one(index, &[]).await.unwrap().get::<_, bool>(0));
    let wrong = "ALTER TABLE item SET (namespace_name = 'a b')";
    assert_eq!(sql.batch_execute(wrong).await.unwrap_err().code().unwrap().code(), "22023");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_bounded_and_let_go() {
    let flags = ["--http-max-connections", "3", "--http-timeout", "1s"];
    let node = support::start_on("memory:", &flags).await;
    let at = node.http_addr();

    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: local").await.unwrap();
        slow.push(stream);
    }
    let full = said(at, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status(&full), 503, "{full}");
    assert!(full.contains("retry-after: 1") && full.contains(r#""status":"error""#), "{full}");
    // The other wire does not care.
    assert_eq!(node.client().await.query_one("SELECT 1", &[]).await.unwrap().len(), 1);

    // One that goes away makes room; a body that does not come to its end takes its time and no more.
    drop(slow.pop());
    let unending = "POST /v2/namespaces/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
                    application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{";
    let mut answer = said(at, unending.as_bytes()).await;
    while answer.contains("too many connections") {
        answer = said(at, unending.as_bytes()).await;
    }
    assert_eq!(status(&answer), 504, "{answer}");
    assert!(answer.contains("took too long"), "{answer}");

    // Heads that do not come to their end are waited for some 20 s.
    for mut stream in slow {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest));
        assert!(closed.await.is_ok(), "a slow client was let wait for ever");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_would_harm_are_refused() {
    let node = support::start_on("memory:", &["--http-max-body", "4MiB"]).await;
    let at = node.http_addr();
    let post = async |body: Vec<u8>, gzip: bool| {
        let request = client()
            .post(format!("http://{at}/v2/namespaces/n"))
            .header("content-type", "application/json");
        let request = if gzip { request.header("content-encoding", "gzip") } else { request };
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["status"], "error", "{text}");
        status
    };
    let zipped = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let row =
        |value: &str| format!(r#"{{"upsert_rows": [{{"id": 1, "a": {value}}}]}}"#).into_bytes();

    let there = client()
        .post(format!("http://{at}/v2/namespaces/n"))
        .header("content-type", "application/json")
        .body(row("1"));
    assert_eq!(there.send().await.unwrap().status(), 200);
    let deep = "[".repeat(100_000);
    assert_eq!(post(row(&deep), false).await, 400);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(post(row(&deep), false).await, 400);
    let filters =
        format!(r#"{{"delete_by_filter": {}1{}}}"#, r#"["Not", "#.repeat(100), "]".repeat(100));
    assert_eq!(post(filters.into_bytes(), false).await, 400);
    for number in ["1e999999", "-1e999999", &"9".repeat(100_000)] {
        assert!((400..500).contains(&post(row(number), false).await), "{}", &number[..8]);
    }
    assert_eq!(post(b"{\"upsert_rows\": [{\"id\": \"\xff\xfe\"}]}".to_vec(), false).await, 400);
    // What is short by gzip and long by what is made of it: numbers without end.
    let dense = format!("[{}0]", "0,".repeat(1_900_000)).into_bytes();
    assert_eq!(post(zipped(&dense), true).await, 429);
    assert_eq!(post(row(r#""\ud800""#), false).await, 400);
    assert!((400..500).contains(&post(row(r#""\u0000""#), false).await));
    assert_eq!(post(vec![b' '; (4 << 20) + 1], false).await, 413);
    let bomb = zipped(&vec![b' '; 1 << 30]);
    assert!(bomb.len() < 4 << 20);
    assert_eq!(post(bomb, true).await, 413);
    assert_eq!(post(b"no gzip".to_vec(), true).await, 400);
    // A bomb within a bomb is data.
    assert_eq!(post(zipped(&zipped(&vec![0; 1 << 20])), true).await, 400);
    assert_eq!(get(at, "/readyz", None).await, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_may_say_the_rest() {
    const LENGTH: usize = 6 << 20;
    let node = support::start_on("memory:", &["--http-max-body", "4MiB"]).await;
    let head = |more: &str| {
        format!(
            "POST /v2/namespaces/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             {more}Content-Length: {LENGTH}\r\n\r\n"
        )
    };
    let answer = async |stream: &mut TcpStream| {
        let mut piece = vec![0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        String::from_utf8_lossy(&piece[..count]).into_owned()
    };
    let mut stream = TcpStream::connect(node.http_addr()).await.unwrap();
    stream.write_all(head("").as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert_eq!(status(&refused), 413, "{refused}");
    // The answer came before the body; the connection serves on after it.
    stream.write_all(&vec![b' '; LENGTH]).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let alive = answer(&mut stream).await;
    assert_eq!(status(&alive), 200, "{alive}");

    // Who waits to be told to begin is not.
    let mut stream = TcpStream::connect(node.http_addr()).await.unwrap();
    stream.write_all(head("Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert_eq!(status(&refused), 413, "{refused}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_have_bounds_and_requests_may_come_in_one_piece() {
    let node = support::start().await;
    let at = node.http_addr();

    let long =
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    assert_eq!(status(&said(at, long.as_bytes()).await), 431);
    let many = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(500));
    assert_eq!(status(&said(at, many.as_bytes()).await), 431);
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"\0\0\0\x08\x04\xd2\x16/", b"nonsense\r\n\r\n"]
    {
        let answer = said(at, &[garbage, b"\r\n\r\n\r\n\r\n"].concat()).await;
        assert!(matches!(status(&answer), 0 | 400), "{answer}");
    }
    // Two lengths that differ are how requests are smuggled past a proxy.
    let smuggled = "POST /v2/namespaces/n HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
                    Content-Length: 40\r\n\r\nabcd";
    assert_eq!(status(&said(at, smuggled.as_bytes()).await), 400);

    let one = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\r\n\r\n";
    let two =
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: b\r\nConnection: close\r\n\r\n";
    let answers = said(at, format!("{one}{two}").as_bytes()).await;
    let first = answers.find("x-request-id: a").expect("the first is answered");
    let second = answers.find("x-request-id: b").expect("the second is answered");
    assert!(first < second && answers.matches("HTTP/1.1 200 OK").count() == 2, "{answers}");
    let fresh = said(at, one.replace("X-Request-Id: a", "Connection: close").as_bytes()).await;
    assert!(fresh.contains("x-request-id: "), "{fresh}");
    node.stop().await;
}
