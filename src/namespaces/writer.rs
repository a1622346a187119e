//! The statements of a write.

use super::{
    billing::{DELETION_BYTES, Size, share},
    cell::{Cell, VectorEncoding, cells},
    documents::Documents,
    fault::{Answer, Fault, FaultKind},
    filter::{Compiler, NewRow},
    names::{ID, quoted},
    request::{Document, Write},
    shape::{Attribute, Shape},
    sql::{Parameters, Sql},
    value,
    work::{Done, Work},
    written::WriteAnswer,
};
use crate::session::Given;
use serde_json::Value;

/// The documents that a write names.
pub(super) struct Batches<'r> {
    pub(super) upserts: Vec<Documents<'r>>,
    /// Each of patches that name the same attributes.
    pub(super) patches: Vec<Documents<'r>>,
    deletes: &'r [Value],
}

impl<'r> Batches<'r> {
    pub(super) fn of(write: &'r Write) -> Answer<Self> {
        let mut upserts = Vec::new();
        if let Some(rows) = &write.upsert_rows {
            upserts.push(Documents::of_rows("upsert_rows", rows)?);
        }
        if let Some(columns) = &write.upsert_columns {
            upserts.push(Documents::of_columns("upsert_columns", columns)?);
        }
        let mut patches = Vec::new();
        if let Some(rows) = &write.patch_rows {
            patches.extend(Documents::by_names("patch_rows", rows)?);
        }
        if let Some(columns) = &write.patch_columns {
            patches.push(Documents::of_columns("patch_columns", columns)?);
        }
        let deletes = write.deletes.as_deref().unwrap_or_default();
        Ok(Self { upserts, patches, deletes })
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &'r Value> {
        let documents = self.upserts.iter().chain(&self.patches);
        let ids = documents.flat_map(|documents| documents.ids().iter().copied());
        ids.chain(self.deletes).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn has_upserts(&self) -> bool {
        self.upserts.iter().any(|documents| documents.count > 0)
    }
}

/// Runs the statements of a write.
pub(super) struct Writer<'a> {
    pub(super) work: &'a mut Work,
    pub(super) shape: &'a Shape,
    pub(super) size: Size,
    pub(super) write: &'a Write,
    pub(super) answer: &'a mut WriteAnswer,
}

