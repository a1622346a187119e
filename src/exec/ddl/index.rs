//! CREATE INDEX, and constraints that are added to a table that has rows.

pub(super) mod options;

use super::{
    Ddl, joined_name,
    table::{key_columns, no_constraint},
};
use crate::{
    catalog::{Change, Constraint, ConstraintKind, Index, IndexKind, Table},
    error::{Error, Result, SqlState},
    exec::{
        apply::key_spec,
        build::{Limits, Source, Subject},
        keys::UniqueKey,
        locks::Mode,
        table::column_specs,
        write::{over_rows, type_over_rows},
    },
    ids::{ColumnId, Oid, RowId},
    index::{Index as BuiltIndex, indexed_metric},
    pgtype::PgType,
    sql::utility::{CreateIndex, IndexKey, TableConstraint},
    vector::{Metric, Space},
};
use arrow::array::{Array, AsArray};
use std::sync::Arc;

/// Access methods that build an SPFresh index.
const VECTOR_METHODS: [&str; 3] = ["spfresh", "hnsw", "ivfflat"];
/// Access methods that are recorded.
const RECORDED_METHODS: [&str; 6] = ["btree", "hash", "gin", "gist", "brin", "spgist"];

impl Ddl<'_> {
    pub(super) async fn create_index(&mut self, create: &CreateIndex) -> Result<&'static str> {
        self.transaction.check_writable("CREATE INDEX")?;
        let table = self.expect_table(&create.table)?;
        self.check_owns_table(&table)?;
        if let Some(name) = &create.name {
            self.lock_name(table.schema, name).await?;
            if create.if_not_exists && self.catalog().relation_named(table.schema, name).is_some() {
                self.exists_already(SqlState::DUPLICATE_TABLE, "relation", name);
                return Ok("CREATE INDEX");
            }
            self.refuse_taken(table.schema, name)?;
        }
        if VECTOR_METHODS.contains(&create.method.as_str()) {
            self.create_vector_index(&table, create).await?;
        } else if !RECORDED_METHODS.contains(&create.method.as_str()) {
            return Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("access method \"{}\" does not exist", create.method),
            ));
        } else if create.unique {
            self.create_unique_index(&table, create).await?;
        } else {
            self.record_index(&table, create).await?;
        }
        Ok("CREATE INDEX")
    }

    fn index_name(&mut self, table: &Table, create: &CreateIndex) -> String {
        if let Some(name) = &create.name {
            return name.clone();
        }
        let columns: Vec<&str> =
            create.keys.iter().map(|key| key.column.as_deref().unwrap_or("expr")).collect();
        let base = joined_name(&table.name, &columns.join("_"), "idx");
        self.free_name(table.schema, &base, &[])
    }

    async fn create_vector_index(
        &mut self,
        table: &Arc<Table>,
        create: &CreateIndex,
    ) -> Result<()> {
        let method = &create.method;
        if create.unique {
            return Err(Error::unsupported(format!(
                "access method \"{method}\" does not support unique indexes"
            )));
        }
        let [key] = create.keys.as_slice() else {
            return Err(Error::unsupported(format!(
                "access method \"{method}\" does not support multicolumn indexes"
            )));
        };
        let Some(column) = key.column.as_ref().filter(|_| create.predicate.is_none()) else {
            return self.record_vector_index(table, create, key);
        };
        // As PostgreSQL words it here, without the table.
        let column = table.expect_column(column).map_err(|error| {
            let bare = Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{column}\" does not exist"),
            );
            match &error.fields().hint {
                Some(hint) => bare.hint(hint.clone()),
                None => bare,
            }
        })?;
        let column = column.clone();
        let metric = metric_of(table, key, &column.kind, method)?;
        let include: Vec<ColumnId> = key_columns(table, &create.include)?;
        let options = options::checked(method, &create.options)?;
        let index = Index {
            id: self.fresh_oid(),
            table: table.id,
            schema: table.schema,
            name: self.index_name(table, create),
            method: method.clone(),
            kind: IndexKind::Vector { column: column.id, metric, include },
            options,
            comment: None,
        };
        let space = column.kind.space().ok_or_else(|| Error::internal("an index of no points"))?;
        if indexed_metric(space, metric).is_none() {
            self.notice(format!(
                "searches by {} are exact: index \"{}\" is recorded and not built",
                metric.operator(),
                index.name
            ));
        }
        // Writers go on: rows that come later are found exactly until the index has them.
        crate::exec::insert::lock_table(table, Mode::Shared, self.env, self.transaction).await?;
        let snapshot = self.transaction.start_statement();
        let rows = snapshot.committed_state().table(table.id);
        let end = rows.next_row();
        let source = Source::new(&index, table, rows, end)?;
        let id = index.id;
        self.transaction.change([Change::Index(Arc::new(index))]);
        if let Some(source) = source
            && !create.concurrently
        {
            let index = Oid(0);
            let subject =
                Subject { process_id: 0, table: table.id, index, command: "CREATE INDEX" };
            let built = self.build(source, subject).await?;
            self.transaction.built(id, built);
        }
        Ok(())
    }

    /// Builds an index for this statement.
    pub(super) async fn build(&self, source: Source, subject: Subject) -> Result<BuiltIndex> {
        let limits = self.env.limits;
        if limits.memory_bytes < Limits::MEMORY_BYTES_MIN {
            self.notice("a build takes at least 32MB, whatever maintenance_work_mem is");
        }
        let subject = Subject { process_id: self.env.context.process_id(), ..subject };
        self.env.builds.build(source, subject, limits, &self.env.run).await
    }

    async fn create_unique_index(
        &mut self,
        table: &Arc<Table>,
        create: &CreateIndex,
    ) -> Result<()> {
        if create.predicate.is_some() {
            return Err(Error::unsupported("a unique index of some rows only is not supported"));
        }
        let columns: Option<Vec<String>> =
            create.keys.iter().map(|key| key.column.clone()).collect();
        let Some(columns) = columns else {
            return Err(Error::unsupported("a unique index of an expression is not supported"));
        };
        let mut table = Table::clone(&*self.lock_table(table).await?);
        let columns = key_columns(&table, &columns)?;
        let constraint = Constraint {
            id: self.fresh_oid(),
            name: self.index_name(&table, create),
            kind: ConstraintKind::Unique {
                columns,
                index_only: true,
                nulls_not_distinct: create.nulls_not_distinct,
            },
        };
        table.constraints.push(constraint.clone());
        self.put_key(&table, &constraint).await
    }

    /// One of an expression, or of some rows only: searches that it would serve are exact.
    fn record_vector_index(
        &mut self,
        table: &Arc<Table>,
        create: &CreateIndex,
        key: &IndexKey,
    ) -> Result<()> {
        let context = Arc::clone(&self.env.context);
        let kind = match &key.column {
            Some(column) => table.expect_column(column)?.kind.clone(),
            None => type_over_rows(table, &format!("({})", key.text), &context)?,
        };
        let metric = metric_of(table, key, &kind, &create.method)?;
        let space = kind.space().ok_or_else(|| Error::internal("an index of no points"))?;
        if let Some(predicate) = &create.predicate {
            over_rows(table, &format!("({predicate}) IS TRUE"), &context)?;
        }
        key_columns(table, &create.include)?;
        let index = Index {
            id: self.fresh_oid(),
            table: table.id,
            schema: table.schema,
            name: self.index_name(table, create),
            method: create.method.clone(),
            kind: IndexKind::Recorded {
                keys: vec![format!("{} {}", key.text, space.operator_class(metric))],
                predicate: create.predicate.clone(),
            },
            options: options::checked(&create.method, &create.options)?,
            comment: None,
        };
        let (what, instead) = match create.predicate {
            Some(_) => ("of some rows only", "an index of all rows takes any WHERE clause in"),
            None => ("of an expression", "keep it in a column to have it indexed"),
        };
        self.notice(format!(
            "searches {what} are exact: index \"{}\" is recorded and not built; {instead}",
            index.name
        ));
        self.transaction.change([Change::Index(Arc::new(index))]);
        Ok(())
    }

    async fn record_index(&mut self, table: &Arc<Table>, create: &CreateIndex) -> Result<()> {
        for key in &create.keys {
            match &key.column {
                Some(column) => drop(table.expect_column(column)?),
                None => {
                    let context = Arc::clone(&self.env.context);
                    over_rows(table, &format!("({})", key.text), &context)?;
                }
            }
        }
        let name = self.index_name(table, create);
        let index = Index {
            id: self.fresh_oid(),
            table: table.id,
            schema: table.schema,
            name,
            method: create.method.clone(),
            kind: IndexKind::Recorded {
                keys: create.keys.iter().map(|key| key.text.clone()).collect(),
                predicate: create.predicate.clone(),
            },
            options: create.options.iter().cloned().collect(),
            comment: None,
        };
        self.notice(format!(
            "index \"{}\" is recorded: scans are vectorised and do not use it",
            index.name
        ));
        self.transaction.change([Change::Index(Arc::new(index))]);
        Ok(())
    }

    /// Adds a constraint to a table that may have rows: they are checked first.
    pub(super) async fn add_checked_constraint(
        &mut self,
        table: &mut Table,
        wanted: &TableConstraint,
    ) -> Result<()> {
        let before = table.clone();
        let made = self.add_constraint(table, wanted).await?;
        match &made.kind {
            ConstraintKind::Check { expression } => {
                let test = format!("({expression}) IS NOT FALSE");
                self.check_rows(&before, &test, || {
                    Error::new(
                        SqlState::CHECK_VIOLATION,
                        format!(
                            "check constraint \"{}\" of relation \"{}\" is violated by some row",
                            made.name, table.name
                        ),
                    )
                    .constraint(&made.name)
                })
                .await?;
            }
            ConstraintKind::PrimaryKey { columns } => {
                for &id in columns {
                    let column =
                        table.column_by_id(id).ok_or_else(|| no_constraint(table, &made.name))?;
                    let test = format!("{} IS NOT NULL", crate::exec::write::quote(&column.name));
                    self.check_rows(&before, &test, || {
                        Error::new(
                            SqlState::NOT_NULL_VIOLATION,
                            format!(
                                "column \"{}\" of relation \"{}\" contains null values",
                                column.name, table.name
                            ),
                        )
                    })
                    .await?;
                }
            }
            _ => {}
        }
        if made.kind.is_key() {
            return self.put_key(table, &made).await;
        }
        self.transaction.change([Change::Table(Arc::new(table.clone()))]);
        Ok(())
    }

    /// Puts a table with a new key; its rows must differ there.
    async fn put_key(&mut self, table: &Table, key: &Constraint) -> Result<()> {
        let snapshot = self.transaction.snapshot();
        let rows = snapshot.table(table.id);
        let keys = UniqueKey::of(table)?;
        let unique = keys
            .iter()
            .find(|unique| unique.constraint.id == key.id)
            .ok_or_else(|| no_constraint(table, &key.name))?;
        let specs = column_specs(table)?;
        let mut seen = std::collections::HashSet::new();
        for group in rows.groups() {
            if self.env.run.cancel().is_cancelled() {
                return Err(crate::exec::run::cancelled());
            }
            let ids: Vec<RowId> = group.row_ids().iter().filter(|&row| rows.is_live(row)).collect();
            let batch = rows.take(&ids, &specs).await?;
            let values = unique.values(&batch)?;
            for row in 0..batch.num_rows() {
                if values.is_some(row) && !seen.insert(values.bytes(row).to_vec()) {
                    let error = unique.violation(table, &batch, row);
                    let detail = error.fields().detail.clone().unwrap_or_default();
                    return Err(Error::new(
                        SqlState::UNIQUE_VIOLATION,
                        format!("could not create unique index \"{}\"", key.name),
                    )
                    .detail(detail.replace("already exists", "is duplicated"))
                    .constraint(&key.name));
                }
            }
        }
        // The commit itself keeps everybody waiting.
        let committed = snapshot.committed_state().table(table.id);
        let builds = &self.env.builds;
        let columns: Vec<ColumnId> = unique.specs().iter().map(|column| column.id).collect();
        let spec = key_spec(key, &columns);
        let prepared = builds.prepare_key(table.id, &committed, &spec, unique.specs());
        tokio::select! {
            () = self.env.run.cancel().cancelled() => return Err(crate::exec::run::cancelled()),
            prepared = prepared => prepared?,
        }
        self.transaction.change([Change::Table(Arc::new(table.clone()))]);
        Ok(())
    }

    /// Fails with an error unless a test holds for every row of a table.
    pub(super) async fn check_rows(
        &mut self,
        table: &Table,
        test: &str,
        error: impl Fn() -> Error,
    ) -> Result<()> {
        self.see_own_names();
        let table = Arc::new(table.clone());
        let context = Arc::clone(&self.env.context);
        let (slot, plan) = over_rows(&table, test, &context)?;
        let rows = self.transaction.snapshot().table(table.id);
        let specs = column_specs(&table)?;
        for group in rows.groups() {
            if self.env.run.cancel().is_cancelled() {
                return Err(crate::exec::run::cancelled());
            }
            let ids: Vec<RowId> = group.row_ids().iter().filter(|&row| rows.is_live(row)).collect();
            let batch = rows.take(&ids, &specs).await?;
            let nullable = arrow::datatypes::Schema::new(
                slot.schema()
                    .fields()
                    .iter()
                    .map(|field| field.as_ref().clone().with_nullable(true))
                    .collect::<Vec<_>>(),
            );
            let batch = crate::exec::write::to_storage(
                &Arc::new(nullable),
                batch.columns(),
                batch.num_rows(),
            )?;
            slot.fill([batch]);
            let (_, answers) = self.env.run.collect(&plan, &[]).await?;
            let holds = answers.iter().all(|answer| {
                let answer = answer.column(0).as_boolean();
                (0..answer.len()).all(|row| answer.is_valid(row) && answer.value(row))
            });
            if !holds {
                return Err(error());
            }
        }
        Ok(())
    }
}

