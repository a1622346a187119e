//! Records: rows that functions return, and fields of a value.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::Binder,
        expression::row::field_of,
        functions::{self, pg},
        tokens::fold,
        typed::Typed,
    },
};
use datafusion::{
    common::ScalarValue,
    logical_expr::Expr,
    sql::sqlparser::{
        ast::{self, FunctionArguments},
        tokenizer::Span,
    },
};

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
        let Some(fields) = typed.kind.fields() else {
            let name = field_name(&typed.expr).unwrap_or(name);
            return Ok(Some(vec![(name, typed)]));
        };
        let field = |(name, kind): &(String, PgType)| {
            (name.clone(), Typed::new(field_of(typed.expr.clone(), name), kind.clone()))
        };
        Ok(Some(fields.iter().map(field).collect()))
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
        let Some(fields) = typed.kind.fields() else {
            let error = Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "column notation .{field} applied to type {}, which is not a composite type",
                    typed.kind
                ),
            );
            return Err(self.at(error, span));
        };
        match fields.iter().find(|(name, _)| name == field) {
            Some((name, kind)) => Ok(Typed::new(field_of(typed.expr.clone(), name), kind.clone())),
            None => {
                let error = Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("could not identify column \"{field}\" in record data type"),
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