impl Writer<'_> {
    /// The ids that a statement changed, and how many they are.
    async fn run(&mut self, mut sql: Sql, given: Option<Given>) -> Answer<(u64, Vec<Cell>)> {
        if self.write.return_affected_ids {
            sql.text.push_str(&format!(" RETURNING t.{}", quoted(ID)));
        }
        match self.work.run(sql, given).await? {
            Done::Changed(count) => Ok((count, Vec::new())),
            Done::Rows(rows) => {
                let mut ids = Vec::with_capacity(rows.count());
                for batch in &rows.batches {
                    let kind = &rows.columns[0].kind;
                    ids.extend(cells(kind, batch.column(0), VectorEncoding::Float)?);
                }
                Ok((ids.len() as u64, ids))
            }
        }
    }

    fn condition(
        &self,
        filter: Option<&Value>,
        new: NewRow<'_>,
        parameters: &mut Parameters,
    ) -> Answer<Option<String>> {
        let filter = filter.filter(|filter| !filter.is_null());
        filter
            .map(|filter| Compiler::new(self.shape, "t", new, parameters).condition(filter))
            .transpose()
    }

    pub(super) async fn by_filter(&mut self) -> Answer<()> {
        let table = self.shape.sql();
        if let Some(filter) = &self.write.delete_by_filter {
            let mut parameters = Parameters::default();
            let condition = self.condition(Some(filter), NewRow::None, &mut parameters)?;
            let condition = condition.ok_or_else(|| Fault::invalid("delete_by_filter: null"))?;
            let text = format!("DELETE FROM {table} AS t WHERE {condition}");
            let (count, ids) = self.run(Sql { text, parameters }, None).await?;
            self.answer.deleted(count, ids);
            self.answer.billing.looked_at(self.size.bytes);
            self.answer.billing.wrote(count * DELETION_BYTES);
        }
        if let Some(by) = &self.write.patch_by_filter {
            let mut parameters = Parameters::default();
            let changes = self.assignments(&by.patch, &mut parameters)?;
            let condition = self.condition(Some(&by.filters), NewRow::None, &mut parameters)?;
            let condition =
                condition.ok_or_else(|| Fault::invalid("patch_by_filter.filters: null"))?;
            let text = format!("UPDATE {table} AS t SET {changes} WHERE {condition}");
            let (count, ids) = self.run(Sql { text, parameters }, None).await?;
            self.answer.patched(count, ids);
            self.answer.billing.looked_at(self.size.bytes);
            self.answer.billing.wrote(count * self.patch_bytes(&by.patch));
        }
        Ok(())
    }

    /// `SET` of one patch for all.
    fn assignments(&self, patch: &Document, parameters: &mut Parameters) -> Answer<String> {
        if patch.is_empty() {
            return Err(Fault::invalid("patch_by_filter.patch names no attribute"));
        }
        let mut changes = Vec::new();
        for (name, value) in patch {
            let Some(attribute) = self.shape.attribute(name) else {
                // Null of an attribute that no document has.
                continue;
            };
            check_patched(attribute)?;
            let word = parameters.add(&attribute.column, value::column(attribute, [value])?);
            changes.push(format!("{} = {word}", quoted(name)));
        }
        if changes.is_empty() {
            changes.push(format!("{} = t.{}", quoted(ID), quoted(ID)));
        }
        Ok(changes.join(", "))
    }

    pub(super) async fn upsert(&mut self, documents: &Documents<'_>) -> Answer<()> {
        if documents.count == 0 {
            self.answer.upserted(0, Vec::new());
            return Ok(());
        }
        let mut parameters = Parameters::default();
        let filter = self.write.upsert_condition.as_ref();
        let condition = self.condition(filter, NewRow::Excluded, &mut parameters)?;
        let (given, names) = documents.given(self.shape)?;
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let names = names.join(", ");
        // The whole document is replaced: what is absent from the new one is gone.
        let written = self.shape.attributes.iter().filter(|attribute| !attribute.generated);
        let mut changes: Vec<String> = written
            .filter(|attribute| attribute.name != ID)
            .map(|attribute| quoted(&attribute.name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        if changes.is_empty() {
            changes.push(format!("{} = excluded.{}", quoted(ID), quoted(ID)));
        }
        if condition.is_some() {
            self.answer.billing.looked_at(self.size.of_documents(documents.count));
        }
        let condition = condition.map(|condition| format!(" WHERE {condition}"));
        let text = format!(
            "INSERT INTO {} AS t ({names}) SELECT {names} FROM given ON CONFLICT ({}) DO UPDATE \
             SET {}{}",
            self.shape.sql(),
            quoted(ID),
            changes.join(", "),
            condition.unwrap_or_default()
        );
        let (count, ids) = self.run(Sql { text, parameters }, Some(given)).await?;
        self.answer.upserted(count, ids);
        let bytes = documents.logical_bytes(self.shape);
        self.answer.billing.wrote(share(bytes, count, documents.count as u64));
        Ok(())
    }

    pub(super) async fn patch(&mut self, documents: &Documents<'_>) -> Answer<()> {
        if documents.count == 0 {
            self.answer.patched(0, Vec::new());
            return Ok(());
        }
        for name in documents.attributes() {
            if let Some(attribute) = self.shape.attribute(name) {
                check_patched(attribute)?;
            }
        }
        let mut parameters = Parameters::default();
        let (given, names) = documents.given(self.shape)?;
        let new = NewRow::Patch(&names);
        let condition =
            self.condition(self.write.patch_condition.as_ref(), new, &mut parameters)?;
        let ids = self.ids(documents.ids(), &mut parameters)?;
        let id = quoted(ID);
        let mut changes: Vec<String> = names
            .iter()
            .filter(|name| *name != ID)
            .map(|name| quoted(name))
            .map(|name| format!("{name} = given.{name}"))
            .collect();
        if changes.is_empty() {
            changes.push(format!("{id} = t.{id}"));
        }
        if condition.is_some() {
            self.answer.billing.looked_at(self.size.of_documents(documents.count));
        }
        let condition = condition.map(|condition| format!(" AND {condition}"));
        let text = format!(
            "UPDATE {} AS t SET {} FROM given WHERE t.{id} = given.{id} AND t.{id} = ANY ({ids}){}",
            self.shape.sql(),
            changes.join(", "),
            condition.unwrap_or_default()
        );
        let (count, ids) = self.run(Sql { text, parameters }, Some(given)).await?;
        self.answer.patched(count, ids);
        let bytes = documents.logical_bytes(self.shape);
        self.answer.billing.wrote(share(bytes, count, documents.count as u64));
        Ok(())
    }

    pub(super) async fn delete(&mut self, batches: &Batches<'_>) -> Answer<()> {
        if batches.deletes.is_empty() {
            if self.write.deletes.is_some() {
                self.answer.deleted(0, Vec::new());
            }
            return Ok(());
        }
        let mut parameters = Parameters::default();
        let values: Vec<&Value> = batches.deletes.iter().collect();
        let ids = self.ids(&values, &mut parameters)?;
        let filter = self.write.delete_condition.as_ref();
        let condition = self.condition(filter, NewRow::Gone, &mut parameters)?;
        if condition.is_some() {
            self.answer.billing.looked_at(self.size.of_documents(values.len()));
        }
        let condition = condition.map(|condition| format!(" AND {condition}"));
        let text = format!(
            "DELETE FROM {} AS t WHERE t.{} = ANY ({ids}){}",
            self.shape.sql(),
            quoted(ID),
            condition.unwrap_or_default()
        );
        let (count, ids) = self.run(Sql { text, parameters }, None).await?;
        self.answer.deleted(count, ids);
        self.answer.billing.wrote(count * DELETION_BYTES);
        Ok(())
    }

    /// What one patch for all writes into each document.
    fn patch_bytes(&self, patch: &Document) -> u64 {
        let bytes = |(name, value): (&String, &Value)| {
            let attribute = self.shape.attribute(name)?;
            Some(value::logical_bytes(value, attribute.kind))
        };
        patch.iter().filter_map(bytes).sum()
    }

    /// Ids as one parameter.
    fn ids(&self, ids: &[&Value], parameters: &mut Parameters) -> Answer<String> {
        let id = self.shape.id().ok_or_else(|| Fault::new(FaultKind::Internal, "no id"))?;
        let array = value::several(&id.column, ids).map_err(|fault| fault.of("invalid id"))?;
        Ok(parameters.add(&id.column.clone().array(), array))
    }
}

fn check_patched(attribute: &Attribute) -> Answer<()> {
    let name = &attribute.name;
    if name == ID {
        return Err(Fault::invalid("a patch cannot change the id"));
    }
    if attribute.kind.is_point() {
        return Err(Fault::invalid(format!("vectors cannot be patched: \"{name}\"")));
    }
    if attribute.generated {
        return Err(Fault::invalid(format!("attribute \"{name}\" is computed: not written")));
    }
    Ok(())
}
