//! Namespaces: what filters find, beside what they mean, which is said here once more and without
//! SQL; writers that meet; who may ask.

use crate::{
    clock::{SeededClock, SharedClock, SystemClock},
    support,
};
use nearlake::namespaces::{Answer, Caller, FaultKind, Namespaces};
use serde_json::{Map, Value, json};
use std::{cmp::Ordering, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const DOCUMENTS: u64 = 300;
const FILTERS: u64 = 250;

/// Numbers by a seed.
struct Dice(SharedClock);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        self.0.random() % bound
    }

    fn word(&self) -> &'static str {
        ["", "a", "ab", "b", "Ab/c", "ä"][usize::try_from(self.below(6)).unwrap()]
    }

    fn number(&self) -> i64 {
        i64::try_from(self.below(7)).unwrap() - 3
    }

    /// A document that lacks about every third attribute.
    fn document(&self, id: u64) -> Map<String, Value> {
        let few = |value: &dyn Fn() -> Value| -> Vec<Value> {
            (0..self.below(4)).map(|_| value()).collect()
        };
        let all = [
            ("n", json!(self.number())),
            ("f", json!(f64::from(i32::try_from(self.number()).unwrap()) / 2.0)),
            ("s", json!(self.word())),
            ("b", json!(self.below(2) == 0)),
            ("words", json!(few(&|| json!(self.word())))),
            ("numbers", json!(few(&|| json!(self.number())))),
        ];
        let kept = all.into_iter().filter(|_| self.below(3) > 0);
        let fields = kept.map(|(name, value)| (name.to_owned(), value));
        std::iter::once(("id".to_owned(), json!(id))).chain(fields).collect()
    }

    fn filter(&self, depth: u64) -> Value {
        let several =
            || -> Vec<Value> { (0..self.below(4)).map(|_| self.filter(depth - 1)).collect() };
        match self.below(if depth == 0 { 3 } else { 6 }) {
            3 => json!(["And", several()]),
            4 => json!(["Or", several()]),
            5 => json!(["Not", self.filter(depth - 1)]),
            _ => self.leaf(),
        }
    }

    fn leaf(&self) -> Value {
        let pick = |words: &[&str]| {
            words[usize::try_from(self.below(words.len() as u64)).unwrap()].to_owned()
        };
        let (attribute, value): (&str, &dyn Fn() -> Value) = match self.below(3) {
            0 => ("n", &|| json!(self.number())),
            1 => ("f", &|| json!(f64::from(i32::try_from(self.number()).unwrap()) / 2.0)),
            _ => ("s", &|| json!(self.word())),
        };
        let maybe = || if self.below(5) == 0 { Value::Null } else { value() };
        let list = |value: &dyn Fn() -> Value| -> Vec<Value> {
            (0..self.below(4)).map(|_| value()).collect()
        };
        match self.below(6) {
            0 => json!([attribute, pick(&["Eq", "NotEq"]), maybe()]),
            1 => json!([attribute, pick(&["In", "NotIn"]), list(&maybe)]),
            2 => json!([attribute, pick(&["Lt", "Lte", "Gt", "Gte"]), maybe()]),
            3 => {
                let pattern = pick(&["a*", "*", "?", "[a-b]*", "*/c", "{a,b}", "ä"]);
                json!(["s", pick(&["Glob", "NotGlob", "IGlob", "NotIGlob"]), pattern])
            }
            4 => {
                let words = list(&|| json!(self.word()));
                match self.below(2) {
                    0 => json!(["words", pick(&["Contains", "NotContains"]), self.word()]),
                    _ => json!(["words", pick(&["ContainsAny", "NotContainsAny", "In"]), words]),
                }
            }
            _ => {
                let op = pick(&["AnyLt", "AnyLte", "AnyGt", "AnyGte"]);
                json!(["numbers", op, self.number()])
            }
        }
    }
}

