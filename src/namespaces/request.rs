//! What clients send, in shape. What serde says of a wrong shape is what they read.

use super::cell::VectorEncoding;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A document, or part of one, by the names of its attributes.
pub(super) type Document = Map<String, Value>;

/// Nearness, as clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DistanceMetric {
    CosineDistance,
    EuclideanSquared,
}

impl DistanceMetric {
    pub(super) fn metric(self) -> crate::vector::Metric {
        match self {
            Self::CosineDistance => crate::vector::Metric::Cosine,
            Self::EuclideanSquared => crate::vector::Metric::L2,
        }
    }
}

/// A write.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    pub(super) upsert_rows: Option<Vec<Document>>,
    pub(super) upsert_columns: Option<Columns>,
    pub(super) patch_rows: Option<Vec<Document>>,
    pub(super) patch_columns: Option<Columns>,
    pub(super) deletes: Option<Vec<Value>>,
    pub(super) delete_by_filter: Option<Value>,
    #[serde(default)]
    pub(super) delete_by_filter_allow_partial: bool,
    pub(super) patch_by_filter: Option<PatchByFilter>,
    #[serde(default)]
    pub(super) patch_by_filter_allow_partial: bool,
    pub(super) upsert_condition: Option<Value>,
    pub(super) patch_condition: Option<Value>,
    pub(super) delete_condition: Option<Value>,
    pub(super) distance_metric: Option<DistanceMetric>,
    pub(super) schema: Option<Document>,
    pub(super) encryption: Option<Encryption>,
    pub(super) sharding: Option<Sharding>,
    /// Writers wait where the index falls behind; there is nothing to turn off but a 429 that is
    /// never given.
    #[serde(default, rename = "disable_backpressure")]
    pub(super) _disable_backpressure: bool,
    pub(super) create_namespace: Option<bool>,
    #[serde(default)]
    pub(super) return_affected_ids: bool,
    pub(super) copy_from_namespace: Option<CopyFrom>,
    pub(super) branch_from_namespace: Option<Value>,
}

impl Write {
    /// Every value that is to be written, with the name of its attribute.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        let rows = [&mut self.upsert_rows, &mut self.patch_rows].into_iter().flatten().flatten();
        let patch = self.patch_by_filter.as_mut().map(|by| &mut by.patch);
        let of_rows = rows.chain(patch).flatten().map(|(name, value)| (name.as_str(), value));
        let columns = [&mut self.upsert_columns, &mut self.patch_columns].into_iter().flatten();
        let of_columns = columns.flatten().flat_map(|(name, values)| {
            let values = values.as_array_mut().into_iter().flatten();
            values.map(move |value| (name.as_str(), value))
        });
        of_rows.chain(of_columns)
    }
}

/// Documents by columns.
pub(super) type Columns = Map<String, Value>;

/// A patch of what a filter finds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchByFilter {
    pub(super) filters: Value,
    pub(super) patch: Document,
}

/// At-rest encryption.
#[derive(Debug, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub(super) enum Encryption {
    Default,
    CustomerManaged { key_name: String },
}

/// How many shards.
#[derive(Debug, Deserialize)]
pub(super) struct Sharding {
    pub(super) num_shards: u32,
}

/// Where documents are copied from.
#[derive(Debug, Clone)]
pub(super) struct CopyFrom {
    pub(super) source_namespace: String,
    pub(super) source_api_key: Option<String>,
    pub(super) source_region: Option<String>,
    pub(super) dest_encryption: Option<Value>,
}

impl<'de> Deserialize<'de> for CopyFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct CopyFromNamespace {
            source_namespace: String,
            source_api_key: Option<String>,
            source_region: Option<String>,
            dest_encryption: Option<Value>,
        }
        match Value::deserialize(deserializer)? {
            Value::String(source_namespace) => Ok(Self {
                source_namespace,
                source_api_key: None,
                source_region: None,
                dest_encryption: None,
            }),
            other => {
                let CopyFromNamespace {
                    source_namespace,
                    source_api_key,
                    source_region,
                    dest_encryption,
                } = serde_json::from_value(other).map_err(serde::de::Error::custom)?;
                Ok(Self { source_namespace, source_api_key, source_region, dest_encryption })
            }
        }
    }
}

/// A write that is to be done while the client does something else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    pub(super) copy_from_namespace: CopyFrom,
}

