//! A namespace as a copy of another one, at once or behind the request.

use super::{
    Caller, Namespaces,
    background::Beginning,
    cell::rfc3339,
    fault::{Answer, Fault},
    names::{check_namespace, quoted},
    request::{CopyFrom, Start},
    schema::{self, Change, Wanted},
    shape::Shape,
    work::Done,
    written::WriteAnswer,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::sync::Arc;

impl Namespaces {
    /// Copies all documents of a namespace into a new one, in one transaction.
    pub(super) async fn copy(
        &self,
        caller: &Caller,
        name: &str,
        from: &CopyFrom,
    ) -> Answer<WriteAnswer> {
        check_copy(name, from)?;
        self.retried(|| self.copy_once(caller, name, from)).await
    }

    async fn copy_once(&self, caller: &Caller, name: &str, from: &CopyFrom) -> Answer<WriteAnswer> {
        let state = self.engine.states().snapshot();
        let source = Shape::existing(&state.catalog, &from.source_namespace)?;
        let mut shape = Shape::of(&state.catalog, name)?;
        shape.check_writable()?;
        if shape.table.as_ref().is_some_and(|table| state.table(table.id).live_rows() > 0) {
            return Err(Fault::invalid(format!(
                "namespace '{name}' has documents: only an empty one can become a copy"
            )));
        }
        let old = shape.table.take().map(|_| format!("DROP TABLE {}", shape.sql()));
        shape.attributes.clone_from(&source.attributes);
        for attribute in &mut shape.attributes {
            // What the server makes of texts it makes again; all else is copied.
            attribute.generated = source.model_of(&attribute.name).is_some();
            if let Some(index) = &mut attribute.index {
                index.id = None;
            }
        }
        shape.metric = source.metric;
        shape.settings.attributes.clone_from(&source.settings.attributes);
        shape.settings.embed.clone_from(&source.settings.embed);
        let wanted = Wanted { now_micros: self.clock.now_micros(), ..Wanted::default() };
        let Change { shape, statements } = schema::copied(shape, &wanted)?;

        let copied = shape.attributes.iter().filter(|attribute| !attribute.generated);
        let columns: Vec<String> = copied.map(|attribute| quoted(&attribute.name)).collect();
        let columns = columns.join(", ");
        let (table, from) = (shape.sql(), source.sql());
        let insert = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {from} AS t");
        let mut work = self.pool.work(&caller.role).await?;
        for statement in old.into_iter().chain(statements) {
            work.run(statement.into(), None).await?;
        }
        let Done::Changed(count) = work.run(insert.into(), None).await? else {
            return Err(Fault::new(super::FaultKind::Internal, "an INSERT gave rows"));
        };
        work.commit().await?;
        let rows = source.table.map(|table| state.table(table.id).bytes());
        let mut answer = WriteAnswer { rows_upserted: Some(count), ..WriteAnswer::default() };
        answer.billing.billable_logical_bytes_written = rows.unwrap_or(0);
        answer.sum_up();
        Ok(answer)
    }

    /// Starts a copy; the token asks about it later.
    ///
    /// # Errors
    /// When it is wrong, or too much goes on.
    pub fn start(self: &Arc<Self>, caller: &Caller, name: &str, start: &Start) -> Answer<String> {
        let from = start.copy_from_namespace.clone();
        check_copy(name, &from)?;
        caller.existing(&self.engine.catalog(), &from.source_namespace)?;
        let token = self.operations.begin(&self.clock, name);
        let (this, caller) = (Arc::clone(self), caller.clone());
        let (name, own) = (name.to_owned(), token.clone());
        let started = self.tasks.start(format!("copy {token}"), async move {
            let begun = this.clock.elapsed();
            let outcome = this.copy(&caller, &name, &from).await;
            let outcome = outcome.map(|mut answer| {
                let spent = this.clock.elapsed().saturating_sub(begun);
                answer.performance.server_total_ms = super::query::millis(spent);
                json!(answer)
            });
            this.operations.end(&this.clock, &own, outcome);
            Ok(())
        });
        if started == Beginning::Begun {
            return Ok(token);
        }
        let busy = Fault::new(super::FaultKind::Busy, "too many copies at a time; try again");
        self.operations.end(&self.clock, &token, Err(busy.clone()));
        Err(busy)
    }

    /// How an operation stands; `status_of` tells a fault's status code.
    ///
    /// # Errors
    /// When there is no such operation.
    pub fn operation(
        &self,
        name: &str,
        token: &str,
        status_of: impl Fn(&Fault) -> u16,
    ) -> Answer<Value> {
        let operation = self.operations.get(name, token)?;
        let started = moment(operation.started_micros);
        let Some((ended, outcome)) = operation.ended else {
            return Ok(json!({ "status": "running", "start_time": started }));
        };
        let result = match outcome {
            Ok(success) => json!({ "success": success }),
            Err(fault) => json!({ "error": {
                "status_code": status_of(&fault),
                "detail": { "status": "error", "error": fault.message },
            } }),
        };
        Ok(json!({
            "status": "finished",
            "start_time": started,
            "finish_time": moment(ended),
            "result": result,
        }))
    }
}

fn check_copy(name: &str, from: &CopyFrom) -> Answer<()> {
    check_namespace(name)?;
    check_namespace(&from.source_namespace)?;
    if from.source_namespace == name {
        return Err(Fault::invalid("a namespace cannot be copied onto itself"));
    }
    let elsewhere = [
        ("source_api_key", from.source_api_key.is_some()),
        ("source_region", from.source_region.is_some()),
    ];
    if let Some((what, _)) = elsewhere.iter().find(|(_, is_given)| *is_given) {
        return Err(Fault::invalid(format!(
            "{what} is not available: namespaces are copied within this server"
        )));
    }
    let default = json!({ "mode": "default" });
    if from.dest_encryption.as_ref().is_some_and(|encryption| *encryption != default) {
        return Err(Fault::invalid("dest_encryption other than the default is not available"));
    }
    Ok(())
}

fn moment(micros: i64) -> String {
    rfc3339(DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default())
}
