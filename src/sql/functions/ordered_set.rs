//! Aggregates over sorted values: `percentile_cont`, `percentile_disc` and `mode`, each WITHIN
//! GROUP (ORDER BY …). NULLs do not count.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        error::{from_arrow, from_datafusion},
        functions::{aggregates::Aggregate, call::external, leave_types::leave_types},
        typed::Typed,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, UInt64Array},
    compute::{SortOptions, concat, sort_to_indices, take},
    datatypes::{DataType, Field, FieldRef, Float64Type},
};
use datafusion::{
    common::{DataFusionError, ScalarValue, utils::SingleRowListArrayBuilder},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    sql::sqlparser::tokenizer::Span,
};
use std::sync::Arc;

/// Whether a name is that of an aggregate that takes WITHIN GROUP.
pub(crate) fn is_ordered_set(name: &str) -> bool {
    matches!(name, "percentile_cont" | "percentile_disc" | "mode")
}

impl Binder<'_> {
    /// The aggregate of a name over a value that is sorted, with its direct arguments.
    ///
    /// # Errors
    /// 42883.
    pub(crate) fn ordered_set(
        &mut self,
        name: &str,
        direct: Vec<Typed>,
        value: Typed,
        descending: bool,
        span: Span,
    ) -> Result<Aggregate> {
        let value = self.settle(value)?;
        let mut shown = direct.clone();
        shown.push(value.clone());
        let missing = |binder: &Self| binder.no_function(name, &shown, span);
        if direct.iter().any(|typed| !typed.expr.column_refs().is_empty()) {
            let error = Error::unsupported("a direct argument that is a column is not supported")
                .hint("Write the percentage as a constant or a parameter.");
            return Err(self.at(error, span));
        }
        let (which, value) = match (name, direct.len()) {
            ("mode", 0) => (Which::Mode, value),
            ("percentile_disc", 1) => (Which::Discrete, value),
            ("percentile_cont", 1) if matches!(value.kind, PgType::Interval(_)) => {
                let error = Error::unsupported("percentile_cont of intervals is not supported")
                    .hint("Use percentile_disc.");
                return Err(self.at(error, span));
            }
            ("percentile_cont", 1) => {
                let value = self.coerce(value, &PgType::Float8, Reason::Implicit);
                (Which::Continuous, value.map_err(|_| missing(self))?)
            }
            _ => return Err(missing(self)),
        };
        let mut args = vec![value.expr];
        let mut many = false;
        for share in direct {
            many = matches!(share.kind, PgType::Array(_));
            let kind = if many { PgType::Float8.array() } else { PgType::Float8 };
            let share = self.coerce(share, &kind, Reason::Implicit);
            args.push(share.map_err(|_| missing(self))?.expr);
        }
        let signature = Signature::user_defined(Volatility::Immutable);
        let set = OrderedSet { which, value: value.kind, many, descending, signature };
        let result = set.result();
        Ok(Aggregate::exact(Arc::new(AggregateUDF::from(set)), args, result))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    Continuous,
    Discrete,
    Mode,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OrderedSet {
    which: Which,
    value: PgType,
    /// Whether an array of shares is asked for.
    many: bool,
    descending: bool,
    signature: Signature,
}

impl OrderedSet {
    fn result(&self) -> PgType {
        if self.many { self.value.clone().array() } else { self.value.clone() }
    }

    fn share(&self) -> DataType {
        if self.many { PgType::Float8.array().arrow() } else { DataType::Float64 }
    }
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        match (self.which, self.descending) {
            (Which::Continuous, false) => "percentile_cont",
            (Which::Continuous, true) => "percentile_cont_desc",
            (Which::Discrete, false) => "percentile_disc",
            (Which::Discrete, true) => "percentile_disc_desc",
            (Which::Mode, false) => "mode",
            (Which::Mode, true) => "mode_desc",
        }
    }

    leave_types!();

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        let share = ScalarValue::try_from(&self.share())?;
        Ok(Box::new(Sorted { set: self.clone(), values: Vec::new(), share }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>, DataFusionError> {
        let item = Field::new_list_field(self.value.arrow(), true);
        let values = Field::new_list(format!("{}[values]", args.name), item, true);
        let share = Field::new(format!("{}[share]", args.name), self.share(), true);
        Ok(vec![Arc::new(values), Arc::new(share)])
    }
}

/// The values of a group.
#[derive(Debug)]
struct Sorted {
    set: OrderedSet,
    values: Vec<ArrayRef>,
    share: ScalarValue,
}

impl Sorted {
    fn all(&self) -> Result<ArrayRef, DataFusionError> {
        let parts: Vec<&dyn Array> = self.values.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.set.value.arrow()));
        }
        Ok(concat(&parts)?)
    }

    fn sorted(&self) -> Result<ArrayRef, DataFusionError> {
        let all = self.all()?;
        let options = SortOptions { descending: self.set.descending, nulls_first: false };
        let order = sort_to_indices(&all, Some(options), Some(all.len() - all.null_count()))?;
        Ok(take(&all, &order, None)?)
    }

    /// The shares that are asked for, checked.
    fn shares(&self) -> Result<Option<Vec<Option<f64>>>> {
        let given = self.share.to_array().map_err(from_datafusion)?;
        let given = if self.set.many {
            let lists = given.as_list::<i32>();
            if lists.is_null(0) {
                return Ok(None);
            }
            lists.value(0)
        } else {
            given
        };
        let shares: Vec<Option<f64>> = given.as_primitive::<Float64Type>().iter().collect();
        if let Some(share) = shares.iter().flatten().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("percentile value {share} is not between 0 and 1"),
            ));
        }
        Ok(Some(shares))
    }

    /// Of sorted values those at the shares.
    fn at_shares(&self, sorted: &ArrayRef, shares: &[Option<f64>]) -> Result<ArrayRef> {
        #[expect(clippy::cast_precision_loss, reason = "a count of rows beside a share of them")]
        let count = sorted.len() as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place among the rows"
        )]
        let place = |place: f64| place as u64;
        if self.set.which == Which::Discrete {
            let places: UInt64Array = shares
                .iter()
                .map(|share| share.map(|share| place((share * count).ceil().max(1.0)) - 1))
                .collect();
            return take(sorted, &places, None).map_err(from_arrow);
        }
        let values = sorted.as_primitive::<Float64Type>();
        let value = |at: f64| values.value(usize::try_from(place(at)).unwrap_or(usize::MAX));
        let between = shares.iter().map(|share| {
            share.map(|share| {
                let at = share * (count - 1.0);
                let (first, second) = (value(at.floor()), value(at.ceil()));
                if at.floor() >= at.ceil() {
                    return first;
                }
                first + (at - at.floor()) * (second - first)
            })
        });
        Ok(Arc::new(between.collect::<arrow::array::Float64Array>()))
    }

    /// The value that is there most often; of several the first.
    fn most_often(sorted: &ArrayRef) -> Result<ScalarValue, DataFusionError> {
        let starts = arrow::compute::partition(&[Arc::clone(sorted)])?.ranges();
        let mut best: Option<&std::ops::Range<usize>> = None;
        for run in &starts {
            if best.is_none_or(|best| run.len() > best.len()) {
                best = Some(run);
            }
        }
        ScalarValue::try_from_array(sorted, best.map_or(0, |run| run.start))
    }
}