/// Whether a document is what a filter wants.
fn wants(filter: &Value, document: &Map<String, Value>) -> bool {
    let parts = filter.as_array().unwrap();
    match (parts[0].as_str().unwrap(), &parts[1]) {
        ("And", inner) => inner.as_array().unwrap().iter().all(|part| wants(part, document)),
        ("Or", inner) => inner.as_array().unwrap().iter().any(|part| wants(part, document)),
        ("Not", inner) => !wants(inner, document),
        (name, op) => {
            let value = document.get(name).unwrap_or(&Value::Null);
            let op = op.as_str().unwrap();
            match op.strip_prefix("Not") {
                Some(op) => !holds(value, op, &parts[2]),
                None => holds(value, op, &parts[2]),
            }
        }
    }
}

fn holds(value: &Value, op: &str, operand: &Value) -> bool {
    let elements = || value.as_array().into_iter().flatten();
    let among = |value: &Value| operand.as_array().unwrap().iter().any(|one| same(one, value));
    let is = |order: Ordering, op: &str| match op {
        "Lt" => order.is_lt(),
        "Lte" => order.is_le(),
        "Gt" => order.is_gt(),
        _ => order.is_ge(),
    };
    match op {
        "Eq" => same(value, operand),
        "In" if value.is_array() => elements().any(among),
        "In" => among(value),
        "Contains" => elements().any(|element| same(element, operand)),
        "ContainsAny" => elements().any(among),
        "Lt" | "Lte" | "Gt" | "Gte" => is(order(value, operand), op),
        "Glob" | "IGlob" => value.as_str().is_some_and(|text| {
            let fold =
                |text: &str| if op == "Glob" { text.to_owned() } else { text.to_lowercase() };
            globbed(&fold(operand.as_str().unwrap()), &fold(text))
        }),
        any => {
            elements().any(|element| is(order(element, operand), any.strip_prefix("Any").unwrap()))
        }
    }
}

/// What is absent sorts below all.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::String(left), Value::String(right)) => left.cmp(right),
        _ => left.as_f64().unwrap().total_cmp(&right.as_f64().unwrap()),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    order_of_kinds(left) == order_of_kinds(right) && order(left, right).is_eq()
}

fn order_of_kinds(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::String(_) => 1,
        _ => 2,
    }
}

/// The patterns of [`Dice::leaf`], by hand.
fn globbed(pattern: &str, text: &str) -> bool {
    match pattern {
        "a*" => text.starts_with('a'),
        "*" => true,
        "?" => text.chars().count() == 1,
        "[a-b]*" => text.starts_with(['a', 'b']),
        "*/c" => text.ends_with("/c"),
        "{a,b}" => ["a", "b"].contains(&text),
        other => text == other,
    }
}

