//! Every byte that is read is checked.

use super::*;
use crate::storage::paths::ObjectPath;
use bytes::Bytes;
use object_store::{ObjectStoreExt, path::Path as Location};

/// Reads all there is: rows whole and by page, and keys.
async fn everything(
    objects: &Arc<InMemory>,
    metas: &[SegmentMeta],
    deletes: Option<&ObjectRef>,
) -> Result<(Vec<Vec<ArrayRef>>, RecordBatch, u64)> {
    let store = store_over(objects);
    let state = TableState::open(&store, metas.to_vec(), deletes, RowId(9000)).await?;
    let state = state.with_key(KeySpec::new(Oid(1), vec![ColumnId(1)]));
    let columns = columns();
    let taken = state.take(&[RowId(7), RowId(8000)], &columns[2..]).await?;
    let mut groups = Vec::new();
    for group in state.groups() {
        groups.push(group.columns(&columns).await?);
        let hashes: Vec<u64> =
            key_hashes(&groups.last().unwrap()[..1], false).into_iter().flatten().collect();
        state.key_candidates(Oid(1), &hashes).await?;
    }
    Ok((groups, taken, state.deleted_rows()))
}

fn columns() -> Vec<ColumnSpec> {
    vec![spec(1, PgType::Int8), spec(2, PgType::Text), spec(3, PgType::Vector(Some(32)))]
}

async fn read(objects: &InMemory, object: &ObjectPath) -> Bytes {
    objects.get(&Location::from(object.as_str())).await.unwrap().bytes().await.unwrap()
}

async fn write(objects: &InMemory, object: &ObjectPath, bytes: Vec<u8>) {
    objects.put(&Location::from(object.as_str()), bytes.into()).await.unwrap();
}

#[test]
fn damage_anywhere_is_reported_and_never_served() {
    block_on(async {
        let (store, objects) = store();
        let text: StringArray = (0..9000).map(|n| Some(format!("row {}", n % 7))).collect();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(0..9000)),
            Arc::new(text),
            arrays::vectors(9000, 32, |row| (row % 3 != 0).then_some(row as f32)),
        ];
        let state = TableState::empty().with_key(KeySpec::new(Oid(1), vec![ColumnId(1)]));
        let state = state.append(&batch(&columns(), arrays));
        // Rows that are gone before the flush leave gaps, one that goes later is in the set.
        let state = state.delete(&(100..200).collect());
        let state = flushed(&store, &state, &columns()).await.delete(&(300..301).collect());
        let metas: Vec<SegmentMeta> = state.segments().map(|s| s.meta().clone()).collect();
        // Parquet's magic number at the start, and the offsets of the rows.
        let mut unread: Vec<Range<u64>> = state.segments().flat_map(|s| s.unread()).collect();
        unread.push(0..4);
        let deletes = state.write_deletes(&store).await.unwrap();
        let whole = everything(&objects, &metas, deletes.as_ref()).await.unwrap();
        assert_eq!(whole.2, 1);

        let mut named: Vec<ObjectPath> = metas.iter().flat_map(SegmentMeta::objects).collect();
        named.extend(deletes.iter().map(|object| object.path.clone()));
        assert_eq!(named.len(), 3);
        for object in &named {
            let bytes = read(&objects, object).await;
            let is_unread = |at: usize| {
                object.as_str().ends_with(".parquet")
                    && unread.iter().any(|range| range.contains(&(at as u64)))
            };
            let step = (bytes.len() / 150).max(1);
            let near_ends = (0..24).chain(bytes.len() - 24..bytes.len());
            for at in (0..bytes.len()).step_by(step).chain(near_ends) {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 0x10;
                write(&objects, object, damaged).await;
                match everything(&objects, &metas, deletes.as_ref()).await {
                    Ok(read) => {
                        assert!(is_unread(at), "byte {at} of {object} is not checked");
                        assert_eq!(read, whole);
                    }
                    Err(error) => {
                        assert_eq!(error.state().as_str(), "XX001", "{error:?}");
                        assert!(error.message().contains(object.as_str()), "{error}");
                    }
                }
            }
            write(&objects, object, bytes[..bytes.len() / 2].to_vec()).await;
            let error = everything(&objects, &metas, deletes.as_ref()).await.unwrap_err();
            assert_eq!(error.state().as_str(), "XX001", "{error:?}");
            write(&objects, object, bytes.to_vec()).await;
        }
        assert_eq!(everything(&objects, &metas, deletes.as_ref()).await.unwrap(), whole);
    });
}