impl Accumulator for Sorted {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        if values[0].is_empty() {
            return Ok(());
        }
        if let Some(share) = values.get(1) {
            self.share = ScalarValue::try_from_array(share, 0)?;
        }
        self.values.push(Arc::clone(&values[0]));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        let lists = states[0].as_list::<i32>();
        for row in 0..lists.len() {
            if lists.is_valid(row) && !lists.value(row).is_empty() {
                self.values.push(lists.value(row));
                self.share = ScalarValue::try_from_array(&states[1], row)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        let list = SingleRowListArrayBuilder::new(self.all()?).build_list_scalar();
        Ok(vec![list, self.share.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        let none = ScalarValue::try_from(&self.set.result().arrow());
        let sorted = self.sorted()?;
        if self.set.which == Which::Mode {
            return if sorted.is_empty() { none } else { Self::most_often(&sorted) };
        }
        let Some(shares) = self.shares().map_err(external)? else { return none };
        if sorted.is_empty() {
            return none;
        }
        let found = self.at_shares(&sorted, &shares).map_err(external)?;
        if self.set.many {
            return Ok(SingleRowListArrayBuilder::new(found).build_list_scalar());
        }
        ScalarValue::try_from_array(&found, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.iter().map(Array::get_array_memory_size).sum::<usize>()
    }
}
