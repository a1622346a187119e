//! Over HTTP: the JSON API with texts in the place of vectors, and the hub that models come from.

use super::{
    check_refusal, near, numbers, one, refused, run, start, tiny::Tiny, tiny_model, vector, venv,
};
use crate::support;
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

async fn ask(at: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> String {
    let (status, body) = ask(at, &format!("GET {path}"), "").await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn post(at: SocketAddr, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = ask(at, &format!("POST {path}"), &body.to_string()).await;
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")))
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_stand_in_the_place_of_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let (node, tiny) = (start().await, Tiny::new(30, 8));
    let (client, at) = (node.client().await, node.http_addr());
    run(&client, &tiny_model(folder.path(), "m", &tiny, "")).await;

    let (status, answer) =
        post(at, "/v1/embed", json!({ "input": ["cat", "red dog"], "model": "m" })).await;
    assert_eq!((status, &answer["dims"]), (200, &json!(8)));
    near(&floats(&answer["embeddings"][1]), &tiny.vector("red dog"));
    // Written as single precision is, not as what it is widened to.
    let digits = answer["embeddings"][1][0].to_string();
    assert!(digits.len() <= 14, "{digits}");
    let (_, answer) =
        post(at, "/v1/embed", json!({ "input": "cat", "model": "m", "vector_encoding": "base64" }))
            .await;
    assert_eq!(answer["embeddings"][0].as_str().unwrap().len(), 44);
    for (body, word) in [
        (json!({ "input": "cat" }), "not told which model"),
        (json!({ "input": "cat", "model": "k" }), "does not exist"),
        (json!({ "input": [], "model": "m" }), "1 to 2048"),
    ] {
        let (status, answer) = post(at, "/v1/embed", body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(word), "{answer}");
    }

    let write = json!({
        "upsert_rows": [{ "id": 1, "body": "red cat" }, { "id": 2, "body": "a boat sails" }, { "id": 3, "body": null }],
        "distance_metric": "cosine_distance",
        "schema": { "body": { "type": "string", "embed": "m" } },
    });
    let (status, answer) = post(at, "/v2/namespaces/notes", write).await;
    assert_eq!((status, &answer["rows_upserted"]), (200, &json!(3)), "{answer}");
    let query = async |rank_by: Value| {
        let body = json!({ "rank_by": rank_by, "limit": 5, "include_attributes": ["body"] });
        post(at, "/v2/namespaces/notes/query", body).await
    };
    for rank_by in [
        json!(["body", "ANN", ["Embed", "boat"]]),
        json!(["$embed_body", "ANN", ["Embed", "boat", { "model": "m" }]]),
        json!(["$embed_body", "ANN", tiny.vector("boat")]),
    ] {
        let (status, answer) = query(rank_by.clone()).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["rows"][0]["id"], json!(2), "{rank_by} {answer}");
    }
    for (rank_by, word) in [
        (json!(["body", "ANN", ["Embed", "boat", { "model": "k" }]]), "does not exist"),
        (json!(["body", "ANN", ["Embed", 5]]), "Embed"),
        (json!(["body", "ANN", ["Embed", "boat", { "modle": "m" }]]), "no option"),
    ] {
        let (status, answer) = query(rank_by).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(word), "{answer}");
    }
    // A new text has a new vector, a patch of it too; nobody writes the vector itself.
    let patch = json!({ "patch_rows": [{ "id": 1, "body": "fast ship" }] });
    assert_eq!(post(at, "/v2/namespaces/notes", patch).await.0, 200);
    let (_, answer) = query(json!(["body", "ANN", ["Embed", "fast ship"]])).await;
    assert_eq!(answer["rows"][0]["id"], json!(1), "{answer}");
    let written = json!({ "upsert_rows": [{ "id": 4, "$embed_body": [1, 2, 3, 4, 5, 6, 7, 8] }] });
    assert_eq!(post(at, "/v2/namespaces/notes", written).await.0, 400);
    let schema: Value =
        serde_json::from_str(&get(at, "/v1/namespaces/notes/schema").await).unwrap();
    assert_eq!(schema["body"]["embed"]["model"], json!("m"), "{schema}");
    assert_eq!(schema["$embed_body"]["type"], json!("[8]f32"), "{schema}");

    // Also of a namespace that is there, and of a copy.
    let other = json!({ "title": { "type": "string", "embed": { "model": "m", "attribute": "of_title", "dims": 8 } } });
    let (status, answer) = post(at, "/v1/namespaces/notes/schema", other).await;
    assert_eq!(status, 200, "{answer}");
    let wrong = json!({ "x": { "type": "string", "embed": { "model": "m", "dims": 9 } } });
    assert_eq!(post(at, "/v1/namespaces/notes/schema", wrong).await.0, 400);
    let (status, answer) =
        post(at, "/v2/namespaces/copies", json!({ "copy_from_namespace": "notes" })).await;
    assert_eq!(status, 200, "{answer}");
    let body = json!({ "rank_by": ["body", "ANN", ["Embed", "fast ship"]], "limit": 1 });
    let (_, answer) = post(at, "/v2/namespaces/copies/query", body).await;
    assert_eq!(answer["rows"][0]["id"], json!(1), "{answer}");
    let count = "SELECT count(\"$embed_body\")::text FROM namespaces.copies";
    assert_eq!(one(&client, count).await, "2");
    // A vector that nothing generates is made of a text where it is written; elsewhere the same is a
    // list of strings.
    let write = json!({
        "upsert_rows": [
            { "id": 1, "vector": ["Embed", "red cat", { "model": "m" }], "tags": ["Embed", "x"] },
            { "id": 2, "vector": tiny.vector("sea") },
        ],
        "distance_metric": "cosine_distance",
    });
    let (status, answer) = post(at, "/v2/namespaces/plain", write).await;
    assert_eq!(status, 200, "{answer}");
    let columns = json!({ "upsert_columns": { "id": [3, 4], "vector": [["Embed", "boat", { "model": "m" }], null] } });
    let (status, answer) = post(at, "/v2/namespaces/plain", columns).await;
    assert_eq!(status, 200, "{answer}");
    let again =
        json!({ "upsert_rows": [{ "id": 2, "vector": ["Embed", "milk", { "model": "m" }] }] });
    let (status, answer) = post(at, "/v2/namespaces/plain", again).await;
    assert_eq!(status, 200, "{answer}");
    for (id, text) in [(1, "red cat"), (2, "milk"), (3, "boat")] {
        let kept = format!("SELECT vector::text FROM namespaces.plain WHERE id = {id}");
        near(&vector(&client, &kept).await, &tiny.vector(text));
    }
    let tags = "SELECT tags::text FROM namespaces.plain WHERE id = 1";
    assert_eq!(one(&client, tags).await, "{Embed,x}");
    for (vector, word) in [
        (json!(["Embed", "x", { "model": "k" }]), "does not exist"),
        (json!(["Embed", "x"]), "not told which model"),
        (json!(["Embed", 5]), "Embed"),
    ] {
        let write = json!({ "upsert_rows": [{ "id": 9, "vector": vector }] });
        let (status, answer) = post(at, "/v2/namespaces/plain", write).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(word), "{answer}");
    }
    node.stop().await;
}

