//! What is known while a statement is bound: the session, the names in sight, the parameters' types.

use crate::{
    catalog::{Catalog, Privileges, Relation, Table, nearest, pg, schema_in_session},
    error::{Error, Result, SqlState},
    ids::{Oid, TableId},
    pgtype::PgType,
    sql::{
        Context, Part, Question, Relations,
        needs::Gathered,
        tokens::{Overriding, Source, fold, too_deep},
        typed::{Hiding, Rows, ScopeColumn, Typed},
        utility::Name,
    },
};
use datafusion::{
    common::{
        Column,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan, ScalarUDF, TableScan},
    sql::sqlparser::{ast, tokenizer::Span},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// How deep a bound expression or query may nest.
const DEPTH_MAX: usize = 600;

/// Binds one statement.
pub(crate) struct Binder<'a> {
    // Fixed: the session and the text.
    pub(crate) context: &'a Arc<dyn Context>,
    pub(crate) relations: &'a dyn Relations,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) path: Vec<Oid>,
    /// Where places are found; none in text that the catalog kept.
    pub(crate) source: Option<&'a Source>,
    /// The functions of `functions/pg`, by name.
    pub(crate) system_functions: HashMap<String, Arc<ScalarUDF>>,

    // Grown while binding.
    pub(crate) parameters: Vec<Option<PgType>>,
    pub(crate) tables: BTreeSet<TableId>,
    pub(crate) questions: Vec<Question>,
    /// What FROM offers, the innermost query last.
    pub(crate) scopes: Vec<Vec<ScopeColumn>>,
    /// WITH, the innermost last.
    pub(crate) ctes: Vec<HashMap<String, Cte>>,
    /// The changes of rows in the statement's WITH, in the order of the text.
    pub(crate) parts: Vec<Part>,
    /// Those whose rows are read by what is being bound.
    pub(crate) reading: BTreeSet<usize>,
    /// What the INSERT that is being bound overrides.
    pub(crate) overriding: Option<Overriding>,
    /// What the expression that is being bound may contain.
    pub(crate) place: Place,
    /// Set-returning functions of the SELECT list that is being bound.
    pub(crate) sets: Vec<SetColumn>,
    pub(crate) windows: HashMap<String, ast::WindowSpec>,
    /// Correlated subqueries, for the rows around them.
    pub(crate) applies: Vec<super::apply::applies::Applies>,
    /// What the statement wants of which relations.
    pub(crate) needs: Gathered,
    qualifiers: HashSet<String>,
    /// The tables that are scanned, by the qualifiers of their columns.
    scans: HashMap<String, Arc<Table>>,
    depth: usize,
}

/// A relation of WITH.
#[derive(Debug, Clone)]
pub(crate) struct Cte {
    /// Nothing for a change of rows without RETURNING.
    pub(crate) rows: Option<Rows>,
    /// The part of the statement that it is, where it changes rows.
    pub(crate) part: Option<usize>,
}

/// What an expression may contain beside columns and scalar functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The clause, for messages: `WHERE`, `JOIN conditions` …
    pub(crate) clause: &'static str,
    pub(crate) aggregates: bool,
    pub(crate) windows: bool,
    pub(crate) sets: bool,
    /// Whether DataFusion takes EXISTS and IN (SELECT) here: in a filter.
    pub(crate) filter: bool,
}

impl Place {
    pub(crate) const fn plain(clause: &'static str) -> Self {
        Self { clause, aggregates: false, windows: false, sets: false, filter: false }
    }

    pub(crate) const fn filter(clause: &'static str) -> Self {
        Self { filter: true, ..Self::plain(clause) }
    }
}

/// A call of a set-returning function: its list, and the column that the list becomes.
#[derive(Debug, Clone)]
pub(crate) struct SetColumn {
    pub(crate) list: Expr,
    pub(crate) name: String,
}

/// What a relation's name stands for.
pub(crate) enum Named {
    Relation(Relation),
    System(&'static pg::SystemRelation),
}

impl<'a> Binder<'a> {
    pub(crate) fn new(
        context: &'a Arc<dyn Context>,
        relations: &'a dyn Relations,
        source: Option<&'a Source>,
        parameters: &[Option<PgType>],
    ) -> Self {
        let system = super::functions::pg::functions(context);
        Self {
            context,
            relations,
            catalog: context.catalog(),
            path: context.search_path(),
            source,
            system_functions: system.into_iter().map(|f| (f.name().to_owned(), f)).collect(),
            parameters: parameters.to_vec(),
            tables: BTreeSet::new(),
            questions: Vec::new(),
            scopes: Vec::new(),
            ctes: Vec::new(),
            parts: Vec::new(),
            reading: BTreeSet::new(),
            overriding: None,
            place: Place::plain("this place"),
            sets: Vec::new(),
            windows: HashMap::new(),
            applies: Vec::new(),
            needs: Gathered::default(),
            qualifiers: HashSet::new(),
            scans: HashMap::new(),
            depth: 0,
        }
    }

