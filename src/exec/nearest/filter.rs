//! The WHERE clause of a search: which rows match.
//!
//! A clause is a list of conditions, each over the columns that it names. For one run every part
//! that names none of the table's (a parameter, `now()`, a subquery's answer, a column of the outer
//! row) becomes the value that it has; what is left answers the same for a row for ever, since rows
//! never change. So what a condition answered for a group of a segment is kept ([`Answers`]), and a
//! filter that comes again reads nothing.

use super::answers::{Answer, Answers, Condition};
use crate::{
    exec::{constant::value_of, failure::external},
    ids::{RowId, RowSet},
    storage::{
        columns::ColumnSpec,
        segment::RowIds,
        table::{Group, TableState},
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
    buffer::BooleanBuffer,
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{
    common::{
        DataFusionError, Result, ScalarValue,
        metadata::FieldMetadata,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::Volatility,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{Column, Literal},
        utils::collect_columns,
    },
};
use std::{any::Any, sync::Arc};

/// A WHERE clause.
#[derive(Debug)]
pub(super) struct Filter(Vec<Term>);

/// One of its conditions.
#[derive(Debug, Clone)]
struct Term {
    /// Over the columns of `schema`, and behind these over those of the outer row.
    expr: Arc<dyn PhysicalExpr>,
    /// The places of its columns among the table's.
    places: Vec<usize>,
    schema: SchemaRef,
    /// Those among the outer row's.
    outer: Vec<usize>,
}

/// A WHERE clause with the values of one run.
#[derive(Debug)]
pub(super) struct Bound {
    terms: Vec<BoundTerm>,
}

#[derive(Debug)]
struct BoundTerm {
    expr: Arc<dyn PhysicalExpr>,
    specs: Vec<ColumnSpec>,
    schema: SchemaRef,
    /// Under what its answers are kept; `None` where they may differ from run to run.
    condition: Option<Arc<Condition>>,
}

/// How the conditions of a run were answered.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Asked {
    /// For groups, from what was kept.
    pub(super) kept: usize,
    /// For groups, by evaluation.
    pub(super) evaluated: usize,
}

impl Filter {
    /// Conditions over a table's columns, and behind these over those of an outer row.
    pub(super) fn new(
        conditions: Vec<Arc<dyn PhysicalExpr>>,
        schema: &SchemaRef,
    ) -> Result<Option<Self>> {
        if conditions.is_empty() {
            return Ok(None);
        }
        conditions
            .into_iter()
            .map(|expr| Term::new(expr, schema))
            .collect::<Result<_>>()
            .map(|terms| Some(Self(terms)))
    }

    /// The conditions, as EXPLAIN shows them.
    pub(super) fn shown(&self) -> String {
        let shown: Vec<String> = self.0.iter().map(|term| term.expr.to_string()).collect();
        shown.join(" AND ")
    }

    /// Which columns of the outer row it names.
    pub(super) fn outer(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(|term| term.outer.iter().copied())
    }

    /// The clause with the values that it has now; `specs` are the table's columns.
    pub(super) fn bind(&self, specs: &[ColumnSpec], outer: &RecordBatch) -> Result<Bound> {
        let terms = self.0.iter().map(|term| term.bind(specs, outer)).collect::<Result<_>>()?;
        Ok(Bound { terms })
    }
}

impl Term {
    fn new(expr: Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Self> {
        let width = schema.fields().len();
        let mut all: Vec<usize> =
            collect_columns(&expr).iter().map(|column| column.index()).collect();
        all.sort_unstable();
        all.dedup();
        let (places, outer): (Vec<usize>, Vec<usize>) =
            all.into_iter().partition(|&place| place < width);
        let outer = outer.into_iter().map(|place| place - width).collect();
        let expr = expr.transform_up(|part| {
            let Some(column) = as_column(&part) else { return Ok(Transformed::no(part)) };
            let place = match column.index().checked_sub(width) {
                Some(outer) => places.len() + outer,
                None => places.partition_point(|&place| place < column.index()),
            };
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), place))))
        })?;
        let schema = Arc::new(schema.project(&places)?);
        Ok(Self { expr: expr.data, places, schema, outer })
    }

    fn bind(&self, specs: &[ColumnSpec], outer: &RecordBatch) -> Result<BoundTerm> {
        let expr = self.with_outer(outer)?;
        let (expr, is_lasting) = with_values(&expr, &self.schema)?;
        let specs: Vec<ColumnSpec> = self.places.iter().map(|&at| specs[at].clone()).collect();
        let columns = specs.iter().map(|spec| spec.id).collect();
        let condition = is_lasting.then(|| Condition::new(Arc::clone(&expr), columns));
        Ok(BoundTerm { expr, specs, schema: Arc::clone(&self.schema), condition })
    }

    /// The condition for one outer row.
    fn with_outer(&self, outer: &RecordBatch) -> Result<Arc<dyn PhysicalExpr>> {
        if self.outer.is_empty() {
            return Ok(Arc::clone(&self.expr));
        }
        let fields = outer.schema();
        let valued = Arc::clone(&self.expr).transform_up(|part| {
            let place = as_column(&part).and_then(|c| c.index().checked_sub(self.places.len()));
            let Some(place) = place else { return Ok(Transformed::no(part)) };
            let Some(column) = outer.columns().get(place) else {
                let message = format!("an outer row has no column {place}");
                return Err(DataFusionError::Internal(message));
            };
            let value = ScalarValue::try_from_array(column, 0)?;
            let metadata = FieldMetadata::from(fields.field(place).metadata());
            Ok(Transformed::yes(Arc::new(Literal::new_with_metadata(value, Some(metadata)))))
        })?;
        Ok(valued.data)
    }
}