/// A hub with one repository, as Hugging Face's answers.
async fn hub(files: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let files = files.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                let body = match path.strip_prefix("/someone/tiny/resolve/main/") {
                    Some("broken.onnx") => None,
                    Some(file) => {
                        std::fs::read(files.join(file)).ok().map(|body| (body.len(), body))
                    }
                    None if path.starts_with("/someone/cut/") => Some((1000, vec![1, 2, 3])),
                    // One of fastembed's list, which says what its file is called.
                    None if path
                        == "/Qdrant/bge-small-en-v1.5-onnx-Q/resolve/main/model_optimized.onnx" =>
                    {
                        std::fs::read(files.join("model.onnx")).ok().map(|body| (body.len(), body))
                    }
                    None if path.starts_with("/Qdrant/") => {
                        let file = path.split("/resolve/main/").nth(1).unwrap_or_default();
                        let body = std::fs::read(files.join(file)).ok();
                        body.map(|body| (body.len(), body))
                    }
                    None => None,
                };
                let (head, body) = match body {
                    Some((length, body)) => (format!("200 OK\r\nContent-Length: {length}"), body),
                    None => ("404 Not Found\r\nContent-Length: 0".to_owned(), Vec::new()),
                };
                let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            });
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_comes_from_the_hub_by_its_name() {
    let (folder, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tiny = Tiny::new(31, 8);
    tiny.write(folder.path());
    let endpoint = format!("http://{}", hub(folder.path().to_owned()).await);
    let venv = venv();
    let flags =
        ["--onnxruntime", venv.to_str().unwrap(), "--hub-endpoint", &endpoint, "--models-dir"];
    let flags = [&flags[..], &[models.path().to_str().unwrap()]].concat();
    let node = support::start_on("memory:", &flags).await;
    let client = node.client().await;

    run(&client, "CREATE EMBEDDING MODEL m WITH (hub = 'someone/tiny')").await;
    near(&vector(&client, "SELECT embed('cat', 'm')").await, &tiny.vector("cat"));
    let shown =
        "SELECT hub || ' ' || file || ' ' || (path LIKE '%someone--tiny') FROM nearlake_models";
    assert_eq!(one(&client, shown).await, "someone/tiny model.onnx true");
    // The list knows the files of a model, and how it pools.
    for (name, expected) in [
        ("Qdrant/all-MiniLM-L6-v2-onnx", "Qdrant/all-MiniLM-L6-v2-onnx model.onnx mean"),
        ("BGESmallENV15Q", "Qdrant/bge-small-en-v1.5-onnx-Q model_optimized.onnx cls"),
    ] {
        let sql = format!("CREATE EMBEDDING MODEL listed WITH (hub = '{name}', normalize = none)");
        run(&client, &sql).await;
        let shown = "SELECT hub || ' ' || file || ' ' || pooling FROM nearlake_models WHERE name = 'listed'";
        assert_eq!(one(&client, shown).await, expected);
        let made = numbers(&one(&client, "SELECT embed('cat', 'listed')").await);
        let first = tiny.first();
        let mean = tiny.mean("cat");
        near(&made, if expected.ends_with("cls") { &first } else { &mean });
        run(&client, "DROP EMBEDDING MODEL listed").await;
    }
    // A second time nothing is fetched.
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    run(&client, "CREATE EMBEDDING MODEL n WITH (hub = 'someone/tiny', pooling = cls)").await;
    for name in ["someone/else", "NoSuchModel", "../x", "BGEBaseENV15"] {
        let sql = format!("CREATE EMBEDDING MODEL x WITH (hub = '{name}')");
        check_refusal(&refused(&client, &sql).await, "42704", "no ONNX model");
    }
    let cut = refused(&client, "CREATE EMBEDDING MODEL x WITH (hub = 'someone/cut')").await;
    check_refusal(&cut, "08006", "hub");
    assert!(!models.path().join("someone--cut/onnx/model.onnx").exists());
    node.stop().await;

    let flags = ["--hub-endpoint", "http://127.0.0.1:1"];
    let node = support::start_on("memory:", &flags).await;
    let away =
        refused(&node.client().await, "CREATE EMBEDDING MODEL x WITH (hub = 'someone/new')").await;
    check_refusal(&away, "08006", "cannot be reached");
    node.stop().await;
}