    /// The types of the parameters, text where nothing told.
    pub(crate) fn parameter_types(&self) -> Vec<PgType> {
        self.parameters.iter().map(|kind| kind.clone().unwrap_or(PgType::Text)).collect()
    }

    /// Refuses what nests by so many levels more.
    pub(crate) fn check_depth(&self, levels: usize) -> Result<()> {
        if self.depth + levels > DEPTH_MAX { Err(too_deep()) } else { Ok(()) }
    }

    /// Runs one level deeper.
    pub(crate) fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_depth(1)?;
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Binds in another place.
    pub(crate) fn in_place<T>(
        &mut self,
        place: Place,
        run: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = std::mem::replace(&mut self.place, place);
        let result = run(self);
        self.place = before;
        result
    }

    /// Binds text that the catalog kept: no places in it, no names around it.
    pub(crate) fn apart<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let source = self.source.take();
        let scopes = std::mem::take(&mut self.scopes);
        let ctes = std::mem::take(&mut self.ctes);
        let applies = std::mem::take(&mut self.applies);
        let result = run(self);
        self.source = source;
        self.scopes = scopes;
        self.ctes = ctes;
        self.applies = applies;
        result
    }

    pub(crate) fn position(&self, span: Span) -> Option<usize> {
        self.source.and_then(|source| source.position(span.start))
    }

    /// The error at a place of the text.
    pub(crate) fn at(&self, error: Error, span: Span) -> Error {
        super::error::at(error, self.position(span))
    }

