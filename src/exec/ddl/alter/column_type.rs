//! ALTER COLUMN … TYPE.
//!
//! A change that leaves every stored value as it is changes the name of the type alone. For any other a
//! column of the new type is filled from the old one, row by row as UPDATE does it, and takes its
//! place: nothing of the old type is ever read under the new one's number.

use super::{
    super::{Ddl, kept::names_word, table::column_mut},
    column::generated_from,
};
use crate::{
    catalog::{Change, Column, ConstraintKind, Grants, IndexKind, Sequence, Table, View},
    error::{Error, Result, SqlState},
    exec::write::{quote, type_over_rows},
    ids::{ColumnId, Oid},
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
        self.refuse_read_by_views(table, name)?;
        let using = match column.generated.clone() {
            Some(_) if using.is_some() => {
                let message = "cannot specify USING when altering type of generated column";
                return Err(Error::new(SqlState::new(b"42611"), message)
                    .detail(format!("Column \"{name}\" is a generated column.")));
            }
            // It is what its expression gives.
            generated => using.map(str::to_owned).or(generated),
        };
        if column.replacement.is_some() {
            let message = format!("column \"{name}\" is being embedded anew");
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .hint("Wait until nearlake_stat_embedding no longer shows it."));
        }
        if column.identity.is_some() && !matches!(kind, PgType::Int2 | PgType::Int4 | PgType::Int8)
        {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
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
        } else if rounds && using.is_none() && domain.is_none() {
            self.round_off(table, name, kind).await?;
            let changed = column_mut(table, column.id);
            (changed.kind, changed.domain) = (kind.clone(), None);
        } else {
            self.refuse_found_by_number(table, &column)?;
            self.check_default_casts(table, &column, kind)?;
            let (before, id) = (column.id, table.next_column);
            self.fill_in_place(table, column, (kind, domain), using.as_deref()).await?;
            self.renumber(table, before, id);
        }
        self.put(table);
        self.check_changed(table, name).await?;
        self.check_expressions(&Arc::new(table.clone()))
    }

    /// Writes the rows anew in which a column is to lose digits, while it is still of its old type.
    async fn round_off(&mut self, table: &Table, name: &str, kind: &PgType) -> Result<()> {
        let column = quote(name);
        // By their texts: intervals may be equal that differ.
        let set =
            format!("{column} = {column}::{kind} WHERE {column}::text <> {column}::{kind}::text");
        self.update_rows(table, &set).await
    }

    /// A view's columns and operators are those of the types that it was made of.
    fn refuse_read_by_views(&mut self, table: &Table, column: &str) -> Result<()> {
        let views = self.views_naming(table);
        let reads = |view: &&Arc<View>| names_word(&view.query, column) || view.query.contains('*');
        let Some(view) = views.iter().find(reads) else { return Ok(()) };
        let message = "cannot alter type of a column used by a view or rule";
        Err(Error::unsupported(message)
            .detail(format!("rule _RETURN on view {} depends on column \"{column}\"", view.name)))
    }

    /// What holds a column by its number follows it.
    fn renumber(&mut self, table: &mut Table, from: ColumnId, to: ColumnId) {
        let renew = |ids: &mut Vec<ColumnId>| {
            ids.iter_mut().filter(|id| **id == from).for_each(|id| *id = to);
        };
        for constraint in &mut table.constraints {
            if let ConstraintKind::ForeignKey { columns, references, referenced, .. } =
                &mut constraint.kind
            {
                renew(columns);
                if *references == table.id {
                    renew(referenced);
                }
            }
        }
        let (catalog, id) = (self.catalog(), table.id);
        if let Some(grants) = catalog.grants(id) {
            let mut grants = Grants::clone(grants);
            if let Some(list) = grants.columns.remove(&from) {
                grants.columns.insert(to, list);
                self.transaction.change([Change::Grants(Arc::new(grants))]);
            }
        }
        for sequence in catalog.sequences().filter(|s| s.owned_by == Some((id, from))) {
            let sequence = Sequence { owned_by: Some((id, to)), ..Sequence::clone(sequence) };
            self.transaction.change([Change::Sequence(Arc::new(sequence))]);
        }
        for other in catalog.tables().filter(|other| other.id != id) {
            let refers = |kind: &ConstraintKind| {
                matches!(kind, ConstraintKind::ForeignKey { references, referenced, .. }
                    if *references == id && referenced.contains(&from))
            };
            if !other.constraints.iter().any(|constraint| refers(&constraint.kind)) {
                continue;
            }
            let mut other = Table::clone(other);
            for constraint in &mut other.constraints {
                if let ConstraintKind::ForeignKey { references, referenced, .. } =
                    &mut constraint.kind
                    && *references == id
                {
                    renew(referenced);
                }
            }
            self.transaction.change([Change::Table(Arc::new(other))]);
        }
    }

    /// The new values obey what is asked of them.
    async fn check_changed(&mut self, table: &Table, column: &str) -> Result<()> {
        for constraint in &table.constraints {
            let ConstraintKind::Check { expression } = &constraint.kind else { continue };
            if !names_word(expression, column) {
                continue;
            }
            self.check_rows(table, &format!("({expression}) IS NOT FALSE"), || {
                let message = format!(
                    "check constraint \"{}\" of relation \"{}\" is violated by some row",
                    constraint.name, table.name
                );
                Error::new(SqlState::CHECK_VIOLATION, message)
            })
            .await?;
        }
        Ok(())
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
        table.next_column.0 = id.0.checked_add(1).ok_or_else(|| {
            Error::new(SqlState::new(b"54011"), "columns of a table can no longer be numbered")
        })?;
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
        let changed = Column {
            id,
            number: Some(column.attnum()),
            kind: kind.clone(),
            domain,
            missing: None,
            ..column.clone()
        };
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
