//! Texts to vectors, for clients that keep them elsewhere or only want to ask.

use super::{
    Caller, Namespaces,
    cell::{Cell, VectorEncoding, cells},
    fault::{Answer, Fault, FaultKind},
    names::{VECTOR, literal, shortened},
    request::Write,
    schema,
    shape::Shape,
    sql::{Parameters, Sql},
    value,
};
use crate::{embed::Purpose, pgtype::PgType};
use arrow::array::AsArray;
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
    pub(super) embeddings: Vec<Cell>,
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
        let model = embed.model.as_deref();
        let (dims, embeddings) = self.vectors(caller, texts, model, embed.vector_encoding).await?;
        Ok(EmbedAnswer { dims, embeddings })
    }

    /// Puts vectors in the place of `["Embed", text, {model}]` in what is to be written. Only where
    /// the attribute is of vectors: elsewhere it is a list of strings.
    pub(super) async fn embed_values(
        &self,
        caller: &Caller,
        name: &str,
        write: &mut Write,
    ) -> Answer<()> {
        if !write.values_mut().any(|(_, value)| call(value).is_some()) {
            return Ok(());
        }
        let shape = Shape::of(&self.engine.catalog(), name)?;
        let declared = write.schema.as_ref().map(schema::declared).transpose()?.unwrap_or_default();
        let is_of_vectors = |name: &str| match shape.attribute(name) {
            Some(attribute) => attribute.kind.is_vector(),
            None if name == VECTOR => true,
            None => declared.iter().any(|declared| declared.name == name && declared.is_vector()),
        };
        // By model, so that each is asked once.
        let mut asked: BTreeMap<Option<String>, (Vec<String>, Vec<&mut Value>)> = BTreeMap::new();
        for (name, value) in write.values_mut().filter(|(name, _)| is_of_vectors(name)) {
            let Some(parts) = call(value) else { continue };
            let (text, model) = called(parts, shape.model_of(name))?;
            let (text, model) = (text.to_owned(), model.map(str::to_owned));
            let (texts, places) = asked.entry(model).or_default();
            texts.push(text);
            places.push(value);
        }
        for (model, (texts, places)) in asked {
            let model = model.as_deref();
            let (_, vectors) = self.vectors(caller, texts, model, VectorEncoding::Base64).await?;
            for (place, vector) in places.into_iter().zip(vectors) {
                if let Cell::Text(vector) = vector {
                    *place = Value::String(vector);
                }
            }
        }
        Ok(())
    }

    /// The vectors of texts, with their dimensions.
    async fn vectors(
        &self,
        caller: &Caller,
        texts: Vec<String>,
        model: Option<&str>,
        encoding: VectorEncoding,
    ) -> Answer<(usize, Vec<Cell>)> {
        let kind = PgType::Text.array();
        let texts: Vec<Value> = texts.into_iter().map(Value::from).collect();
        let mut parameters = Parameters::default();
        let word = parameters.add(&kind, value::single(&kind, &Value::Array(texts))?);
        let model = model.map(|model| format!(", {}", literal(model)));
        let text = format!("SELECT embed({word}{})", model.unwrap_or_default());
        let mut work = self.pool.work(&caller.role).await?;
        let rows = work.rows(Sql { text, parameters }).await?;
        work.commit().await?;
        let broken = || Fault::new(FaultKind::Internal, "vectors are not where they should be");
        let batch = rows.batches.first().ok_or_else(broken)?;
        let vectors = batch.column(0).as_list_opt::<i32>().ok_or_else(broken)?.value(0);
        let dims = vectors.as_fixed_size_list_opt().ok_or_else(broken)?.value_length();
        let column = PgType::Vector(u16::try_from(dims).ok());
        let cells = cells(&column, &vectors, encoding)?;
        Ok((usize::try_from(dims).unwrap_or(0), cells))
    }

    /// The models that make vectors, with the dimensions of these.
    pub(super) fn models(&self) -> BTreeMap<String, u16> {
        let catalog = self.engine.catalog();
        let models = catalog.models().filter(|model| model.spec.purpose == Purpose::Embedding);
        models.map(|model| (model.name.clone(), model.spec.dims)).collect()
    }
}

/// The parts of what looks like `["Embed", …]`.
fn call(value: &Value) -> Option<&[Value]> {
    let Value::Array(parts) = value else { return None };
    (parts.first()?.as_str()? == "Embed").then_some(parts)
}

/// The text of `["Embed", text, {model}]`, and its model: that which is named, or that by which the
/// attribute's vectors are made.
pub(super) fn called<'v>(
    parts: &'v [Value],
    model: Option<&'v str>,
) -> Answer<(&'v str, Option<&'v str>)> {
    let (text, options) = match parts {
        [Value::String(word), Value::String(text)] if word == "Embed" => (text, None),
        [Value::String(word), Value::String(text), options] if word == "Embed" => {
            (text, Some(options))
        }
        _ => return Err(Fault::invalid("expected a vector, or [\"Embed\", \"text\"]")),
    };
    let model = match options.filter(|options| !options.is_null()) {
        None => model,
        Some(Value::Object(options)) => {
            if let Some(unknown) = options.keys().find(|key| *key != "model") {
                let unknown = shortened(unknown);
                return Err(Fault::invalid(format!("Embed has no option \"{unknown}\"")));
            }
            match options.get("model") {
                Some(Value::String(model)) => Some(model.as_str()),
                _ => return Err(Fault::invalid("the model of Embed is a name")),
            }
        }
        Some(_) => return Err(Fault::invalid("the options of Embed are an object")),
    };
    Ok((text, model))
}
