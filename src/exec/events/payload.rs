//! What letters say: JSON, version 1 (`docs/webhooks.md`). Written as text, since most of it is
//! vectors, whose text is JSON already.

use crate::{
    catalog::{Catalog, Table, Webhook},
    error::Result,
    ids::ColumnId,
    pgtype::{PgType, cast::to_text, style::Style},
    sql::functions::json::build::texts,
    storage::columns::ColumnSpec,
};
use arrow::array::{Array as _, ArrayRef, AsArray as _};
use chrono::{DateTime, SecondsFormat};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

/// What every event says beside what it tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) webhook: &'a Webhook,
    pub(super) names: &'a Catalog,
    pub(super) table: Option<&'a Table>,
    pub(super) commit: u64,
    /// When that was: microseconds since 1970.
    pub(super) micros: i64,
}

impl Envelope<'_> {
    /// The whole event; `rest` are its further members.
    pub(super) fn seal(&self, id: &str, kind: &str, rest: &str) -> String {
        let mut text = String::with_capacity(rest.len() + 256);
        let database = self.names.database(self.webhook.database).map_or("", |d| &d.name);
        let _ = write!(
            text,
            "{{\"version\":1,\"id\":{},\"type\":{},\"webhook\":{},\"database\":{}",
            quoted(id),
            quoted(kind),
            quoted(&self.webhook.name),
            quoted(database)
        );
        if let Some(table) = self.table {
            let schema = self.names.schema(table.schema).map_or("", |schema| &schema.name);
            let (schema, name) = (quoted(schema), quoted(&table.name));
            let _ = write!(text, ",\"table\":{{\"schema\":{schema},\"name\":{name}}}");
        }
        let _ = write!(text, ",\"commit\":{},\"time\":\"{}\"", self.commit, time(self.micros));
        if !rest.is_empty() {
            text.push(',');
            text.push_str(rest);
        }
        text.push('}');
        text
    }
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn time(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Columns of some rows as JSON, each made when it is first asked for.
#[derive(Debug)]
pub(super) struct Rendered<'a> {
    table: &'a Table,
    specs: &'a [ColumnSpec],
    columns: &'a [ArrayRef],
    made: HashMap<ColumnId, Vec<String>>,
}

impl<'a> Rendered<'a> {
    /// Of columns in the order of their specs.
    pub(super) fn new(table: &'a Table, specs: &'a [ColumnSpec], columns: &'a [ArrayRef]) -> Self {
        Self { table, specs, columns, made: HashMap::new() }
    }

    /// Makes columns ready.
    pub(super) fn make(&mut self, wanted: &BTreeSet<ColumnId>) -> Result<()> {
        for (spec, column) in self.specs.iter().zip(self.columns) {
            if wanted.contains(&spec.id) && !self.made.contains_key(&spec.id) {
                self.made.insert(spec.id, fragments(column, &spec.kind)?);
            }
        }
        Ok(())
    }

    /// A row as an object of the columns wanted, which were made.
    pub(super) fn row(&self, at: usize, wanted: &BTreeSet<ColumnId>) -> String {
        let mut text = String::from("{");
        for column in &self.table.columns {
            let Some(values) = self.made.get(&column.id).filter(|_| wanted.contains(&column.id))
            else {
                continue;
            };
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&quoted(&column.name));
            text.push(':');
            text.push_str(&values[at]);
        }
        text.push('}');
        text
    }
}

/// A column's values as JSON: as `to_json` writes them, and vectors as arrays.
fn fragments(column: &ArrayRef, kind: &PgType) -> Result<Vec<String>> {
    let style = Style::default();
    if matches!(kind, PgType::Vector(_) | PgType::Halfvec(_)) {
        let texts = to_text(kind, column, &style)?;
        let texts = texts.as_string::<i32>();
        let text = |at| if texts.is_null(at) { "null" } else { texts.value(at) }.to_owned();
        return Ok((0..texts.len()).map(text).collect());
    }
    let texts = texts(column, kind, &style)?;
    if !matches!(kind, PgType::Json | PgType::Jsonb) {
        return Ok(texts);
    }
    // json without the blanks that it may have.
    let compact = |text: String| match serde_json::from_str::<Value>(&text) {
        Ok(value) => value.to_string(),
        Err(_) => text,
    };
    Ok(texts.into_iter().map(compact).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgtype::cast::parse_text;

    #[test]
    fn vectors_are_arrays_and_the_rest_is_as_in_to_json() {
        let shown = |kind: PgType, text: &str| {
            let column = parse_text(&kind, text, &Style::default()).unwrap();
            fragments(&column, &kind).unwrap().remove(0)
        };
        assert_eq!(shown(PgType::Vector(Some(2)), "[1,0.5]"), "[1,0.5]");
        assert_eq!(shown(PgType::Halfvec(None), "[1,2]"), "[1,2]");
        assert_eq!(shown(PgType::Int8, "7"), "7");
        assert_eq!(shown(PgType::Text, "a \"b\""), r#""a \"b\"""#);
        assert_eq!(shown(PgType::Bool, "t"), "true");
        assert_eq!(shown(PgType::Jsonb, r#"{"a": [1]}"#), r#"{"a":[1]}"#);
        assert_eq!(shown(PgType::Sparsevec(None), "{1:2}/3"), r#""{1:2}/3""#);
    }
}
