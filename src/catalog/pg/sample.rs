//! A small catalog for tests: what some statements made, with the numbers that PostgreSQL gave.

use super::{ActivityRow, BuildRow, Live, RecallRow, SettingRow, StatementRow, View};
use crate::{
    catalog::{
        self, Catalog, Change, Column, Constraint, ConstraintKind, Database, Identity, Index,
        IndexKind, POSTGRES_DATABASE, POSTGRES_ROLE, PUBLIC, Schema, Sequence, Table,
    },
    ids::{ColumnId, Oid},
    pgtype::PgType,
    vector::Metric,
};
use std::{collections::BTreeMap, sync::Arc};

pub(super) const ITEMS: Oid = Oid(16500);
const ITEMS_PKEY: Oid = Oid(16501);
const ITEMS_ID_SEQ: Oid = Oid(16502);
pub(super) const SHOP: Oid = Oid(16503);
const ORDERS: Oid = Oid(16504);
const ORDERS_FKEY: Oid = Oid(16507);
const ORDERS_ID_SEQ: Oid = Oid(16508);
const ITEMS_V: Oid = Oid(16509);
const ITEMS_IV: Oid = Oid(16510);
const ITEMS_NAME: Oid = Oid(16511);
const CHEAP: Oid = Oid(16512);
const ITEMS_TAGS: Oid = Oid(16514);

fn column(id: i16, name: &str, kind: &str) -> Column {
    Column::new(ColumnId(id), name, PgType::parse(kind).unwrap())
}

fn default(default: &str, column: Column) -> Column {
    Column { default: Some(default.into()), ..column }
}

fn sequence(id: Oid, schema: Oid, name: &str, kind: PgType, owner: (Oid, i16)) -> Change {
    let max = if kind == PgType::Int4 { i32::MAX.into() } else { i64::MAX };
    Change::Sequence(Arc::new(Sequence {
        id,
        schema,
        name: name.into(),
        owner: POSTGRES_ROLE,
        owned_by: Some((owner.0, ColumnId(owner.1))),
        kind,
        start: 1,
        increment: 1,
        min: 1,
        max,
        cycle: false,
        last: None,
    }))
}

fn index(id: Oid, name: &str, method: &str, options: &[(&str, &str)], kind: IndexKind) -> Change {
    let options = options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Change::Index(Arc::new(Index {
        id,
        table: ITEMS,
        schema: PUBLIC,
        name: name.into(),
        method: method.into(),
        kind,
        options: options.collect(),
        comment: None,
    }))
}