    /// How names become oids and back.
    pub(crate) fn names(&self) -> pg::names::Scope<'_> {
        pg::names::Scope {
            catalog: &self.catalog,
            database: self.context.database(),
            path: &self.path,
        }
    }

    /// A qualifier for a part of FROM: its alias, or that with a number where it was used before.
    pub(crate) fn qualifier(&mut self, alias: &str) -> String {
        super::typed::unique(&mut self.qualifiers, alias)
    }

    /// A scan of a table's own columns is made under this qualifier.
    pub(crate) fn remember_scan(&mut self, qualifier: &str, table: &Arc<Table>) {
        self.scans.insert(qualifier.to_owned(), Arc::clone(table));
    }

    /// The table of which a scan reads the columns; `None` for other sources.
    pub(crate) fn table_of(&self, scan: &TableScan) -> Option<Arc<Table>> {
        self.scans.get(scan.table_name.table()).cloned()
    }

    // Names of relations.

    /// A name as it was written.
    pub(crate) fn object_name(&self, name: &ast::ObjectName) -> Result<Name> {
        use datafusion::sql::sqlparser::ast::Spanned;
        let mut parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
        let position = self.position(name.span()).unwrap_or(0);
        if parts.is_empty() || parts.len() > 3 {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "improper qualified name (too many dotted names)",
            ));
        }
        let name = parts.pop().unwrap_or_default();
        Ok(Name { schema: parts.pop(), name, position })
    }

    /// What a relation's name stands for.
    ///
    /// # Errors
    /// 42P01 with the nearest name.
    pub(crate) fn relation(&self, name: &Name) -> Result<Named> {
        let found = match &name.schema {
            Some(schema) => self.relation_in(schema, &name.name)?,
            None => self.path.iter().find_map(|&id| {
                let schema = self.catalog.schema(id)?;
                pg::lookup(&schema.name, &name.name)
                    .map(Named::System)
                    .or_else(|| self.catalog.relation_named(id, &name.name).map(Named::Relation))
            }),
        };
        if let (Some(Named::Relation(Relation::Table(table))), Some(_)) = (&found, &name.schema)
            && self.catalog.is_temporary(table.schema)
            && !self.path.contains(&table.schema)
        {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot access temporary tables of other sessions",
            ));
        }
        found.ok_or_else(|| {
            let error = self.catalog.no_relation(&self.path, &name.name, &name.to_string());
            if name.position > 0 { error.at(name.position) } else { error }
        })
    }

    fn relation_in(&self, schema: &str, name: &str) -> Result<Option<Named>> {
        let schema = &schema_in_session(schema, self.context.process_id());
        if let Some(system) = pg::lookup(schema, name) {
            return Ok(Some(Named::System(system)));
        }
        let Some(schema) = self.catalog.schema_named(self.context.database(), schema) else {
            return Ok(None);
        };
        // The names in a view were looked up by its owner, once.
        if self.needs.role.is_none() {
            self.catalog.check_any(self.context.user(), schema.id, Privileges::USAGE)?;
        }
        Ok(self.catalog.relation_named(schema.id, name).map(Named::Relation))
    }

    /// The table of a name that rows are to be changed in.
    ///
    /// # Errors
    /// 42P01, 42809.
    pub(crate) fn table(&self, name: &Name) -> Result<Arc<Table>> {
        match self.relation(name)? {
            Named::Relation(Relation::Table(table)) => Ok(table),
            Named::Relation(Relation::View(view)) => Err(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("cannot change rows of view \"{}\"", view.name),
            )
            .hint("Change the rows of the tables that the view reads.")),
            Named::System(relation) => Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", relation.name),
            )),
            Named::Relation(other) => other.into_table(),
        }
    }

    // Names of columns.

    /// The column of a name, in this query or one around it.
    ///
    /// # Errors
    /// 42703 with the nearest name, 42702, 42P01 for a table that FROM does not offer.
    pub(crate) fn column(&mut self, idents: &[ast::Ident]) -> Result<Typed> {
        let span = idents.first().map_or(Span::empty(), |ident| ident.span);
        let parts: Vec<String> = idents.iter().map(fold).collect();
        let (schema, table, name) = match parts.as_slice() {
            [name] => (None, None, name),
            [table, name] => (None, Some(table), name),
            [schema, table, name] | [_, schema, table, name] => (Some(schema), Some(table), name),
            _ => return Err(Error::internal("a name has one to four parts")),
        };
        let mut table_seen = false;
        for (level, scope) in self.scopes.iter().enumerate().rev() {
            let in_table = |column: &&ScopeColumn| match table {
                Some(table) => {
                    column.table.as_ref() == Some(table)
                        && schema.is_none_or(|schema| {
                            column.schema.as_ref().is_none_or(|other| other == schema)
                        })
                }
                None => column.hidden != Hiding::Merged,
            };
            table_seen |= table.is_some() && scope.iter().any(|column| in_table(&column));
            let mut found = scope.iter().filter(in_table).filter(|column| column.name == *name);
            if let Some(column) = found.next() {
                if found.next().is_some() {
                    let error = Error::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("column reference \"{name}\" is ambiguous"),
                    );
                    return Err(self.at(error, span));
                }
                let outer = level + 1 < self.scopes.len();
                let expr = if outer { outer_reference(column)? } else { column.expr.clone() };
                let typed = Typed::new(expr, column.kind.clone());
                self.needs.read(&typed.expr);
                return Ok(Typed { position: self.position(span), ..typed });
            }
            if table_seen {
                break;
            }
        }
        Err(self.at(self.no_column(table, name, table_seen), span))
    }

    fn no_column(&self, table: Option<&String>, name: &str, table_seen: bool) -> Error {
        match table {
            Some(table) if !table_seen => Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("missing FROM-clause entry for table \"{table}\""),
            ),
            _ => {
                let shown = match table {
                    Some(table) => format!("column {table}.{name} does not exist"),
                    None => format!("column \"{name}\" does not exist"),
                };
                let names = self.scopes.iter().rev().flatten();
                let names = names
                    .filter(|column| table.is_none_or(|t| column.table.as_ref() == Some(t)))
                    .map(|column| column.name.as_str());
                let error = Error::new(SqlState::UNDEFINED_COLUMN, shown);
                match nearest(name, names) {
                    Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                    None => error,
                }
            }
        }
    }

    /// Whether a name is that of a part of FROM in sight.
    pub(crate) fn is_table_alias(&self, name: &str) -> bool {
        self.scopes.iter().flatten().any(|column| column.table.as_deref() == Some(name))
    }

    /// A relation of WITH.
    ///
    /// # Errors
    /// 0A000 for a change of rows without RETURNING.
    pub(crate) fn cte(&mut self, name: &str) -> Result<Option<Rows>> {
        let found = self.ctes.iter().rev().find_map(|frame| frame.get(name)).cloned();
        let Some(Cte { rows, part }) = found else { return Ok(None) };
        self.reading.extend(part);
        match rows {
            Some(rows) => Ok(Some(rows)),
            None => Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("WITH query \"{name}\" does not have a RETURNING clause"),
            )),
        }
    }
}

/// A column of a query around this one.
fn outer_reference(column: &ScopeColumn) -> Result<Expr> {
    let field = Arc::new(column.kind.field(&column.name, true));
    let outer = column.expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(inner) => {
                Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(&field), inner))
            }
            other => Transformed::no(other),
        })
    });
    Ok(outer.map_err(super::error::from_datafusion)?.data)
}

/// A column of a plan, under a qualifier.
pub(crate) fn qualified(qualifier: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(datafusion::common::TableReference::bare(qualifier)), name))
}

/// Builds a plan; DataFusion's errors become ours.
pub(crate) fn build(
    result: Result<
        datafusion::logical_expr::LogicalPlanBuilder,
        datafusion::error::DataFusionError,
    >,
) -> Result<LogicalPlan> {
    result.and_then(|builder| builder.build()).map_err(super::error::from_datafusion)
}
