//! Queries: one statement each, in one picture of the namespace.

use super::{
    Namespaces,
    aggregate::{Aggregates, Aggregation, aggregate},
    billing::QueryBilling,
    cell::{Cell, Fields, VectorEncoding, cells},
    fault::{Answer, Fault},
    filter::filtered,
    names::{quoted, shortened},
    rank::{self, Ranked, Reading},
    request::{Include, Limit, Query},
    shape::{Attribute, Shape},
    sql::{Parameters, Sql, joined},
    work::{Rows, Work},
};
use crate::{ids::IndexId, pgtype::PgType, storage::reads::ReadCounts};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// How many documents come where nobody says.
const LIMIT_DEFAULT: u64 = 10;
/// The most documents of one answer.
const LIMIT_MAX: u64 = 100_000;
/// The most values that are computed for a document.
const COMPUTED_MAX: usize = 256;
/// The name under which a document says how far it is.
pub(super) const DIST: &str = "$dist";

/// What a query gives.
#[derive(Debug, Default, Serialize)]
pub(super) struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<Vec<Fields>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aggregations: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aggregation_groups: Option<Vec<Fields>>,
    /// The index that was asked, for figures.
    #[serde(skip)]
    pub(super) index: Option<IndexId>,
    #[serde(skip)]
    pub(super) is_ranked_exactly: bool,
}

impl Found {
    pub(super) fn logical_bytes(&self) -> u64 {
        let rows = self.rows.iter().flatten();
        let groups = self.aggregation_groups.iter().flatten();
        rows.chain(groups).chain(&self.aggregations).map(Fields::logical_bytes).sum()
    }
}

/// What the answer to a query says.
#[derive(Debug, Serialize)]
pub struct QueryAnswer {
    #[serde(flatten)]
    pub(super) found: Found,
    pub(super) billing: QueryBilling,
    pub(super) performance: QueryPerformance,
}

/// What several queries gave.
#[derive(Debug, Serialize)]
pub struct MultiQueryAnswer {
    pub(super) results: Vec<Found>,
    pub(super) billing: QueryBilling,
    pub(super) performance: QueryPerformance,
}

/// How a query went.
#[derive(Debug, Serialize)]
pub struct QueryPerformance {
    pub(super) cache_hit_ratio: f64,
    pub(super) cache_temperature: &'static str,
    pub(super) server_total_ms: u64,
    pub(super) query_execution_ms: u64,
    pub(super) exhaustive_search_count: u64,
    pub(super) approx_namespace_size: u64,
}

/// A query that is ready to run.
#[derive(Debug, Clone)]
struct Planned {
    /// Behind SELECT.
    list: Vec<String>,
    /// From FROM up to LIMIT.
    rest: String,
    parameters: Parameters,
    ranked: Ranked,
    /// What comes with a document, by the aliases of the columns.
    shown: Vec<Shown>,
}

/// A column of the answer.
#[derive(Debug, Clone)]
struct Shown {
    name: String,
    /// How a computed number is read.
    reading: Option<Reading>,
}

impl Namespaces {
    /// What queries read and gave.
    pub(super) fn billing(&self, shape: &Shape, found: &[Found]) -> QueryBilling {
        let state = self.engine.states().snapshot();
        let bytes = shape.table.as_ref().map_or(0, |table| state.table(table.id).bytes());
        QueryBilling {
            billable_logical_bytes_queried: bytes.saturating_mul(found.len() as u64),
            billable_logical_bytes_returned: found.iter().map(Found::logical_bytes).sum(),
        }
    }

    /// Runs one query in the transaction of `work`.
    pub(super) async fn find(
        &self,
        work: &mut Work,
        shape: &Shape,
        query: &Query,
        encoding: VectorEncoding,
    ) -> Answer<Found> {
        check(query)?;
        let mut found = Found::default();
        if query.aggregate_by.is_some() {
            match aggregate(work, shape, query).await? {
                Aggregates::Total(total) => found.aggregations = Some(total),
                Aggregates::Groups(groups) => found.aggregation_groups = Some(groups),
            }
        }
        if query.rank_by.is_some() {
            let (planned, limit) = (plan(shape, query)?, limit(query)?);
            found.index = planned.ranked.index.filter(|_| !planned.ranked.is_exact);
            found.is_ranked_exactly = planned.ranked.is_exact;
            if planned.ranked.is_exact && planned.ranked.index.is_some() {
                work.set("enable_indexscan", "off").await?;
            }
            let rows = match &limit.per {
                None => planned.page(work, limit.total, query.offset, encoding).await,
                Some(per) => {
                    let per = (per.attributes.as_slice(), per.limit);
                    planned.page_by(work, shape, &limit, per, query.offset, encoding).await
                }
            };
            if planned.ranked.is_exact && planned.ranked.index.is_some() {
                work.set("enable_indexscan", "on").await?;
            }
            found.rows = Some(rows?);
        }
        Ok(found)
    }