/// The metric that an index key asks for: by its operator class, else the table's.
fn metric_of(table: &Table, key: &IndexKey, kind: &PgType, method: &str) -> Result<Metric> {
    let asked = key.operator_class.as_deref();
    let Some(space) = kind.space() else {
        return Err(match asked {
            Some(class) => not_accepted(class, kind),
            None => no_default(kind, method)
                .hint("Index a column of type vector, halfvec, sparsevec or bit."),
        });
    };
    let metric = match asked {
        None if space == Space::Bit => {
            return Err(no_default(kind, method).hint(
                "You must specify an operator class for the index or define a default operator \
                 class for the data type.",
            ));
        }
        None => table.metric(),
        Some(class) => match Space::of_operator_class(class) {
            Some((of, metric)) if !has_class(method, of, metric) => {
                return Err(no_class(class, method, space));
            }
            Some((of, metric)) if of == space => metric,
            Some(_) => return Err(not_accepted(class, kind)),
            None => return Err(no_class(class, method, space)),
        },
    };
    if kind.typmod() < 1 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "column does not have dimensions",
        )
        .hint(format!("Declare it as {}(n).", space.name())));
    }
    Ok(metric)
}

/// Whether pgvector's access method has an operator class for these; ours has all.
fn has_class(method: &str, space: Space, metric: Metric) -> bool {
    match (method, space) {
        ("ivfflat", Space::Sparsevec) => false,
        ("ivfflat", _) => !matches!(metric, Metric::L1 | Metric::Jaccard),
        _ => true,
    }
}

fn no_class(class: &str, method: &str, space: Space) -> Error {
    let all = space.metrics().filter(|&metric| has_class(method, space, metric));
    let all: Vec<_> = all.map(|metric| space.operator_class(metric)).collect();
    let message =
        format!("operator class \"{class}\" does not exist for access method \"{method}\"");
    Error::new(SqlState::UNDEFINED_OBJECT, message).hint(match all.is_empty() {
        true => "Use hnsw or spfresh.".to_owned(),
        false => format!("Operator classes of {}: {}.", space.name(), all.join(", ")),
    })
}

fn not_accepted(class: &str, kind: &PgType) -> Error {
    let kind = PgType::from_oid(kind.oid(), -1).unwrap_or(PgType::Unknown);
    Error::new(
        SqlState::DATATYPE_MISMATCH,
        format!("operator class \"{class}\" does not accept data type {kind}"),
    )
}

fn no_default(kind: &PgType, method: &str) -> Error {
    let kind = PgType::from_oid(kind.oid(), -1).unwrap_or(PgType::Unknown);
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("data type {kind} has no default operator class for access method \"{method}\""),
    )
}