fn as_column(expr: &Arc<dyn PhysicalExpr>) -> Option<&Column> {
    (expr.as_ref() as &dyn Any).downcast_ref()
}

/// An expression in which all that names no column is the value that it has now, and whether what is
/// left answers the same at any time.
fn with_values(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<(Arc<dyn PhysicalExpr>, bool)> {
    let mut is_lasting = true;
    let valued = Arc::clone(expr).transform_down(|part| {
        if (part.as_ref() as &dyn Any).is::<Literal>() {
            return Ok(Transformed::no(part));
        }
        if collect_columns(&part).is_empty() {
            // What cannot be computed may stand where it is never asked for.
            let Ok(value) = value_of(&part) else {
                is_lasting = false;
                return Ok(Transformed::new(part, false, TreeNodeRecursion::Jump));
            };
            let field = part.return_field(schema)?;
            let value = ScalarValue::try_from_array(&value, 0)?;
            let metadata = FieldMetadata::from(field.metadata());
            let literal = Literal::new_with_metadata(value, Some(metadata));
            return Ok(Transformed::new(Arc::new(literal), true, TreeNodeRecursion::Jump));
        }
        if let Some(function) = (part.as_ref() as &dyn Any).downcast_ref::<ScalarFunctionExpr>() {
            is_lasting &= function.fun().signature().volatility == Volatility::Immutable;
        }
        Ok(Transformed::no(part))
    })?;
    Ok((valued.data, is_lasting))
}

impl Bound {
    /// The conditions that answer the same for ever.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Arc<Condition>> {
        self.terms.iter().filter_map(|term| term.condition.as_ref())
    }

    /// All conditions, where every one answers the same for ever.
    pub(super) fn all_conditions(&self) -> Option<Vec<Arc<Condition>>> {
        self.terms.iter().map(|term| term.condition.clone()).collect()
    }

    /// The live rows that match.
    pub(super) async fn matching(
        &self,
        rows: &TableState,
        answers: Option<&Answers>,
        asked: &mut Asked,
    ) -> Result<RowSet> {
        let first = rows.groups().next().map_or(rows.next_row(), |group| group.first_row());
        let mut matching = RowSet::empty(first, rows.next_row());
        for group in rows.groups() {
            if let Some(mask) = self.mask(&group, answers, asked).await? {
                insert(&mut matching, &group.row_ids(), mask);
            }
            tokio::task::consume_budget().await;
        }
        Ok(matching)
    }

    /// Which rows of a group match, by position; `None`: not one.
    pub(super) async fn mask(
        &self,
        group: &Group,
        answers: Option<&Answers>,
        asked: &mut Asked,
    ) -> Result<Option<Answer>> {
        let mut mask = group.live_mask().map_or(Answer::All, Answer::some);
        for term in &self.terms {
            if mask.is_none() {
                break;
            }
            let key = term.condition.as_ref().zip(answers).zip(group.segment());
            let kept = key.and_then(|((condition, answers), at)| answers.get(condition, at));
            if let Some(kept) = kept {
                asked.kept += 1;
                mask = mask.and(&kept);
                continue;
            }
            asked.evaluated += 1;
            let columns = group.columns(&term.specs).await.map_err(external)?;
            let options = RecordBatchOptions::new().with_row_count(Some(group.len()));
            let batch =
                RecordBatch::try_new_with_options(Arc::clone(&term.schema), columns, &options)?;
            // Whether it can be asked of every row, those that are gone among them, is seen.
            if let Some(((condition, answers), at)) = key
                && let Ok(value) = term.expr.evaluate(&batch)
            {
                let answer = Answer::some(true_bits(&value.into_array(group.len())?)?);
                answers.keep(condition, at, answer.clone());
                mask = mask.and(&answer);
                continue;
            }
            let value = match mask.bits() {
                // For rows that are gone, or that do not match, it may fail.
                Some(bits) => {
                    let rows = BooleanArray::new(bits.clone(), None);
                    term.expr.evaluate_selection(&batch, &rows)?
                }
                None => term.expr.evaluate(&batch)?,
            };
            mask = mask.and(&Answer::some(true_bits(&value.into_array(group.len())?)?));
        }
        Ok(if mask.is_none() { None } else { Some(mask) })
    }

    /// How many rows the conditions are still to be asked of, each condition counted, and some group
    /// that is at hand and of which none was answered.
    pub(super) fn unanswered(&self, rows: &TableState, answers: &Answers) -> (u64, Option<Group>) {
        let (mut count, mut sample) = (0, None);
        for group in rows.groups() {
            let is_answered = |term: &&BoundTerm| {
                let key = term.condition.as_ref().zip(group.segment());
                key.is_some_and(|(condition, at)| answers.has(condition, at))
            };
            let open = self.terms.iter().filter(|term| !is_answered(term)).count();
            count += (open * group.len()) as u64;
            let is_at_hand =
                |term: &BoundTerm| term.specs.iter().all(|column| group.is_at_hand(column));
            if open == self.terms.len() && self.terms.iter().all(is_at_hand) {
                sample = sample.or(Some(group));
            }
        }
        (count, sample)
    }

    /// Which of some rows match, in their order.
    pub(super) async fn of_rows(&self, rows: &TableState, wanted: &[RowId]) -> Result<Vec<bool>> {
        let mut mask = BooleanBuffer::new_set(wanted.len());
        for term in &self.terms {
            let taken = rows.take(wanted, &term.specs).await.map_err(external)?;
            let options = RecordBatchOptions::new().with_row_count(Some(wanted.len()));
            let columns = taken.columns().to_vec();
            let batch =
                RecordBatch::try_new_with_options(Arc::clone(&term.schema), columns, &options)?;
            let asked = BooleanArray::new(mask.clone(), None);
            let value = term.expr.evaluate_selection(&batch, &asked)?;
            mask = &mask & &true_bits(&value.into_array(wanted.len())?)?;
        }
        Ok(mask.iter().collect())
    }
}

/// NULL is not true.
fn true_bits(value: &ArrayRef) -> Result<BooleanBuffer> {
    if value.data_type() == &DataType::Null {
        return Ok(BooleanBuffer::new_unset(value.len()));
    }
    let value = value.as_boolean_opt().ok_or_else(|| {
        DataFusionError::Internal("a condition that is neither true nor false".to_owned())
    })?;
    Ok(match value.nulls() {
        Some(nulls) => value.values() & nulls.inner(),
        None => value.values().clone(),
    })
}

fn insert(matching: &mut RowSet, ids: &RowIds, mask: Answer) {
    match (ids, mask) {
        (_, Answer::None) => {}
        (RowIds::Contiguous { first, len }, Answer::All) => {
            matching.insert_range(*first, RowId(first.0 + *len as u64));
        }
        (RowIds::Contiguous { first, .. }, Answer::Some(mask)) => {
            matching.insert_bits(*first, mask.bit_chunks().iter_padded());
        }
        (ids, Answer::All) => ids.iter().for_each(|row| matching.insert(row)),
        (ids, Answer::Some(mask)) => {
            mask.set_indices().for_each(|place| matching.insert(ids.row(place)));
        }
    }
}
