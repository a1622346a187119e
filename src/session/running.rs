//! A statement while it runs, to its last row: its span, its pace, its counters, and a line in the log
//! when it was slow.
//!
//! Where the line is wanted (`log_min_duration_statement`), it has the text, as much of each parameter as
//! `log_parameter_max_length` allows, and the plan where `nearlake.log_slow_plan` asks for it.

use super::{
    CopyOut, Engine, Outcome, Prepared, RowStream, Rows, Session,
    cancel::{Pace, Stop},
    settings::Settings,
    statements::RunOf,
};
use crate::{
    exec::run::PlanSlot,
    ids::Oid,
    pgtype::{output::Encoder, style::Style},
    sql::{Context as _, Form, Statement},
    storage::reads::Reads,
    telemetry::Traceparent,
};
use arrow::array::ArrayRef;
use datafusion::physical_plan::displayable;
use futures::StreamExt as _;
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tracing::Span;

/// Which statements are logged, and how much of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowLog {
    /// From which duration on.
    limit: Duration,
    /// How many bytes of a parameter; `None`: all.
    parameter_bytes_max: Option<usize>,
    with_plan: bool,
}

impl SlowLog {
    /// `None` where no statement is logged.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let limit = u64::try_from(settings.number("log_min_duration_statement")).ok()?;
        Some(Self {
            limit: Duration::from_millis(limit),
            parameter_bytes_max: usize::try_from(settings.number("log_parameter_max_length")).ok(),
            with_plan: settings.is_on("nearlake.log_slow_plan"),
        })
    }
}

/// What lasts until a statement's last row.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pace: Arc<Pace>,
    pub(super) span: Span,
    /// What it reads.
    pub(super) reads: Arc<Reads>,
    engine: Arc<Engine>,
    user: Oid,
    database: Oid,
    form: Arc<Form>,
    kind: &'static str,
    /// Rows that it gave or changed.
    rows: u64,
    has_failed: bool,
    begun: Duration,
    slow: Option<Slow>,
}

/// What the line about a slow statement is made of.
#[derive(Debug)]
struct Slow {
    log: SlowLog,
    prepared: Arc<Prepared>,
    parameters: Vec<ArrayRef>,
    style: Style,
    plan: Option<PlanSlot>,
}

impl Running {
    pub(super) fn new(
        session: &mut Session,
        statement: &Statement,
        prepared: &Arc<Prepared>,
        parameters: &[ArrayRef],
        pace: Pace,
    ) -> Self {
        let engine = Arc::clone(&session.engine);
        engine.metrics.statements_running.inc();
        let slow = session.derived.slow.map(|log| Slow {
            log,
            prepared: Arc::clone(prepared),
            parameters: parameters.to_vec(),
            style: session.style(),
            plan: log.with_plan.then(PlanSlot::default),
        });
        session.shown_plan = slow.as_ref().and_then(|slow| slow.plan.clone());
        session.statements += 1;
        session.reads = Arc::default();
        let kind = statement.kind();
        Self {
            pace: Arc::new(pace),
            span: span(session, statement, kind),
            reads: Arc::clone(&session.reads),
            user: session.context.user(),
            database: session.context.database(),
            form: Arc::clone(statement.form()),
            kind,
            rows: 0,
            has_failed: false,
            begun: engine.clock.elapsed(),
            slow,
            engine,
        }
    }

    /// The statement gave or changed rows.
    pub(super) fn gave(&mut self, rows: u64) {
        self.rows += rows;
    }

    pub(super) fn failed(&mut self) {
        self.has_failed = true;
    }
}

/// The span of a statement, within that of its request or of the trace that its comment names.
fn span(session: &Session, statement: &Statement, kind: &'static str) -> Span {
    // A line of the log at whatever level bears what its span says.
    let span = tracing::error_span!(
        "statement",
        session = session.context.process_id(),
        number = session.statements,
        kind,
        trace = tracing::field::Empty,
        traceparent = tracing::field::Empty,
    );
    if let Some(parent) = Traceparent::of_comment(statement.message()) {
        parent.adopt(&span);
    }
    span
}

