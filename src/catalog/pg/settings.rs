//! `pg_settings` and `pg_timezone_names`.

use super::{SystemRelation, View, rows::Rows};
use crate::error::Result;
use arrow::array::RecordBatch;
use chrono::{DateTime, Offset};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS};

/// Every setting as the session has it.
pub(super) fn pg_settings(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let settings = view.live.settings();
    Rows::of(relation, &settings)
        .set("name", |setting| setting.name.as_str())
        .set("setting", |setting| setting.setting.as_str())
        .set("unit", |setting| setting.unit.as_deref())
        .set("category", |setting| setting.category.as_str())
        .set("short_desc", |setting| setting.short_desc.as_str())
        .set("context", |setting| setting.context.as_str())
        .set("vartype", |setting| setting.vartype.as_str())
        .set("source", |setting| setting.source.as_str())
        .set("min_val", |setting| setting.min_val.as_deref())
        .set("max_val", |setting| setting.max_val.as_deref())
        .set("enumvals", |setting| setting.enumvals.clone())
        .set("boot_val", |setting| setting.boot_val.as_deref())
        .set("reset_val", |setting| setting.reset_val.as_deref())
        .set("pending_restart", |_| false)
        .finish()
}

/// Every time zone, with its offset now.
pub(super) fn pg_timezone_names(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    // The youngest statement of all is the one that asks.
    let now = view.live.activity().iter().filter_map(|session| session.query_start).max();
    let now = now.and_then(DateTime::from_timestamp_micros).unwrap_or_default();
    let zones: Vec<_> = TZ_VARIANTS.iter().map(|zone| (zone, now.with_timezone(zone))).collect();
    Rows::of(relation, &zones)
        .set("name", |(zone, _)| zone.name())
        .set("abbrev", |(_, time)| time.offset().abbreviation().map(str::to_owned))
        .set("utc_offset", |(_, time)| time.offset().fix().local_minus_utc())
        .set("is_dst", |(_, time)| !time.offset().dst_offset().is_zero())
        .finish()
}
