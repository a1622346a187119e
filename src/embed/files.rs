//! The folder of a model: which files make its vectors, and their checksums.
//!
//! ```text
//!   model.onnx (or onnx/model.onnx, or what `file` names), and what it keeps beside itself
//!   tokenizer.json
//!   config.json  tokenizer_config.json  special_tokens_map.json     where there are such
//! ```
//!
//! A vector follows from all of them, so that each is checked against its checksum whenever the
//! model is read. What is in memory was checked, whatever has become of the files since.

use super::spec::{FileSum, Spec, hex};
use crate::error::{Error, Result, SqlState};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Where an ONNX file is looked for.
const ONNX_FILES: [&str; 2] = ["model.onnx", "onnx/model.onnx"];
/// The tokenizer itself.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// What says more about model and tokenizer.
pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
/// No file of a model may be larger: protocol buffers end at 2 GiB, weights beside them may not.
const FILE_BYTES_MAX: u64 = 32 << 30;

/// Whether a name is that of a file within a folder.
///
/// # Errors
/// 22023 for what leads out of it.
pub(super) fn check_name(file: &str) -> Result<()> {
    let leads_out = |part| !matches!(part, std::path::Component::Normal(_));
    if file.is_empty() || Path::new(file).components().any(leads_out) {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for option \"file\": \"{file}\""),
        )
        .hint("Name a file in the folder of the model."));
    }
    Ok(())
}

/// A folder's files as they are now.
///
/// # Errors
/// 58P01 where one is missing, 42501 where one may not be read.
pub fn sums(folder: &Path, file: Option<&str>) -> Result<(String, Vec<FileSum>)> {
    let onnx = match file {
        Some(file) => {
            check_name(file)?;
            file.to_owned()
        }
        None => ONNX_FILES
            .into_iter()
            .find(|name| folder.join(name).is_file())
            .unwrap_or(ONNX_FILES[0])
            .to_owned(),
    };
    let mut sums = vec![sum(folder, &onnx)?, sum(folder, TOKENIZER)?];
    for name in [CONFIG, TOKENIZER_CONFIG, SPECIAL_TOKENS]
        .map(str::to_owned)
        .into_iter()
        .chain(weights(folder, &onnx))
    {
        if folder.join(&name).is_file() {
            sums.push(sum(folder, &name)?);
        }
    }
    Ok((onnx, sums))
}

/// The files beside an ONNX file in which it keeps its weights.
fn weights(folder: &Path, onnx: &str) -> Vec<String> {
    ["_data", ".data"]
        .map(|ending| format!("{onnx}{ending}"))
        .into_iter()
        .filter(|name| folder.join(name).is_file())
        .collect()
}

fn sum(folder: &Path, name: &str) -> Result<FileSum> {
    let path = folder.join(name);
    let mut file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
    let (mut sum, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(|error| unreadable(&path, &error))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > FILE_BYTES_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("file \"{}\" is larger than a model's may be", path.display()),
            )
            .hint("Name a folder that holds a model."));
        }
        sum.update(&buffer[..read]);
    }
    Ok(FileSum { name: name.to_owned(), bytes, sha256: hex(&sum.finalize()) })
}

/// A model's files in memory, each as its checksum says.
pub(super) struct Contents {
    files: Vec<(String, Vec<u8>)>,
}

impl Contents {
    /// Reads and checks.
    pub(super) fn read(name: &str, spec: &Spec) -> Result<Self> {
        let mut files = Vec::with_capacity(spec.files.len());
        for known in &spec.files {
            let path = spec.folder.join(&known.name);
            // What has another size need not be read.
            let found = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
            if found.len() != known.bytes {
                return Err(changed(name, &path));
            }
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            if bytes.len() as u64 != known.bytes || hex(&Sha256::digest(&bytes)) != known.sha256 {
                return Err(changed(name, &path));
            }
            files.push((known.name.clone(), bytes));
        }
        Ok(Self { files })
    }

