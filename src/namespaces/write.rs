//! Writes: documents put, patched and taken away, in one transaction.

use super::{
    Caller, Namespaces,
    billing::{DELETION_BYTES, Size, WriteBilling, share},
    cell::{Cell, VectorEncoding, cells},
    documents::{Documents, check_distinct},
    fault::{Answer, Fault, FaultKind},
    filter::{Compiler, NewRow},
    names::{ID, check_namespace, quoted, shortened},
    query::millis,
    request::{Document, Encryption, Write},
    schema::{self, Change, Wanted},
    shape::{Attribute, Shape, not_found},
    sql::{Parameters, Sql},
    value,
    work::{Done, Work},
};
use crate::session::Given;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// How often a write is tried that others get in the way of.
const ATTEMPTS_MAX: u32 = 8;

/// What the answer to a write says.
#[derive(Debug, Default, Serialize)]
pub struct WriteAnswer {
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) rows_affected: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_upserted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_patched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_deleted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows_remaining: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) upserted_ids: Vec<Cell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) patched_ids: Vec<Cell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deleted_ids: Vec<Cell>,
    pub(super) billing: WriteBilling,
    pub(super) performance: WritePerformance,
}

/// The word that says that all went well.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) enum Status {
    /// It did.
    #[default]
    #[serde(rename = "OK")]
    Ok,
}

/// How a write went.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct WritePerformance {
    pub(super) server_total_ms: u64,
}

/// The documents that a write names.
struct Batches<'r> {
    upserts: Vec<Documents<'r>>,
    /// Each of patches that name the same attributes.
    patches: Vec<Documents<'r>>,
    deletes: &'r [Value],
}

impl<'r> Batches<'r> {
    fn of(write: &'r Write) -> Answer<Self> {
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

    fn ids(&self) -> impl Iterator<Item = &'r Value> {
        let documents = self.upserts.iter().chain(&self.patches);
        let ids = documents.flat_map(|documents| documents.ids().iter().copied());
        ids.chain(self.deletes).collect::<Vec<_>>().into_iter()
    }

    fn has_upserts(&self) -> bool {
        self.upserts.iter().any(|documents| documents.count > 0)
    }
}

impl Namespaces {
    /// Carries a write out: all of it or nothing.
    ///
    /// # Errors
    /// When it is wrong, or cannot be done.
    pub async fn write(
        &self,
        caller: &Caller,
        name: &str,
        mut write: Write,
    ) -> Answer<WriteAnswer> {
        check_namespace(name)?;
        check(&write)?;
        let begun = self.clock.elapsed();
        self.embed_values(caller, name, &mut write).await?;
        let write = &write;
        let mut answer = match &write.copy_from_namespace {
            Some(from) => self.copy(caller, name, from).await?,
            None => self.retried(|| self.write_once(caller, name, write)).await?,
        };
        let spent = self.clock.elapsed().saturating_sub(begun);
        answer.performance.server_total_ms = millis(spent);
        Ok(answer)
    }

    /// Tries again while others are in the way.
    pub(super) async fn retried<T, F: Future<Output = Answer<T>>>(
        &self,
        mut run: impl FnMut() -> F,
    ) -> Answer<T> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match run().await {
                Err(fault) if fault.is_passing() && attempt < ATTEMPTS_MAX => {
                    let spread = self.clock.random() % 8 + 1;
                    let pause = Duration::from_millis(spread << attempt.min(6));
                    self.clock.sleep(pause).await;
                }
                ended => return ended,
            }
        }
    }

    async fn write_once(&self, caller: &Caller, name: &str, write: &Write) -> Answer<WriteAnswer> {
        let state = self.engine.states().snapshot();
        let shape = Shape::of(&state.catalog, name)?;
        shape.check_writable()?;
        let table = shape.table.as_ref().map(|table| state.table(table.id));
        let size = table.as_ref().map(Size::of).unwrap_or_default();
        drop((table, state));
        let batches = Batches::of(write)?;
        let creates = batches.has_upserts() || write.create_namespace == Some(true);
        if shape.table.is_none() && (write.create_namespace == Some(false) || !creates) {
            return Err(not_found(name));
        }
        let Change { shape, statements } = schema::change(shape, &self.wanted(&batches, write)?)?;
        let id = shape.id().ok_or_else(|| not_found(name))?;
        check_distinct(id, batches.ids())?;

        let mut work = self.pool.work(&caller.role).await?;
        for statement in statements {
            work.run(statement.into(), None).await?;
        }
        let mut answer = WriteAnswer::default();
        let mut writer =
            Writer { work: &mut work, shape: &shape, size, write, answer: &mut answer };
        writer.by_filter().await?;
        for documents in &batches.upserts {
            writer.upsert(documents).await?;
        }
        for documents in &batches.patches {
            writer.patch(documents).await?;
        }
        writer.delete(&batches).await?;
        work.commit().await?;
        answer.finish(write);
        Ok(answer)
    }

    fn wanted(&self, batches: &Batches<'_>, write: &Write) -> Answer<Wanted> {
        let declared = write.schema.as_ref().map(schema::declared).transpose()?;
        let mut wanted = Wanted {
            declared: declared.unwrap_or_default(),
            metric: write.distance_metric.map(super::request::DistanceMetric::metric),
            now_micros: self.clock.now_micros(),
            models: self.models(),
            ..Wanted::default()
        };
        let is_declared = |name: &str| wanted.declared.iter().any(|declared| declared.name == name);
        let mut inferred = Vec::new();
        for documents in batches.upserts.iter().chain(&batches.patches) {
            documents.infer(is_declared, &mut inferred)?;
        }
        if let Some(by) = &write.patch_by_filter {
            for (name, value) in &by.patch {
                let is_known = is_declared(name) || inferred.iter().any(|(other, _)| other == name);
                if !is_known && let Some(kind) = value::inferred(name, value)? {
                    inferred.push((name.clone(), kind));
                }
            }
        }
        // The id comes first.
        inferred.sort_by_key(|(name, _)| name != ID);
        wanted.inferred = inferred;
        Ok(wanted)
    }
}

