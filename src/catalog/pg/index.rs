//! `pg_index`: what every index is over.

use super::{
    SystemRelation, View,
    names::{parts, quote_ident},
    rows::{Rows, count},
    types,
};
use crate::{
    catalog::{Column, ConstraintKind, Index, IndexKind, Table},
    error::Result,
    ids::{ColumnId, Oid},
    pgtype::PgType,
    vector::Metric,
};
use arrow::array::RecordBatch;

/// What an index sorts or finds by, or only carries along.
#[derive(Debug)]
pub(super) struct Key<'t> {
    /// The column; `None` for an expression.
    pub(super) column: Option<&'t Column>,
    /// As it is written in CREATE INDEX.
    pub(super) text: String,
    /// Its operator class where one is named.
    pub(super) class: Option<String>,
    /// `pg_index.indoption`: 1 descending, 2 NULLs first.
    pub(super) option: i64,
    /// Only carried along: INCLUDE.
    pub(super) included: bool,
}

impl<'t> Key<'t> {
    fn plain(column: &'t Column, included: bool) -> Self {
        let text = quote_ident(&column.name).into_owned();
        Self { column: Some(column), text, class: None, option: 0, included }
    }

    /// The oid of its type; that of an expression is taken for text.
    fn kind(&self) -> Oid {
        Oid(self.column.map_or(&PgType::Text, |column| &column.kind).oid())
    }

    /// What PostgreSQL calls the column of an expression.
    pub(super) fn expression_name(&self, number: i64) -> String {
        let name = self.text.split('(').next().unwrap_or_default();
        match parts(name) {
            Ok(parts) if self.text.contains('(') => parts.last().cloned().unwrap_or_default(),
            _ if number == 1 => "expr".to_owned(),
            _ => format!("expr{}", number - 1),
        }
    }
}

/// The keys of an index, in order.
pub(super) fn keys<'t>(index: &Index, table: &'t Table) -> Vec<Key<'t>> {
    let column = |id: &ColumnId| table.column_by_id(*id);
    match &index.kind {
        IndexKind::Vector { column: vector, metric, include } => {
            let own = column(vector).map(|column| vector_key(column, *metric));
            let carried = include.iter().filter_map(column).map(|column| Key::plain(column, true));
            own.into_iter().chain(carried).collect()
        }
        IndexKind::Recorded { keys, .. } => keys.iter().map(|key| parse(key, table)).collect(),
    }
}

fn vector_key(column: &Column, metric: Metric) -> Key<'_> {
    let class = column.kind.space().map(|space| space.operator_class(metric));
    Key { class, ..Key::plain(column, false) }
}

/// A key as CREATE INDEX had it: a column or an expression, then perhaps a collation, an operator
/// class and an order.
fn parse<'t>(text: &str, table: &'t Table) -> Key<'t> {
    let text = text.trim();
    let end = match text.strip_prefix('"') {
        Some(quoted) => quoted.find('"').map_or(text.len(), |end| end + 2),
        None => text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at(end);
    let name = parts(name).ok().and_then(|mut parts| parts.pop()).unwrap_or_default();
    let words: Vec<_> = rest.split_whitespace().collect();
    let is_tail = rest.is_empty() || rest.starts_with(char::is_whitespace);
    let is_word =
        |word: &&str| word.chars().all(|c| c.is_alphanumeric() || "_.\"()=,'".contains(c));
    let column = table.column(&name).filter(|_| is_tail && words.iter().all(is_word));
    if column.is_none() {
        return Key { column, text: text.to_owned(), class: None, option: 0, included: false };
    }
    let upper: Vec<_> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let has = |word: &str| upper.iter().any(|w| w == word);
    let descending = has("DESC");
    let nulls_first = has("FIRST") || (descending && !has("LAST"));
    let mut skip = false;
    let class = words.iter().zip(&upper).find_map(|(word, upper)| {
        if std::mem::take(&mut skip) {
            return None;
        }
        skip = upper == "COLLATE";
        let is_order =
            matches!(upper.as_str(), "COLLATE" | "ASC" | "DESC" | "NULLS" | "FIRST" | "LAST");
        (!is_order).then(|| (*word).to_owned())
    });
    let option = i64::from(descending) | (i64::from(nulls_first) << 1);
    Key { column, text: text.to_owned(), class, option, included: false }
}

