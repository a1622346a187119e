//! Writes: documents put, patched and taken away, in one transaction.

use super::{
    Caller, Namespaces,
    billing::Size,
    documents::check_distinct,
    fault::{Answer, Fault},
    names::{ID, check_namespace, shortened},
    query::millis,
    request::{Encryption, Write},
    schema::{self, Change, Wanted},
    shape::{Shape, not_found},
    value,
    writer::{Batches, Writer},
    written::WriteAnswer,
};
use std::time::Duration;

/// How often a write is tried that others get in the way of.
const ATTEMPTS_MAX: u32 = 8;

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