    /// In words, how a query would run.
    pub(super) async fn explain(
        &self,
        work: &mut Work,
        shape: &Shape,
        query: &Query,
    ) -> Answer<String> {
        check(query)?;
        let statement = if query.rank_by.is_some() {
            let (planned, limit) = (plan(shape, query)?, limit(query)?);
            if planned.ranked.is_exact && planned.ranked.index.is_some() {
                work.set("enable_indexscan", "off").await?;
            }
            planned.sql(limit.total, query.offset)
        } else {
            Aggregation::of(shape, query)?.sql
        };
        let text = format!("EXPLAIN {}", statement.text);
        let rows = work.rows(Sql { text, parameters: statement.parameters }).await?;
        let mut lines = Vec::new();
        for batch in &rows.batches {
            for cell in cells(&PgType::Text, batch.column(0), VectorEncoding::Float)? {
                lines.extend(if let Cell::Text(line) = cell { Some(line) } else { None });
            }
        }
        Ok(lines.join("\n"))
    }

    /// How a query went.
    pub(super) fn performance(
        &self,
        shape: &Shape,
        found: &[Found],
        reads: ReadCounts,
        (begun, ran): (std::time::Duration, std::time::Duration),
    ) -> QueryPerformance {
        let now = self.clock.elapsed();
        let state = self.engine.states().snapshot();
        let rows = shape.table.as_ref().map(|table| state.table(table.id));
        let alive = rows.as_ref().map_or(0, |rows| rows.live_rows());
        let exhaustive = found.iter().map(|found| match (found.index, &rows) {
            (Some(index), Some(rows)) => state
                .indexes
                .get(&index)
                .map_or(alive, |index| rows.next_row().0.saturating_sub(index.watermark().0)),
            _ => alive,
        });
        QueryPerformance {
            cache_hit_ratio: reads.near_share(),
            cache_temperature: temperature(reads.near_share()),
            server_total_ms: millis(now.saturating_sub(begun)),
            query_execution_ms: millis(now.saturating_sub(ran)),
            exhaustive_search_count: exhaustive.sum(),
            approx_namespace_size: alive,
        }
    }
}

/// In a word, how much of what was read was near.
fn temperature(near_share: f64) -> &'static str {
    match near_share {
        0.9.. => "hot",
        0.5.. => "warm",
        _ => "cold",
    }
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Refuses what does not go together.
fn check(query: &Query) -> Answer<()> {
    if query.rerank_by.is_some() {
        return Err(Fault::unsupported(
            "rerank_by of one query needs a model, which is not supported",
        ));
    }
    if query.rank_by.is_none() && query.aggregate_by.is_none() {
        return Err(Fault::invalid("rank_by is required unless aggregate_by is given"));
    }
    if query.group_by.is_some() && query.aggregate_by.is_none() {
        return Err(Fault::invalid("group_by goes with aggregate_by"));
    }
    if query.include_attributes.is_some() && query.exclude_attributes.is_some() {
        return Err(Fault::invalid("include_attributes and exclude_attributes exclude each other"));
    }
    if query.limit.is_some() && query.top_k.is_some() {
        return Err(Fault::invalid("limit and top_k exclude each other"));
    }
    Ok(())
}

fn limit(query: &Query) -> Answer<Limit> {
    let limit = match (&query.limit, query.top_k) {
        (Some(limit), _) => limit.clone(),
        (None, top_k) => Limit { total: top_k.unwrap_or(LIMIT_DEFAULT), per: None },
    };
    if !(1..=LIMIT_MAX).contains(&limit.total) {
        return Err(Fault::invalid(format!("limit must be between 1 and {LIMIT_MAX}")));
    }
    if limit.per.as_ref().is_some_and(|per| per.limit == 0 || per.attributes.is_empty()) {
        return Err(Fault::invalid("limit.per takes attributes and a limit above 0"));
    }
    check_offset(query.offset)?;
    Ok(limit)
}