/// Refuses what does not go together, and what is not to be had.
fn check(write: &Write) -> Answer<()> {
    if write.branch_from_namespace.is_some() {
        return Err(Fault::unsupported(
            "branch_from_namespace is not supported; copy_from_namespace copies",
        ));
    }
    if let Some(Encryption::CustomerManaged { key_name }) = &write.encryption {
        return Err(Fault::invalid(format!(
            "encryption with the customer-managed key \"{}\" is not available",
            shortened(key_name)
        )));
    }
    if let Some(sharding) = &write.sharding
        && sharding.num_shards != 1
    {
        return Err(Fault::invalid("sharding is not available: a namespace has one shard"));
    }
    let has_writes = write.upsert_rows.is_some()
        || write.upsert_columns.is_some()
        || write.patch_rows.is_some()
        || write.patch_columns.is_some()
        || write.deletes.is_some()
        || write.delete_by_filter.is_some()
        || write.patch_by_filter.is_some();
    let declares = write.schema.is_some()
        || write.distance_metric.is_some()
        || write.create_namespace.is_some()
        || write.return_affected_ids;
    if (has_writes || declares) && write.copy_from_namespace.is_some() {
        return Err(Fault::invalid("copy_from_namespace stands alone"));
    }
    let alone = [
        (
            write.upsert_condition.is_some(),
            write.upsert_rows.is_some() || write.upsert_columns.is_some(),
            "upsert",
        ),
        (
            write.patch_condition.is_some(),
            write.patch_rows.is_some() || write.patch_columns.is_some(),
            "patch",
        ),
        (write.delete_condition.is_some(), write.deletes.is_some(), "delete"),
    ];
    if let Some((.., what)) = alone.iter().find(|(condition, writes, _)| *condition && !writes) {
        return Err(Fault::invalid(format!("{what}_condition goes with {what}s")));
    }
    Ok(())
}

/// Runs the statements of a write.
struct Writer<'a> {
    work: &'a mut Work,
    shape: &'a Shape,
    size: Size,
    write: &'a Write,
    answer: &'a mut WriteAnswer,
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

    async fn by_filter(&mut self) -> Answer<()> {
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

    async fn upsert(&mut self, documents: &Documents<'_>) -> Answer<()> {
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

    async fn patch(&mut self, documents: &Documents<'_>) -> Answer<()> {
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

    async fn delete(&mut self, batches: &Batches<'_>) -> Answer<()> {
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

impl WriteAnswer {
    fn upserted(&mut self, count: u64, ids: Vec<Cell>) {
        *self.rows_upserted.get_or_insert(0) += count;
        self.upserted_ids.extend(ids);
    }

    fn patched(&mut self, count: u64, ids: Vec<Cell>) {
        *self.rows_patched.get_or_insert(0) += count;
        self.patched_ids.extend(ids);
    }

    fn deleted(&mut self, count: u64, ids: Vec<Cell>) {
        *self.rows_deleted.get_or_insert(0) += count;
        self.deleted_ids.extend(ids);
    }

    fn finish(&mut self, write: &Write) {
        let ids = self.upserted_ids.iter().chain(&self.patched_ids).chain(&self.deleted_ids);
        self.billing.returned(ids.map(Cell::logical_bytes).sum());
        // Whatever a filter finds is changed at once.
        let partial = (write.delete_by_filter.is_some() && write.delete_by_filter_allow_partial)
            || (write.patch_by_filter.is_some() && write.patch_by_filter_allow_partial);
        self.rows_remaining = partial.then_some(false);
        self.sum_up();
    }

    pub(super) fn sum_up(&mut self) {
        let parts = [
            ("upserted", self.rows_upserted),
            ("patched", self.rows_patched),
            ("deleted", self.rows_deleted),
        ];
        self.rows_affected = parts.iter().filter_map(|(_, count)| *count).sum();
        let said: Vec<String> = parts
            .iter()
            .filter_map(|(word, count)| Some(format!("{} rows {word}", (*count)?)))
            .collect();
        self.message = if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") };
    }
}
