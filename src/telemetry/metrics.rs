//! Every metric, declared once, with its unit in its name and a sentence of help.
//!
//! Counters end in `_total`, times are in seconds, sizes in bytes. The label of a family takes its
//! values from a short fixed list, or names an index that there is, so that a scrape stays small
//! whatever clients do.

use crate::error::{Error, Result};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::time::Duration;

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
    /// Clients that are connected.
    connections: IntGauge = "nearlake_connections";
    /// Clients that were let in since the start.
    connections_accepted: IntCounter = "nearlake_connections_accepted_total";
    /// Clients that were turned away: too many, or not authenticated.
    connections_refused: IntCounter = "nearlake_connections_refused_total";

    /// Time from receiving a statement to its last row, by kind of statement.
    statement_seconds: HistogramVec = "nearlake_statement_seconds", SECONDS, "kind";
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

    /// Checkpoints, by outcome: done, failed.
    checkpoints: IntCounterVec = "nearlake_checkpoints_total", "outcome";
    /// Time that a checkpoint takes.
    checkpoint_seconds: Histogram = "nearlake_checkpoint_seconds", SECONDS;
    /// Objects that no manifest and no reader named any more and that were deleted.
    objects_collected: IntCounter = "nearlake_objects_collected_total";

    /// Blocks of objects that a tier of the range cache answered, by tier: memory, disk, store.
    cache_reads: IntCounterVec = "nearlake_cache_reads_total", "tier";
    /// Bytes of these blocks, by tier: memory, disk, store.
    cache_read_bytes: IntCounterVec = "nearlake_cache_read_bytes_total", "tier";
    /// Memory of the budget that is in use, by consumer.
    memory_bytes: IntGaugeVec = "nearlake_memory_bytes", "consumer";
    /// The memory budget.
    memory_limit_bytes: IntGauge = "nearlake_memory_limit_bytes";
    /// Memory of the process that is resident.
    process_resident_bytes: IntGauge = "nearlake_process_resident_bytes";

    /// Nearest-neighbour searches, by strategy: index, filtered, exact.
    searches: IntCounterVec = "nearlake_searches_total", "strategy";
    /// Time that a nearest-neighbour search takes.
    search_seconds: Histogram = "nearlake_search_seconds", SECONDS;
    /// Postings that one search of an index read.
    search_postings: Histogram = "nearlake_search_postings", COUNTS;
    /// Vectors that one search looked at.
    search_vectors: Histogram = "nearlake_search_vectors", COUNTS;
    /// Share of the true nearest rows that searches found lately, by index and filter; unset while unknown.
    recall: GaugeVec = "nearlake_recall", "index", "filter";
    /// Share of the true nearest rows that these searches were to find.
    recall_target: GaugeVec = "nearlake_recall_target", "index", "filter";
    /// Committed rows that wait to be indexed.
    index_pending_rows: IntGauge = "nearlake_index_pending_rows";

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
        if let Some(bytes) = resident_bytes() {
            self.process_resident_bytes.set(bytes);
        }
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| Error::internal("metrics cannot be encoded").source(error))
    }

    /// Counts one statement of this kind.
    pub fn statement(&self, kind: &str, time: Duration) {
        self.statement_seconds.with_label_values(&[kind]).observe(time.as_secs_f64());
    }
}

/// The resident set of this process, where the system tells.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
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
        let manual = include_str!("../../docs/operate.md");
        for (name, help) in METRICS {
            let row = format!("| `{name}` | {} |", help.trim_start());
            assert!(manual.contains(&row), "docs/operate.md has no row\n{row}");
        }
    }
}
