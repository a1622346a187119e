//! `rank_by`: nearness to a vector, an order of attributes, or a score out of attributes and
//! filters, as ORDER BY of SQL.

use super::{
    attribute::{AttributeType, Scalar},
    embed::called,
    fault::{Answer, Fault},
    filter::{Compiler, NewRow},
    names::{ID, literal, quoted, shortened},
    request::DistanceMetric,
    shape::{Attribute, Shape},
    sql::{Parameters, joined},
    value,
};
use crate::{ids::IndexId, pgtype::PgType, vector::Metric};
use serde_json::{Map, Value};

/// How deep a score may nest.
const DEPTH_MAX: usize = 32;

/// How documents are ranked.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    /// Behind ORDER BY.
    pub(super) order: String,
    /// What every document is told of its rank.
    pub(super) score: Option<Score>,
    /// Documents without it are left out.
    pub(super) condition: Option<String>,
    /// Whether the index must not be asked.
    pub(super) is_exact: bool,
    /// The index that is asked otherwise.
    pub(super) index: Option<IndexId>,
}

/// `$dist` in SQL.
#[derive(Debug, Clone)]
pub(super) struct Score {
    pub(super) expression: String,
    pub(super) reading: Reading,
}

/// How a number of SQL becomes `$dist`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is a distance.
    Distance,
    /// It is the root of one.
    Root,
    /// The nearer, the lower: turned around.
    Negative,
    /// It is a score.
    Score,
}

impl Reading {
    /// `$dist` out of a number; `None` where there is none.
    pub(super) fn read(self, number: f64) -> f64 {
        match self {
            Self::Root => number * number,
            Self::Negative => -number,
            Self::Distance | Self::Score => number,
        }
    }

    /// How a metric's operator tells `$dist`.
    pub(super) fn of(metric: Metric) -> Self {
        if metric == Metric::L2 { Self::Root } else { Self::Distance }
    }
}

/// Reads `rank_by` of documents under the alias `t`.
pub(super) fn ranked(
    shape: &Shape,
    rank_by: &Value,
    metric: Option<DistanceMetric>,
    parameters: &mut Parameters,
) -> Answer<Ranked> {
    let fault = |fault: Fault| fault.of("rank_by");
    let Value::Array(parts) = rank_by else {
        return Err(fault(Fault::invalid("expected an array such as [\"vector\", \"ANN\", […]]")));
    };
    match parts.as_slice() {
        [Value::String(name), Value::String(way), vector] if way == "ANN" || way == "kNN" => {
            near(shape, name, way == "kNN", vector, metric, parameters).map_err(fault)
        }
        [Value::String(name), Value::String(way), vector] if way == "SparseKNN" => {
            sparse(shape, name, vector, parameters).map_err(fault)
        }
        [Value::String(name), Value::String(way)] if way == "asc" || way == "desc" => {
            order(shape, &[(name, way)]).map_err(fault)
        }
        [first, ..] if first.is_array() => {
            let parts: Vec<(&str, &str)> = parts
                .iter()
                .map(|part| match part.as_array().map(Vec::as_slice) {
                    Some([Value::String(name), Value::String(way)])
                        if way == "asc" || way == "desc" =>
                    {
                        Ok((name.as_str(), way.as_str()))
                    }
                    _ => {
                        Err(fault(Fault::invalid("expected [\"attribute\", \"asc\" or \"desc\"]")))
                    }
                })
                .collect::<Answer<_>>()?;
            order(shape, &parts).map_err(fault)
        }
        _ => {
            let mut scorer = Scorer { shape, parameters };
            let expression = scorer.score(rank_by, 0).map_err(fault)?;
            Ok(Ranked {
                order: format!("{expression} DESC NULLS LAST, t.{}", quoted(ID)),
                condition: Some(format!("({expression} <> 0)")),
                score: Some(Score { expression, reading: Reading::Score }),
                is_exact: true,
                index: None,
            })
        }
    }
}

