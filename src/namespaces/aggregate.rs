//! `aggregate_by` and `group_by`: counts and sums over the documents that a filter finds.

use super::{
    attribute::{AttributeType, Scalar},
    cell::{Cell, Fields, VectorEncoding, cells, integer},
    fault::{Answer, Fault},
    filter::filtered,
    names::{ID, quoted, shortened},
    request::Query,
    shape::Shape,
    sql::{Parameters, Sql, joined},
    work::Work,
};
use serde_json::Value;

/// The most groups of one answer.
const GROUPS_MAX: u64 = 10_000;
/// The most aggregations of one query.
const AGGREGATIONS_MAX: usize = 256;

/// A statement that aggregates, and what its columns are called.
#[derive(Debug)]
pub(super) struct Aggregation {
    pub(super) sql: Sql,
    groups: Vec<String>,
    labels: Vec<String>,
}

/// What documents are grouped by.
struct Key {
    label: String,
    /// Over the documents under the alias `t`.
    expression: String,
    /// Whether a document is in a group for each element.
    is_spread: bool,
}

impl Aggregation {
    /// Reads what a query wants aggregated.
    pub(super) fn of(shape: &Shape, query: &Query) -> Answer<Self> {
        let mut parameters = Parameters::default();
        let wanted = query.aggregate_by.iter().flatten();
        let mut sums: Vec<(String, String)> = Vec::new();
        for (label, function) in wanted {
            let expression = function_of(shape, function)
                .map_err(|fault| fault.of(format!("aggregate_by: \"{}\"", shortened(label))))?;
            sums.push((label.clone(), expression));
        }
        if sums.is_empty() || sums.len() > AGGREGATIONS_MAX {
            return Err(Fault::invalid(format!(
                "aggregate_by takes 1 to {AGGREGATIONS_MAX} aggregations"
            )));
        }
        let keys = query.group_by.iter().flatten().map(|key| key_of(shape, key));
        let keys = keys.collect::<Answer<Vec<_>>>().map_err(|fault| fault.of("group_by"))?;
        let labels: Vec<String> = sums.iter().map(|(label, _)| label.clone()).collect();
        let groups: Vec<String> = keys.iter().map(|key| key.label.clone()).collect();
        let twice = |name: &String| labels.iter().chain(&groups).filter(|n| *n == name).count() > 1;
        if let Some(name) = groups.iter().chain(&labels).find(|name| twice(name)) {
            return Err(Fault::invalid(format!(
                "the name \"{}\" stands for two things",
                shortened(name)
            )));
        }
        let conditions = joined(filtered(shape, query.filters.as_ref(), &mut parameters)?, "AND");
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {conditions}") };
        let sums: Vec<String> =
            sums.iter().enumerate().map(|(at, (_, sum))| format!("{sum} AS a{at}")).collect();
        let mut list: Vec<String> = (0..keys.len()).map(place).collect();
        let places: Vec<String> = list.clone();
        list.extend(sums);
        let list = list.join(", ");
        let text = if keys.is_empty() {
            format!("SELECT {list} FROM {} AS t{condition}", shape.sql())
        } else {
            let grouped = grouped(shape, &keys, &condition);
            let limit = query.limit.as_ref().map(|limit| limit.total).or(query.top_k);
            let limit = limit.unwrap_or(GROUPS_MAX).min(GROUPS_MAX);
            let order: Vec<String> =
                places.iter().map(|place| format!("{place} NULLS FIRST")).collect();
            format!(
                "SELECT {list} FROM ({grouped}) AS t GROUP BY {} ORDER BY {} LIMIT {limit}",
                places.join(", "),
                order.join(", ")
            )
        };
        Ok(Self { sql: Sql { text, parameters }, groups, labels })
    }
}

/// The name of a key's column, which is no attribute's.
fn place(at: usize) -> String {
    quoted(&format!("$g{at}"))
}

/// Every document with its keys; one that is in several groups comes several times.
fn grouped(shape: &Shape, keys: &[Key], condition: &str) -> String {
    let expressions: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| format!("{} AS {}", key.expression, place(at)))
        .collect();
    let columns = shape.attributes.iter().filter(|attribute| !attribute.kind.is_point());
    let columns: Vec<String> = columns.map(|a| format!("t.{}", quoted(&a.name))).collect();
    let is_spread = keys.iter().any(|key| key.is_spread);
    let distinct = if !is_spread {
        String::new()
    } else {
        // A document counts once in a group, however often its array has the element.
        let places: Vec<String> = (0..keys.len()).map(|at| format!("s.{}", place(at))).collect();
        format!("DISTINCT ON (s.{}, {}) ", quoted(ID), places.join(", "))
    };
    let inner = format!(
        "SELECT {}, {} FROM {} AS t{condition}",
        columns.join(", "),
        expressions.join(", "),
        shape.sql()
    );
    if is_spread { format!("SELECT {distinct}s.* FROM ({inner}) AS s") } else { inner }
}

