//! Unique keys, checked at the statement: each key value is locked by its hash, and what is
//! committed by then, or written by the same transaction, is looked up and compared.

use super::{
    locks::{Granted, Mode, Target},
    snapshot::Snapshot,
    table::column_specs,
    transaction::Transaction,
    write::{Env, value_text},
};
use crate::{
    catalog::{Constraint, Table},
    error::{Error, Result, SqlState},
    ids::{ColumnId, Oid, RowId},
    storage::{columns::ColumnSpec, keys::key_hashes, table::TableState},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, RecordBatch},
    datatypes::{DataType, Float16Type, Float32Type, Float64Type},
    row::{RowConverter, Rows, SortField},
};
use half::f16;
use std::{collections::HashMap, sync::Arc};

/// One unique key of a table.
#[derive(Debug, Clone)]
pub struct UniqueKey {
    /// The constraint.
    pub constraint: Constraint,
    /// The places of its columns among the table's.
    pub places: Vec<usize>,
    specs: Vec<ColumnSpec>,
}

/// The key values of some rows, comparable byte by byte.
#[derive(Debug)]
pub struct KeyValues {
    hashes: Vec<Option<u64>>,
    rows: Rows,
}

impl UniqueKey {
    /// All keys of a table.
    ///
    /// # Errors
    /// When a column's value for older rows is not of its type.
    pub fn of(table: &Table) -> Result<Vec<Self>> {
        let specs = column_specs(table)?;
        let key = |(constraint, columns): (&Constraint, &[ColumnId])| {
            let places: Vec<usize> = columns.iter().filter_map(|&c| table.position(c)).collect();
            let specs = places.iter().map(|&place| specs[place].clone()).collect();
            Self { constraint: constraint.clone(), places, specs }
        };
        Ok(table.keys().map(key).collect())
    }

    /// Its columns.
    #[must_use]
    pub fn specs(&self) -> &[ColumnSpec] {
        &self.specs
    }

    /// The key values of rows in table order.
    ///
    /// # Errors
    /// When a column's type has no order.
    pub fn values(&self, rows: &RecordBatch) -> Result<KeyValues> {
        let columns: Vec<ArrayRef> =
            self.places.iter().map(|&place| Arc::clone(rows.column(place))).collect();
        self.values_of(&columns)
    }

    fn values_of(&self, columns: &[ArrayRef]) -> Result<KeyValues> {
        let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
        let plain: Vec<ArrayRef> = columns.iter().map(plain).collect::<Result<_>>()?;
        let rows = RowConverter::new(fields)
            .and_then(|converter| converter.convert_columns(&plain))
            .map_err(|error| Error::internal("key values").source(error))?;
        let nulls_not_distinct = self.constraint.kind.nulls_not_distinct();
        Ok(KeyValues { hashes: key_hashes(columns, nulls_not_distinct), rows })
    }

    /// Locks the key values of some rows until the transaction ends; `locked` gets those that
    /// were not its own before.
    ///
    /// # Errors
    /// 40P01, 55P03, 57014.
    pub async fn lock(
        &self,
        values: &KeyValues,
        locked: &mut Vec<(Oid, u64)>,
        env: &Env,
        transaction: &Transaction,
    ) -> Result<()> {
        for &hash in values.hashes.iter().flatten() {
            let target = Target::Key(self.constraint.id, hash);
            if env.lock(target, Mode::Exclusive, transaction).await? != Granted::Before {
                locked.push((self.constraint.id, hash));
            }
        }
        Ok(())
    }

