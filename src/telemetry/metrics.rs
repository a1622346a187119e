//! Every metric, declared once, with its unit in its name and a sentence of help.
//!
//! Counters end in `_total`, times are in seconds, sizes in bytes. The label of a family takes its
//! values from a short fixed list, or names an index that there is, so that a scrape stays small
//! whatever clients do. What every process has, [`super::process`] tells under the usual names.

use super::{process, trace};
use crate::error::{Error, Result};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// From 50 microseconds, which a cached point lookup takes, to a minute.
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// For counts of things that one search or one commit touches.
const COUNTS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6];

/// One metric of its kind; a family also has a label, a histogram also has buckets.
macro_rules! make {
    (IntCounter, $name:literal, $help:expr) => {
        IntCounter::new($name, $help)
    };
    (IntGauge, $name:literal, $help:expr) => {
        IntGauge::new($name, $help)
    };
    (Gauge, $name:literal, $help:expr) => {
        Gauge::new($name, $help)
    };
    (Histogram, $name:literal, $help:expr, $buckets:ident) => {
        Histogram::with_opts(HistogramOpts::new($name, $help).buckets($buckets.to_vec()))
    };
    (HistogramVec, $name:literal, $help:expr, $buckets:ident, $label:literal) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets($buckets.to_vec()), &[$label])
    };
    ($family:ident, $name:literal, $help:expr, $label:literal, $second:literal) => {
        $family::new(Opts::new($name, $help), &[$label, $second])
    };
    ($family:ident, $name:literal, $help:expr, $label:literal) => {
        $family::new(Opts::new($name, $help), &[$label])
    };
}

macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ident = $name:literal $(, $more:tt)*;)*) => {
        /// A handle on every metric of one node; shared behind an `Arc`.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Default for Metrics {
            /// All metrics at zero, in a registry of their own.
            fn default() -> Self {
                let registry = Registry::new();
                $(let $field = register(
                    &registry,
                    make!($kind, $name, $help.trim_start() $(, $more)*),
                );)*
                Self { registry, $($field,)* }
            }
        }

        /// Name and help of every metric, in the order of declaration.
        pub const METRICS: &[(&str, &str)] = &[$(($name, $help),)*];
    };
}

