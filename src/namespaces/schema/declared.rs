//! What a client declares of an attribute, read from JSON.

use crate::{
    namespaces::{
        attribute::{AttributeType, Scalar},
        fault::{Answer, Fault, FaultKind},
        names::{self, shortened},
        request::{DistanceMetric, Document},
    },
    vector::Metric,
};
use serde::Deserialize;
use serde_json::Value;

/// What is declared of an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::namespaces) struct Declared {
    pub(in crate::namespaces) name: String,
    pub(super) kind: Option<AttributeType>,
    pub(super) ann: Option<Ann>,
    pub(super) filterable: Option<bool>,
    pub(super) regex: Option<bool>,
    pub(super) glob: Option<bool>,
    pub(super) drop: bool,
    pub(super) embed: Option<EmbedConfig>,
}

impl Declared {
    /// Whether it is declared as dense vectors.
    pub(in crate::namespaces) fn is_vector(&self) -> bool {
        self.kind.is_some_and(AttributeType::is_vector)
    }
}

/// Whether a vector has an index, and by which metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ann {
    Off,
    On(Option<Metric>),
}

/// The form of a declaration that is more than a type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeSchema {
    #[serde(rename = "type")]
    kind: Option<String>,
    ann: Option<Value>,
    filterable: Option<bool>,
    regex: Option<bool>,
    glob: Option<bool>,
    #[serde(default)]
    fuzzy: bool,
    full_text_search: Option<Value>,
    embed: Option<Value>,
    sparse_knn: Option<SparseKnn>,
    #[serde(default)]
    drop: bool,
}

/// The vector that the server is to make of a text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbedConfig {
    pub(super) model: String,
    pub(super) attribute: Option<String>,
    pub(super) dims: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SparseKnn {
    distance_metric: SparseMetric,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SparseMetric {
    DotProduct,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnConfig {
    distance_metric: Option<DistanceMetric>,
    #[serde(default)]
    late_interaction: bool,
}

/// Reads declarations.
pub(in crate::namespaces) fn declared(schema: &Document) -> Answer<Vec<Declared>> {
    schema
        .iter()
        .map(|(name, value)| {
            names::check_attribute(name)?;
            one(name, value).map_err(|fault| fault.of(format!("schema of \"{}\"", shortened(name))))
        })
        .collect()
}

fn one(name: &str, value: &Value) -> Answer<Declared> {
    let name = name.to_owned();
    if let Value::String(kind) = value {
        let kind = Some(AttributeType::parse(kind)?);
        return Ok(Declared { name, kind, ..Declared::default() });
    }
    let schema: AttributeSchema = read(value)?;
    if schema.fuzzy {
        return Err(Fault::unsupported("fuzzy filters are not supported"));
    }
    if !matches!(schema.full_text_search, None | Some(Value::Null | Value::Bool(false))) {
        return Err(Fault::unsupported("full_text_search is not supported"));
    }
    let embed = match schema.embed {
        None | Some(Value::Null) => None,
        Some(Value::String(model)) => Some(EmbedConfig { model, attribute: None, dims: None }),
        Some(config) => Some(read::<EmbedConfig>(&config)?),
    };
    let kind = schema.kind.as_deref().map(AttributeType::parse).transpose()?;
    if let Some(SparseKnn { distance_metric: SparseMetric::DotProduct }) = schema.sparse_knn
        && kind.is_some_and(|kind| kind != AttributeType::Sparse)
    {
        return Err(Fault::invalid("sparse_knn goes with the type {}f16"));
    }
    let ann = match &schema.ann {
        None | Some(Value::Null) => None,
        Some(Value::Bool(false)) => Some(Ann::Off),
        Some(Value::Bool(true)) => Some(Ann::On(None)),
        Some(config) => {
            let config: AnnConfig = read(config)?;
            if config.late_interaction {
                return Err(Fault::unsupported("late_interaction is not supported"));
            }
            Some(Ann::On(config.distance_metric.map(DistanceMetric::metric)))
        }
    };
    let is_text = kind.is_none_or(|kind| kind == AttributeType::Scalar(Scalar::String));
    if (schema.regex == Some(true) || schema.glob == Some(true)) && !is_text {
        return Err(Fault::invalid("regex and glob go with the type string"));
    }
    if embed.is_some() && !is_text {
        return Err(Fault::invalid("embed goes with the type string"));
    }
    if let Some(attribute) = embed.as_ref().and_then(|embed| embed.attribute.as_deref()) {
        names::check_attribute(attribute)?;
    }
    if matches!(ann, Some(Ann::On(_))) && kind.is_some_and(|kind| !kind.is_vector()) {
        return Err(Fault::invalid("ann goes with types such as [384]f32"));
    }
    Ok(Declared {
        name,
        kind,
        ann,
        filterable: schema.filterable,
        regex: schema.regex,
        glob: schema.glob,
        drop: schema.drop,
        embed,
    })
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Answer<T> {
    T::deserialize(value).map_err(|error| Fault::new(FaultKind::Shape, error.to_string()))
}
