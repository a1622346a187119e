//! ALTER COLUMN … TYPE.
//!
//! A change that leaves every stored value as it is changes the name of the type alone. For any other a
//! column of the new type is filled from the old one, row by row as UPDATE does it, and takes its
//! place: nothing of the old type is ever read under the new one's number.

use super::{
    super::{Ddl, table::column_mut},
    column::{generated_from, names_word},
};
use crate::{
    catalog::{Column, IndexKind, Table},
    error::{Error, Result, SqlState},
    exec::write::{quote, type_over_rows},
    ids::Oid,
    pgtype::{PgType, precision},
    sql::is_assignable,
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn alter_column_type(
        &mut self,
        table: &mut Table,
        name: &str,
        (kind, domain): (&PgType, Option<Oid>),
        using: Option<&str>,
    ) -> Result<()> {
        let column = table.expect_column(name)?.clone();
        if let Some(other) = generated_from(table, name).next() {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot alter type of a column used by a generated column",
            )
            .detail(format!("Column \"{name}\" is used by generated column \"{}\".", other.name)));
        }
        self.refuse_read_by_webhooks(table, name, "alter type of")?;
        let keeps_values = match (&column.kind, kind) {
            (from, to) if from == to => true,
            (PgType::Varchar(_) | PgType::Text, PgType::Text | PgType::Varchar(None)) => true,
            (PgType::Varchar(Some(from)), PgType::Varchar(Some(to))) => to >= from,
            (from, to) => precision::keeps(from, to) == Some(true),
        };
        // Both are laid out alike, and only digits of the second go.
        let rounds = !keeps_values && precision::keeps(&column.kind, kind).is_some();
        if keeps_values && using.is_none() && domain.is_none() {
            let changed = column_mut(table, column.id);
            (changed.kind, changed.domain) = (kind.clone(), None);
        } else if rounds && domain.is_none() {
            self.round_off(table, name, kind, using).await?;
            let changed = column_mut(table, column.id);
            (changed.kind, changed.domain) = (kind.clone(), None);
        } else {
            self.refuse_found_by_number(table, &column)?;
            self.check_default_casts(table, &column, kind)?;
            self.fill_in_place(table, column, (kind, domain), using).await?;
        }
        self.put(table);
        self.check_expressions(&Arc::new(table.clone()))
    }

    /// Writes the rows anew in which a column is to lose digits, while it is still of its old type.
    async fn round_off(
        &mut self,
        table: &Table,
        name: &str,
        kind: &PgType,
        using: Option<&str>,
    ) -> Result<()> {
        let column = quote(name);
        let set = match using {
            Some(using) => format!("{column} = ({using})::{kind}"),
            // By their texts: intervals may be equal that differ.
            None => {
                format!(
                    "{column} = {column}::{kind} WHERE {column}::text <> {column}::{kind}::text"
                )
            }
        };
        self.update_rows(table, &set).await
    }

    /// Keys and vector indexes hold values of the column under its number.
    fn refuse_found_by_number(&mut self, table: &Table, column: &Column) -> Result<()> {
        let in_key = table.keys().any(|(_, columns)| columns.contains(&column.id));
        let catalog = self.catalog();
        let indexed = catalog.indexes_of(table.id).any(|index| {
            let is_of = |kind: &IndexKind| {
                matches!(kind, IndexKind::Vector { column: id, .. } if *id == column.id)
            };
            is_of(&index.kind) || index.included().contains(&column.id)
        });
        if !in_key && !indexed {
            return Ok(());
        }
        let message = format!(
            "changing the type of column \"{}\", which is in a key or an index, is not supported",
            column.name
        );
        Err(Error::unsupported(message).hint("Drop the key or the index first."))
    }

    fn check_default_casts(&mut self, table: &Table, column: &Column, kind: &PgType) -> Result<()> {
        let Some(default) = &column.default else { return Ok(()) };
        self.see_own_names();
        let context = Arc::clone(&self.env.context);
        let made = type_over_rows(&Arc::new(table.clone()), &format!("({default})"), &context)?;
        if is_assignable(&made, kind) {
            return Ok(());
        }
        let name = &column.name;
        let message =
            format!("default for column \"{name}\" cannot be cast automatically to type {kind}");
        Err(Error::new(SqlState::DATATYPE_MISMATCH, message))
    }

    /// Puts a column of another type in a column's place, with values made of those that are there.
    async fn fill_in_place(
        &mut self,
        table: &mut Table,
        column: Column,
        (kind, domain): (&PgType, Option<Oid>),
        using: Option<&str>,
    ) -> Result<()> {
        if using.is_some_and(|using| names_word(using, "select")) {
            return Err(Error::unsupported("cannot use subquery in transform expression"));
        }
        let mut spare = format!("{} as {kind}", column.name);
        while table.column(&spare).is_some() {
            spare.push('+');
        }
        let id = table.next_column;
        table.next_column.0 += 1;
        table.columns.push(Column { domain, ..Column::new(id, &spare, kind.clone()) });
        self.put(table);
        let own = quote(&column.name);
        let filled = self.update_all(table, &spare, using.unwrap_or(&own)).await;
        filled.map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH => no_cast(&column.name, kind, using),
            _ => error,
        })?;
        if column.not_null {
            let test = format!("{} IS NOT NULL", quote(&spare));
            self.check_rows(table, &test, || {
                let message = format!(
                    "column \"{}\" of relation \"{}\" contains null values",
                    column.name, table.name
                );
                Error::new(SqlState::NOT_NULL_VIOLATION, message).column(&column.name)
            })
            .await?;
        }
        table.columns.pop();
        let changed = Column { id, kind: kind.clone(), domain, missing: None, ..column.clone() };
        *column_mut(table, column.id) = changed;
        Ok(())
    }
}

fn no_cast(column: &str, kind: &PgType, using: Option<&str>) -> Error {
    let (message, hint) = match using {
        None => (
            format!("column \"{column}\" cannot be cast automatically to type {kind}"),
            format!("You might need to specify \"USING {column}::{kind}\"."),
        ),
        Some(_) => (
            format!(
                "result of USING clause for column \"{column}\" cannot be cast automatically to type {kind}"
            ),
            "You might need to add an explicit cast.".to_owned(),
        ),
    };
    Error::new(SqlState::DATATYPE_MISMATCH, message).hint(hint)
}
