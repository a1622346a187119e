//! Models, and the columns whose vectors they make.

use super::{EmbeddingRow, SystemRelation, View, rows::Rows};
use crate::{
    catalog::{Column, ColumnModel, Table},
    embed::Purpose,
    error::Result,
};
use arrow::array::RecordBatch;

/// Every model, with what its vectors follow from.
pub(super) fn nearlake_models(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let loaded = view.live.loaded_models();
    let models: Vec<_> = view.catalog.models().collect();
    let of_vectors = |purpose: Purpose| purpose == Purpose::Embedding;
    Rows::of(relation, &models)
        .set("name", |model| model.name.as_str())
        .set("purpose", |model| model.spec.purpose.word())
        .set("owner", |model| view.role_name(model.owner))
        .set("version", |model| i64::try_from(model.version).unwrap_or(i64::MAX))
        .set("path", |model| model.spec.folder.display().to_string())
        .set("hub", |model| model.spec.hub.clone())
        .set("file", |model| model.spec.file.as_str())
        .set("pooling", |model| of_vectors(model.spec.purpose).then(|| model.spec.pooling.word()))
        .set("normalize", |model| {
            of_vectors(model.spec.purpose).then(|| model.spec.normalize.word())
        })
        .set("max_length", |model| i32::try_from(model.spec.max_length).unwrap_or(i32::MAX))
        .set("dims", |model| of_vectors(model.spec.purpose).then(|| i32::from(model.spec.dims)))
        .set("overflow", |model| model.spec.overflow.word())
        .set("checksum", |model| model.spec.checksum())
        .set("files", |model| {
            let files = model.spec.files.iter();
            files.map(|file| format!("{} {}", file.name, file.sha256)).collect::<Vec<_>>()
        })
        .set("loaded", |model| loaded.contains(&model.id))
        .finish()
}

/// Every column whose vectors models make, and how far they are.
pub(super) fn nearlake_stat_embedding(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let known = view.live.embedding();
    let find = |row: &EmbeddingRow| {
        let table = view.catalog.table(row.table)?;
        let column = table.column_by_id(row.column)?;
        view.sees(table.schema).then(|| (row.clone(), table.as_ref().clone(), column.clone()))
    };
    let rows: Vec<(EmbeddingRow, Table, Column)> = known.iter().filter_map(find).collect();
    let names = |models: &[ColumnModel]| -> Vec<String> {
        let models = models.iter().filter_map(|used| view.catalog.model(used.model));
        models.map(|model| model.name.clone()).collect()
    };
    Rows::of(relation, &rows)
        .set("relid", |(_, table, _)| table.id)
        .set("schemaname", |(_, table, _)| view.schema_name(table.schema))
        .set("relname", |(_, table, _)| table.name.as_str())
        .set("attname", |(_, _, column)| column.name.as_str())
        .set("models", |(_, _, column)| names(&column.models))
        .set("versions", |(_, _, column)| {
            let versions = column.models.iter();
            versions.map(|used| i64::try_from(used.version).unwrap_or(i64::MAX)).collect::<Vec<_>>()
        })
        .set("checksums", |(_, _, column)| {
            column.models.iter().map(|used| used.checksum.clone()).collect::<Vec<_>>()
        })
        .set("phase", |(row, ..)| row.phase)
        .set("rows_total", |(row, ..)| row.rows_total)
        .set("rows_pending", |(row, ..)| row.rows_pending)
        .set("rows_failed", |(row, ..)| row.rows_failed)
        .set("last_error", |(row, ..)| row.last_error.clone())
        .set("replacement", |(_, _, column)| {
            column.replacement.as_ref().map(|replacement| replacement.generated.clone())
        })
        .finish()
}
