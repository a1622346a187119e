//! What the server counts: sessions, and the rows of tables. Counters that Nearlake keeps in its
//! metrics instead of here are NULL; those that PostgreSQL never leaves NULL are 0.

use super::{
    ActivityRow, RecallRow, StatementRow, SystemRelation, View, rows::Rows, sequence::sequences,
    views,
};
use crate::{
    catalog::{Index, IndexKind, RECALL_TARGET, Table},
    error::Result,
};
use arrow::array::RecordBatch;

/// Every session.
pub(super) fn pg_stat_activity(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let sessions = view.live.activity();
    let is_active = |state: &str| state == "active";
    // What others do is theirs.
    let is_shown = |session: &ActivityRow| view.catalog.has_privileges_of(view.user, session.user);
    Rows::of(relation, &sessions)
        .set("datid", |session| session.database)
        .set("datname", |session| session.database_name.as_str())
        .set("pid", |session| session.process_id)
        .set("usesysid", |session| session.user)
        .set("usename", |session| session.user_name.as_str())
        .set("application_name", |session| session.application_name.as_str())
        .set("client_addr", |s| s.client_address.as_deref().filter(|_| is_shown(s)))
        .set("client_port", |s| s.client_port.filter(|_| is_shown(s)))
        .set("backend_start", |s| is_shown(s).then_some(s.backend_start))
        .set("xact_start", |s| s.transaction_start.filter(|_| is_shown(s)))
        .set("query_start", |s| s.query_start.filter(|_| is_shown(s)))
        .set("state_change", |s| s.state_change.filter(|_| is_shown(s)))
        .set("wait_event_type", |s| (is_shown(s) && !is_active(&s.state)).then_some("Client"))
        .set("wait_event", |s| (is_shown(s) && !is_active(&s.state)).then_some("ClientRead"))
        .set("state", |s| is_shown(s).then_some(s.state.as_str()))
        .set("query", |s| if is_shown(s) { s.query.as_str() } else { "<insufficient privilege>" })
        .set("backend_type", |s| is_shown(s).then_some("client backend"))
        .finish()
}

/// What the session has prepared.
pub(super) fn pg_prepared_statements(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let prepared = view.live.prepared();
    Rows::of(relation, &prepared)
        .set("name", |row| row.name.as_str())
        .set("statement", |row| row.statement.as_ref())
        .set("prepare_time", |row| row.prepared_at)
        .set("parameter_types", |row| row.parameters.clone())
        .set("result_types", |row| row.results.clone())
        .set("from_sql", |row| row.from_sql)
        // A plan is made once, for all values.
        .set("generic_plans", |_| 0_i64)
        .set("custom_plans", |_| 0_i64)
        .finish()
}

/// The session's cursors.
pub(super) fn pg_cursors(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let cursors = view.live.cursors();
    Rows::of(relation, &cursors)
        .set("name", |row| row.name.as_str())
        .set("statement", |row| row.statement.as_ref())
        .set("is_holdable", |row| row.is_holdable)
        .set("is_binary", |_| false)
        .set("is_scrollable", |row| row.is_scrollable)
        .set("creation_time", |row| row.created_at)
        .finish()
}

/// Every database, with its number of sessions.
pub(super) fn pg_stat_database(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let sessions = view.live.activity();
    let databases: Vec<_> = view.catalog.databases().collect();
    Rows::of(relation, &databases)
        .set("datid", |database| database.id)
        .set("datname", |database| database.name.as_str())
        .set("numbackends", |database| {
            let here = sessions.iter().filter(|session| session.database == database.id);
            i32::try_from(here.count()).unwrap_or(i32::MAX)
        })
        .set("conflicts", |_| 0_i64)
        .set("deadlocks", |_| 0_i64)
        .finish()
}

/// The tables: `pg_stat_…_tables` and `pg_statio_…_tables`.
pub(super) fn tables(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let tables: Vec<_> = view.catalog.tables().filter(|table| view.sees(table.schema)).collect();
    Rows::of(relation, &tables)
        .set("relid", |table| table.id)
        .set("schemaname", |table| view.schema_name(table.schema))
        .set("relname", |table| table.name.as_str())
        .set("n_live_tup", |table| i64::try_from(view.live.live_rows(table.id)).unwrap_or(i64::MAX))
        .finish()
}

