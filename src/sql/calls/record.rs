//! Records: rows that functions return, and fields of a value.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        error::from_datafusion,
        expression::text_literal,
        functions::{self, call::call, pg},
        tokens::fold,
        typed::Typed,
    },
};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::{
    common::ScalarValue,
    functions::core::get_field,
    logical_expr::{Expr, ReturnFieldArgs},
    sql::sqlparser::{
        ast::{self, FunctionArguments},
        tokenizer::Span,
    },
};
use std::sync::Arc;

impl Binder<'_> {
    /// The columns of a function that returns records; nothing for any other.
    pub(crate) fn record_set(
        &mut self,
        function: &ast::Function,
    ) -> Result<Option<Vec<(String, Typed)>>> {
        let name = self.object_name(&function.name)?.name;
        let FunctionArguments::List(list) = &function.args else { return Ok(None) };
        let span = Span::empty();
        if let Some(columns) = functions::record_columns(&name) {
            // One list for each column, unnested side by side.
            let mut values = Vec::new();
            for arg in &list.args {
                values.push(self.argument(arg, span)?);
            }
            return columns
                .iter()
                .map(|(column, function)| {
                    let typed = self.call_named(function, values.clone(), span)?;
                    Ok(((*column).to_owned(), typed))
                })
                .collect::<Result<Vec<_>>>()
                .map(Some);
        }
        if !pg::set_functions(self.context).iter().any(|f| f.name() == name) {
            return Ok(None);
        }
        let mut values = Vec::new();
        for arg in &list.args {
            values.push(self.argument(arg, span)?);
        }
        let typed = self.call_named(&name, values, span)?;
        if typed.kind != PgType::Record {
            let name = field_name(&typed.expr).unwrap_or(name);
            return Ok(Some(vec![(name, typed)]));
        }
        let fields = self.record_fields(&typed)?;
        Ok(Some(
            fields
                .into_iter()
                .map(|(name, kind)| {
                    let expr = field_of(typed.expr.clone(), &name);
                    (name, Typed::new(expr, kind))
                })
                .collect(),
        ))
    }

    /// The fields of a set's records.
    pub(super) fn record_fields(&self, typed: &Typed) -> Result<Vec<(String, PgType)>> {
        let missing = || Error::internal("a set of records has fields");
        let (Expr::Column(column) | Expr::OuterReferenceColumn(_, column)) = &typed.expr else {
            return Err(missing());
        };
        if let Some(fields) = self.records.get(column) {
            return Ok(fields.clone());
        }
        let set = self.sets.iter().find(|set| set.name == column.name).ok_or_else(missing)?;
        let Expr::ScalarFunction(function) = &set.list else { return Err(missing()) };
        let schema = datafusion::common::DFSchema::empty();
        let fields = function
            .args
            .iter()
            .map(|arg| {
                use datafusion::logical_expr::ExprSchemable;
                // An argument that is a column has the type that its scope tells.
                let kind = match arg {
                    Expr::Column(_) | Expr::OuterReferenceColumn(..) => self.kind_in_scope(arg),
                    other => other.get_type(&schema).ok().map(|t| PgType::of_arrow(&t)),
                };
                Arc::new(kind.unwrap_or(PgType::Text).field("argument", true))
            })
            .collect::<Vec<FieldRef>>();
        let scalars = vec![None; fields.len()];
        let args = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars };
        let field = function.func.return_field_from_args(args).map_err(from_datafusion)?;
        let DataType::List(item) = field.data_type() else { return Err(missing()) };
        let DataType::Struct(fields) = item.data_type() else { return Err(missing()) };
        Ok(fields.iter().map(|field| (field.name().clone(), PgType::of_field(field))).collect())
    }

    pub(super) fn kind_in_scope(&self, expr: &Expr) -> Option<PgType> {
        let wanted = match expr {
            Expr::OuterReferenceColumn(_, column) | Expr::Column(column) => column,
            _ => return None,
        };
        self.scopes.iter().rev().flatten().find_map(|column| match &column.expr {
            Expr::Column(other) if other == wanted => Some(column.kind.clone()),
            _ => None,
        })
    }

    /// `(set_of_records(…)).field`
    pub(crate) fn field(&mut self, root: &ast::Expr, field: &str, span: Span) -> Result<Typed> {
        let mut inner = root;
        while let ast::Expr::Nested(deeper) = inner {
            inner = deeper;
        }
        if let ast::Expr::Identifier(ident) = inner
            && self.is_table_alias(&fold(ident))
        {
            return self.column(&[ident.clone(), ast::Ident::with_quote('"', field)]);
        }
        let typed = self.expr(inner)?;
        if typed.kind != PgType::Record {
            let error = Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "column notation .{field} applied to type {}, which is not a composite type",
                    typed.kind
                ),
            );
            return Err(self.at(error, span));
        }
        let fields = self.record_fields(&typed)?;
        match fields.into_iter().find(|(name, _)| name == field) {
            Some((name, kind)) => Ok(Typed::new(field_of(typed.expr, &name), kind)),
            None => {
                let error = Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{field}\" not found in data type record"),
                );
                Err(self.at(error, span))
            }
        }
    }
}

/// The name of the field that an expression takes out of a record.
pub(super) fn field_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::ScalarFunction(function) if function.func.name() == "get_field" => {
            match function.args.get(1) {
                Some(Expr::Literal(ScalarValue::Utf8(name), _)) => name.clone(),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A field of a struct.
pub(super) fn field_of(record: Expr, field: &str) -> Expr {
    let Typed { expr: name, .. } = text_literal(field);
    call(get_field(), vec![record, name])
}
