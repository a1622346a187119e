//! EXPLAIN: the plan that a statement would run, and with ANALYZE what running it counted.

use super::{OutputColumn, Rows, RowsTag, Session};
use crate::{
    error::{Error, Result},
    exec::{rows_stream, write::Env},
    pgtype::PgType,
    sql::{
        Bound,
        utility::{ExplainFormat, ExplainOptions},
    },
    storage::reads::ReadCounts,
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::Schema,
};
use datafusion::{
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, display::DisplayableExecutionPlan},
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// What EXPLAIN's rows look like.
pub(super) fn columns(options: ExplainOptions) -> Arc<[OutputColumn]> {
    let kind = match options.format {
        ExplainFormat::Text => PgType::Text,
        ExplainFormat::Json => PgType::Json,
    };
    [OutputColumn { name: "QUERY PLAN".to_owned(), kind, table: 0, column: 0 }].into()
}

/// Explains a bound statement.
pub(super) async fn run(
    session: &mut Session,
    options: ExplainOptions,
    statement: &Bound,
    env: &Env,
) -> Result<Rows> {
    let (title, plan) = source(statement)?;
    let begun = session.engine.clock.elapsed();
    let physical = env.run.physical(plan, &env.parameters).await?;
    let planned = session.engine.clock.elapsed();
    let mut ran = None;
    if options.analyze {
        if title.is_some() {
            return Err(Error::unsupported("EXPLAIN ANALYZE of a change of rows is not supported")
                .hint("EXPLAIN it without ANALYZE, or EXPLAIN ANALYZE its query."));
        }
        let mut rows = 0;
        let mut stream = env.run.execute(Arc::clone(&physical));
        while let Some(batch) = stream.next().await {
            rows += batch?.num_rows();
        }
        ran = Some((rows, session.engine.clock.elapsed() - planned, session.reads()));
    }
    let timed = Timed { planning: planned - begun, ran };
    let lines = match options.format {
        ExplainFormat::Text => text(title, &physical, options, &timed),
        ExplainFormat::Json => vec![as_json(title, &physical, options, &timed)],
    };
    let columns = columns(options);
    let array: ArrayRef = Arc::new(StringArray::from(lines));
    let schema = Arc::new(Schema::new(vec![columns[0].kind.field("QUERY PLAN", false)]));
    let batch = RecordBatch::try_new(schema, vec![array])
        .map_err(|error| Error::internal("lines of a plan").source(error))?;
    Ok(Rows::new(columns, rows_stream(vec![batch]), RowsTag::Fixed("EXPLAIN".into())))
}

struct Timed {
    planning: Duration,
    /// How many rows there were, how long it took, and what was read.
    ran: Option<(usize, Duration, ReadCounts)>,
}

/// The plan of a statement's query, and a title where the statement changes its rows.
fn source(statement: &Bound) -> Result<(Option<String>, &LogicalPlan)> {
    Ok(match statement {
        Bound::Query(query) => (None, query.plan.logical()),
        Bound::Insert(insert) => {
            (Some(format!("Insert on {}", insert.table.name)), insert.source.logical())
        }
        Bound::Update(update) => {
            (Some(format!("Update on {}", update.table.name)), update.source.logical())
        }
        Bound::Delete(delete) => {
            (Some(format!("Delete on {}", delete.table.name)), delete.source.logical())
        }
        Bound::Merge(merge) => {
            (Some(format!("Merge on {}", merge.table.name)), merge.source.logical())
        }
        Bound::With(_) => {
            return Err(Error::unsupported("EXPLAIN of changes of rows in WITH is not supported")
                .hint("EXPLAIN the parts one by one."));
        }
        Bound::Explain { .. } | Bound::Copy(_) | Bound::Utility(_) => {
            return Err(Error::unsupported("this statement cannot be explained"));
        }
    })
}

fn text(
    title: Option<String>,
    plan: &Arc<dyn ExecutionPlan>,
    options: ExplainOptions,
    timed: &Timed,
) -> Vec<String> {
    let shown = shown(plan, options.analyze, options.verbose);
    let indent = if title.is_some() { "  " } else { "" };
    let mut lines: Vec<String> = title.into_iter().collect();
    lines.extend(shown.lines().map(|line| format!("{indent}{line}")));
    if let Some((rows, running, reads)) = timed.ran {
        lines.push(format!("Rows: {rows}"));
        lines.push(format!("Reads: near={} far={}", reads.near, reads.far));
        lines.push(format!("Planning Time: {:.3} ms", millis(timed.planning)));
        lines.push(format!("Execution Time: {:.3} ms", millis(running)));
    }
    lines
}

fn shown(plan: &Arc<dyn ExecutionPlan>, analyze: bool, verbose: bool) -> String {
    if analyze {
        DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(verbose).to_string()
    } else {
        DisplayableExecutionPlan::new(plan.as_ref()).indent(verbose).to_string()
    }
}

fn as_json(
    title: Option<String>,
    plan: &Arc<dyn ExecutionPlan>,
    options: ExplainOptions,
    timed: &Timed,
) -> String {
    let mut root = node(plan, options.analyze);
    if let Some(title) = title {
        root = json!({ "Node Type": "ModifyTable", "Operation": title, "Plans": [root] });
    }
    let mut told = json!({ "Plan": root });
    if let Some((rows, running, reads)) = timed.ran {
        told["Reads"] = json!({ "Near": reads.near, "Far": reads.far });
        told["Rows"] = json!(rows);
        told["Planning Time"] = json!(millis(timed.planning));
        told["Execution Time"] = json!(millis(running));
    }
    serde_json::to_string_pretty(&json!([told])).unwrap_or_default()
}

fn node(plan: &Arc<dyn ExecutionPlan>, analyze: bool) -> Value {
    let line = DisplayableExecutionPlan::new(plan.as_ref()).one_line().to_string();
    let mut told = json!({ "Node Type": plan.name(), "Description": line.trim() });
    if analyze && let Some(metrics) = plan.metrics() {
        told["Actual Rows"] = json!(metrics.output_rows());
    }
    let children: Vec<Value> =
        plan.children().into_iter().map(|child| node(child, analyze)).collect();
    if !children.is_empty() {
        told["Plans"] = json!(children);
    }
    told
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