/// The builds of indexes that are under way.
pub(super) fn pg_stat_progress_create_index(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let builds = view.live.builds();
    let builds: Vec<_> = builds
        .iter()
        .filter_map(|build| Some((build, view.catalog.table(build.table)?)))
        .filter(|(_, table)| view.sees(table.schema))
        .collect();
    Rows::of(relation, &builds)
        .set("pid", |(build, _)| build.process_id)
        .set("datid", |_| view.database)
        .set("datname", |_| view.database_name())
        .set("relid", |(build, _)| build.table)
        .set("index_relid", |(build, _)| build.index)
        .set("command", |(build, _)| build.command)
        .set("phase", |(build, _)| build.phase)
        .set("lockers_total", |_| 0_i64)
        .set("lockers_done", |_| 0_i64)
        .set("current_locker_pid", |_| 0_i64)
        .set("blocks_total", |(build, _)| build.blocks_total)
        .set("blocks_done", |(build, _)| build.blocks_done)
        .set("tuples_total", |(build, _)| build.tuples_total)
        .set("tuples_done", |(build, _)| build.tuples_done)
        .set("partitions_total", |_| 0_i64)
        .set("partitions_done", |_| 0_i64)
        .finish()
}

/// The indexes: `pg_stat_…_indexes` and `pg_statio_…_indexes`.
pub(super) fn indexes(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &views::indexes(view))
        .set("relid", |index| index.table.id)
        .set("indexrelid", |index| index.id)
        .set("schemaname", |index| view.schema_name(index.table.schema))
        .set("relname", |index| index.table.name.as_str())
        .set("indexrelname", |index| index.name)
        .finish()
}

/// The sequences: `pg_statio_…_sequences`.
pub(super) fn sequences_read(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    Rows::of(relation, &sequences(view))
        .set("relid", |sequence| sequence.id)
        .set("schemaname", |sequence| view.schema_name(sequence.schema))
        .set("relname", |sequence| sequence.name.as_str())
        .finish()
}

/// What is known of the recall of every vector index, by filter and target. An index of which
/// nothing is known has a row that says so.
pub(super) fn nearlake_stat_recall(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let known = view.live.recall();
    let mut rows: Vec<(&Index, &Table, RecallRow)> = Vec::new();
    for index in view.catalog.indexes().filter(|index| view.sees(index.schema)) {
        let IndexKind::Vector { .. } = index.kind else { continue };
        let Some(table) = view.catalog.table(index.table) else { continue };
        let before = rows.len();
        let of_index = known.iter().filter(|row| row.index == index.id);
        rows.extend(of_index.map(|row| (index.as_ref(), table.as_ref(), row.clone())));
        if rows.len() == before {
            let target = index.recall_target().unwrap_or(RECALL_TARGET);
            let nothing = RecallRow {
                index: index.id,
                band: "unfiltered",
                // As it was written, not as single precision has it.
                target: (f64::from(target) * 1000.0).round() / 1000.0,
                measured: None,
                low: None,
                high: None,
                samples: 0,
            };
            rows.push((index, table, nothing));
        }
    }
    Rows::of(relation, &rows)
        .set("indexrelid", |row| row.0.id)
        .set("schemaname", |row| view.schema_name(row.1.schema))
        .set("relname", |row| row.1.name.as_str())
        .set("indexrelname", |row| row.0.name.as_str())
        .set("filter", |row| row.2.band)
        .set("target", |row| row.2.target)
        .set("measured", |row| row.2.measured)
        .set("confidence_low", |row| row.2.low)
        .set("confidence_high", |row| row.2.high)
        .set("samples", |row| row.2.samples)
        .finish()
}

/// What statements cost, by form, role and database. Forms of other roles are shown to superusers
/// alone.
pub(super) fn nearlake_stat_statements(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let sees_all = view.catalog.role(view.user).is_some_and(|role| role.superuser);
    let statements = view.live.statements();
    let is_shown = |row: &StatementRow| sees_all || row.user == view.user;
    Rows::of(relation, &statements)
        .set("userid", |row| row.user)
        .set("dbid", |row| row.database)
        .set("queryid", |row| is_shown(row).then_some(row.form))
        .set("query", |row| if is_shown(row) { &row.text } else { "<insufficient privilege>" })
        .set("kind", |row| row.kind)
        .set("calls", |row| row.calls)
        .set("errors", |row| row.errors)
        .set("total_exec_time", |row| row.total_ms)
        .set("min_exec_time", |row| row.min_ms)
        .set("max_exec_time", |row| row.max_ms)
        .set("mean_exec_time", |row| row.mean_ms)
        .set("stddev_exec_time", |row| row.deviation_ms)
        .set("rows", |row| row.rows)
        .set("last_call", |row| row.last_call_micros)
        .finish()
}
