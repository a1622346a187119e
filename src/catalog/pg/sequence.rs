//! `pg_sequence` and `pg_sequences`.

use super::{SystemRelation, View, rows::Rows};
use crate::{
    catalog::{Privileges, Sequence},
    error::Result,
};
use arrow::array::RecordBatch;

/// The sequences of the database.
pub(super) fn sequences(view: &View) -> Vec<&Sequence> {
    let all = view.catalog.sequences().map(|sequence| &**sequence);
    all.filter(|sequence| view.sees(sequence.schema)).collect()
}

/// What every sequence counts.
pub(super) fn pg_sequence(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &sequences(view))
        .set("seqrelid", |sequence| sequence.id)
        .set("seqtypid", |sequence| sequence.kind.oid())
        .set("seqstart", |sequence| sequence.start)
        .set("seqincrement", |sequence| sequence.increment)
        .set("seqmax", |sequence| sequence.max)
        .set("seqmin", |sequence| sequence.min)
        .set("seqcache", |_| 1_i64)
        .set("seqcycle", |sequence| sequence.cycle)
        .finish()
}

/// The same by name, with the last value reserved.
pub(super) fn pg_sequences(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    Rows::of(relation, &sequences(view))
        .set("schemaname", |sequence| view.schema_name(sequence.schema))
        .set("sequencename", |sequence| sequence.name.as_str())
        .set("sequenceowner", |sequence| view.role_name(sequence.owner))
        .set("data_type", |sequence| sequence.kind.oid())
        .set("start_value", |sequence| sequence.start)
        .set("min_value", |sequence| sequence.min)
        .set("max_value", |sequence| sequence.max)
        .set("increment_by", |sequence| sequence.increment)
        .set("cycle", |sequence| sequence.cycle)
        .set("cache_size", |_| 1_i64)
        .set("last_value", |sequence| {
            let reads = Privileges::USAGE.and(Privileges::SELECT);
            let may = view.catalog.check_any(view.user, sequence.id, reads);
            sequence.last.filter(|_| may.is_ok())
        })
        .finish()
}