/// A row of `pg_index`.
#[derive(Debug)]
struct Entry<'v> {
    id: Oid,
    table: Oid,
    method: Oid,
    keys: Vec<Key<'v>>,
    is_unique: bool,
    is_primary: bool,
    nulls_not_distinct: bool,
    predicate: Option<&'v str>,
    /// Whether searches use it already.
    is_valid: bool,
}

impl Entry<'_> {
    /// How many of the keys are not only carried along.
    fn own(&self) -> usize {
        self.keys.iter().filter(|key| !key.included).count()
    }

    fn class(&self, key: &Key<'_>) -> Oid {
        let named = key.class.as_deref().and_then(|class| {
            types::class_named(self.method, class.split(['(', '.']).next().unwrap_or(class))
        });
        named.unwrap_or_else(|| types::default_class(self.method, key.kind()))
    }
}

/// Every index, those of keys among them.
pub(super) fn pg_index(relation: &'static SystemRelation, view: &View) -> Result<RecordBatch> {
    let btree = types::method("btree");
    let mut entries = Vec::new();
    for table in view.catalog.tables().filter(|table| view.sees(table.schema)) {
        for (key, columns) in table.keys() {
            let columns = columns.iter().filter_map(|&id| table.column_by_id(id));
            entries.push(Entry {
                id: key.id,
                table: table.id,
                method: btree,
                keys: columns.map(|column| Key::plain(column, false)).collect(),
                is_unique: true,
                is_primary: matches!(key.kind, ConstraintKind::PrimaryKey { .. }),
                nulls_not_distinct: key.kind.nulls_not_distinct(),
                predicate: None,
                is_valid: true,
            });
        }
    }
    for index in view.catalog.indexes().filter(|index| view.sees(index.schema)) {
        let Some(table) = view.catalog.table(index.table) else { continue };
        entries.push(Entry {
            id: index.id,
            table: table.id,
            method: types::method(&index.method),
            keys: keys(index, table),
            is_unique: false,
            is_primary: false,
            nulls_not_distinct: false,
            predicate: match &index.kind {
                IndexKind::Recorded { predicate, .. } => predicate.as_deref(),
                IndexKind::Vector { .. } => None,
            },
            is_valid: view.live.is_built(index.id),
        });
    }
    Rows::of(relation, &entries)
        .set("indexrelid", |entry| entry.id)
        .set("indrelid", |entry| entry.table)
        .set("indnatts", |entry| count(entry.keys.len()))
        .set("indnkeyatts", |entry| count(entry.own()))
        .set("indisunique", |entry| entry.is_unique)
        .set("indisprimary", |entry| entry.is_primary)
        .set("indnullsnotdistinct", |entry| entry.nulls_not_distinct)
        .set("indimmediate", |_| true)
        .set("indisvalid", |entry| entry.is_valid)
        .set("indisready", |_| true)
        .set("indislive", |_| true)
        .set("indkey", |entry| {
            let number = |key: &Key<'_>| key.column.map_or(0, |column| column.attnum().into());
            entry.keys.iter().map(number).collect::<Vec<i64>>()
        })
        .set("indcollation", |entry| {
            let collation =
                |key: &Key<'_>| types::known(key.kind()).map_or(Oid(0), |known| known.collation);
            let own = entry.keys.iter().filter(|key| !key.included);
            own.map(collation).collect::<Vec<Oid>>()
        })
        .set("indclass", |entry| {
            let own = entry.keys.iter().filter(|key| !key.included);
            own.map(|key| entry.class(key)).collect::<Vec<Oid>>()
        })
        .set("indoption", |entry| {
            let own = entry.keys.iter().filter(|key| !key.included);
            own.map(|key| key.option).collect::<Vec<i64>>()
        })
        .set("indexprs", |entry| {
            let expressions = entry.keys.iter().filter(|key| key.column.is_none());
            let texts: Vec<_> = expressions.map(|key| key.text.as_str()).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        })
        .set("indpred", |entry| entry.predicate)
        .finish()
}
