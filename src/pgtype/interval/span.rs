//! An interval in PostgreSQL's terms, and in those of Arrow.

use super::out_of_range;
use crate::error::Result;
use arrow::datatypes::IntervalMonthDayNano;

/// An interval as PostgreSQL counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) months: i32,
    pub(super) days: i32,
    pub(super) micros: i64,
}

impl Span {
    pub(super) const LATE: Self = Self { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
    pub(super) const EARLY: Self = Self { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

    /// What Arrow carries, in PostgreSQL's terms.
    pub(super) fn of_arrow(value: IntervalMonthDayNano) -> Self {
        let IntervalMonthDayNano { months, days, nanoseconds } = value;
        match nanoseconds {
            i64::MAX | i64::MIN => Self { months, days, micros: nanoseconds },
            _ => Self { months, days, micros: nanoseconds / 1000 },
        }
    }

    /// What Arrow carries.
    pub(super) fn into_arrow(self) -> Result<IntervalMonthDayNano> {
        let nanoseconds = match self {
            Self::LATE | Self::EARLY => self.micros,
            _ => self.micros.checked_mul(1000).ok_or_else(|| {
                out_of_range().detail("The time of an interval may span at most 292 years.")
            })?,
        };
        Ok(IntervalMonthDayNano { months: self.months, days: self.days, nanoseconds })
    }
}