fn caller() -> Caller {
    Caller { role: "postgres".into() }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn write(namespaces: &Namespaces, name: &str, write: Value) -> Answer<Value> {
    let answer = namespaces.write(&caller(), name, read(write)).await?;
    Ok(serde_json::to_value(answer).unwrap())
}

async fn find(namespaces: &Arc<Namespaces>, filter: &Value) -> Vec<u64> {
    let query = json!({"rank_by": ["id", "asc"], "limit": DOCUMENTS, "filters": filter});
    let answer = namespaces.query(&caller(), "filters", &read(query)).await;
    let answer = answer.unwrap_or_else(|fault| panic!("{filter}: {fault}"));
    let answer = serde_json::to_value(answer).unwrap();
    answer["rows"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_finds_what_it_means() {
    let node = support::start().await;
    let namespaces = node.namespaces();
    let dice = Dice(SeededClock::shared(20));
    let documents: Vec<_> = (0..DOCUMENTS).map(|id| dice.document(id)).collect();
    let body = json!({
        "upsert_rows": documents,
        "schema": {"words": "[]string", "numbers": "[]int", "f": "float"},
    });
    write(&namespaces, "filters", body).await.unwrap();

    let mut found = 0;
    for _ in 0..FILTERS {
        let filter = dice.filter(3);
        let expected: Vec<u64> = (0..DOCUMENTS)
            .filter(|&id| wants(&filter, &documents[usize::try_from(id).unwrap()]))
            .collect();
        let ids = find(&namespaces, &filter).await;
        assert_eq!(ids, expected, "{filter}");
        found += u64::from(!ids.is_empty() && ids.len() < documents.len());
    }
    assert!(found > FILTERS / 3, "most filters say nothing");
    namespaces.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_document_wait_for_each_other() {
    let node = support::start().await;
    let namespaces = node.namespaces();
    // The first of them also creates the namespace, all at once.
    let writers = (0..8_u64).map(|writer| {
        let namespaces = Arc::clone(&namespaces);
        tokio::spawn(async move {
            for version in 0..10_u64 {
                let body = json!({
                    "upsert_rows": [{"id": 1, "version": version * 8 + writer}, {"id": 2 + writer}],
                    "upsert_condition": ["Or", [
                        ["version", "Lt", {"$ref_new": "version"}], ["id", "Gt", 1],
                    ]],
                });
                write(&namespaces, "race", body).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let query = json!({"rank_by": ["id", "asc"], "limit": 100, "include_attributes": true});
    let answer = namespaces.query(&caller(), "race", &read(query)).await.unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["rows"].as_array().unwrap().len(), 9);
    assert_eq!(answer["rows"][0]["version"], 79);
    namespaces.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_leaves_nothing() {
    let node = support::start().await;
    let namespaces = node.namespaces();
    // The second statement fails, after the table was created and the upsert done.
    let body = json!({
        "upsert_rows": [{"id": 1, "a": 1}],
        "deletes": [2],
        "delete_condition": ["a", "Eq", "text"],
    });
    let fault = write(&namespaces, "gone", body).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid, "{fault}");
    let fault = namespaces.metadata(&caller(), "gone").unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
    namespaces.stop().await;
    node.stop().await;
}

/// The status that a listing answers with to some headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_say_what_they_cost() {
    let node = support::start().await;
    let namespaces = node.namespaces();
    let billed = async |body: Value| {
        let answer = write(&namespaces, "bills", body).await.unwrap();
        let billing = &answer["billing"];
        (billing["billable_logical_bytes_written"].as_u64().unwrap(), billing["query"].clone())
    };
    let queried = |query: &Value| query["billable_logical_bytes_queried"].as_u64().unwrap();
    let returned = |query: &Value| query["billable_logical_bytes_returned"].as_u64().unwrap();

    // Values are as large as their types are.
    let of_types = json!({
        "upsert_rows": [{"id": "ee1f7c89-a3aa-43c1-8941-c987ee03e7bc", "at": "2026-03-02T00:00:00Z", "v": [0.5, 1.0]}],
        "schema": {"id": "uuid", "at": "datetime", "v": {"type": "[2]f16", "ann": false}},
        "distance_metric": "euclidean_squared",
    });
    let of_types = write(&namespaces, "types", of_types).await.unwrap();
    assert_eq!(of_types["billing"]["billable_logical_bytes_written"], 16 + 8 + 2 * 2);
    // Ten documents of 8 + 4 + 8 bytes.
    let all: Vec<Value> = (0..10).map(|id| json!({"id": id, "s": "abcd", "n": id})).collect();
    assert_eq!(billed(json!({ "upsert_rows": all })).await, (200, Value::Null));
    // A condition looks at what is there; what it keeps from being written costs nothing.
    let (bytes, whole) =
        billed(json!({ "upsert_rows": all, "upsert_condition": ["n", "Lt", 0] })).await;
    assert!(bytes == 0 && queried(&whole) > 0, "{bytes} {whole}");
    let (bytes, half) =
        billed(json!({ "upsert_rows": &all[..5], "upsert_condition": ["n", "Lt", 2] })).await;
    assert_eq!((bytes, returned(&half)), (40, 0));
    let share = queried(&whole).abs_diff(2 * queried(&half));
    assert!(share < queried(&whole) / 2, "of five documents it is about half: {whole} {half}");
    let patch = json!({ "patch_rows": [{"id": 1, "s": "xyz"}, {"id": 99, "s": "xyz"}] });
    assert_eq!(billed(patch).await, (11, Value::Null));

    // A deletion writes the row's number, whatever the row was.
    assert_eq!(billed(json!({ "deletes": [1, 99] })).await, (8, Value::Null));
    assert_eq!(billed(json!({ "deletes": [1, 99] })).await, (0, Value::Null));
    let (bytes, query) =
        billed(json!({ "deletes": [2, 3], "delete_condition": ["n", "Eq", 3] })).await;
    assert!(bytes == 8 && queried(&query) > 0, "{bytes} {query}");

    // A filter is a query.
    let by = json!({ "patch_by_filter": {"filters": ["n", "Lt", 5], "patch": {"s": "ab"}} });
    let (bytes, query) = billed(by).await;
    assert!(bytes == 3 * 2 && queried(&query) > 0 && returned(&query) == 0, "{bytes} {query}");
    let gone = json!({ "delete_by_filter": ["n", "Gte", 5], "return_affected_ids": true });
    let (bytes, query) = billed(gone).await;
    assert!(bytes == 5 * 8 && queried(&query) > 0 && returned(&query) == 5 * 8, "{bytes} {query}");
    namespaces.stop().await;
    node.stop().await;
}

/// What is near and what is far is told by each query of itself, and the hint brings near what is far.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_tell_of_their_own_reads() {
    /// Enough for an index to be asked.
    const ROWS: u32 = 12_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let clock = SystemClock::shared();
    let node = support::start_on(data, &[]).await;
    let namespaces = node.namespaces();
    let dice = Dice(SeededClock::shared(21));
    let vector = || -> Vec<u64> { (0..8).map(|_| dice.below(1000)).collect() };
    for name in ["one", "other"] {
        let vectors: Vec<_> = (0..ROWS).map(|_| vector()).collect();
        let ids: Vec<u32> = (0..ROWS).collect();
        let columns = json!({"id": ids, "n": ids, "vector": vectors});
        let body = json!({"upsert_columns": columns, "distance_metric": "euclidean_squared"});
        write(&namespaces, name, body).await.unwrap();
        while namespaces.metadata(&caller(), name).unwrap()["index"]["status"] != "up-to-date" {
            clock.sleep(Duration::from_millis(20)).await;
        }
    }
    node.client().await.batch_execute("CHECKPOINT").await.unwrap();
    namespaces.stop().await;
    node.stop().await;

    // A start remembers no column that was near.
    let node = support::start_on(data, &[]).await;
    let namespaces = node.namespaces();
    let near: Vec<u64> = vector();
    let query = async |name: &str, rank_by: Value| {
        let query = json!({"rank_by": rank_by, "limit": 10, "include_attributes": ["n"]});
        let answer = namespaces.query(&caller(), name, &read(query)).await.unwrap();
        let performance = &serde_json::to_value(answer).unwrap()["performance"];
        let ratio = performance["cache_hit_ratio"].as_f64().unwrap();
        (ratio, performance["cache_temperature"].as_str().unwrap().to_owned())
    };
    let (by_vector, by_number) = (json!(["vector", "ANN", near]), json!(["n", "desc"]));
    let (hot, cold) = ((1.0, "hot".to_owned()), (0.0, "cold".to_owned()));
    assert_eq!(query("one", by_number.clone()).await, cold);
    assert_eq!(query("one", by_number.clone()).await, hot);
    // Of the columns that are read now the numbers are near, and the vectors are not.
    let (ratio, _) = query("one", by_vector.clone()).await;
    assert!(ratio > 0.0 && ratio < 1.0, "{ratio}");
    assert_eq!(query("one", by_vector.clone()).await, hot);
    // Others that run at the same time change nothing of it.
    let mine = query("one", by_vector.clone());
    assert_eq!(tokio::join!(mine, query("other", by_number)), (hot.clone(), cold));

    // The hint says what it does, and in the end that there is nothing left to do.
    let hint = || serde_json::to_value(namespaces.warm(&caller(), "other").unwrap()).unwrap();
    let said = hint();
    assert_eq!(said["status"], "ACCEPTED");
    assert!(said["message"].as_str().unwrap().starts_with("the namespace is being read: "));
    let limit = clock.elapsed() + Duration::from_secs(30);
    loop {
        let said = hint();
        match said["message"].as_str().unwrap() {
            "the namespace is near already" => break,
            "the namespace is being read already" => {}
            message => assert!(message.starts_with("the namespace is being read: "), "{message}"),
        }
        assert!(clock.elapsed() < limit, "{said}");
        clock.sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(query("other", by_vector).await, hot);
    let missing = namespaces.warm(&caller(), "nowhere").unwrap_err();
    assert_eq!(missing.kind, FaultKind::NotFound);
    namespaces.stop().await;
    node.stop().await;
}

async fn status(address: std::net::SocketAddr, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/namespaces HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_password_only_this_machine_asks() {
    let node = support::start().await;
    let at = node.http_addr();
    assert_eq!(status(at, "Host: localhost\r\n").await, 200);
    assert_eq!(status(at, "Host: localhost\r\nOrigin: http://[::1]:1\r\n").await, 200);
    assert_eq!(status(at, "Host: localhost\r\nOrigin: https://example.com\r\n").await, 403);
    assert_eq!(status(at, "Host: example.com\r\n").await, 403);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_password_requests_bear_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "open: sesame\n").unwrap();
    let node = support::start_on("memory:", &["--password-file", file.to_str().unwrap()]).await;
    let at = node.http_addr();
    let bearing =
        async |token: &str| status(at, &format!("Host: x\r\nAuthorization: {token}\r\n")).await;
    assert_eq!(status(at, "Host: localhost\r\n").await, 401);
    for wrong in ["Bearer", "Bearer ", "Bearer sesame", "Basic open", "Bearer nobody:open: sesame"]
    {
        assert_eq!(bearing(wrong).await, 401, "{wrong}");
    }
    for _ in 0..2 {
        assert_eq!(bearing("Bearer postgres:open: sesame").await, 200);
        assert_eq!(bearing("bearer open: sesame").await, 200);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_shown_once_and_stands_for_its_role() {
    let node = support::start().await;
    let client = node.client().await;
    let create = "CREATE API KEY reader FOR ROLE postgres";
    let key: String = client.query_one(create, &[]).await.unwrap().get(0);
    let twice = client.query_one(create, &[]).await.unwrap_err();
    assert_eq!(twice.code().unwrap().code(), "42710");
    let nobody = client.query_one("CREATE API KEY x FOR ROLE nobody", &[]).await.unwrap_err();
    assert_eq!(nobody.code().unwrap().code(), "42704");
    let known = client.query("SELECT name, role FROM nearlake_api_keys", &[]).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].get::<_, String>(0), "reader");

    // Once there is a password, the key is what lets in.
    client.batch_execute("ALTER ROLE postgres PASSWORD 'sesame'").await.unwrap();
    let at = node.http_addr();
    let bearing = async |token: &str| {
        status(at, &format!("Host: x\r\nAuthorization: Bearer {token}\r\n")).await
    };
    assert_eq!(bearing("nlk_wrong").await, 401);
    assert_eq!(bearing(&key).await, 200);
    client.batch_execute("DROP API KEY reader; DROP API KEY IF EXISTS reader").await.unwrap();
    assert_eq!(bearing(&key).await, 401);
    node.stop().await;
}
