//! The documents of a write, by columns: rows and columns of a request come together here.

use super::{
    attribute::AttributeType,
    fault::{Answer, Fault},
    names::{self, ID, shortened},
    request::{Columns, Document},
    shape::{Attribute, Shape},
    value,
};
use crate::session::{Given, OutputColumn};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::Schema,
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Patches that name different attributes are statements of their own: at most so many.
const PATCH_GROUPS_MAX: usize = 1024;
/// What absent values are.
static ABSENT: Value = Value::Null;

/// Documents that have a value, perhaps null, for each of the same attributes.
#[derive(Debug)]
pub(super) struct Documents<'r> {
    pub(super) count: usize,
    /// By attribute, in the order in which they were met.
    pub(super) columns: Vec<(Cow<'r, str>, Vec<&'r Value>)>,
}

impl<'r> Documents<'r> {
    /// Documents that come as columns of equal lengths.
    pub(super) fn of_columns(what: &str, columns: &'r Columns) -> Answer<Self> {
        let mut all: Vec<(Cow<'r, str>, Vec<&'r Value>)> = Vec::with_capacity(columns.len());
        for (name, values) in columns {
            let Value::Array(values) = values else {
                return Err(Fault::new(
                    super::FaultKind::Shape,
                    format!("{what}: \"{}\": invalid type, expected a sequence", shortened(name)),
                ));
            };
            all.push((Cow::Borrowed(name.as_str()), values.iter().collect()));
        }
        let Some(ids) = all.iter().find(|(name, _)| name == ID) else {
            return Err(Fault::invalid(format!("{what}: the column \"{ID}\" is missing")));
        };
        let count = ids.1.len();
        if let Some((name, values)) = all.iter().find(|(_, values)| values.len() != count) {
            return Err(Fault::invalid(format!(
                "{what}: all columns must have the same length: \"{ID}\" has {count}, \"{}\" has {}",
                shortened(name),
                values.len()
            )));
        }
        Ok(Self { count, columns: all })
    }

    /// Documents that come one by one; what one lacks is null.
    pub(super) fn of_rows(what: &str, rows: &'r [Document]) -> Answer<Self> {
        let mut places = HashMap::new();
        let mut columns: Vec<(Cow<'r, str>, Vec<&'r Value>)> = Vec::new();
        for (row, document) in rows.iter().enumerate() {
            if !document.contains_key(ID) {
                return Err(Fault::invalid(format!("{what}: document {row} has no \"{ID}\"")));
            }
            for (name, value) in document {
                let place = *places.entry(name.as_str()).or_insert_with(|| {
                    columns.push((Cow::Borrowed(name.as_str()), Vec::with_capacity(rows.len())));
                    columns.len() - 1
                });
                let column = &mut columns[place].1;
                column.resize(row, &ABSENT);
                column.push(value);
            }
        }
        columns.iter_mut().for_each(|(_, column)| column.resize(rows.len(), &ABSENT));
        Ok(Self { count: rows.len(), columns })
    }

    /// Documents by the attributes that they name: a patch leaves the others alone.
    pub(super) fn by_names(what: &str, rows: &'r [Document]) -> Answer<Vec<Self>> {
        let mut places: HashMap<Vec<&'r str>, usize> = HashMap::new();
        let mut groups: Vec<Vec<&'r Document>> = Vec::new();
        for (row, document) in rows.iter().enumerate() {
            if !document.contains_key(ID) {
                return Err(Fault::invalid(format!("{what}: document {row} has no \"{ID}\"")));
            }
            let mut names: Vec<&'r str> = document.keys().map(String::as_str).collect();
            names.sort_unstable();
            let place = *places.entry(names).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(document);
        }
        if groups.len() > PATCH_GROUPS_MAX {
            return Err(Fault::invalid(format!(
                "{what}: more than {PATCH_GROUPS_MAX} different sets of attributes"
            )));
        }
        let mut all: Vec<(usize, Vec<&'r str>)> =
            places.into_iter().map(|(names, place)| (place, names)).collect();
        all.sort_unstable();
        Ok(all
            .into_iter()
            .zip(groups)
            .map(|((_, names), rows)| Self::picked(&names, &rows))
            .collect())
    }

    fn picked(names: &[&'r str], rows: &[&'r Document]) -> Self {
        let column = |name: &&'r str| {
            (Cow::Borrowed(*name), rows.iter().filter_map(|row| row.get(*name)).collect())
        };
        Self { count: rows.len(), columns: names.iter().map(column).collect() }
    }

    /// Their ids.
    pub(super) fn ids(&self) -> &[&'r Value] {
        self.column(ID)
    }

    fn column(&self, name: &str) -> &[&'r Value] {
        let found = self.columns.iter().find(|(column, _)| column == name);
        found.map_or(&[], |(_, values)| values)
    }

    /// The types that the values of unknown attributes suggest.
    pub(super) fn infer(
        &self,
        known: impl Fn(&str) -> bool,
        inferred: &mut Vec<(String, AttributeType)>,
    ) -> Answer<()> {
        for (name, values) in &self.columns {
            if known(name) || inferred.iter().any(|(other, _)| other == name) {
                continue;
            }
            names::check_attribute(name)?;
            let mut suggested = None;
            for value in values {
                let kind = value::inferred(name, value)
                    .map_err(|fault| fault.of(format!("attribute \"{}\"", shortened(name))))?;
                suggested = wider(suggested, kind);
                // Only numbers can still turn out to be of a wider type.
                if suggested.is_some_and(|kind| !is_widened(kind)) {
                    break;
                }
            }
            inferred.extend(suggested.map(|kind| (name.to_string(), kind)));
        }
        Ok(())
    }

