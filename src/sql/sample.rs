//! TABLESAMPLE: rows of a table by chance, each for itself (BERNOULLI) or block by block (SYSTEM).
//!
//! A row is in the sample when a hash of its number and the sample's seed lies below the asked
//! share. REPEATABLE gives the seed, so that the same rows come again while the table stays as it
//! is; otherwise each run draws one.

use crate::{
    catalog::{Privileges, Relation, Table},
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        Hidden, ROW_COLUMN,
        binder::{Binder, Named, Place, build},
        coerce::Reason,
        from::offered,
        functions::call::{Arguments, Call, call},
        tokens::fold,
        typed::Offered,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    datatypes::{Float64Type, UInt64Type},
};
use datafusion::{
    logical_expr::{LogicalPlanBuilder, Volatility},
    sql::sqlparser::ast::{self, Spanned},
};
use std::sync::Arc;

/// How many rows SYSTEM takes or leaves together.
const BLOCK_ROWS: u64 = 128;

impl Binder<'_> {
    /// `name TABLESAMPLE method (percent) [REPEATABLE (seed)]`.
    pub(crate) fn sampled(
        &mut self,
        object: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
        sample: &ast::TableSample,
    ) -> Result<Offered> {
        let name = self.object_name(object)?;
        let is_cte = name.schema.is_none() && self.cte(&name.name)?.is_some();
        let table = match self.relation(&name) {
            Ok(Named::Relation(Relation::Table(table))) if !is_cte => table,
            Err(error) if !is_cte => return Err(error),
            _ => {
                let error = Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "TABLESAMPLE clause can only be applied to tables and materialized views",
                );
                return Err(self.at(error, object.span()));
            }
        };
        let (method, percent) = self.method_of(sample)?;
        let mut args = Vec::new();
        let outer = std::mem::take(&mut self.scopes);
        let given = self.in_place(Place::plain("TABLESAMPLE"), |binder| {
            args.push(binder.expr_as(percent, &PgType::Float8)?.expr);
            if let Some(seed) = &sample.seed {
                let seed = binder.value(&seed.value.value)?;
                args.push(binder.coerce(seed, &PgType::Float8, Reason::Implicit)?.expr);
            }
            Ok(())
        });
        self.scopes = outer;
        given?;
        self.sample_of(&table, alias, method, args)
    }

    fn sample_of(
        &mut self,
        table: &Arc<Table>,
        alias: Option<&ast::TableAlias>,
        method: Method,
        args: Vec<datafusion::logical_expr::Expr>,
    ) -> Result<Offered> {
        let schema = self.catalog.schema(table.schema).map(|schema| schema.name.clone());
        let visible = alias.map_or_else(|| table.name.clone(), |alias| fold(&alias.name));
        let qualifier = self.qualifier(&visible);
        let rows = self.scan(table, Hidden::RowId, &qualifier)?;
        let (plan, mut columns) = offered(rows, alias, &visible, schema, table.id)?;
        let mention = self.needs.mention(table.id, Privileges::SELECT);
        self.needs.offer(mention, &columns, table.columns.iter().map(|column| column.id));
        let row = columns
            .pop()
            .filter(|column| column.name == ROW_COLUMN)
            .ok_or_else(|| Error::internal("a table's source has row numbers where asked"))?;
        let mut kinds = vec![PgType::Int8];
        kinds.resize(1 + args.len(), PgType::Float8);
        let body = match method {
            Method::Bernoulli => |args: &Arguments<'_>| chosen(args, 1),
            Method::System => |args: &Arguments<'_>| chosen(args, BLOCK_ROWS),
        };
        let volatile = Volatility::Volatile;
        let function = Call::udf("tablesample", kinds, PgType::Bool, volatile, body, self.context);
        let mut all = vec![row.expr];
        all.extend(args);
        let plan = build(LogicalPlanBuilder::from(plan).filter(call(function, all)))?;
        Ok((plan, columns))
    }

    /// The method and its percentage.
    fn method_of<'s>(&self, sample: &'s ast::TableSample) -> Result<(Method, &'s ast::Expr)> {
        let unknown = |name: &str, span| {
            let error = Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("tablesample method {name} does not exist"),
            );
            self.at(error, span)
        };
        let Some(quantity) = &sample.quantity else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "TABLESAMPLE takes a percentage"));
        };
        let method = match (&sample.name, &quantity.value) {
            (Some(ast::TableSampleMethod::Bernoulli), _) => Method::Bernoulli,
            (Some(ast::TableSampleMethod::System), _) => Method::System,
            (Some(other), value) => {
                return Err(unknown(&other.to_string().to_lowercase(), value.span()));
            }
            (None, ast::Expr::Function(function)) => {
                let name = self.object_name(&function.name)?.name;
                return Err(unknown(&name, function.name.span()));
            }
            (None, other) => return Err(unknown(&other.to_string(), other.span())),
        };
        if !quantity.parenthesized || quantity.unit.is_some() || sample.offset.is_some() {
            let error = Error::new(SqlState::SYNTAX_ERROR, "TABLESAMPLE takes (percentage)");
            return Err(self.at(error, quantity.value.span()));
        }
        Ok((method, &quantity.value))
    }
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Bernoulli,
    System,
}

/// Which rows are in the sample: of a row's number, the percentage and perhaps the seed.
fn chosen(args: &Arguments<'_>, block_rows: u64) -> Result<ArrayRef> {
    let rows = args.arrays[0].as_primitive::<UInt64Type>();
    let percents = args.arrays[1].as_primitive::<Float64Type>();
    let drawn = args.context.random();
    let choose = |row: usize| {
        if percents.is_null(row) {
            return Err(Error::new(
                SqlState::new(b"2202H"),
                "TABLESAMPLE parameter cannot be null",
            ));
        }
        let percent = percents.value(row);
        if !(0.0..=100.0).contains(&percent) {
            return Err(Error::new(
                SqlState::new(b"2202H"),
                "sample percentage must be between 0 and 100",
            ));
        }
        let seed = match args.arrays.get(2).map(|seed| seed.as_primitive::<Float64Type>()) {
            None => drawn,
            Some(seed) if seed.is_valid(row) => seed.value(row).to_bits(),
            Some(_) => {
                return Err(Error::new(
                    SqlState::new(b"2202G"),
                    "TABLESAMPLE REPEATABLE parameter cannot be null",
                ));
            }
        };
        let hash = mixed(seed ^ mixed(rows.value(row) / block_rows));
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let place = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        Ok(Some(place < percent / 100.0))
    };
    Ok(Arc::new((0..args.rows).map(choose).collect::<Result<BooleanArray>>()?))
}

/// The finalizer of SplitMix64: neighbouring numbers become far ones.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