/// The vector attribute of a name.
pub(super) fn vector_attribute<'s>(shape: &'s Shape, name: &str) -> Answer<&'s Attribute> {
    let attribute = shape.expect(name)?;
    if attribute.kind.is_vector() {
        return Ok(attribute);
    }
    Err(Fault::invalid(format!(
        "invalid input for rank_by field \"{}\", expecting a vector: its type is {}",
        shortened(name),
        attribute.kind
    )))
}

/// The distance of an attribute from a vector, or from that which a model makes of a text.
pub(super) fn distance(
    shape: &Shape,
    attribute: &Attribute,
    vector: &Value,
    metric: Metric,
    parameters: &mut Parameters,
) -> Answer<String> {
    if let Value::Array(parts) = vector
        && matches!(parts.first(), Some(Value::String(_)))
    {
        let made = embedded(shape, attribute, parts, parameters)?;
        return Ok(format!("(t.{} {} {made})", quoted(&attribute.name), metric.operator()));
    }
    if matches!(vector, Value::Array(parts) if parts.first().is_some_and(Value::is_array)) {
        return Err(Fault::unsupported("queries of several vectors are not supported"));
    }
    if vector.is_null() {
        return Err(Fault::invalid("expected a vector, not null"));
    }
    let value = value::single(&attribute.column, vector)?;
    let word = parameters.add(&attribute.column, value);
    Ok(format!("(t.{} {} {word})", quoted(&attribute.name), metric.operator()))
}

/// `["Embed", text, {model}]` in SQL.
fn embedded(
    shape: &Shape,
    attribute: &Attribute,
    parts: &[Value],
    parameters: &mut Parameters,
) -> Answer<String> {
    let (text, model) = called(parts, shape.model_of(&attribute.name))?;
    let value = value::single(&PgType::Text, &Value::from(text))?;
    let text = parameters.add(&PgType::Text, value);
    let model = model.map(|model| format!(", {}", literal(model))).unwrap_or_default();
    let made = format!("embed({text}{model})");
    Ok(match &attribute.column {
        PgType::Vector(_) => made,
        other => format!("{made}::{other}"),
    })
}

fn near(
    shape: &Shape,
    name: &str,
    is_exact: bool,
    vector: &Value,
    metric: Option<DistanceMetric>,
    parameters: &mut Parameters,
) -> Answer<Ranked> {
    let attribute = vector_attribute(shape, shape.embedded(name))?;
    let declared = shape.metric_of(attribute);
    let metric = metric.map_or(declared, DistanceMetric::metric);
    if metric != declared && !is_exact {
        return Err(Fault::invalid(format!(
            "distance_metric is not that of attribute \"{name}\", which is {}; rank by kNN for \
             another one",
            super::shape::metric_word(declared)
        )));
    }
    if !is_exact && attribute.index.is_none() {
        return Err(Fault::invalid(format!(
            "attribute \"{name}\" has no ANN index; rank by kNN, or set ann: true in its schema"
        )));
    }
    let expression = distance(shape, attribute, vector, metric, parameters)?;
    Ok(Ranked {
        order: expression.clone(),
        score: Some(Score { expression, reading: Reading::of(metric) }),
        condition: None,
        is_exact,
        index: attribute.index.as_ref().and_then(|index| index.id),
    })
}

fn sparse(
    shape: &Shape,
    name: &str,
    vector: &Value,
    parameters: &mut Parameters,
) -> Answer<Ranked> {
    let attribute = shape.expect(name)?;
    if attribute.kind != AttributeType::Sparse {
        return Err(Fault::invalid(format!(
            "invalid input for rank_by field \"{}\", expecting {{}}f16: its type is {}",
            shortened(name),
            attribute.kind
        )));
    }
    let expression = distance(shape, attribute, vector, Metric::InnerProduct, parameters)?;
    Ok(Ranked {
        order: expression.clone(),
        // Documents that share no dimension with the query are no answer.
        condition: Some(format!("({expression} <> 0)")),
        score: Some(Score { expression, reading: Reading::Negative }),
        is_exact: true,
        index: None,
    })
}

