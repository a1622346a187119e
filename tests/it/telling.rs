//! What a node tells of itself: health, logs, traces.

use crate::support::{
    self,
    process::{self, Process},
};
use axum::{Json, Router, extract::State, routing::post};
use serde_json::Value;
use tokio::sync::mpsc;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn json(url: String) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn check<'a>(body: &'a Value, name: &str) -> &'a Value {
    let checks = body["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {body}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_names_every_check_and_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let node = support::start_on(data.path().to_str().unwrap(), &[]).await;
    let url = |path: &str| format!("http://{}{path}", node.http_addr());

    let (status, body) = json(url("/readyz")).await;
    assert_eq!((status, &body["status"]), (200, &Value::from("ok")));
    for name in ["store", "writable", "wal", "fence", "disk"] {
        assert_eq!(check(&body, name)["state"], "ok", "{body}");
        assert!(!check(&body, name)["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(json(url("/livez")).await.0, 200);

    // The folder goes away while the node runs.
    let away = data.path().with_extension("away");
    std::fs::rename(data.path(), &away).unwrap();
    std::fs::write(data.path(), "a file where the folder was").unwrap();
    let (mut status, mut body) = json(url("/readyz")).await;
    while status == 200 {
        (status, body) = json(url("/readyz")).await;
    }
    assert_eq!((status, &body["status"]), (503, &Value::from("unavailable")));
    assert_eq!(check(&body, "store")["state"], "waiting", "{body}");
    assert_eq!(check(&body, "wal")["state"], "ok", "{body}");
    // Nothing is broken that a restart would mend.
    assert_eq!(json(url("/healthz")).await.0, 200);
    std::fs::remove_file(data.path()).unwrap();
    std::fs::rename(&away, data.path()).unwrap();
    while json(url("/readyz")).await.0 != 200 {}
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_is_logged_with_as_much_as_is_asked_for() {
    let (mut process, at) = Process::start("memory:", &[]).await;
    let client = process::connect(at).await.unwrap();
    client.batch_execute("SET log_min_duration_statement = 0").await.unwrap();

    let commented = format!("SELECT $1::text AS private /*traceparent='{PARENT}'*/");
    client.query_one(&commented, &[&"it's a secret"]).await.unwrap();
    let line = process.heard("AS private").await;
    assert!(!line.contains("secret") && !line.contains("Projection"), "{line}");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["message"], "slow statement");
    assert_eq!(event["span"]["trace"], TRACE);
    assert!(
        event["span"]["number"].as_u64().unwrap() > 0 && event["took_ms"].is_number(),
        "{line}"
    );

    client
        .batch_execute("SET log_parameter_max_length = 6; SET nearlake.log_slow_plan = on")
        .await
        .unwrap();
    client
        .query_one("SELECT $1::text || $2::text AS shown", &[&"it's a secret", &None::<&str>])
        .await
        .unwrap();
    let line = process.heard("AS shown").await;
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["parameters"], "$1 = 'it''s a...', $2 = NULL");
    assert!(event["plan"].as_str().unwrap().contains("Exec"), "{line}");
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superuser_changes_what_is_logged_while_the_node_runs() {
    let (mut process, at) = Process::start("memory:", &[]).await;
    let client = process::connect(at).await.unwrap();
    let shown = async || {
        client.query_one("SHOW nearlake.log_filter", &[]).await.unwrap().get::<_, String>(0)
    };
    assert_eq!(shown().await, "info");

    client.batch_execute("SET nearlake.log_filter = 'info,nearlake::http=debug'").await.unwrap();
    assert_eq!(shown().await, "info,nearlake::http=debug");
    let url = format!("http://{}/livez", process.http_addr());
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    request.header("x-request-id", "mine-7").header("traceparent", PARENT).send().await.unwrap();
    let line = process.heard("answered").await;
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["span"]["id"], "mine-7");
    assert_eq!(event["span"]["trace"], TRACE);
    assert_eq!(event["status"], 200);

    let state = async |sql: &str| {
        let error = client.batch_execute(sql).await.unwrap_err();
        error.code().unwrap().code().to_owned()
    };
    assert_eq!(state("SET nearlake.log_filter = 'a=b=c'").await, "22023");
    assert_eq!(state("BEGIN; SET LOCAL nearlake.log_filter = 'warn'").await, "0A000");
    client.batch_execute("ROLLBACK; RESET nearlake.log_filter").await.unwrap();
    assert_eq!(shown().await, "info");
    client.batch_execute("CREATE ROLE clerk; SET ROLE clerk").await.unwrap();
    assert_eq!(state("SET nearlake.log_filter = 'trace'").await, "42501");
    assert_eq!(state("SET log_min_duration_statement = 0").await, "42501");
    assert_eq!(state("SELECT set_config('nearlake.log_filter', 'trace', false)").await, "42501");
    process.kill().await;
}

/// A collector of traces that hands on the spans that it gets.
async fn collector() -> (String, mpsc::UnboundedReceiver<Value>) {
    async fn take(State(spans): State<mpsc::UnboundedSender<Value>>, Json(body): Json<Value>) {
        for resource in body["resourceSpans"].as_array().unwrap() {
            let service = &resource["resource"]["attributes"][0];
            assert_eq!(service["key"], "service.name");
            assert_eq!(service["value"]["stringValue"], "nearlake");
            let scopes = resource["scopeSpans"].as_array().unwrap();
            for span in scopes.iter().flat_map(|scope| scope["spans"].as_array().unwrap()) {
                let _ = spans.send(span.clone());
            }
        }
    }
    let (sender, spans) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(take)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, spans)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_one_trace_through_every_floor() {
    let (endpoint, mut spans) = collector().await;
    // Only traces that a client began: nothing else is sampled.
    let flags = ["--otlp-endpoint", &endpoint, "--otlp-sample", "0"];
    let (process, at) = Process::start("memory:", &flags).await;
    let client = process::connect(at).await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, v vector(2));
             INSERT INTO t SELECT i, '[1,2]' FROM generate_series(1, 100) i",
        )
        .await
        .unwrap();
    let search =
        format!("SELECT id FROM t ORDER BY v <-> '[1,1]' LIMIT 3 /*traceparent='{PARENT}'*/");
    assert_eq!(client.query(&search, &[]).await.unwrap().len(), 3);
    let other = PARENT.replace("0af7", "1af7");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let write = http
        .post(format!("http://{}/v2/namespaces/n", process.http_addr()))
        .header("content-type", "application/json")
        .header("traceparent", &other)
        .body(r#"{"upsert_rows": [{"id": 1, "a": "b"}]}"#);
    assert_eq!(write.send().await.unwrap().status(), 200);

    let by_http = TRACE.replace("0af7", "1af7");
    let find = |seen: &[Value], name: &str, trace: &str| -> Option<Value> {
        seen.iter().find(|span| span["name"] == name && span["traceId"] == trace).cloned()
    };
    let wanted = [
        ("statement", TRACE),
        ("plan", TRACE),
        ("search", TRACE),
        ("request", by_http.as_str()),
        ("statement", by_http.as_str()),
        ("commit", by_http.as_str()),
    ];
    let mut seen: Vec<Value> = Vec::new();
    while !wanted.iter().all(|(name, trace)| find(&seen, name, trace).is_some()) {
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), spans.recv()).await;
        seen.push(next.unwrap_or_else(|_| panic!("only {seen:#?}")).unwrap());
    }
    let find = |name: &str, trace: &str| find(&seen, name, trace).unwrap();
    let statement = find("statement", TRACE);
    assert_eq!(statement["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(find("plan", TRACE)["parentSpanId"], statement["spanId"]);
    assert_eq!(find("search", TRACE)["parentSpanId"], statement["spanId"]);
    assert_eq!(find("request", &by_http)["parentSpanId"], "b7ad6b7169203331");
    assert!(seen.iter().all(|span| span["traceId"] == TRACE || span["traceId"] == *by_http));
    let nanos = |name: &str| -> i64 { statement[name].as_str().unwrap().parse().unwrap() };
    assert!(nanos("endTimeUnixNano") >= nanos("startTimeUnixNano"), "{statement}");
    process.kill().await;
}
