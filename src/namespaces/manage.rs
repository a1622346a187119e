//! What namespaces there are and what they are: listing, schema, metadata, deletion.

use super::{
    Caller, Namespaces,
    cell::rfc3339,
    fault::{Answer, Fault},
    names::check_namespace,
    request::{Document, List, MetadataPatch},
    schema::{self, Change, Wanted},
    shape::{Shape, not_found, tables},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How many namespaces a page has where nobody says, and at most.
const PAGE_SIZE: u64 = 100;
const PAGE_SIZE_MAX: u64 = 1000;

/// A page of namespaces.
#[derive(Debug, Serialize)]
pub struct Page {
    namespaces: Vec<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Summary {
    id: String,
}

impl Namespaces {
    /// The namespaces of a prefix behind a cursor, by name.
    ///
    /// # Errors
    /// When the page is to be too large.
    pub fn list(&self, caller: &Caller, list: &List) -> Answer<Page> {
        let size = list.page_size.unwrap_or(PAGE_SIZE);
        if !(1..=PAGE_SIZE_MAX).contains(&size) {
            return Err(Fault::invalid(format!("page_size must be between 1 and {PAGE_SIZE_MAX}")));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let catalog = self.engine.catalog();
        let sees = caller.sees(&catalog);
        let mut names: Vec<&str> = tables(&catalog)
            .filter(|(_, table)| sees(table))
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(&list.prefix) && *name > list.cursor.as_str())
            // SQL takes names that clients could not say.
            .filter(|name| check_namespace(name).is_ok())
            .collect();
        names.sort_unstable();
        names.dedup();
        let has_more = names.len() > size;
        names.truncate(size);
        let next_cursor = names.last().filter(|_| has_more).map(|name| (*name).to_owned());
        let namespaces = names.into_iter().map(|id| Summary { id: id.to_owned() }).collect();
        Ok(Page { namespaces, next_cursor })
    }

    /// The attributes of a namespace and what is declared of them.
    ///
    /// # Errors
    /// When there is no such namespace, or the caller has no right to it.
    pub fn schema(&self, caller: &Caller, name: &str) -> Answer<Map<String, Value>> {
        Ok(schema::shown(&caller.existing(&self.engine.catalog(), name)?))
    }

    /// Declares attributes.
    ///
    /// # Errors
    /// When there is no such namespace, or it cannot be that.
    pub async fn update_schema(
        &self,
        caller: &Caller,
        name: &str,
        schema: &Document,
    ) -> Answer<Map<String, Value>> {
        let declared = schema::declared(schema)?;
        self.retried(|| async {
            let shape = Shape::existing(&self.engine.catalog(), name)?;
            shape.check_writable()?;
            let declared = declared.clone();
            let wanted = Wanted { declared, models: self.models(), ..Wanted::default() };
            let Change { statements, .. } = schema::change(shape, &wanted)?;
            self.define(caller, statements).await
        })
        .await?;
        self.schema(caller, name)
    }

    pub(super) async fn define(&self, caller: &Caller, statements: Vec<String>) -> Answer<()> {
        let mut work = self.pool.work(&caller.role).await?;
        for statement in statements {
            work.run(statement.into(), None).await?;
        }
        work.commit().await
    }

    /// What is known of a namespace.
    ///
    /// # Errors
    /// When there is no such namespace, or the caller has no right to it.
    pub fn metadata(&self, caller: &Caller, name: &str) -> Answer<Value> {
        let state = self.engine.states().snapshot();
        let shape = caller.existing(&state.catalog, name)?;
        let table = shape.table.as_ref().ok_or_else(|| not_found(name))?;
        let rows = state.table(table.id);
        let behind = shape.attributes.iter().filter_map(|attribute| {
            let index = state.indexes.get(&attribute.index.as_ref()?.id?)?;
            Some(rows.next_row().0.saturating_sub(index.watermark().0))
        });
        let unindexed = behind.max().unwrap_or(0).min(rows.live_rows());
        let index = if unindexed == 0 {
            json!({ "status": "up-to-date" })
        } else {
            let each = rows.bytes() / rows.live_rows().max(1);
            json!({
                "status": "updating",
                "unindexed_rows": unindexed,
                "unindexed_bytes": unindexed * each,
            })
        };
        let created = shape.settings.created_micros.unwrap_or(self.started_micros);
        let updated = self.changes.last(table.id, &rows, created);
        let mut metadata = json!({
            "schema": schema::shown(&shape),
            "approx_row_count": rows.live_rows(),
            "approx_logical_bytes": rows.bytes(),
            "created_at": moment(created),
            "updated_at": moment(updated),
            "encryption": { "mode": "default" },
            "index": index,
        });
        if shape.settings.read_only {
            metadata["read_only"] = json!(true);
        }
        Ok(metadata)
    }

    /// Changes what a namespace is, apart from its documents.
    ///
    /// # Errors
    /// When there is no such namespace, or it cannot be that.
    pub async fn update_metadata(
        &self,
        caller: &Caller,
        name: &str,
        patch: &MetadataPatch,
    ) -> Answer<Value> {
        if !matches!(patch.pinning, None | Some(Value::Null | Value::Bool(false))) {
            return Err(Fault::invalid("pinning is not available: this server is the one replica"));
        }
        self.retried(|| async {
            let mut shape = Shape::existing(&self.engine.catalog(), name)?;
            let Some(read_only) = patch.read_only.filter(|&to| to != shape.settings.read_only)
            else {
                return Ok(());
            };
            shape.settings.read_only = read_only;
            self.define(caller, vec![schema::set_options(&shape)]).await
        })
        .await?;
        self.metadata(caller, name)
    }

    /// Deletes a namespace with all that is in it.
    ///
    /// # Errors
    /// When there is no such namespace, or it is read-only.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Answer<()> {
        self.retried(|| async {
            let shape = Shape::existing(&self.engine.catalog(), name)?;
            shape.check_writable()?;
            self.define(caller, vec![format!("DROP TABLE {}", shape.sql())]).await
        })
        .await
    }
}

fn moment(micros: i64) -> String {
    rfc3339(DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default())
}
