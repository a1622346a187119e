//! Whether a vector index is what its table wants it to be: everything is read once, the index and
//! the table.

use super::{recall::Subject, snapshot::Snapshot};
use crate::{
    error::Result,
    ids::{IndexId, RowId},
    index::Report,
};

/// Rows whose codes are compared with their vectors.
const SAMPLE: u64 = 256;

/// Checks an index against the rows of a snapshot. Which rows' codes are compared follows from
/// `pick`.
///
/// # Errors
/// 42809 for what is no vector index, 0A000 for one that is not searched, 55000 for one that is
/// being built; those of reading.
pub async fn verify(snapshot: &Snapshot, index: IndexId, pick: u64) -> Result<Report> {
    let subject = Subject::of(snapshot, index)?;
    let sample = subject.sample(SAMPLE, pick).await?;
    let live = |row: RowId| subject.rows().is_live(row);
    let mut counted = subject.index().verify(&live, &sample).await?;
    subject.each_indexed(|row| counted.expect(row)).await?;
    Ok(counted.report())
}