metrics! {
    /// The version that runs; always 1.
    build_info: IntGaugeVec = "nearlake_build_info", "version";
    /// Whether a check of readiness passes, by check: store, writable, wal, fence, disk.
    check_ok: IntGaugeVec = "nearlake_check_ok", "check";

    /// Clients that are connected.
    connections: IntGauge = "nearlake_connections";
    /// Clients that may be connected at a time.
    connections_limit: IntGauge = "nearlake_connections_limit";
    /// Clients that were let in since the start.
    connections_accepted: IntCounter = "nearlake_connections_accepted_total";
    /// Clients that were turned away: too many, or not authenticated.
    connections_refused: IntCounter = "nearlake_connections_refused_total";
    /// Bytes that clients sent and were sent, by direction: received, sent.
    wire_bytes: IntCounterVec = "nearlake_wire_bytes_total", "direction";
    /// Statements that were stopped by a cancel request.
    cancels: IntCounter = "nearlake_cancels_total";

    /// Connections over HTTP that are open.
    http_connections: IntGauge = "nearlake_http_connections";
    /// Connections over HTTP that were turned away since there were too many.
    http_connections_refused: IntCounter = "nearlake_http_connections_refused_total";
    /// Time from the head of a request to its answer, by route.
    http_request_seconds: HistogramVec = "nearlake_http_request_seconds", SECONDS, "route";
    /// Requests over HTTP, by route and by class of status.
    http_requests: IntCounterVec = "nearlake_http_requests_total", "route", "status";

    /// Time from receiving a statement to its last row, by kind of statement.
    statement_seconds: HistogramVec = "nearlake_statement_seconds", SECONDS, "kind";
    /// Forms of statements that the statistics forgot to make room for others.
    statement_forms_forgotten: IntCounter = "nearlake_statement_forms_forgotten_total";
    /// Statements that run.
    statements_running: IntGauge = "nearlake_statements_running";
    /// Errors that were sent to clients, by class of SQLSTATE.
    errors: IntCounterVec = "nearlake_errors_total", "class";
    /// Rows that were sent to clients.
    rows_returned: IntCounter = "nearlake_rows_returned_total";
    /// Rows that statements added, changed or took away, by change: insert, update, delete, copy.
    rows_written: IntCounterVec = "nearlake_rows_written_total", "change";

    /// Transactions that ended, by outcome: commit, rollback.
    transactions: IntCounterVec = "nearlake_transactions_total", "outcome";
    /// Transactions that are open.
    transactions_open: IntGauge = "nearlake_transactions_open";

    /// Bytes that were appended to the write-ahead log.
    wal_bytes: IntCounter = "nearlake_wal_bytes_total";
    /// Groups of commits that were made durable together.
    wal_groups: IntCounter = "nearlake_wal_groups_total";
    /// Time to make one group of commits durable.
    wal_append_seconds: Histogram = "nearlake_wal_append_seconds", SECONDS;
    /// Commits in one group.
    wal_group_commits: Histogram = "nearlake_wal_group_commits", COUNTS;
    /// Commits that wait for the log.
    wal_queue: IntGauge = "nearlake_wal_queue";
    /// Commits that the newest manifest lacks: what a start would replay.
    checkpoint_behind: IntGauge = "nearlake_checkpoint_behind_commits";

    /// Checkpoints, by outcome: done, failed.
    checkpoints: IntCounterVec = "nearlake_checkpoints_total", "outcome";
    /// Time that a checkpoint takes.
    checkpoint_seconds: Histogram = "nearlake_checkpoint_seconds", SECONDS;
    /// Times that segments were merged, or written anew without their deleted rows.
    compactions: IntCounter = "nearlake_compactions_total";
    /// Time that a round of compaction takes.
    compaction_seconds: Histogram = "nearlake_compaction_seconds", SECONDS;
    /// Objects that no manifest and no reader named any more and that were deleted.
    objects_collected: IntCounter = "nearlake_objects_collected_total";
    /// Bytes of these objects.
    bytes_collected: IntCounter = "nearlake_bytes_collected_total";
    /// Time that a round of collection takes.
    collection_seconds: Histogram = "nearlake_collection_seconds", SECONDS;
    /// Segments that tables consist of.
    segments: IntGauge = "nearlake_segments";
    /// Bytes of tables, in segments and in memory.
    table_bytes: IntGauge = "nearlake_table_bytes";
    /// Rows that tables have.
    table_rows: IntGauge = "nearlake_table_rows";
    /// Rows of segments that are deleted and not yet compacted away.
    table_deleted_rows: IntGauge = "nearlake_table_deleted_rows";

    /// Requests to the store, by operation: write, read, list, delete.
    store_requests: IntCounterVec = "nearlake_store_requests_total", "operation";
    /// Bytes that went to the store and came back, by direction: written, read.
    store_bytes: IntCounterVec = "nearlake_store_bytes_total", "direction";
    /// Requests to the store that were tried again.
    store_retries: IntCounter = "nearlake_store_retries_total";
    /// Requests to the store that were given up.
    store_failures: IntCounter = "nearlake_store_failures_total";
    /// Bytes that are free where the data folder is; unset on a bucket.
    disk_free_bytes: Gauge = "nearlake_disk_free_bytes";
    /// Bytes that the disk with the data folder has; unset on a bucket.
    disk_bytes: Gauge = "nearlake_disk_bytes";

    /// Blocks of objects that a tier of the range cache answered, by tier: memory, disk, store.
    cache_reads: IntCounterVec = "nearlake_cache_reads_total", "tier";
    /// Bytes of these blocks, by tier: memory, disk, store.
    cache_read_bytes: IntCounterVec = "nearlake_cache_read_bytes_total", "tier";
    /// Decoded columns that were asked for, by where they were: memory, segment.
    column_reads: IntCounterVec = "nearlake_column_reads_total", "tier";
    /// Ranges of index objects that were read since their postings were not in memory.
    posting_reads: IntCounter = "nearlake_posting_reads_total";
    /// Bytes of these ranges.
    posting_read_bytes: IntCounter = "nearlake_posting_read_bytes_total";
    /// Memory of the budget that is in use, by consumer: columns, postings, ranges, filters, memtables, queries.
    memory_bytes: IntGaugeVec = "nearlake_memory_bytes", "consumer";
    /// The memory budget.
    memory_limit_bytes: IntGauge = "nearlake_memory_limit_bytes";

    /// Nearest-neighbour searches, by strategy: index, filtered, lazy, exact.
    searches: IntCounterVec = "nearlake_searches_total", "strategy";
    /// Time that a nearest-neighbour search takes.
    search_seconds: Histogram = "nearlake_search_seconds", SECONDS;
    /// Postings that one search of an index read.
    search_postings: Histogram = "nearlake_search_postings", COUNTS;
    /// Vectors that one search looked at.
    search_vectors: Histogram = "nearlake_search_vectors", COUNTS;
    /// Conditions of filters on groups of rows that were answered before, by outcome: hit, miss.
    filter_answers: IntCounterVec = "nearlake_filter_answers_total", "outcome";
    /// Share of the true nearest rows that searches found lately, by index and filter; unset while unknown.
    recall: GaugeVec = "nearlake_recall", "index", "filter";
    /// Share of the true nearest rows that these searches were to find.
    recall_target: GaugeVec = "nearlake_recall_target", "index", "filter";
    /// Whether these searches found less than they were to find, for certain: 1, else 0.
    recall_below_target: IntGaugeVec = "nearlake_recall_below_target", "index", "filter";
    /// Committed rows that wait to be indexed.
    index_pending_rows: IntGauge = "nearlake_index_pending_rows";
    /// Builds of indexes that are under way.
    index_builds_running: IntGauge = "nearlake_index_builds_running";
    /// Builds of indexes that ended, by outcome: done, cancelled, failed.
    index_builds: IntCounterVec = "nearlake_index_builds_total", "outcome";
    /// Time that a build of an index takes.
    index_build_seconds: Histogram = "nearlake_index_build_seconds", SECONDS;

    /// Events that were written for webhooks, by kind.
    webhook_events: IntCounterVec = "nearlake_webhook_events_total", "kind";
    /// Requests to endpoints of webhooks, by outcome: delivered, failed; and events that were given up: dead.
    webhook_attempts: IntCounterVec = "nearlake_webhook_attempts_total", "outcome";
    /// Time that one request to an endpoint of a webhook takes.
    webhook_attempt_seconds: Histogram = "nearlake_webhook_attempt_seconds", SECONDS;
    /// Events that wait to be delivered.
    webhook_queue: IntGauge = "nearlake_webhook_queue";
    /// Bytes of these events.
    webhook_queue_bytes: IntGauge = "nearlake_webhook_queue_bytes";
    /// Age of the oldest event that waits to be delivered.
    webhook_queue_age_seconds: IntGauge = "nearlake_webhook_queue_age_seconds";
    /// Commits that were not yet looked at for webhooks.
    webhook_lag_commits: IntGauge = "nearlake_webhook_lag_commits";
    /// Events that were given up and are kept.
    webhook_dead_letters: IntGauge = "nearlake_webhook_dead_letters";
    /// Webhooks that are paused, since their endpoint does not answer.
    webhooks_paused: IntGauge = "nearlake_webhooks_paused";
    /// Events that were lost, since too many waited or their condition failed.
    webhook_events_lost: IntCounter = "nearlake_webhook_events_lost_total";
    /// Steps of the upkeep of indexes, by kind: settle, sweep, tend.
    index_steps: IntCounterVec = "nearlake_index_steps_total", "kind";
    /// Failures of the upkeep of an index; it is tried again, later each time.
    index_upkeep_failures: IntCounter = "nearlake_index_upkeep_failures_total";
    /// Tasks that panicked and were begun anew, by task: upkeep, builds.
    task_panics: IntCounterVec = "nearlake_task_panics_total", "task";
    /// Commits that were held back since something lagged behind them, by what: index, memtables.
    commits_held: IntCounterVec = "nearlake_commits_held_total", "by";
    /// Bytes of an index's postings, wherever they are.
    index_bytes: IntGaugeVec = "nearlake_index_bytes", "index";
    /// Postings of an index.
    index_postings: IntGaugeVec = "nearlake_index_postings", "index";
    /// Entries of an index, second copies and those of dead rows included.
    index_entries: IntGaugeVec = "nearlake_index_entries", "index";
    /// Share of an index's entries whose rows are dead, at the last look at all of them.
    index_stale_share: GaugeVec = "nearlake_index_stale_share", "index";
    /// Steps of upkeep, by step: split, merge, renewal, calibration.
    index_upkeep: IntCounterVec = "nearlake_index_upkeep_total", "step";
    /// Entries that were looked at during upkeep to see whether another posting is nearer.
    index_checked: IntCounter = "nearlake_index_checked_total";
    /// Entries that moved to a nearer posting.
    index_reassigned: IntCounter = "nearlake_index_reassigned_total";

    /// Spans for a collector, by outcome: sent, lost.
    trace_spans: IntCounterVec = "nearlake_trace_spans_total", "outcome";

    /// Texts that models have read.
    embed_texts: IntCounter = "nearlake_embed_texts_total";
    /// Texts that were longer than their model takes and were cut, as it was declared.
    embed_truncated: IntCounter = "nearlake_embed_truncated_total";
    /// Questions to models that failed.
    embed_failures: IntCounter = "nearlake_embed_failures_total";
    /// Texts of questions to models, by whether their vectors were known: hit, miss.
    embed_cache: IntCounterVec = "nearlake_embed_cache_total", "outcome";
    /// Texts that wait for a model.
    embed_waiting_texts: IntGauge = "nearlake_embed_waiting_texts";
    /// Texts that one run of a model read.
    embed_run_texts: Histogram = "nearlake_embed_run_texts", COUNTS;
    /// Time that one run of a model takes.
    embed_run_seconds: Histogram = "nearlake_embed_run_seconds", SECONDS;
    /// Models that are in memory.
    embed_models: IntGauge = "nearlake_embed_models";
    /// Committed rows that wait for their vectors.
    embed_pending_rows: IntGauge = "nearlake_embed_pending_rows";
}