pub(super) fn check_offset(offset: u64) -> Answer<()> {
    const OFFSET_MAX: u64 = 10_000_000;
    if offset > OFFSET_MAX {
        return Err(Fault::invalid(format!("offset must be at most {OFFSET_MAX}")));
    }
    Ok(())
}

/// The attributes that come with a document, the id first.
fn shown<'s>(shape: &'s Shape, query: &Query) -> Answer<Vec<&'s Attribute>> {
    let rest = || shape.attributes.iter().skip(1);
    let mut shown: Vec<&Attribute> = shape.id().into_iter().collect();
    match (&query.include_attributes, &query.exclude_attributes) {
        (Some(Include::All(true)), _) => shown.extend(rest()),
        (Some(Include::These(names)), _) => {
            for name in names {
                let attribute =
                    shape.expect(name).map_err(|fault| fault.of("include_attributes"))?;
                if !shown.iter().any(|shown| shown.name == attribute.name) {
                    shown.push(attribute);
                }
            }
        }
        (None, Some(names)) => shown.extend(rest().filter(|a| !names.contains(&a.name))),
        (Some(Include::All(false)) | None, _) => {}
    }
    Ok(shown)
}

fn plan(shape: &Shape, query: &Query) -> Answer<Planned> {
    let mut parameters = Parameters::default();
    let rank_by = query.rank_by.as_ref().unwrap_or(&Value::Null);
    let ranked = rank::ranked(shape, rank_by, query.distance_metric, &mut parameters)?;
    let mut columns = Vec::new();
    let mut list = Vec::new();
    let mut show = |expression: String, name: &str, reading| {
        list.push(format!("{expression} AS c{}", list.len()));
        columns.push(Shown { name: name.to_owned(), reading });
    };
    let attributes = shown(shape, query)?;
    for (at, attribute) in attributes.iter().enumerate() {
        show(format!("t.{}", quoted(&attribute.name)), &attribute.name, None);
        if at == 0
            && let Some(score) = &ranked.score
        {
            show(score.expression.clone(), DIST, Some(score.reading));
        }
    }
    let computed = query.compute_attributes.iter().flatten();
    if computed.clone().count() > COMPUTED_MAX {
        return Err(Fault::invalid(format!("compute_attributes: more than {COMPUTED_MAX}")));
    }
    for (name, expression) in computed {
        if attributes.iter().any(|attribute| attribute.name == *name) {
            return Err(Fault::invalid(format!(
                "compute_attributes: \"{}\" is an attribute already",
                shortened(name)
            )));
        }
        let (expression, reading) = computation(shape, expression, &mut parameters)
            .map_err(|fault| fault.of(format!("compute_attributes: \"{}\"", shortened(name))))?;
        show(expression, name, Some(reading));
    }
    let mut conditions = filtered(shape, query.filters.as_ref(), &mut parameters)?;
    conditions.extend(ranked.condition.clone());
    let mut rest = format!("FROM {} AS t", shape.sql());
    if !conditions.is_empty() {
        rest.push_str(&format!(" WHERE {}", joined(conditions, "AND")));
    }
    rest.push_str(&format!(" ORDER BY {}", ranked.order));
    Ok(Planned { list, rest, parameters, ranked, shown: columns })
}

/// A value that is computed for each document.
fn computation(
    shape: &Shape,
    expression: &Value,
    parameters: &mut Parameters,
) -> Answer<(String, Reading)> {
    match expression.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(way), vector]) if way == "VectorDist" => {
            let attribute = rank::vector_attribute(shape, shape.embedded(name))?;
            let metric = shape.metric_of(attribute);
            let expression = rank::distance(shape, attribute, vector, metric, parameters)?;
            Ok((expression, Reading::of(metric)))
        }
        Some([Value::String(way), ..]) if way == "Highlight" => {
            Err(Fault::unsupported("Highlight needs full-text search, which is not supported"))
        }
        _ => Err(Fault::invalid("expected [\"attribute\", \"VectorDist\", vector]")),
    }
}

impl Planned {
    fn sql(&self, limit: u64, offset: u64) -> Sql {
        let list = self.list.join(", ");
        let text = format!("SELECT {list} {} LIMIT {limit} OFFSET {offset}", self.rest);
        Sql { text, parameters: self.parameters.clone() }
    }

