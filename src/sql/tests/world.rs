//! A session, a catalog and rows, all in memory.

use crate::{
    catalog::{
        Catalog, Change, Column, Constraint, ConstraintKind, Identity, PG_CATALOG,
        POSTGRES_DATABASE, POSTGRES_ROLE, PUBLIC, Sequence, Table, View,
        pg::{self, Live, RecallRow, SystemRelation},
    },
    error::{Error, Result},
    ids::{ColumnId, Oid},
    pgtype::{
        PgType, RegKind,
        cast::from_text,
        string::TooLong,
        style::{Names, Style},
    },
    sql::{
        ActivityRow, AdvisoryLock, Bound, Context, Hidden, ROW_COLUMN, Relations, SettingRow, Slot,
        bind, error::from_datafusion, parse, push_down::optimizer_rules,
    },
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::{MemTable, Session, TableProvider},
    datasource::{provider_as_source, source_as_provider},
    execution::SessionStateBuilder,
    logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableSource, TableType},
    physical_plan::ExecutionPlan,
    prelude::{DataFrame, SessionConfig},
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct World {
    pub(super) catalog: Arc<Catalog>,
}

const NOW: i64 = 1_700_000_000_123_456;

impl Context for World {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }
    fn database(&self) -> Oid {
        POSTGRES_DATABASE
    }
    fn database_name(&self) -> String {
        "postgres".into()
    }
    fn user(&self) -> Oid {
        POSTGRES_ROLE
    }
    fn user_name(&self) -> String {
        "postgres".into()
    }
    fn session_user_name(&self) -> String {
        "postgres".into()
    }
    fn search_path(&self) -> Vec<Oid> {
        vec![PG_CATALOG, PUBLIC]
    }
    fn explicit_path(&self) -> Vec<Oid> {
        vec![PUBLIC]
    }
    fn setting(&self, _: &str) -> Option<String> {
        None
    }
    fn set_setting(&self, _: &str, value: &str, _: bool) -> Result<String> {
        Ok(value.to_owned())
    }
    fn settings(&self) -> Vec<SettingRow> {
        Vec::new()
    }
    fn next_value(&self, _: Oid) -> Result<i64> {
        Ok(7)
    }
    fn current_value(&self, _: Oid) -> Result<i64> {
        Ok(7)
    }
    fn last_value(&self) -> Result<(Oid, i64)> {
        Ok((Oid(0), 7))
    }
    fn set_value(&self, _: Oid, value: i64, _: bool) -> Result<i64> {
        Ok(value)
    }
    fn transaction_micros(&self) -> i64 {
        NOW
    }
    fn statement_micros(&self) -> i64 {
        NOW
    }
    fn clock_micros(&self) -> i64 {
        NOW
    }
    fn ascending(&self, at_least: u64, _: u64) -> u64 {
        at_least
    }

    fn random(&self) -> u64 {
        4
    }
    fn time_zone(&self) -> chrono_tz::Tz {
        chrono_tz::Europe::Berlin
    }
    fn style(&self) -> Style {
        let names: Arc<dyn Names> = Arc::new(Known(Arc::clone(&self.catalog)));
        let (time_zone, now, names) = (self.time_zone(), Some(NOW), Some(names));
        Style { time_zone, now, names, ..Style::default() }
    }
    fn process_id(&self) -> i32 {
        1
    }
    fn activity(&self) -> Vec<ActivityRow> {
        Vec::new()
    }
    fn relation_size(&self, _: Oid) -> u64 {
        0
    }
    fn live_rows(&self, _: Oid) -> u64 {
        0
    }
    fn verify_index(&self, _: Oid) -> Result<Vec<crate::sql::IndexCheck>> {
        Err(Error::unsupported("there is no index"))
    }
    fn measure_recall(&self, _: Oid, _: usize, _: usize) -> Result<crate::sql::MeasuredRecall> {
        Err(Error::unsupported("there is no index"))
    }
    fn forget_statements(&self) {}
    fn cancel_backend(&self, _: i32) -> Result<bool> {
        Ok(false)
    }
    fn advisory_lock(&self, _: AdvisoryLock) -> Result<bool> {
        Ok(true)
    }
    fn advisory_unlock(&self, _: i64, _: bool) -> bool {
        true
    }
    fn advisory_unlock_all(&self) {}
    fn notify(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
    fn notice(&self, _: Error) {}
}

#[derive(Debug)]
struct Still(Arc<dyn Context>);

impl Live for Still {
    fn builds(&self) -> Vec<pg::BuildRow> {
        Vec::new()
    }

