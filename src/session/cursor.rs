//! Cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! A cursor that only goes forward streams. One that scrolls or outlives its transaction keeps
//! its rows.

use super::{OutputColumn, RowStream};
use crate::{
    error::{Error, Result, SqlState},
    exec::kept::Kept,
    sql::utility::Direction,
};
use arrow::{
    array::{RecordBatch, UInt64Array},
    compute::take_record_batch,
};
use datafusion::execution::memory_pool::MemoryPool;
use futures::StreamExt;
use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

/// The cursors of a session.
#[derive(Debug, Default)]
pub(super) struct Cursors(HashMap<String, Cursor>);

/// A query in the middle of its rows.
pub(super) struct Cursor {
    pub(super) columns: Arc<[OutputColumn]>,
    pub(super) hold: bool,
    rows: Source,
}

enum Source {
    /// Rows to come: the rest of a batch, then the stream.
    Forward { rest: Option<RecordBatch>, stream: RowStream },
    /// All rows.
    Kept(Shelf),
}

/// All rows of a query, and how many lie at or before the cursor: 0 is before the first, and one
/// more than there are is after the last.
struct Shelf {
    rows: Kept,
    /// How many rows there are up to the end of each batch.
    ends: Vec<i64>,
    position: i64,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("hold", &self.hold).finish_non_exhaustive()
    }
}

impl Cursors {
    pub(super) fn open(&mut self, name: &str, cursor: Cursor) -> Result<()> {
        if self.0.contains_key(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        self.0.insert(name.to_owned(), cursor);
        Ok(())
    }

    pub(super) fn named(&mut self, name: &str) -> Result<&mut Cursor> {
        self.0.get_mut(name).ok_or_else(|| no_cursor(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn columns(&self, name: &str) -> Result<Arc<[OutputColumn]>> {
        self.0.get(name).map(|cursor| Arc::clone(&cursor.columns)).ok_or_else(|| no_cursor(name))
    }

    /// CLOSE; `None` closes all.
    pub(super) fn close(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.0.clear(),
            Some(name) => drop(self.0.remove(name).ok_or_else(|| no_cursor(name))?),
        }
        Ok(())
    }

    /// Only a committed cursor WITH HOLD outlives its transaction.
    pub(super) fn end_transaction(&mut self, committed: bool) {
        self.0.retain(|_, cursor| cursor.hold && (committed || cursor.is_of_the_past()));
        for cursor in self.0.values_mut() {
            cursor.hold = true;
        }
    }
}

impl Cursor {
    /// Goes forward only.
    pub(super) fn forward(columns: Arc<[OutputColumn]>, stream: RowStream) -> Self {
        // Whoever has seen the end may ask again.
        let stream = Box::pin(stream.fuse());
        Self { columns, hold: false, rows: Source::Forward { rest: None, stream } }
    }

    /// Keeps its rows.
    pub(super) fn kept(columns: Arc<[OutputColumn]>, rows: Kept, hold: bool) -> Self {
        let mut total = 0;
        let counted = |batch: &RecordBatch| {
            total += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            total
        };
        let ends = rows.batches().iter().map(counted).collect();
        Self { columns, hold, rows: Source::Kept(Shelf { rows, ends, position: 0 }) }
    }

    /// A cursor WITH HOLD keeps its rows, so that a later rollback does not touch them.
    fn is_of_the_past(&self) -> bool {
        self.hold && matches!(self.rows, Source::Kept(_))
    }

    /// Moves and gives the rows that lie on the way.
    pub(super) async fn fetch(
        &mut self,
        direction: Direction,
        memory: &Arc<dyn MemoryPool>,
    ) -> Result<Kept> {
        let mut fetched = Kept::new(memory);
        match &mut self.rows {
            Source::Forward { rest, stream } => {
                let wanted = match direction {
                    Direction::Forward(count) | Direction::Relative(count) if count > 0 => {
                        usize::try_from(count).unwrap_or(usize::MAX)
                    }
                    Direction::ForwardAll => usize::MAX,
                    _ => {
                        return Err(Error::new(
                            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "cursor can only scan forward",
                        )
                        .hint("Declare it with SCROLL option to enable backward scan."));
                    }
                };
                // Only the row that a relative move ends at.
                let skipped = match direction {
                    Direction::Relative(_) => wanted - 1,
                    _ => 0,
                };
                forward(rest, stream, skipped, wanted, &mut fetched).await?;
            }
            Source::Kept(shelf) => {
                for batch in shelf.fetch(direction)? {
                    fetched.push(batch)?;
                }
            }
        }
        Ok(fetched)
    }
}

/// Takes the next `wanted` rows, of which the first `skipped` are left out.
async fn forward(
    rest: &mut Option<RecordBatch>,
    stream: &mut RowStream,
    mut skipped: usize,
    mut wanted: usize,
    fetched: &mut Kept,
) -> Result<()> {
    while wanted > 0 {
        let batch = match rest.take() {
            Some(batch) => batch,
            None => match stream.next().await {
                Some(batch) => batch?,
                None => break,
            },
        };
        let taken = batch.num_rows().min(wanted);
        wanted -= taken;
        if taken < batch.num_rows() {
            *rest = Some(batch.slice(taken, batch.num_rows() - taken));
        }
        let left_out = taken.min(skipped);
        skipped -= left_out;
        if left_out < taken {
            fetched.push(batch.slice(left_out, taken - left_out))?;
        }
    }
    Ok(())
}

impl Shelf {
    fn fetch(&mut self, direction: Direction) -> Result<Vec<RecordBatch>> {
        let total = self.ends.last().copied().unwrap_or(0);
        let at = self.position;
        let clamp = |place: i64| place.clamp(0, total.saturating_add(1));
        let goal = match direction {
            Direction::Forward(count) | Direction::Relative(count) => {
                clamp(at.saturating_add(count))
            }
            Direction::ForwardAll => total.saturating_add(1),
            Direction::BackwardAll => 0,
            Direction::Absolute(place) if place < 0 => clamp(total + 1 + place),
            Direction::Absolute(place) => clamp(place),
        };
        self.position = goal;
        match direction {
            Direction::Forward(0) | Direction::Absolute(_) | Direction::Relative(_) => {
                Ok(self.between(goal, goal + 1))
            }
            // The rows of a move lie strictly behind where it starts, up to where it ends.
            _ if goal >= at => Ok(self.between(at + 1, goal + 1)),
            _ => self.between(goal, at).iter().rev().map(reversed).collect(),
        }
    }

    /// The rows from one number up to another, as far as there are any; the first row is 1.
    fn between(&self, first: i64, end: i64) -> Vec<RecordBatch> {
        let first = first.max(1) - 1;
        let end = end - 1;
        let mut found = Vec::new();
        for place in self.ends.partition_point(|&end| end <= first)..self.ends.len() {
            let begin = if place == 0 { 0 } else { self.ends[place - 1] };
            let range = begin.max(first)..self.ends[place].min(end);
            if range.is_empty() {
                break;
            }
            let Range { start, end } = range;
            let within = |row: i64| usize::try_from(row).unwrap_or(0);
            let batch = &self.rows.batches()[place];
            found.push(batch.slice(within(start - begin), within(end - start)));
        }
        found
    }
}

fn reversed(batch: &RecordBatch) -> Result<RecordBatch> {
    let places: UInt64Array = (0..batch.num_rows() as u64).rev().collect();
    take_record_batch(batch, &places)
        .map_err(|error| Error::internal("rows of a cursor").source(error))
}

fn no_cursor(name: &str) -> Error {
    Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}