    async fn fetch(&self, work: &mut Work, limit: u64, offset: u64) -> Answer<Fetched> {
        let rows = work.rows(self.sql(limit, offset)).await?;
        Ok(Fetched { count: rows.count() as u64, rows })
    }

    /// One page of documents.
    async fn page(
        &self,
        work: &mut Work,
        total: u64,
        offset: u64,
        encoding: VectorEncoding,
    ) -> Answer<Vec<Fields>> {
        let fetched = self.fetch(work, total, offset).await?;
        self.documents(&fetched.rows, encoding)
    }

    /// One page of documents, of which only so many have equal values: ever more are looked at
    /// until the page is full.
    async fn page_by(
        &self,
        work: &mut Work,
        shape: &Shape,
        limit: &Limit,
        (names, most): (&[String], u64),
        offset: u64,
        encoding: VectorEncoding,
    ) -> Answer<Vec<Fields>> {
        let wanted = limit.total.saturating_add(offset);
        let mut looked_at = wanted.saturating_mul(4).max(64);
        let hidden = self.hidden(shape, names)?;
        loop {
            let fetched = hidden.fetch(work, looked_at, 0).await?;
            let mut seen: HashMap<String, u64> = HashMap::new();
            let mut kept = hidden.documents(&fetched.rows, encoding)?;
            kept.retain_mut(|document| {
                let values = document.0.iter().filter(|(name, _)| name.starts_with('\0'));
                let key: Vec<String> =
                    values.map(|(name, cell)| format!("{name}\0{}", cell.key())).collect();
                document.0.retain(|(name, _)| !name.starts_with('\0'));
                let count = seen.entry(key.join("\0")).or_default();
                *count += 1;
                *count <= most
            });
            if kept.len() as u64 >= wanted || fetched.count < looked_at {
                let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
                let total = usize::try_from(limit.total).unwrap_or(usize::MAX);
                return Ok(kept.into_iter().skip(skipped).take(total).collect());
            }
            looked_at = looked_at.saturating_mul(4);
        }
    }

    /// The same with the attributes that a limit counts, under names that no attribute has.
    fn hidden(&self, shape: &Shape, names: &[String]) -> Answer<Self> {
        let mut hidden = self.clone();
        for name in names {
            let attribute = shape.expect(name).map_err(|fault| fault.of("limit.per"))?;
            if attribute.kind.is_point() {
                return Err(Fault::invalid(format!("limit.per: \"{name}\" is a vector")));
            }
            hidden.list.push(format!("t.{} AS c{}", quoted(name), hidden.list.len()));
            hidden.shown.push(Shown { name: format!("\0{name}"), reading: None });
        }
        Ok(hidden)
    }

    /// Rows as clients see them: what is absent is left out, and so are documents without a rank.
    fn documents(&self, rows: &Rows, encoding: VectorEncoding) -> Answer<Vec<Fields>> {
        let mut documents = Vec::with_capacity(rows.count());
        for batch in &rows.batches {
            let columns = rows
                .columns
                .iter()
                .zip(batch.columns())
                .map(|(column, array)| cells(&column.kind, array, encoding))
                .collect::<crate::error::Result<Vec<_>>>()?;
            let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
            for _ in 0..batch.num_rows() {
                let row = columns.iter_mut().zip(&self.shown).filter_map(|(column, shown)| {
                    let cell = column.next()?;
                    let cell = match (shown.reading, cell) {
                        (Some(reading), Cell::Double(number)) => told(reading, number),
                        (_, cell) => cell,
                    };
                    let is_kept = cell != Cell::Null || shown.name.starts_with('\0');
                    is_kept.then(|| (shown.name.clone(), cell))
                });
                documents.push(Fields(row.collect()));
            }
        }
        if self.ranked.score.is_some() {
            documents.retain(|document| document.get(DIST).is_some());
        }
        Ok(documents)
    }
}

/// A distance has single precision, as vectors have.
fn told(reading: Reading, number: f64) -> Cell {
    let number = reading.read(number);
    if reading == Reading::Score {
        return Cell::Double(number);
    }
    #[expect(clippy::cast_possible_truncation, reason = "as precise as what it is computed from")]
    Cell::Single(number as f32)
}

/// Rows, and how many.
struct Fetched {
    rows: Rows,
    count: u64,
}