fn function_of(shape: &Shape, function: &Value) -> Answer<String> {
    match function.as_array().map(Vec::as_slice) {
        Some([Value::String(word)]) if word == "Count" => Ok("count(*)".to_owned()),
        Some([Value::String(word), Value::String(name)]) if word == "Count" => {
            Ok(format!("count(t.{})", quoted(&shape.expect(name)?.name)))
        }
        Some([Value::String(word), Value::String(name)]) if word == "Sum" => {
            let attribute = shape.expect(name)?;
            let column = quoted(&attribute.name);
            match attribute.kind {
                AttributeType::Scalar(Scalar::Float) => {
                    Ok(format!("sum(t.{column}::double precision)"))
                }
                AttributeType::Scalar(Scalar::Int | Scalar::Uint) => {
                    Ok(format!("sum(t.{column})::numeric(38, 0)"))
                }
                other => Err(Fault::invalid(format!(
                    "Sum takes an attribute that is a number, \"{name}\" is {other}"
                ))),
            }
        }
        _ => Err(Fault::invalid("expected [\"Count\"] or [\"Sum\", \"attribute\"]")),
    }
}

fn key_of(shape: &Shape, key: &Value) -> Answer<Key> {
    match key {
        Value::String(name) => {
            let attribute = shape.expect(name)?;
            if attribute.kind.is_point() {
                return Err(Fault::invalid(format!("\"{name}\" is a vector")));
            }
            let expression = format!("t.{}", quoted(&attribute.name));
            Ok(Key { label: name.clone(), expression, is_spread: false })
        }
        Value::Object(object) if object.len() == 1 => {
            let (label, function) = object.iter().next().expect("there is one");
            let Some([Value::String(word), Value::String(name)]) =
                function.as_array().map(Vec::as_slice)
            else {
                return Err(Fault::invalid(
                    "expected {\"label\": [\"ForEachUnique\", \"attribute\"]}",
                ));
            };
            let attribute = shape.expect(name)?;
            if word != "ForEachUnique" || !matches!(attribute.kind, AttributeType::List(_)) {
                return Err(Fault::invalid(
                    "expected {\"label\": [\"ForEachUnique\", \"attribute\"]} of an array",
                ));
            }
            let expression = format!("unnest(t.{})", quoted(&attribute.name));
            Ok(Key { label: label.clone(), expression, is_spread: true })
        }
        other => Err(Fault::invalid(format!(
            "invalid key {}, expected an attribute or {{\"label\": [\"ForEachUnique\", \
             \"attribute\"]}}",
            shortened(&other.to_string())
        ))),
    }
}

/// What aggregations give.
pub(super) enum Aggregates {
    /// Over all documents.
    Total(Fields),
    /// Over each group, with its keys.
    Groups(Vec<Fields>),
}

/// Aggregates in the transaction of `work`.
pub(super) async fn aggregate(work: &mut Work, shape: &Shape, query: &Query) -> Answer<Aggregates> {
    let Aggregation { sql, groups, labels } = Aggregation::of(shape, query)?;
    let rows = work.rows(sql).await?;
    let mut all = Vec::new();
    for batch in &rows.batches {
        let columns = rows
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| cells(&column.kind, array, VectorEncoding::Float))
            .collect::<crate::error::Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let names = groups.iter().chain(&labels);
            let cells = columns.iter().map(|column| column[row].clone()).enumerate();
            let cells = cells.map(|(at, cell)| if at < groups.len() { cell } else { number(cell) });
            all.push(Fields(names.cloned().zip(cells).collect()));
        }
    }
    Ok(match groups.is_empty() {
        true => Aggregates::Total(all.into_iter().next().unwrap_or_default()),
        false => Aggregates::Groups(all),
    })
}

/// A sum of nothing is 0; whole sums are whole numbers.
fn number(cell: Cell) -> Cell {
    match cell {
        Cell::Null => Cell::Uint(0),
        Cell::Text(text) => match text.parse::<i128>() {
            Ok(whole) => integer(whole),
            Err(_) => text.parse().map_or(Cell::Text(text), Cell::Double),
        },
        other => other,
    }
}
