//! Rows found by a unique key instead of a scan: `key = value`, `key IN (…)`, `key = ANY (…)`.

use super::{
    constant::value_of,
    failure::{external, snapshot_of},
    reader::Reader,
    rows::{leaf, single_partition},
};
use crate::{
    catalog::Table,
    ids::{ColumnId, Oid, RowId, TableId},
    sql::functions::as_any_of,
    storage::{
        keys::key_hashes,
        table::{Group, TableState},
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::concat,
    datatypes::DataType,
};
use datafusion::{
    catalog::Session,
    common::{
        DFSchema, DataFusionError, Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Operator, expr::InList, utils::split_conjunction,
    },
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use std::{fmt, sync::Arc};

/// How many rows a batch has at most.
const BATCH_ROWS: usize = 4096;
/// Up to so many keys are looked up without more ado.
const FEW_KEYS: usize = 64;

/// What a key's columns must equal.
#[derive(Debug, Clone)]
enum Wanted {
    /// One value for each column of the key.
    One(Vec<Arc<dyn PhysicalExpr>>),
    /// Any of these, in the one column of the key.
    Any(Vec<Arc<dyn PhysicalExpr>>),
    /// Any element of an array, in the one column of the key.
    Elements(Arc<dyn PhysicalExpr>),
}

/// A unique key and what it must equal. A filter above compares again: hashes may agree by chance.
#[derive(Debug, Clone)]
pub(super) struct KeyLookup {
    key: Oid,
    name: String,
    wanted: Wanted,
}

impl KeyLookup {
    /// The lookup that some filters ask for, if they do.
    pub(super) fn of(table: &Table, filters: &[Expr], session: &dyn Session) -> Option<Self> {
        let conjuncts: Vec<&Expr> = filters.iter().flat_map(split_conjunction).collect();
        let nothing = DFSchema::empty();
        let physical = |expr: &Expr| session.create_physical_expr(expr.clone(), &nothing).ok();
        for (key, columns) in table.keys() {
            let kind = |id: &ColumnId| Some(table.column_by_id(*id)?.kind.arrow());
            let fits = |expr: &Expr, id: &ColumnId| {
                is_constant(expr) && expr.get_type(&nothing).ok() == kind(id)
            };
            let named = |name: &str, id: &ColumnId| table.column(name).is_some_and(|c| c.id == *id);
            let equal = |id: &ColumnId| {
                conjuncts.iter().find_map(|conjunct| {
                    let (name, value) = equality(conjunct)?;
                    (named(name, id) && fits(value, id)).then(|| physical(value))?
                })
            };
            let all = || columns.iter().map(equal).collect::<Option<Vec<_>>>().map(Wanted::One);
            let any = || {
                let [id] = columns else { return None };
                conjuncts.iter().find_map(|conjunct| {
                    if let Some((Expr::Column(column), array)) = as_any_of(conjunct)
                        && named(&column.name, id)
                        && is_constant(array)
                        && element_type(array) == kind(id)
                    {
                        return physical(array).map(Wanted::Elements);
                    }
                    let (name, values) = listed(conjunct)?;
                    if !named(name, id) || !values.iter().all(|value| fits(value, id)) {
                        return None;
                    }
                    values.into_iter().map(physical).collect::<Option<_>>().map(Wanted::Any)
                })
            };
            if let Some(wanted) = all().or_else(any) {
                return Some(Self { key: key.id, name: key.name.clone(), wanted });
            }
        }
        None
    }

    /// The live rows whose key may be what is wanted, in the order of their ids.
    async fn rows(&self, table: &TableState) -> Result<Vec<RowId>> {
        if !table.keys().iter().any(|key| key.constraint == self.key) {
            // The running transaction is adding the key: nothing knows yet where its values are.
            return Ok(live_rows(table));
        }
        let columns = self.wanted.columns()?;
        let hashes: Vec<u64> = key_hashes(&columns, false).into_iter().flatten().collect();
        let found = table.key_candidates(self.key, &hashes).await.map_err(external)?;
        let mut rows: Vec<RowId> = found.into_iter().flatten().collect();
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }
}

impl Wanted {
    /// The values: an array for each column of the key.
    fn columns(&self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::One(values) => values.iter().map(value_of).collect(),
            Self::Any(values) => {
                let arrays = values.iter().map(value_of).collect::<Result<Vec<_>>>()?;
                let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                Ok(vec![concat(&arrays)?])
            }
            Self::Elements(array) => {
                let array = value_of(array)?;
                let lists = array.as_list::<i32>();
                let elements =
                    if lists.is_null(0) { lists.values().slice(0, 0) } else { lists.value(0) };
                Ok(vec![elements])
            }
        }
    }
}

fn live_rows(table: &TableState) -> Vec<RowId> {
    let live = |group: Group| {
        let mask = group.live_mask();
        let is_live = move |at: usize| mask.as_ref().is_none_or(|mask| mask.value(at));
        let ids: Vec<RowId> = group.row_ids().iter().collect();
        ids.into_iter().enumerate().filter(move |&(at, _)| is_live(at)).map(|(_, row)| row)
    };
    table.groups().flat_map(live).collect()
}

fn is_constant(expr: &Expr) -> bool {
    let varies = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
        ))
    });
    !expr.is_volatile() && !varies.unwrap_or(true)
}

