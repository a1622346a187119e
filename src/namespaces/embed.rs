//! Texts to vectors, for clients that keep them elsewhere or only want to ask.

use super::{
    Caller, Namespaces,
    cell::VectorEncoding,
    fault::{Answer, Fault, FaultKind},
    names::literal,
    sql::{Parameters, Sql},
    value,
};
use crate::{embed::Purpose, pgtype::PgType};
use arrow::{
    array::{Array, AsArray},
    datatypes::Float32Type,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most texts of one request.
const TEXTS_MAX: usize = 2048;

/// Texts that are to become vectors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embed {
    /// One text, or several.
    pub(super) input: Input,
    /// The model; else that which the role's settings name.
    pub(super) model: Option<String>,
    /// How vectors are written.
    #[serde(default)]
    pub(super) vector_encoding: VectorEncoding,
}

/// One text, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Input {
    One(String),
    Many(Vec<String>),
}

/// Their vectors.
#[derive(Debug, Serialize)]
pub struct EmbedAnswer {
    /// How many numbers each has.
    pub(super) dims: usize,
    /// One for each text, in their order.
    pub(super) embeddings: Vec<Value>,
}

impl Namespaces {
    /// Makes vectors of texts.
    ///
    /// # Errors
    /// Too many texts, an unknown model, and those of the model.
    pub async fn embed(&self, caller: &Caller, embed: Embed) -> Answer<EmbedAnswer> {
        let texts = match embed.input {
            Input::One(text) => vec![text],
            Input::Many(texts) => texts,
        };
        if texts.is_empty() || texts.len() > TEXTS_MAX {
            return Err(Fault::invalid(format!("input: expected 1 to {TEXTS_MAX} texts")));
        }
        let kind = PgType::Text.array();
        let texts: Vec<Value> = texts.into_iter().map(Value::from).collect();
        let mut parameters = Parameters::default();
        let word = parameters.add(&kind, value::single(&kind, &Value::Array(texts))?);
        let model = embed.model.map(|model| format!(", {}", literal(&model)));
        let text = format!("SELECT embed({word}{})", model.unwrap_or_default());
        let mut work = self.pool.work(&caller.role).await?;
        let rows = work.rows(Sql { text, parameters }).await?;
        work.commit().await?;
        let broken = || Fault::new(FaultKind::Internal, "vectors are not where they should be");
        let batch = rows.batches.first().ok_or_else(broken)?;
        let vectors = batch.column(0).as_list_opt::<i32>().ok_or_else(broken)?.value(0);
        let vectors = vectors.as_fixed_size_list_opt().ok_or_else(broken)?;
        let mut embeddings = Vec::with_capacity(vectors.len());
        for row in 0..vectors.len() {
            let vector = vectors.value(row);
            let numbers = vector.as_primitive_opt::<Float32Type>().ok_or_else(broken)?.values();
            embeddings.push(match embed.vector_encoding {
                VectorEncoding::Float => {
                    numbers.iter().map(|&number| Value::from(number)).collect()
                }
                VectorEncoding::Base64 => {
                    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                    Value::from(STANDARD.encode(bytes))
                }
            });
        }
        let dims = usize::try_from(vectors.value_length()).unwrap_or(0);
        Ok(EmbedAnswer { dims, embeddings })
    }

    /// The models that make vectors, with the dimensions of these.
    pub(super) fn models(&self) -> BTreeMap<String, u16> {
        let catalog = self.engine.catalog();
        let models = catalog.models().filter(|model| model.spec.purpose == Purpose::Embedding);
        models.map(|model| (model.name.clone(), model.spec.dims)).collect()
    }
}
