//! Values that become those of a domain: by a cast, or by being put in a column of one.

use crate::{
    catalog::{Column as TableColumn, Domain, pg::names::quote_ident},
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{
        Context, Relations,
        binder::{Binder, Place},
        coerce::Reason,
        dml::has_subquery,
        functions::{
            call::call,
            domain::{Rules, VALUE, obey},
        },
        named::type_name,
        parse::parse_expression,
        typed::{Hiding, ScopeColumn, Typed},
    },
};
use datafusion::{common::Column, logical_expr::Expr, sql::sqlparser::ast};
use std::sync::Arc;

/// Checks that the rules and the default of a domain can be run.
///
/// # Errors
/// Those of binding.
pub fn check_domain<'r>(
    base: &PgType,
    rules: impl Iterator<Item = &'r str>,
    default: Option<&str>,
    context: &Arc<dyn Context>,
    relations: &dyn Relations,
) -> Result<()> {
    let mut binder = Binder::new(context, relations, None, &[]);
    let checks = rules.map(|text| Ok((String::new(), binder.rule(text, base)?)));
    let checks = checks.collect::<Result<_>>()?;
    obey(base.arrow(), Rules { domain: String::new(), not_null: false, checks })?;
    let Some(default) = default else { return Ok(()) };
    let expr = parse_expression(default)?;
    let place = Place::plain("DEFAULT expressions");
    let typed = binder.in_place(place, |binder| binder.expr(&expr))?;
    binder.coerce(typed, base, Reason::Assignment).map(drop)
}

impl Binder<'_> {
    /// The domain that a type's name stands for.
    pub(crate) fn domain_written(&self, data_type: &ast::DataType) -> Option<Arc<Domain>> {
        type_name(data_type).ok()?.domain(&self.names())
    }

    /// A value as one of a domain.
    ///
    /// # Errors
    /// Those of the cast; the value itself is looked at when the statement runs.
    pub(crate) fn in_domain(
        &mut self,
        typed: Typed,
        domain: &Arc<Domain>,
        reason: Reason,
    ) -> Result<Typed> {
        let typed = self.coerce(typed, &domain.base, reason)?;
        self.obeying(typed, domain)
    }

    /// A value of a column's type as what the column holds.
    pub(crate) fn for_column(&mut self, typed: Typed, column: &TableColumn) -> Result<Typed> {
        match column.domain.and_then(|id| self.catalog.domain(id).cloned()) {
            Some(domain) => self.obeying(typed, &domain),
            None => Ok(typed),
        }
    }

    fn obeying(&mut self, typed: Typed, domain: &Arc<Domain>) -> Result<Typed> {
        let name = quote_ident(&domain.name).into_owned();
        let mut rules = Rules { domain: name, not_null: false, checks: Vec::new() };
        for domain in self.catalog.lineage(domain) {
            rules.not_null |= domain.not_null;
            for check in &domain.checks {
                let expr = self.rule(&check.expression, &domain.base)?;
                rules.checks.push((check.name.clone(), expr));
            }
        }
        if !rules.not_null && rules.checks.is_empty() {
            return Ok(typed);
        }
        let function = obey(typed.kind.arrow(), rules)?;
        Ok(Typed { expr: call(function, vec![typed.expr]), digits: None, ..typed })
    }

    /// A rule over VALUE.
    ///
    /// # Errors
    /// Those of binding, 42P10 for what reads more than VALUE.
    pub(crate) fn rule(&mut self, text: &str, base: &PgType) -> Result<Expr> {
        let expr = parse_expression(text)?;
        let value = ScopeColumn {
            table: None,
            schema: None,
            name: VALUE.to_owned(),
            kind: base.clone(),
            expr: Expr::Column(Column::new_unqualified(VALUE)),
            origin: None,
            hidden: Hiding::Not,
        };
        let bound = self.apart(|binder| {
            binder.scopes.push(vec![value]);
            let place = Place::plain("check constraints");
            let bound = binder.in_place(place, |binder| binder.boolean(&expr, "CHECK"));
            binder.scopes.pop();
            bound
        })?;
        if has_subquery(&bound)? {
            let message = "cannot use subquery in check constraint";
            return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        Ok(bound)
    }
}
