//! Functions in FROM that make columns of json: `jsonb_to_recordset(j) AS x(a int, b text)`, whose columns
//! the alias declares, and `jsonb_populate_record(NULL::t, j)`, whose columns are a table's.

use crate::{
    catalog::Relation,
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        binder::{Binder, Named},
        coerce::Reason,
        expression::row::field_of,
        functions::{
            call::{Body, Call, call},
            json::record,
        },
        tokens::fold,
        typed::Typed,
        utility::Name,
    },
};
use datafusion::{
    logical_expr::Volatility,
    sql::sqlparser::{
        ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned},
        tokenizer::Span,
    },
};

impl Binder<'_> {
    /// The columns of a function that makes them of json; nothing for any other.
    pub(crate) fn json_record(
        &mut self,
        function: &ast::Function,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Option<Vec<(String, Typed)>>> {
        let name = self.object_name(&function.name)?.name;
        let json = if name.starts_with("jsonb_") { PgType::Jsonb } else { PgType::Json };
        let short = name.trim_start_matches("jsonb_").trim_start_matches("json_");
        let declared = alias.is_some_and(|alias| {
            !alias.columns.is_empty() && alias.columns.iter().all(|c| c.data_type.is_some())
        });
        let span = function.span();
        let is_record = name.starts_with("json")
            && ["to_record", "to_recordset", "populate_record", "populate_recordset"]
                .contains(&short);
        if !is_record {
            if alias.is_some_and(|alias| alias.columns.iter().any(|c| c.data_type.is_some())) {
                let what =
                    "a column definition list is only allowed for functions returning \"record\"";
                return Err(self.at(Error::new(SqlState::SYNTAX_ERROR, what), span));
            }
            return Ok(None);
        }
        let FunctionArguments::List(list) = &function.args else { return Ok(None) };
        let (document, fields) = match (short.starts_with("to_"), list.args.as_slice()) {
            (true, [document]) if declared => {
                let columns = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
                (document, self.declared(columns, span)?)
            }
            (true, [_]) => {
                let what =
                    "a column definition list is required for functions returning \"record\"";
                return Err(self.at(Error::new(SqlState::SYNTAX_ERROR, what), span));
            }
            (false, [like, document]) => (document, self.fields_like(like, span)?),
            _ => return Err(self.no_function(&name, &[], span)),
        };
        let value = self.argument(document, span)?;
        let value = self.coerce(value, &json, Reason::Implicit)?;
        let body: Body = match (short.ends_with("set"), &json) {
            (false, _) => record::one,
            (true, PgType::Jsonb) => record::set_of_jsonb,
            (true, _) => record::set_of_json,
        };
        let row = PgType::Composite(fields.clone().into());
        let made = Call::udf(
            &name,
            vec![json],
            row.clone().array(),
            Volatility::Stable,
            body,
            self.context,
        );
        let set = self.set(&name, call(made, vec![value.expr]), row, span)?;
        let field = |(name, kind): (String, PgType)| {
            let expr = field_of(set.expr.clone(), &name);
            (name, Typed::new(expr, kind))
        };
        Ok(Some(fields.into_iter().map(field).collect()))
    }

    /// The columns that an alias declares.
    fn declared(
        &self,
        columns: &[ast::TableAliasColumnDef],
        span: Span,
    ) -> Result<Vec<(String, PgType)>> {
        let mut fields = Vec::new();
        for column in columns {
            let Some(data_type) = &column.data_type else { continue };
            let kind = self.data_type(data_type, span)?;
            fields.push((fold(&column.name), kind));
        }
        Ok(fields)
    }

    /// The columns of `NULL::table`.
    fn fields_like(&mut self, arg: &FunctionArg, span: Span) -> Result<Vec<(String, PgType)>> {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Cast {
            expr, data_type, ..
        })) = arg
            && matches!(expr.as_ref(), ast::Expr::Value(value) if value.value == ast::Value::Null)
            && let ast::DataType::Custom(name, _) = data_type
        {
            let name: Name = self.object_name(name)?;
            if let Ok(Named::Relation(Relation::Table(table))) = self.relation(&name) {
                let columns = table.columns.iter();
                return Ok(columns.map(|c| (c.name.clone(), c.kind.clone())).collect());
            }
            let what = format!("type \"{}\" does not exist", name.name);
            return Err(self.at(Error::new(SqlState::UNDEFINED_OBJECT, what), span));
        }
        let error = Error::unsupported("rows to be filled are supported as NULL::table alone")
            .hint("Use json_to_record, whose columns the alias declares.");
        Err(self.at(error, span))
    }
}