    /// For each row the live row of the snapshot that has the same key, if there is one.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn existing(
        &self,
        table: &Table,
        values: &KeyValues,
        snapshot: &Snapshot,
    ) -> Result<Vec<Option<RowId>>> {
        let state = snapshot.table(table.id);
        let mut found = vec![None; values.hashes.len()];
        if state.live_rows() == 0 {
            return Ok(found);
        }
        let asked: Vec<usize> =
            (0..found.len()).filter(|&row| values.hashes[row].is_some()).collect();
        let hashes: Vec<u64> = asked.iter().filter_map(|&row| values.hashes[row]).collect();
        let candidates = if state.keys().iter().any(|key| key.constraint == self.constraint.id) {
            state.key_candidates(self.constraint.id, &hashes).await?
        } else {
            self.scanned(&state, &hashes).await?
        };
        let pairs: Vec<(usize, RowId)> = asked
            .iter()
            .zip(candidates)
            .flat_map(|(&row, ids)| ids.into_iter().map(move |id| (row, id)))
            .filter(|&(_, id)| state.is_live(id))
            .collect();
        if pairs.is_empty() {
            return Ok(found);
        }
        let ids: Vec<RowId> = pairs.iter().map(|&(_, id)| id).collect();
        let taken = state.take(&ids, &self.specs).await?;
        let stored = self.values_of(taken.columns())?;
        for (place, &(row, id)) in pairs.iter().enumerate() {
            if stored.rows.row(place) == values.rows.row(row) {
                found[row] = Some(id);
            }
        }
        Ok(found)
    }

    /// The rows of each hash, for a key that the running transaction is adding: its hashes are
    /// kept only once it has committed.
    async fn scanned(&self, state: &TableState, hashes: &[u64]) -> Result<Vec<Vec<RowId>>> {
        let nulls_not_distinct = self.constraint.kind.nulls_not_distinct();
        let mut rows_of: HashMap<u64, Vec<RowId>> = HashMap::new();
        for group in state.groups() {
            let (columns, ids) = (group.columns(&self.specs).await?, group.row_ids());
            for (place, hash) in key_hashes(&columns, nulls_not_distinct).into_iter().enumerate() {
                if let Some(hash) = hash {
                    rows_of.entry(hash).or_default().push(ids.row(place));
                }
            }
        }
        Ok(hashes.iter().map(|hash| rows_of.get(hash).cloned().unwrap_or_default()).collect())
    }

    /// For each row an earlier one of the same batch that has the same key, if there is one.
    #[must_use]
    pub fn repeated(&self, values: &KeyValues) -> Vec<Option<usize>> {
        let mut first: HashMap<&[u8], usize> = HashMap::with_capacity(values.hashes.len());
        (0..values.hashes.len())
            .map(|row| {
                values.hashes[row]?;
                match first.entry(values.rows.row(row).data()) {
                    std::collections::hash_map::Entry::Occupied(earlier) => Some(*earlier.get()),
                    std::collections::hash_map::Entry::Vacant(free) => {
                        free.insert(row);
                        None
                    }
                }
            })
            .collect()
    }

    /// 23505 for a row of a batch.
    #[must_use]
    pub fn violation(&self, table: &Table, rows: &RecordBatch, row: usize) -> Error {
        let columns = || self.places.iter().map(|&place| &table.columns[place]);
        let names: Vec<&str> = columns().map(|column| column.name.as_str()).collect();
        let values: Vec<String> = columns()
            .zip(&self.places)
            .map(|(column, &place)| value_text(&column.kind, rows.column(place), row))
            .collect();
        Error::new(
            SqlState::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{}\"", self.constraint.name),
        )
        .detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
        .table(if table.schema == crate::catalog::PUBLIC { "public" } else { "" }, &table.name)
        .constraint(&self.constraint.name)
    }
}

impl KeyValues {
    /// A row's key, equal to another's exactly where the values are.
    #[must_use]
    pub fn bytes(&self, row: usize) -> &[u8] {
        self.rows.row(row).data()
    }

    /// Whether a row has a key at all: none of its columns is NULL.
    #[must_use]
    pub fn is_some(&self, row: usize) -> bool {
        self.hashes[row].is_some()
    }
}

/// The column with one zero and one NaN: rows are compared by their bytes, and to SQL these are equal
/// whatever their sign.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let wrong = |error| Error::internal("key values").source(error);
    Ok(match column.data_type() {
        DataType::Float16 => {
            let plain = |x: f16| if x.is_nan() { f16::NAN } else { x + f16::ZERO };
            Arc::new(column.as_primitive::<Float16Type>().unary::<_, Float16Type>(plain))
        }
        DataType::Float32 => {
            let plain = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(plain))
        }
        DataType::Float64 => {
            let plain = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(plain))
        }
        DataType::FixedSizeList(field, size) => {
            let list = column.as_fixed_size_list();
            let values = plain(list.values())?;
            let nulls = list.nulls().cloned();
            let field = Arc::clone(field);
            Arc::new(FixedSizeListArray::try_new(field, *size, values, nulls).map_err(wrong)?)
        }
        DataType::List(field) => {
            let list = column.as_list::<i32>();
            let (values, offsets) = (plain(list.values())?, list.offsets().clone());
            let (field, nulls) = (Arc::clone(field), list.nulls().cloned());
            Arc::new(ListArray::try_new(field, offsets, values, nulls).map_err(wrong)?)
        }
        _ => Arc::clone(column),
    })
}