/// What one query asks.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub(super) rank_by: Option<Value>,
    pub(super) limit: Option<Limit>,
    pub(super) top_k: Option<u64>,
    #[serde(default)]
    pub(super) offset: u64,
    pub(super) filters: Option<Value>,
    pub(super) include_attributes: Option<Include>,
    pub(super) exclude_attributes: Option<Vec<String>>,
    pub(super) aggregate_by: Option<Document>,
    pub(super) group_by: Option<Vec<Value>>,
    pub(super) distance_metric: Option<DistanceMetric>,
    #[serde(default)]
    pub(super) vector_encoding: VectorEncoding,
    /// All answers are of the newest commit, which is what either level allows.
    #[serde(rename = "consistency")]
    pub(super) _consistency: Option<Consistency>,
    pub(super) compute_attributes: Option<Document>,
    pub(super) rerank_by: Option<Value>,
}

/// Several queries over one picture of the namespace.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiQuery {
    pub(super) queries: Vec<Query>,
    pub(super) rerank_by: Option<Value>,
    pub(super) limit: Option<Limit>,
    pub(super) offset: Option<u64>,
    #[serde(rename = "consistency")]
    pub(super) _consistency: Option<Consistency>,
    pub(super) vector_encoding: Option<VectorEncoding>,
}

/// How new an answer has to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// An answer is never older than this asks.
    #[serde(rename = "level")]
    pub(super) _level: Level,
    /// Answers are not stale.
    #[serde(rename = "max_staleness_seconds")]
    pub(super) _max_staleness_seconds: Option<u64>,
}

/// A level of consistency.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every write that was acknowledged is seen.
    Strong,
    /// The last ones may be missed.
    Eventual,
}

/// How many documents.
#[derive(Debug, Clone)]
pub struct Limit {
    pub(super) total: u64,
    pub(super) per: Option<Per>,
}

/// How many with equal values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Per {
    pub(super) attributes: Vec<String>,
    pub(super) limit: u64,
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Limit", deny_unknown_fields)]
        struct Both {
            total: u64,
            per: Option<Per>,
        }
        let value = Value::deserialize(deserializer)?;
        if value.is_object() {
            let Both { total, per } =
                serde_json::from_value(value).map_err(serde::de::Error::custom)?;
            return Ok(Self { total, per });
        }
        let total = serde_json::from_value(value).map_err(serde::de::Error::custom)?;
        Ok(Self { total, per: None })
    }
}

/// Which attributes come with a document.
#[derive(Debug, Clone)]
pub enum Include {
    /// All, or none but the id.
    All(bool),
    /// These.
    These(Vec<String>),
}

impl<'de> Deserialize<'de> for Include {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(all) => Ok(Self::All(all)),
            other => {
                serde_json::from_value(other).map(Self::These).map_err(serde::de::Error::custom)
            }
        }
    }
}

/// A change of what a namespace is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataPatch {
    #[serde(default, deserialize_with = "present")]
    pub(super) pinning: Option<Value>,
    pub(super) read_only: Option<bool>,
}

/// Tells null from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A measurement of how much searches find.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    pub(super) num: Option<u64>,
    pub(super) top_k: Option<u64>,
    pub(super) filters: Option<Value>,
    pub(super) rank_by: Option<Value>,
    #[serde(default)]
    pub(super) include_ground_truth: bool,
}

/// Which namespaces to list.
#[derive(Debug, Default, Deserialize)]
pub struct List {
    /// Those whose names begin so.
    #[serde(default)]
    pub prefix: String,
    /// Those behind this one.
    #[serde(default)]
    pub cursor: String,
    /// So many at a time.
    pub page_size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused<T: for<'de> Deserialize<'de>>(body: &str, why: &str) {
        let error = serde_json::from_str::<T>(body).map(drop).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_wrong_shape_is_told_in_serdes_words() {
        refused::<Write>(r#"{"upsert_rows": {}}"#, "invalid type: map, expected a sequence");
        refused::<Query>(
            r#"{"consistency": "eventual"}"#,
            "invalid type: string \"eventual\", expected struct Consistency",
        );
        refused::<Query>(
            r#"{"consistency": {"level": "nonexistentvalue"}}"#,
            "unknown variant `nonexistentvalue`, expected `strong` or `eventual`",
        );
        refused::<Query>(r#"{"rankby": 1}"#, "unknown field `rankby`");
        refused::<Query>(r#"{"limit": -1}"#, "invalid value: integer `-1`, expected u64");
    }

    #[test]
    fn null_is_not_nothing() {
        let patch: MetadataPatch = serde_json::from_str(r#"{"pinning": null}"#).unwrap();
        assert_eq!(patch.pinning, Some(Value::Null));
        let patch: MetadataPatch = serde_json::from_str("{}").unwrap();
        assert_eq!(patch.pinning, None);
    }
}