fn order(shape: &Shape, parts: &[(&str, &str)]) -> Answer<Ranked> {
    let mut keys = Vec::new();
    for (name, way) in parts {
        let attribute = shape.expect(name)?;
        if attribute.kind.is_point() {
            return Err(Fault::invalid(format!("a vector such as \"{name}\" has no order")));
        }
        // What is absent sorts below all.
        let nulls = if *way == "asc" { "ASC NULLS FIRST" } else { "DESC NULLS LAST" };
        keys.push(format!("t.{} {nulls}", quoted(&attribute.name)));
    }
    if !parts.iter().any(|(name, _)| *name == ID) {
        keys.push(format!("t.{}", quoted(ID)));
    }
    Ok(Ranked { order: keys.join(", "), score: None, condition: None, is_exact: true, index: None })
}

/// Makes scores out of attributes and filters.
struct Scorer<'a> {
    shape: &'a Shape,
    parameters: &'a mut Parameters,
}

impl Scorer<'_> {
    fn score(&mut self, expression: &Value, depth: usize) -> Answer<String> {
        if depth > DEPTH_MAX {
            return Err(Fault::invalid(format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let Value::Array(parts) = expression else {
            return Err(Fault::invalid(format!(
                "invalid expression {}",
                shortened(&expression.to_string())
            )));
        };
        match parts.as_slice() {
            [Value::String(_), Value::String(way), ..] if way == "BM25" => {
                Err(Fault::unsupported("BM25 needs full-text search, which is not supported"))
            }
            [Value::String(word), Value::Array(parts)] if word == "Sum" => {
                let parts = self.parts(parts, depth, false)?;
                Ok(joined(parts, "+"))
            }
            [Value::String(word), Value::Array(parts)] if word == "Max" => {
                let parts = self.parts(parts, depth, true)?;
                Ok(format!("greatest({})", parts.join(", ")))
            }
            [Value::String(word), left, right] if word == "Product" => {
                let (weight, score) = match (left.as_f64(), right.as_f64()) {
                    (Some(weight), None) => (weight, right),
                    (None, Some(weight)) => (weight, left),
                    _ => return Err(Fault::invalid("Product takes a weight and an expression")),
                };
                if weight < 0.0 {
                    return Err(Fault::invalid("the weight of a Product must not be negative"));
                }
                let weight = self.number(weight)?;
                Ok(format!("({weight} * {})", self.score(score, depth + 1)?))
            }
            [Value::String(word), Value::String(name)] if word == "Attribute" => {
                let attribute = self.shape.expect(name)?;
                match attribute.kind {
                    AttributeType::Scalar(scalar) if scalar.is_number() => {}
                    other => {
                        return Err(Fault::invalid(format!(
                            "Attribute takes one that is a number, \"{name}\" is {other}"
                        )));
                    }
                }
                let column = quoted(&attribute.name);
                Ok(format!("coalesce(t.{column}::double precision, 0::double precision)"))
            }
            [Value::String(word), Value::Array(of), origin] if word == "Dist" => {
                self.dist(of, origin)
            }
            [Value::String(word), inner, Value::Object(options)]
                if word == "Saturate" || word == "Decay" =>
            {
                let is_dist = matches!(inner.as_array().and_then(|of| of.first()), Some(Value::String(word)) if word == "Dist");
                let inner = self.score(inner, depth + 1)?;
                let (midpoint, exponent) = curve(options, is_dist)?;
                let (midpoint, exponent) = (self.number(midpoint)?, self.number(exponent)?);
                let x = format!("power({inner}, {exponent})");
                let m = format!("power({midpoint}, {exponent})");
                let above = if word == "Saturate" { &x } else { &m };
                Ok(format!("({above} / ({x} + {m}))"))
            }
            _ => {
                let mut compiler = Compiler::new(self.shape, "t", NewRow::None, self.parameters);
                let condition = compiler.condition(expression)?;
                Ok(format!(
                    "(CASE WHEN {condition} THEN 1::double precision ELSE 0::double precision END)"
                ))
            }
        }
    }

    fn parts(&mut self, parts: &[Value], depth: usize, numbers: bool) -> Answer<Vec<String>> {
        if parts.is_empty() {
            return Err(Fault::invalid("expected one expression at least"));
        }
        parts
            .iter()
            .map(|part| match part.as_f64().filter(|_| numbers) {
                Some(number) => self.number(number),
                None => self.score(part, depth + 1),
            })
            .collect()
    }

    /// How far an attribute is from an origin; moments in milliseconds.
    fn dist(&mut self, of: &[Value], origin: &Value) -> Answer<String> {
        let [Value::String(word), Value::String(name)] = of else {
            return Err(Fault::invalid("Dist takes [\"Attribute\", name] and an origin"));
        };
        if word != "Attribute" {
            return Err(Fault::invalid("Dist takes [\"Attribute\", name] and an origin"));
        }
        let attribute = self.shape.expect(name)?;
        let column = format!("t.{}", quoted(&attribute.name));
        let value = value::single(&attribute.column, origin)?;
        if value.is_null(0) {
            return Err(Fault::invalid("the origin of Dist must not be null"));
        }
        let origin = self.parameters.add(&attribute.column, value);
        match attribute.kind {
            AttributeType::Scalar(Scalar::Datetime) => Ok(format!(
                "abs(extract(epoch FROM {column})::double precision * 1000 - \
                 extract(epoch FROM {origin})::double precision * 1000)"
            )),
            AttributeType::Scalar(scalar) if scalar.is_number() => {
                Ok(format!("abs({column}::double precision - {origin}::double precision)"))
            }
            other => Err(Fault::invalid(format!("Dist takes numbers and moments, not {other}"))),
        }
    }

    fn number(&mut self, number: f64) -> Answer<String> {
        let kind = PgType::Float8;
        let value = value::single(&kind, &Value::from(number))?;
        Ok(self.parameters.add(&kind, value))
    }
}

/// `{midpoint, exponent}`; the midpoint of moments may be a time such as `6h`.
fn curve(options: &Map<String, Value>, is_dist: bool) -> Answer<(f64, f64)> {
    if let Some(unknown) =
        options.keys().find(|key| !["midpoint", "exponent"].contains(&key.as_str()))
    {
        return Err(Fault::invalid(format!("there is no option \"{}\"", shortened(unknown))));
    }
    let midpoint = match options.get("midpoint") {
        Some(Value::String(text)) if is_dist => milliseconds(text),
        Some(value) => value.as_f64(),
        None => None,
    };
    let midpoint = midpoint
        .filter(|midpoint| *midpoint > 0.0)
        .ok_or_else(|| Fault::invalid("expected a midpoint above 0"))?;
    let exponent = options.get("exponent").map_or(Some(1.0), Value::as_f64);
    let exponent = exponent
        .filter(|exponent| *exponent > 0.0)
        .ok_or_else(|| Fault::invalid("expected an exponent above 0"))?;
    Ok((midpoint, exponent))
}

/// `500ms`, `30s`, `5m`, `6h`, `7d`, `2w` in milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    let units =
        [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3_600e3), ("d", 86_400e3), ("w", 604_800e3)];
    units.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * factor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(milliseconds("6h"), Some(21_600_000.0));
        assert_eq!(milliseconds("5ms"), Some(5.0));
        assert_eq!(milliseconds("1.5d"), Some(129_600_000.0));
        assert_eq!(milliseconds("5"), None);
    }
}