    /// The names of what is written beside the id.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_ref()).filter(|name| *name != ID)
    }

    /// The documents as rows for a statement; attributes that nothing is known of are all null and
    /// left out.
    pub(super) fn given(&self, shape: &Shape) -> Answer<(Given, Vec<String>)> {
        let mut columns = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        let mut names = Vec::new();
        for (name, values) in &self.columns {
            let Some(attribute) = shape.attribute(name) else { continue };
            if attribute.generated {
                return Err(Fault::invalid(format!(
                    "attribute \"{name}\" is computed: not written"
                )));
            }
            arrays.push(value::column(attribute, values.iter().copied())?);
            columns.push(output(attribute));
            names.push(attribute.name.clone());
        }
        let fields: Vec<_> = columns.iter().map(|c| c.kind.field(&c.name, true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(crate::error::Error::from)?;
        Ok((Given { columns, rows }, names))
    }

    /// About how many bytes the values are.
    pub(super) fn logical_bytes(&self, shape: &Shape) -> u64 {
        let bytes = |(name, values): &(Cow<'_, str>, Vec<&Value>)| -> u64 {
            let Some(attribute) = shape.attribute(name) else { return 0 };
            values.iter().map(|value| value::logical_bytes(value, attribute.kind)).sum()
        };
        self.columns.iter().map(bytes).sum()
    }
}

fn output(attribute: &Attribute) -> OutputColumn {
    OutputColumn {
        name: attribute.name.clone(),
        kind: attribute.column.clone(),
        table: 0,
        column: 0,
    }
}

/// The type that has both.
fn wider(left: Option<AttributeType>, right: Option<AttributeType>) -> Option<AttributeType> {
    use super::attribute::Scalar::{Float, Int, Uint};
    use AttributeType::{List, Scalar};
    match (left, right) {
        (None, other) | (other, None) => other,
        (Some(Scalar(Int | Uint)), Some(Scalar(Float))) => right,
        (Some(List(Int | Uint)), Some(List(Float))) => right,
        (Some(Scalar(Int)), Some(Scalar(Uint))) => right,
        _ => left,
    }
}

fn is_widened(kind: AttributeType) -> bool {
    use super::attribute::Scalar::{Int, Uint};
    matches!(kind, AttributeType::Scalar(Int | Uint) | AttributeType::List(Int | Uint))
}

/// Refuses an id that a request names twice.
pub(super) fn check_distinct<'v>(
    id: &Attribute,
    ids: impl Iterator<Item = &'v Value>,
) -> Answer<()> {
    let mut seen = HashSet::new();
    for value in ids {
        let key = value::id_key(value, id)?;
        if let Some(twice) = seen.replace(key) {
            return Err(Fault::invalid(format!(
                "duplicate document id {} in one request",
                shortened(&twice)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(value: Value) -> Vec<Document> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_a_row_lacks_is_null() {
        let rows = rows(json!([{"id": 1, "a": 2}, {"id": 2, "b": 3}, {"id": 3}]));
        let documents = Documents::of_rows("upsert_rows", &rows).unwrap();
        let shown: Vec<(String, Value)> = documents
            .columns
            .iter()
            .map(|(name, values)| (name.to_string(), json!(values)))
            .collect();
        assert_eq!(shown[0], ("id".into(), json!([1, 2, 3])));
        assert_eq!(shown[1], ("a".into(), json!([2, null, null])));
        assert_eq!(shown[2], ("b".into(), json!([null, 3, null])));
    }

    #[test]
    fn patches_go_by_what_they_name() {
        let rows = rows(json!([{"id": 1, "a": 2}, {"id": 2, "b": null}, {"a": 4, "id": 3}]));
        let groups = Documents::by_names("patch_rows", &rows).unwrap();
        assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(json!(groups[0].ids()), json!([1, 3]));
        assert_eq!(groups[1].attributes().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn types_are_told_by_values() {
        let rows = rows(json!([
            {"id": 1, "i": 1, "f": 1, "s": "x", "l": [1], "n": null, "vector": [1, 2]},
            {"id": 2, "i": 2, "f": 1.5, "b": true, "l": [1.5], "e": []},
        ]));
        let documents = Documents::of_rows("upsert_rows", &rows).unwrap();
        let mut inferred = Vec::new();
        documents.infer(|_| false, &mut inferred).unwrap();
        let mut shown: Vec<String> =
            inferred.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        shown.sort_unstable();
        let expected =
            ["b bool", "f float", "i int", "id uint", "l []float", "s string", "vector [2]f32"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn columns_have_one_length() {
        let columns: Columns = serde_json::from_value(json!({"id": [1, 2], "a": [1]})).unwrap();
        let fault = Documents::of_columns("upsert_columns", &columns).unwrap_err();
        assert!(fault.message.contains("same length"), "{fault}");
    }
}
