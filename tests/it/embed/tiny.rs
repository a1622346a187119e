//! Models of a few KB, written here: a vector for each word of a small vocabulary, by a seed, so
//! that a test knows what they give.

use nearlake::clock::SeededClock;
use std::path::{Path, PathBuf};

/// The words that tiny models know, behind four special tokens.
pub(crate) const WORDS: [&str; 24] = [
    "a", "the", "cat", "dog", "boat", "ship", "sails", "sits", "red", "blue", "green", "fast",
    "slow", "car", "road", "sea", "river", "stone", "bread", "milk", "music", "guitar", "light",
    "night",
];
const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];

/// A tiny embedding model: its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Tiny {
    pub(crate) dims: usize,
    table: Vec<Vec<f32>>,
}

impl Tiny {
    /// By a seed.
    pub(crate) fn new(seed: u64, dims: usize) -> Self {
        let clock = SeededClock::shared(seed);
        let number = || {
            let number = (clock.random() % 2001) as f32;
            number / 1000.0 - 1.0
        };
        let row = |_| (0..dims).map(|_| number()).collect();
        Self { dims, table: (0..SPECIAL.len() + WORDS.len()).map(row).collect() }
    }

    /// The numbers of a text's tokens, those that the tokenizer adds included.
    fn tokens(text: &str) -> Vec<usize> {
        let words = text.split_whitespace().map(|word| {
            let word = word.to_lowercase();
            WORDS.iter().position(|known| *known == word).map_or(1, |at| at + SPECIAL.len())
        });
        [2].into_iter().chain(words).chain([3]).collect()
    }

    /// The mean of the tokens' vectors.
    pub(crate) fn mean(&self, text: &str) -> Vec<f32> {
        let tokens = Self::tokens(text);
        let count = f32::from(u16::try_from(tokens.len()).unwrap());
        let sum = |dim: usize| tokens.iter().map(|&token| self.table[token][dim]).sum::<f32>();
        (0..self.dims).map(|dim| sum(dim) / count).collect()
    }

    /// What `embed()` gives by default.
    pub(crate) fn vector(&self, text: &str) -> Vec<f32> {
        unit(&self.mean(text))
    }

    /// The vector of the first token, which all texts share.
    pub(crate) fn first(&self) -> Vec<f32> {
        self.table[2].clone()
    }

    /// Writes its folder.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let rows = self.table.iter().flatten().copied().collect::<Vec<_>>();
        let shape = [self.table.len(), self.dims];
        let nodes = [node("Gather", &["table", "input_ids"], "last_hidden_state", &[])];
        let output = value_info("last_hidden_state", FLOAT, &[-1, -2, self.dims.cast_signed()]);
        write(
            folder,
            &nodes,
            &[tensor("table", FLOAT, &shape, &floats(&rows))],
            &output,
            self.dims,
        );
        folder.to_owned()
    }
}

/// A vector of length 1.
pub(crate) fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    vector.iter().map(|number| number / norm).collect()
}

/// Writes a tiny cross-encoder: the sum of a weight for each token of the pair, padding apart.
pub(crate) fn write_reranker(seed: u64, folder: &Path) {
    let mut weights: Vec<f32> = Tiny::new(seed, 1).table.concat();
    weights[0] = 0.0;
    let nodes = [
        node("Gather", &["weights", "input_ids"], "rows", &[]),
        node("ReduceSum", &["rows", "axes"], "logits", &[("keepdims", 0)]),
    ];
    let constants = [
        tensor("weights", FLOAT, &[weights.len(), 1], &floats(&weights)),
        tensor("axes", INT64, &[1], &1_i64.to_le_bytes()),
    ];
    write(folder, &nodes, &constants, &value_info("logits", FLOAT, &[-1, 1]), 1);
}

fn write(folder: &Path, nodes: &[Vec<u8>], constants: &[Vec<u8>], output: &[u8], size: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let inputs = ["input_ids", "attention_mask"].map(|name| value_info(name, INT64, &[-1, -2]));
    let mut graph = Vec::new();
    nodes.iter().for_each(|node| graph.extend(message(1, node)));
    graph.extend(message(2, b"tiny"));
    constants.iter().for_each(|constant| graph.extend(message(5, constant)));
    inputs.iter().for_each(|input| graph.extend(message(11, input)));
    graph.extend(message(12, output));
    let model = [number(1, 9), message(7, &graph), message(8, &number(2, 17))].concat();
    std::fs::write(folder.join("model.onnx"), model).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer()).unwrap();
    let config = format!(
        "{{\"hidden_size\": {size}, \"max_position_embeddings\": 64, \"pad_token_id\": 0}}"
    );
    std::fs::write(folder.join("config.json"), config).unwrap();
    let length = "{\"max_seq_length\": 16}";
    std::fs::write(folder.join("sentence_bert_config.json"), length).unwrap();
}

fn tokenizer() -> String {
    let vocabulary: serde_json::Map<_, _> = SPECIAL
        .iter()
        .chain(&WORDS)
        .enumerate()
        .map(|(id, word)| ((*word).to_owned(), id.into()))
        .collect();
    let special =
        |id: &str, kind: u8| serde_json::json!({ "SpecialToken": { "id": id, "type_id": kind } });
    let sequence =
        |id: &str, kind: u8| serde_json::json!({ "Sequence": { "id": id, "type_id": kind } });
    let token =
        |id: u8, word: &str| serde_json::json!({ "id": word, "ids": [id], "tokens": [word] });
    let added: Vec<_> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, word)| {
            serde_json::json!({
                "id": id, "content": word, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [
                special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0),
                sequence("B", 1), special("[SEP]", 1),
            ],
            "special_tokens": { "[CLS]": token(2, "[CLS]"), "[SEP]": token(3, "[SEP]") },
        },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    })
    .to_string()
}

// ONNX is protocol buffers.

const FLOAT: u64 = 1;
const INT64: u64 = 7;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn message(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn node(kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, u64)]) -> Vec<u8> {
    let mut node = Vec::new();
    inputs.iter().for_each(|input| node.extend(message(1, input.as_bytes())));
    node.extend(message(2, output.as_bytes()));
    node.extend(message(4, kind.as_bytes()));
    for (name, value) in attributes {
        let attribute = [message(1, name.as_bytes()), number(3, *value), number(20, 2)].concat();
        node.extend(message(5, &attribute));
    }
    node
}

fn tensor(name: &str, kind: u64, shape: &[usize], raw: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::new();
    shape.iter().for_each(|&dim| tensor.extend(number(1, dim as u64)));
    tensor.extend(number(2, kind));
    tensor.extend(message(8, name.as_bytes()));
    tensor.extend(message(9, raw));
    tensor
}

/// A dimension below zero has a name instead of a size.
fn value_info(name: &str, kind: u64, shape: &[isize]) -> Vec<u8> {
    let mut dims = Vec::new();
    for &dim in shape {
        let dim = match u64::try_from(dim) {
            Ok(size) => number(1, size),
            Err(_) => message(2, format!("d{}", -dim).as_bytes()),
        };
        dims.extend(message(1, &dim));
    }
    let tensor = [number(1, kind), message(2, &dims)].concat();
    [message(1, name.as_bytes()), message(2, &message(1, &tensor))].concat()
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
