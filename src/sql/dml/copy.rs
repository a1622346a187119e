//! COPY FROM: the rows that the sent columns become.

use super::{column_of, has_subquery, row_scope};
use crate::{
    catalog::{Column as TableColumn, Privileges},
    error::{Error, Result, SqlState},
    ids::ColumnId,
    pgtype::PgType,
    sql::{
        CopyDirection, Plan,
        bind::refuse_duplicates,
        binder::{Binder, Place, build},
        generated::refuse_copy,
        typed::Typed,
        utility::Name,
    },
};
use arrow::datatypes::{Field, Schema};
use datafusion::{
    logical_expr::{Expr, LogicalPlanBuilder},
    sql::sqlparser::ast,
};
use std::sync::Arc;

impl Binder<'_> {
    pub(crate) fn copy_in(
        &mut self,
        name: &Name,
        columns: &[String],
        predicate: Option<&ast::Expr>,
    ) -> Result<CopyDirection> {
        let table = self.table(name)?;
        refuse_duplicates(columns.iter().map(String::as_str))?;
        let ids: Vec<ColumnId> = if columns.is_empty() {
            let given = table.columns.iter().filter(|column| column.generated.is_none());
            given.map(|column| column.id).collect()
        } else {
            columns
                .iter()
                .map(|name| table.expect_column(name).map(|c| c.id))
                .collect::<Result<_>>()?
        };
        let mention = self.needs.mention(table.id, Privileges::INSERT);
        self.needs.insert(mention, ids.iter().copied());
        let sent = ids.iter().map(|id| column_of(&table, *id)).collect::<Result<Vec<_>>>()?;
        sent.iter().try_for_each(|column| refuse_copy(column))?;
        let fields: Vec<Field> = sent.iter().map(|c| c.kind.field(&c.name, true)).collect();
        let kinds: Vec<PgType> = sent.iter().map(|c| c.kind.clone()).collect();
        let (input, plan) = self.slot(Arc::new(Schema::new(fields)), &table.name)?;
        let given = plan
            .schema()
            .columns()
            .into_iter()
            .zip(kinds)
            .map(|(column, kind)| Typed::new(Expr::Column(column), kind))
            .collect();
        let mut rows = self.whole_rows(&table, plan, &ids, given)?;
        if let Some(condition) = predicate {
            let scope = row_scope(&table, &table.name, &rows.schema().columns());
            self.needs.offer(mention, &scope, table.columns.iter().map(|column| column.id));
            self.scopes.push(scope);
            let place = Place::plain("COPY FROM WHERE conditions");
            let condition = self.in_place(place, |binder| binder.boolean(condition, "WHERE"));
            self.scopes.pop();
            let condition = condition?;
            if has_subquery(&condition)? {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "cannot use subquery in COPY FROM WHERE condition",
                ));
            }
            let used = condition.column_refs();
            let is_used = |column: &&TableColumn| {
                column.generated.is_some() && used.iter().any(|used| used.name == column.name)
            };
            if let Some(column) = table.columns.iter().find(is_used) {
                return Err(Error::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "generated columns are not supported in COPY FROM WHERE conditions",
                )
                .detail(format!("Column \"{}\" is a generated column.", column.name)));
            }
            rows = build(LogicalPlanBuilder::from(rows).filter(condition))?;
        }
        Ok(CopyDirection::In { table, columns: ids, input, rows: Plan::new(rows) })
    }
}