/// What these statements leave:
///
/// ```sql
/// CREATE EXTENSION vector;
/// CREATE SCHEMA shop;
/// CREATE TABLE items (id serial PRIMARY KEY, name varchar(20) DEFAULT 'x',
///     price numeric(10,2) DEFAULT 1.5 CHECK (price > 0), v vector(3), tags text[],
///     created timestamptz DEFAULT now());
/// CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
///     item int REFERENCES items(id) ON DELETE CASCADE, note text, UNIQUE (item, note));
/// CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops) WITH (m=16);
/// CREATE INDEX items_iv ON items USING ivfflat (v vector_l2_ops) WITH (lists=10);
/// CREATE INDEX items_name ON items (lower(name), price DESC) WHERE id > 3;
/// CREATE INDEX "Items Tags" ON items USING gin (tags);
/// CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 10;
/// COMMENT ON TABLE items IS 'things';
/// COMMENT ON COLUMN items.price IS 'in euro';
/// ```
pub(crate) fn sample() -> Arc<Catalog> {
    let start = Catalog::default();
    let mut database = Database::clone(start.database(POSTGRES_DATABASE).unwrap());
    database.extensions.insert("vector".into(), PUBLIC);
    let key = |id, name: &str, kind| Constraint { id, name: name.into(), kind };
    let id = |n| ColumnId(n);
    let items = Table {
        id: ITEMS,
        schema: PUBLIC,
        name: "items".into(),
        owner: POSTGRES_ROLE,
        columns: vec![
            Column { not_null: true, sequence: Some(ITEMS_ID_SEQ), ..column(1, "id", "integer") },
            default("'x'", column(2, "name", "varchar(20)")),
            Column {
                comment: Some("in euro".into()),
                ..default("1.5", column(3, "price", "numeric(10,2)"))
            },
            column(4, "v", "vector(3)"),
            column(5, "tags", "text[]"),
            default("now()", column(6, "created", "timestamptz")),
        ],
        on_commit: None,
        next_column: ColumnId(7),
        constraints: vec![
            key(
                Oid(16513),
                "items_price_check",
                ConstraintKind::Check { expression: "price > 0".into() },
            ),
            key(ITEMS_PKEY, "items_pkey", ConstraintKind::PrimaryKey { columns: vec![id(1)] }),
        ],
        options: BTreeMap::new(),
        comment: Some("things".into()),
    };
    let orders = Table {
        id: ORDERS,
        schema: SHOP,
        name: "orders".into(),
        owner: POSTGRES_ROLE,
        columns: vec![
            Column {
                identity: Some(Identity::Always),
                sequence: Some(ORDERS_ID_SEQ),
                ..column(1, "id", "bigint")
            },
            column(2, "item", "integer"),
            column(3, "note", "text"),
        ],
        on_commit: None,
        next_column: ColumnId(4),
        constraints: vec![
            key(Oid(16505), "orders_pkey", ConstraintKind::PrimaryKey { columns: vec![id(1)] }),
            key(
                Oid(16506),
                "orders_item_note_key",
                ConstraintKind::Unique {
                    columns: vec![id(2), id(3)],
                    index_only: false,
                    nulls_not_distinct: false,
                },
            ),
            key(
                ORDERS_FKEY,
                "orders_item_fkey",
                ConstraintKind::ForeignKey {
                    columns: vec![id(2)],
                    references: ITEMS,
                    referenced: vec![id(1)],
                    actions: "ON DELETE CASCADE".into(),
                },
            ),
        ],
        options: BTreeMap::new(),
        comment: None,
    };
    let vector = || IndexKind::Vector { column: id(4), metric: Metric::L2, include: Vec::new() };
    let changes = [
        Change::Database(Arc::new(database)),
        Change::Schema(Arc::new(Schema {
            id: SHOP,
            database: Some(POSTGRES_DATABASE),
            name: "shop".into(),
            owner: POSTGRES_ROLE,
            comment: None,
        })),
        sequence(ITEMS_ID_SEQ, PUBLIC, "items_id_seq", PgType::Int4, (ITEMS, 1)),
        sequence(ORDERS_ID_SEQ, SHOP, "orders_id_seq", PgType::Int8, (ORDERS, 1)),
        Change::Table(Arc::new(items)),
        Change::Table(Arc::new(orders)),
        index(ITEMS_V, "items_v", "hnsw", &[("m", "16")], vector()),
        index(ITEMS_IV, "items_iv", "ivfflat", &[("lists", "10")], vector()),
        index(
            ITEMS_NAME,
            "items_name",
            "btree",
            &[],
            IndexKind::Recorded {
                keys: vec!["lower(name)".into(), "price DESC".into()],
                predicate: Some("id > 3".into()),
            },
        ),
        index(
            ITEMS_TAGS,
            "Items Tags",
            "gin",
            &[],
            IndexKind::Recorded { keys: vec!["tags".into()], predicate: None },
        ),
        Change::View(Arc::new(catalog::View {
            id: CHEAP,
            schema: PUBLIC,
            name: "cheap".into(),
            owner: POSTGRES_ROLE,
            columns: vec![("id".into(), PgType::Int4), ("name".into(), PgType::Varchar(Some(20)))],
            query: "SELECT id, name FROM items WHERE price < 10".into(),
            path: Vec::new(),
            comment: None,
        })),
    ];
    Arc::new(start.with(&changes))
}

/// A server without sessions.
#[derive(Debug)]
struct Idle;

impl Live for Idle {
    fn builds(&self) -> Vec<BuildRow> {
        Vec::new()
    }

    fn is_built(&self, _: Oid) -> bool {
        true
    }

    fn settings(&self) -> Vec<SettingRow> {
        vec![SettingRow { name: "jit".into(), setting: "off".into(), ..SettingRow::default() }]
    }

    fn activity(&self) -> Vec<ActivityRow> {
        vec![ActivityRow { process_id: 7, state: "active".into(), ..ActivityRow::default() }]
    }

    fn relation_size(&self, _: Oid) -> u64 {
        10_000
    }

    fn live_rows(&self, _: Oid) -> u64 {
        3
    }

    fn recall(&self) -> Vec<RecallRow> {
        Vec::new()
    }

    fn statements(&self) -> Vec<StatementRow> {
        Vec::new()
    }
}

/// The sample as its owner sees it.
pub(crate) fn sample_view() -> View {
    View {
        catalog: sample(),
        database: POSTGRES_DATABASE,
        user: POSTGRES_ROLE,
        live: Arc::new(Idle),
    }
}