    /// Takes a file out.
    pub(super) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let place = self.files.iter().position(|(known, _)| known == name)?;
        Some(self.files.swap_remove(place).1)
    }

    /// What is left: the weights.
    pub(super) fn rest(self) -> Vec<(String, Vec<u8>)> {
        self.files
    }
}

fn changed(model: &str, path: &Path) -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("file \"{}\" of model \"{model}\" has changed", path.display()),
    )
    .detail("Its vectors would not be those that it made before.")
    .hint(format!(
        "Put the file back. While no column holds vectors of the model, ALTER EMBEDDING MODEL {model} \
         ACCEPT FILES accepts it; else make another model of it, and give the column that by ALTER \
         TABLE … ALTER COLUMN … SET EXPRESSION."
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let state = match error.kind() {
        ErrorKind::NotFound | ErrorKind::IsADirectory => SqlState::UNDEFINED_FILE,
        ErrorKind::PermissionDenied => SqlState::INSUFFICIENT_PRIVILEGE,
        _ => SqlState::IO_ERROR,
    };
    Error::new(state, format!("could not read file \"{}\": {error}", path.display())).hint(
        "A model is a folder on the server with model.onnx (or what the option \"file\" names) and \
         tokenizer.json.",
    )
}

/// What the files themselves say of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// The size of its hidden states.
    pub dims: Option<u16>,
    /// How many tokens it takes.
    pub max_length: Option<u32>,
    /// For how many it has positions: with more it fails, or worse, does not.
    pub positions: Option<u32>,
    /// How the vectors of tokens become one.
    pub pooling: Option<super::Pooling>,
    /// Whether it classifies pairs of texts: a reranker.
    pub is_classifier: bool,
}

/// Reads what a folder says of its model: `config.json`, `sentence_bert_config.json`,
/// `tokenizer_config.json`, `1_Pooling/config.json`.
#[must_use]
pub fn said(folder: &Path) -> Said {
    let json = |name: &str| -> serde_json::Value {
        let text = std::fs::read(folder.join(name)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    };
    let (config, pooling) = (json(CONFIG), json("1_Pooling/config.json"));
    let length = |value: &serde_json::Value| {
        let length = value.as_f64().filter(|&length| length >= 1.0)?;
        // Tokenizers without a bound say 1e30.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is bounded"
        )]
        (length <= f64::from(*super::spec::MAX_LENGTH.end())).then_some(length as u32)
    };
    let sentence = length(&json("sentence_bert_config.json")["max_seq_length"]);
    let tokenizer = length(&json(TOKENIZER_CONFIG)["model_max_length"]);
    let positions = length(&config["max_position_embeddings"]);
    let is_on = |name: &str| pooling[name].as_bool() == Some(true);
    Said {
        dims: config["hidden_size"].as_u64().and_then(|dims| u16::try_from(dims).ok()),
        max_length: sentence.or(match (tokenizer, positions) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }),
        positions: positions.map(|positions| match config["model_type"].as_str() {
            // Theirs begin behind the padding's.
            Some("roberta" | "xlm-roberta" | "camembert" | "mpnet") => positions.saturating_sub(2),
            _ => positions,
        }),
        pooling: if is_on("pooling_mode_mean_tokens") {
            Some(super::Pooling::Mean)
        } else if is_on("pooling_mode_cls_token") {
            Some(super::Pooling::Cls)
        } else {
            None
        },
        is_classifier: config["architectures"].as_array().is_some_and(|names| {
            let mut names = names.iter().filter_map(serde_json::Value::as_str);
            names.any(|name| name.ends_with("ForSequenceClassification"))
        }),
    }
}

/// A folder as a path that does not depend on where the server was started.
///
/// # Errors
/// 58P01 where there is none.
pub fn folder(path: &str) -> Result<PathBuf> {
    let given = Path::new(path);
    let folder = std::fs::canonicalize(given).map_err(|error| unreadable(given, &error))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Error::new(SqlState::UNDEFINED_FILE, format!("\"{path}\" is no folder"))
        .hint("Name the folder; the option \"file\" names the ONNX file in it."))
}
