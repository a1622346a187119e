//! What the settings of a session decide about how values look.

use super::{
    RegKind,
    datestyle::{DateForm, DateOrder},
};
use chrono_tz::Tz;
use std::{fmt, sync::Arc};

/// The settings of a session that decide what values look like.
#[derive(Debug, Clone)]
pub struct Style {
    /// `TimeZone`
    pub time_zone: Tz,
    /// `extra_float_digits`: above 0 means as many as lead back to the same number.
    pub extra_float_digits: i32,
    /// Whether `bytea_output` is `escape` rather than `hex`.
    pub bytea_escape: bool,
    /// `IntervalStyle`
    pub interval_style: IntervalStyle,
    /// The first half of `DateStyle`: how dates are written.
    pub date_form: DateForm,
    /// The second half: in which order they are read, and written where the first has an order.
    pub date_order: DateOrder,
    /// The start of the transaction in microseconds from 1970, for `now`, `today` and their kin.
    pub now: Option<i64>,
    /// Who knows the names of what oids stand for.
    pub names: Option<Arc<dyn Names>>,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            time_zone: Tz::UTC,
            extra_float_digits: 1,
            bytea_escape: false,
            interval_style: IntervalStyle::default(),
            date_form: DateForm::default(),
            date_order: DateOrder::default(),
            now: None,
            names: None,
        }
    }
}

/// The names of what `regclass` and its kin stand for.
pub trait Names: fmt::Debug + Send + Sync {
    /// The name of an oid as PostgreSQL prints it; `None` prints the number.
    fn name(&self, kind: RegKind, oid: u32) -> Option<String>;
    /// The oid of a name; `None` where there is none such.
    fn oid(&self, kind: RegKind, name: &str) -> Option<u32>;
}

/// How intervals are written: the setting `IntervalStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// `1 day 02:03:04`
    #[default]
    Postgres,
    /// `@ 1 day 2 hours 3 mins 4 secs`
    PostgresVerbose,
    /// `1 2:03:04`
    SqlStandard,
    /// `P1DT2H3M4S`
    Iso8601,
}