fn element_type(array: &Expr) -> Option<DataType> {
    match array.get_type(&DFSchema::empty()) {
        Ok(DataType::List(field)) => Some(field.data_type().clone()),
        _ => None,
    }
}

/// `column = value`, either way round.
fn equality(expr: &Expr) -> Option<(&str, &Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), value) | (value, Expr::Column(column)) => {
            Some((&column.name, value))
        }
        _ => None,
    }
}

/// `column IN (values)`, also as the chain of equalities that a short list becomes.
fn listed(expr: &Expr) -> Option<(&str, Vec<&Expr>)> {
    match expr {
        Expr::InList(InList { expr, list, negated: false }) => match expr.as_ref() {
            Expr::Column(column) => Some((&column.name, list.iter().collect())),
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (name, mut values) = listed(left)?;
            let (other, more) = listed(right)?;
            values.extend(more);
            (name == other).then_some((name, values))
        }
        _ => equality(expr).map(|(name, value)| (name, vec![value])),
    }
}

/// The rows that a lookup finds, read by their ids.
#[derive(Debug)]
pub(super) struct KeyLookupExec {
    table: TableId,
    table_name: String,
    lookup: KeyLookup,
    reader: Reader,
    properties: Arc<PlanProperties>,
}

impl KeyLookupExec {
    /// Whether it finds a few rows, whatever its parameters.
    pub(super) fn is_light(&self) -> bool {
        match &self.lookup.wanted {
            Wanted::One(_) => true,
            Wanted::Any(values) => values.len() <= FEW_KEYS,
            Wanted::Elements(_) => false,
        }
    }

    pub(super) fn new(table: &Table, lookup: KeyLookup, reader: Reader) -> Self {
        let properties = single_partition(Arc::clone(reader.schema()));
        let table_name = table.name.clone();
        Self { table: table.id, table_name, lookup, reader, properties }
    }
}

impl DisplayAs for KeyLookupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLookupExec: table={}, key={}", self.table_name, self.lookup.name)
    }
}

impl ExecutionPlan for KeyLookupExec {
    leaf!("KeyLookupExec");

    fn apply_expressions(
        &self,
        see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match &self.lookup.wanted {
            Wanted::One(values) | Wanted::Any(values) => {
                for value in values {
                    see(value)?;
                }
            }
            Wanted::Elements(array) => drop(see(array)?),
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = snapshot_of(context.session_config())?.table(self.table);
        let (lookup, reader) = (self.lookup.clone(), self.reader.clone());
        // Looked up together, read a batch at a time.
        let found = async move {
            let found = lookup.rows(&rows).await?;
            let pieces: Vec<Vec<RowId>> = found.chunks(BATCH_ROWS).map(<[RowId]>::to_vec).collect();
            Ok::<_, DataFusionError>(stream::iter(pieces).then(move |piece| {
                let (rows, reader) = (rows.clone(), reader.clone());
                async move { reader.take(&rows, &piece).await }
            }))
        };
        let batches = found.into_stream().try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