/// Adds a metric to the registry.
fn register<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("every declaration is valid, as a test shows");
    registry.register(Box::new(metric.clone())).expect("every name is declared once");
    metric
}

impl Metrics {
    /// All metrics in Prometheus' text format. Some are read from the system just now.
    ///
    /// # Errors
    /// Internal, when a metric cannot be written as text.
    pub fn render(&self) -> Result<String> {
        for (outcome, total) in [("sent", &trace::SENT), ("lost", &trace::LOST)] {
            let spans = self.trace_spans.with_label_values(&[outcome]);
            spans.inc_by(total.load(Relaxed).saturating_sub(spans.get()));
        }
        let mut text = TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| Error::internal("metrics cannot be encoded").source(error))?;
        text += &process::render();
        Ok(text)
    }

    /// Counts one statement of this kind.
    pub fn statement(&self, kind: &str, time: Duration) {
        self.statement_seconds.with_label_values(&[kind]).observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_its_help() {
        let metrics = Metrics::default();

        metrics.connections.inc();
        metrics.statement("select", Duration::from_millis(3));
        metrics.errors.with_label_values(&["22"]).inc();

        let text = metrics.render().unwrap();
        assert!(
            text.contains("# HELP nearlake_connections Clients that are connected.\n"),
            "{text}"
        );
        assert!(text.contains("nearlake_connections 1\n"), "{text}");
        assert!(text.contains("nearlake_statement_seconds_count{kind=\"select\"} 1\n"), "{text}");
        assert!(text.contains("nearlake_errors_total{class=\"22\"} 1\n"), "{text}");
    }

    #[test]
    fn names_say_their_unit() {
        for (name, help) in METRICS {
            assert!(name.starts_with("nearlake_"), "{name}");
            assert!(help.ends_with('.'), "{name}: {help}");
        }
        let metrics = Metrics::default();
        for family in metrics.registry.gather() {
            let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(counter, family.name().ends_with("_total"), "{}", family.name());
        }
    }

    #[test]
    fn the_manual_lists_every_metric() {
        // In one table: a row behind a paragraph would be shown as text.
        let table: Vec<&str> = include_str!("../../docs/operate.md")
            .lines()
            .skip_while(|line| *line != "| metric | what it tells |")
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let of_process = process::METRICS.iter().map(|(name, _, help)| (name, help));
        for (name, help) in METRICS.iter().map(|(name, help)| (name, help)).chain(of_process) {
            let row = format!("| `{name}` | {} |", help.trim_start());
            assert!(table.contains(&row.as_str()), "docs/operate.md's table has no row\n{row}");
        }
        assert_eq!(table.len(), METRICS.len() + process::METRICS.len(), "a row of no metric");
    }
}