impl Drop for Running {
    fn drop(&mut self) {
        let Engine { metrics, clock, statements, .. } = self.engine.as_ref();
        metrics.statements_running.dec();
        let took = clock.elapsed().saturating_sub(self.begun);
        metrics.statement(self.kind, took);
        let run = RunOf {
            user: self.user,
            database: self.database,
            form: &self.form,
            kind: self.kind,
            took,
            rows: self.rows,
            failed: self.has_failed,
            now_micros: clock.now_micros(),
        };
        statements.record(&run, metrics);
        let Some(slow) = self.slow.as_ref().filter(|slow| took >= slow.log.limit) else { return };
        let plan = slow.plan.as_ref().and_then(|plan| plan.get());
        let plan = plan.map(|plan| displayable(plan.as_ref()).indent(false).to_string());
        tracing::info!(
            parent: &self.span,
            took_ms = took.as_secs_f64() * 1000.0,
            statement = slow.prepared.text(),
            parameters = slow.parameters(),
            plan,
            "slow statement"
        );
    }
}

impl Slow {
    /// `$1 = '7', $2 = NULL`, cut to what may be shown; `None` where nothing may, or is there.
    fn parameters(&self) -> Option<String> {
        let bytes_max = self.log.parameter_bytes_max.unwrap_or(usize::MAX);
        if bytes_max == 0 || self.parameters.is_empty() {
            return None;
        }
        let mut shown = String::new();
        for (index, (kind, array)) in
            self.prepared.parameters().iter().zip(&self.parameters).enumerate()
        {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(shown, "{comma}${} = ", index + 1);
            let mut text = Vec::new();
            match Encoder::new(kind, array, &self.style) {
                Ok(encoder) if encoder.is_null(0) => shown += "NULL",
                Ok(encoder) if encoder.text(0, &mut text).is_ok() => {
                    shown += &quoted(&String::from_utf8_lossy(&text), bytes_max);
                }
                _ => shown += "?",
            }
        }
        Some(shown)
    }
}

/// A value in quotes, and dots behind what is cut.
fn quoted(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max.min(text.len()));
    let dots = if end < text.len() { "..." } else { "" };
    format!("'{}{dots}'", text[..end].replace('\'', "''"))
}

/// Streams fail with the true reason of a cancellation; what lasts as long as they do goes along.
pub(super) fn watched(outcome: Outcome, stop: Stop, mut running: Running) -> Outcome {
    match outcome {
        Outcome::CopyIn(mut copy) => {
            copy.running = Some(running);
            return Outcome::CopyIn(copy);
        }
        // `INSERT 0 3`, `UPDATE 3`
        Outcome::Done(tag) => {
            let rows = tag.rsplit(' ').next().and_then(|rows| rows.parse().ok());
            running.gave(rows.unwrap_or(0));
            return Outcome::Done(tag);
        }
        _ => {}
    }
    let pace = Arc::clone(&running.pace);
    let watch = |mut stream: RowStream| -> RowStream {
        Box::pin(futures::stream::poll_fn(move |context| {
            let polled = running
                .span
                .in_scope(|| running.reads.within_step(|| stream.poll_next_unpin(context)));
            polled.map(|next| {
                Some(match next? {
                    Ok(batch) => {
                        let rows = batch.num_rows() as u64;
                        running.engine.metrics.rows_returned.inc_by(rows);
                        running.gave(rows);
                        Ok(batch)
                    }
                    Err(error) => {
                        running.failed();
                        Err(stop.reason(error))
                    }
                })
            })
        }))
    };
    match outcome {
        Outcome::Rows(rows) => {
            let stream = watch(rows.stream);
            Outcome::Rows(Rows { stream, pace: Some(pace), ..rows })
        }
        Outcome::CopyOut(copy) => Outcome::CopyOut(CopyOut { stream: watch(copy.stream), ..copy }),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_between_characters() {
        assert_eq!(quoted("abc", usize::MAX), "'abc'");
        assert_eq!(quoted("it's", usize::MAX), "'it''s'");
        assert_eq!(quoted("abcdef", 3), "'abc...'");
        assert_eq!(quoted("aäb", 2), "'a...'");
        assert_eq!(quoted("", 5), "''");
    }
}