    fn is_built(&self, _: Oid) -> bool {
        true
    }

    fn settings(&self) -> Vec<SettingRow> {
        self.0.settings()
    }
    fn activity(&self) -> Vec<ActivityRow> {
        self.0.activity()
    }
    fn relation_size(&self, _: Oid) -> u64 {
        0
    }
    fn live_rows(&self, _: Oid) -> u64 {
        0
    }
    fn recall(&self) -> Vec<RecallRow> {
        Vec::new()
    }
    fn statements(&self) -> Vec<pg::StatementRow> {
        Vec::new()
    }
}

fn view(context: &Arc<dyn Context>) -> pg::View {
    pg::View {
        catalog: context.catalog(),
        database: context.database(),
        user: context.user(),
        live: Arc::new(Still(Arc::clone(context))),
    }
}

#[derive(Debug)]
struct Known(Arc<Catalog>);

impl Known {
    fn scope(&self) -> pg::names::Scope<'_> {
        pg::names::Scope {
            catalog: &self.0,
            database: POSTGRES_DATABASE,
            path: &[PG_CATALOG, PUBLIC],
        }
    }
}

impl Names for Known {
    fn name(&self, kind: RegKind, oid: u32) -> Option<String> {
        Some(self.scope().text(kind, Oid(oid)))
    }
    fn oid(&self, kind: RegKind, name: &str) -> Option<u32> {
        self.scope().find(kind, name).ok().flatten().map(|oid| oid.0)
    }
}

/// A table's rows in memory, known by its table.
#[derive(Debug)]
struct Rows {
    table: Option<Arc<Table>>,
    rows: MemTable,
}

#[async_trait::async_trait]
impl TableProvider for Rows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, &[], limit).await
    }
}

pub(super) struct Sources<'w>(pub(super) &'w Arc<dyn Context>);

impl Relations for Sources<'_> {
    fn table(&self, table: &Arc<Table>, hidden: Hidden) -> Arc<dyn TableSource> {
        let mut fields: Vec<Field> =
            table.columns.iter().map(|c| c.kind.field(&c.name, !c.not_null)).collect();
        let lines = rows_of(&table.name);
        let mut columns: Vec<ArrayRef> = table
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let texts: StringArray =
                    lines.iter().map(|line| line.get(at).copied().filter(|t| *t != "~")).collect();
                let texts: ArrayRef = Arc::new(texts);
                from_text(&column.kind, &texts, &Style::default(), TooLong::Refuse).unwrap()
            })
            .collect();
        if hidden == Hidden::RowId {
            fields.push(Field::new(ROW_COLUMN, DataType::UInt64, false));
            columns.push(Arc::new((0..lines.len() as u64).collect::<UInt64Array>()));
        }
        source(Some(Arc::clone(table)), Arc::new(Schema::new(fields)), columns)
    }

    fn system(&self, relation: &'static SystemRelation) -> Arc<dyn TableSource> {
        let batch = relation.rows(&view(self.0)).unwrap();
        source(None, batch.schema(), batch.columns().to_vec())
    }

    fn slot(&self, schema: SchemaRef) -> (Slot, Arc<dyn TableSource>) {
        let columns = schema.fields().iter().map(|f| arrow::array::new_empty_array(f.data_type()));
        let columns = columns.collect();
        (Slot::new(Arc::clone(&schema)), source(None, schema, columns))
    }
}

fn source(
    table: Option<Arc<Table>>,
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
) -> Arc<dyn TableSource> {
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let rows = MemTable::try_new(schema, vec![vec![batch]]).unwrap();
    provider_as_source(Arc::new(Rows { table, rows }))
}

fn rows_of(table: &str) -> Vec<Vec<&'static str>> {
    let text = match table {
        "items" => {
            "1|red|[1,0,0]|1.50|{a,b}\n2|blue|[0,1,0]|~|{}\n3|~|~|2.25|{b}\n4|red|[0.9,0.1,0]|0.10|~"
        }
        "t" => "1|10|one\n2|20|two\n3|30|three",
        _ => "",
    };
    text.lines().map(|line| line.split('|').collect()).collect()
}

fn number(at: usize) -> ColumnId {
    ColumnId(i16::try_from(at).unwrap())
}

