//! How a namespace is configured, in one place: distance metric, schema, recall target, comment,
//! whether it is read-only. What a request does not name stays as it is.

use super::{
    Caller, Namespaces,
    fault::Answer,
    names::literal,
    request::Document,
    schema::{self, Change, Wanted},
    shape::{Shape, metric_word, not_found},
};
use crate::vector::Metric;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A change of how a namespace is configured.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    distance_metric: Option<ConfiguredMetric>,
    schema: Option<Document>,
    recall_target: Option<RecallTarget>,
    #[serde(default, deserialize_with = "present")]
    comment: Option<Option<String>>,
    read_only: Option<bool>,
}

/// Every metric that an index has.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConfiguredMetric {
    CosineDistance,
    EuclideanSquared,
    DotProduct,
}

impl ConfiguredMetric {
    fn metric(self) -> Metric {
        match self {
            Self::CosineDistance => Metric::Cosine,
            Self::EuclideanSquared => Metric::L2,
            Self::DotProduct => Metric::InnerProduct,
        }
    }
}

/// The share of the nearest documents that searches are to find; `None` is the server's own.
#[derive(Debug)]
enum RecallTarget {
    /// By every vector.
    All(f64),
    /// By some.
    Each(BTreeMap<String, Option<f64>>),
}

impl<'de> Deserialize<'de> for RecallTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_object() {
            return BTreeMap::deserialize(value).map(Self::Each).map_err(serde::de::Error::custom);
        }
        f64::deserialize(value).map(Self::All).map_err(serde::de::Error::custom)
    }
}

/// Tells null from nothing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Namespaces {
    /// How a namespace is configured.
    ///
    /// # Errors
    /// When there is no such namespace, or the caller has no right to it.
    pub fn config(&self, caller: &Caller, name: &str) -> Answer<Value> {
        let shape = caller.existing(&self.engine.catalog(), name)?;
        let table = shape.table.as_ref().ok_or_else(|| not_found(name))?;
        let vectors = shape.attributes.iter().filter(|attribute| attribute.kind.is_vector());
        let metric =
            shape.metric.or_else(|| vectors.clone().find_map(|v| Some(v.index.as_ref()?.metric)));
        let targets: Map<String, Value> = vectors
            .filter_map(|vector| {
                Some((vector.name.clone(), json!(vector.index.as_ref()?.recall_target)))
            })
            .collect();
        Ok(json!({
            "distance_metric": metric.map(metric_word),
            "schema": schema::shown(&shape),
            "recall_target": targets,
            "comment": table.comment,
            "read_only": shape.settings.read_only,
        }))
    }

    /// Configures a namespace, and creates it where the schema says what its ids are. A new metric
    /// builds the indexes anew before this returns.
    ///
    /// # Errors
    /// When it cannot be that.
    pub async fn configure(&self, caller: &Caller, name: &str, config: &Config) -> Answer<Value> {
        self.retried(|| async {
            let statements = self.configuration(name, config)?;
            self.define(caller, statements).await
        })
        .await?;
        self.config(caller, name)
    }

    /// The statements that configure a namespace.
    fn configuration(&self, name: &str, config: &Config) -> Answer<Vec<String>> {
        let shape = Shape::of(&self.engine.catalog(), name)?;
        if shape.table.is_none() && config.schema.is_none() {
            return Err(not_found(name));
        }
        if config.read_only.is_none() {
            shape.check_writable()?;
        }
        let mut wanted = Wanted {
            declared: config.schema.as_ref().map_or(Ok(Vec::new()), schema::declared)?,
            metric: config.distance_metric.map(ConfiguredMetric::metric),
            rebuilds: true,
            now_micros: self.clock.now_micros(),
            ..Wanted::default()
        };
        match &config.recall_target {
            None => {}
            Some(RecallTarget::All(target)) => wanted.recall_target = Some(*target),
            Some(RecallTarget::Each(targets)) => wanted.recall_targets = targets.clone(),
        }
        let Change { mut shape, mut statements } = schema::change(shape, &wanted)?;
        if let Some(read_only) = config.read_only.filter(|&to| to != shape.settings.read_only) {
            shape.settings.read_only = read_only;
            statements.push(schema::set_options(&shape));
        }
        if let Some(comment) = &config.comment {
            let comment = comment.as_deref().map_or("NULL".to_owned(), literal);
            statements.push(format!("COMMENT ON TABLE {} IS {comment}", shape.sql()));
        }
        Ok(statements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_away_and_nothing_leaves_alone() {
        let config: Config = serde_json::from_str(r#"{"comment": null}"#).unwrap();
        assert_eq!(config.comment, Some(None));
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config.comment, None);
    }

    #[test]
    fn a_target_is_for_all_vectors_or_for_each() {
        let config: Config = serde_json::from_str(r#"{"recall_target": 0.9}"#).unwrap();
        assert!(matches!(config.recall_target, Some(RecallTarget::All(_))));
        let config: Config = serde_json::from_str(r#"{"recall_target": {"v": null}}"#).unwrap();
        assert!(
            matches!(config.recall_target, Some(RecallTarget::Each(each)) if each["v"].is_none())
        );
        assert!(serde_json::from_str::<Config>(r#"{"recall_target": "x"}"#).is_err());
    }
}