fn table(id: u32, name: &str, columns: &[(&str, &str)], key: &[i16]) -> Table {
    let columns: Vec<Column> = columns
        .iter()
        .enumerate()
        .map(|(at, (name, kind))| Column {
            not_null: key.contains(&number(at + 1).0),
            ..Column::new(number(at + 1), *name, PgType::parse(kind).unwrap())
        })
        .collect();
    let constraints = vec![Constraint {
        id: Oid(id + 1),
        name: format!("{name}_pkey"),
        kind: ConstraintKind::PrimaryKey { columns: key.iter().map(|n| ColumnId(*n)).collect() },
    }];
    Table {
        id: Oid(id),
        schema: PUBLIC,
        name: name.to_owned(),
        owner: POSTGRES_ROLE,
        on_commit: None,
        next_column: number(columns.len() + 1),
        columns,
        constraints,
        options: Default::default(),
        comment: None,
    }
}

/// The catalog: `items`, `t`, `people` with an identity column, a view.
pub(super) fn world() -> Arc<dyn Context> {
    let items = table(
        20_000,
        "items",
        &[
            ("id", "bigint"),
            ("color", "text"),
            ("embedding", "vector(3)"),
            ("price", "numeric(10,2)"),
            ("tags", "text[]"),
        ],
        &[1],
    );
    let t = table(20_010, "t", &[("a", "integer"), ("b", "integer"), ("c", "text")], &[1]);
    let mut people = table(
        20_020,
        "people",
        &[
            ("id", "bigint"),
            ("name", "varchar(5)"),
            ("born", "date"),
            ("data", "jsonb"),
            ("score", "real"),
        ],
        &[1],
    );
    people.columns[0].identity = Some(Identity::Always);
    people.columns[0].sequence = Some(Oid(20_030));
    people.columns[2].default = Some("current_date".into());
    let sequence = Sequence {
        id: Oid(20_030),
        schema: PUBLIC,
        name: "people_id_seq".into(),
        owner: POSTGRES_ROLE,
        owned_by: Some((Oid(20_020), ColumnId(1))),
        kind: PgType::Int8,
        start: 1,
        increment: 1,
        min: 1,
        max: i64::MAX,
        cycle: false,
        last: None,
    };
    let view = View {
        id: Oid(20_040),
        schema: PUBLIC,
        name: "cheap".into(),
        owner: POSTGRES_ROLE,
        columns: vec![
            ("id".into(), PgType::Int8),
            ("price".into(), PgType::Numeric(Some((10, 2)))),
        ],
        query: "SELECT id, price FROM items WHERE price < 2".into(),
        path: Vec::new(),
        comment: None,
    };
    let changes = [
        Change::Table(Arc::new(items)),
        Change::Table(Arc::new(t)),
        Change::Table(Arc::new(people)),
        Change::Sequence(Arc::new(sequence)),
        Change::View(Arc::new(view)),
    ];
    Arc::new(World { catalog: Arc::new(Catalog::default().with(&changes)) })
}

/// Binds the one statement of a text.
pub(super) fn bound(sql: &str) -> Result<Bound> {
    let context = world();
    let statements = parse(sql)?;
    bind(&statements[0], &context, &Sources(&context), &[]).map(|(bound, _)| bound)
}

/// The optimised plan of a query.
pub(super) fn optimised(plan: &LogicalPlan) -> Result<LogicalPlan> {
    state().optimize(plan).map_err(from_datafusion)
}

fn state() -> datafusion::execution::SessionState {
    let config = SessionConfig::new().with_target_partitions(1);
    let config = config.set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
    for rule in optimizer_rules(table_of) {
        builder = builder.with_optimizer_rule(rule);
    }
    builder.build()
}

fn table_of(source: &Arc<dyn TableSource>) -> Option<Arc<Table>> {
    let provider = source_as_provider(source).ok()?;
    provider.downcast_ref::<Rows>().and_then(|rows| rows.table.clone())
}

/// The rows of a query as psql would show them: `|` between columns.
pub(super) fn rows(sql: &str) -> Result<Vec<String>> {
    let Bound::Query(query) = bound(sql)? else { return Err(Error::internal("not a query")) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Without our own rule: Nearest is run by exec.
    let state = SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_default_features()
        .build();
    let batches = runtime
        .block_on(DataFrame::new(state, query.plan.logical().clone()).collect())
        .map_err(from_datafusion)?;
    let style = world().style();
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .zip(&query.columns)
            .map(|(array, column)| {
                assert_eq!(*array.data_type(), column.kind.arrow(), "{sql}: {}", column.name);
                crate::pgtype::output::Encoder::new(&column.kind, array, &style).unwrap()
            })
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| {
                    if column.is_null(row) {
                        return "~".to_owned();
                    }
                    let mut out = Vec::new();
                    column.text(row, &mut out).unwrap();
                    String::from_utf8(out).unwrap()
                })
                .collect();
            lines.push(cells.join("|"));
        }
    }
    Ok(lines)
}
