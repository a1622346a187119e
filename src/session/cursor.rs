//! Cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! A cursor that only goes forward streams. One that scrolls or outlives its transaction keeps
//! its rows.

use super::{OutputColumn, RowStream};
use crate::{
    error::{Error, Result, SqlState},
    sql::utility::Direction,
};
use arrow::array::RecordBatch;
use futures::StreamExt;
use std::{collections::HashMap, fmt, sync::Arc};

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
    /// All rows, and how many lie at or before the cursor: 0 is before the first, and one more
    /// than there are is after the last.
    Kept { batches: Vec<RecordBatch>, position: i64 },
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
        Self { columns, hold: false, rows: Source::Forward { rest: None, stream } }
    }

    /// Keeps its rows.
    pub(super) async fn kept(
        columns: Arc<[OutputColumn]>,
        mut stream: RowStream,
        hold: bool,
    ) -> Result<Self> {
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch?);
        }
        Ok(Self { columns, hold, rows: Source::Kept { batches, position: 0 } })
    }

    /// A cursor WITH HOLD keeps its rows, so that a later rollback does not touch them.
    fn is_of_the_past(&self) -> bool {
        self.hold && matches!(self.rows, Source::Kept { .. })
    }

    /// Moves and gives the rows that lie on the way.
    pub(super) async fn fetch(&mut self, direction: Direction) -> Result<Vec<RecordBatch>> {
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
                let rows = forward(rest, stream, wanted).await?;
                Ok(match direction {
                    // Only the row that the move ends at.
                    Direction::Relative(count) => last_of(&rows, count),
                    _ => rows,
                })
            }
            Source::Kept { batches, position } => Ok(kept(batches, position, direction)),
        }
    }
}

async fn forward(
    rest: &mut Option<RecordBatch>,
    stream: &mut RowStream,
    mut wanted: usize,
) -> Result<Vec<RecordBatch>> {
    let mut rows = Vec::new();
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
        rows.push(batch.slice(0, taken));
    }
    Ok(rows)
}

fn last_of(rows: &[RecordBatch], count: i64) -> Vec<RecordBatch> {
    let total: usize = rows.iter().map(RecordBatch::num_rows).sum();
    if i64::try_from(total) != Ok(count) {
        return Vec::new();
    }
    let last = rows.iter().rfind(|batch| batch.num_rows() > 0);
    last.map(|batch| batch.slice(batch.num_rows() - 1, 1)).into_iter().collect()
}

fn kept(batches: &[RecordBatch], position: &mut i64, direction: Direction) -> Vec<RecordBatch> {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    let at = *position;
    let clamp = |place: i64| place.clamp(0, total.saturating_add(1));
    // The rows of a move lie strictly behind where it starts, up to where it ends.
    let run = |from: i64, to: i64| -> Vec<i64> {
        let step = if to >= from { 1 } else { -1 };
        let mut places = Vec::new();
        let mut place = from;
        while place != to {
            place += step;
            if (1..=total).contains(&place) {
                places.push(place);
            }
        }
        places
    };
    let places = match direction {
        Direction::Forward(0) | Direction::Relative(0) => vec![at],
        Direction::Forward(count) => {
            *position = clamp(at.saturating_add(count));
            run(at, *position)
        }
        Direction::ForwardAll => {
            *position = total.saturating_add(1);
            run(at, *position)
        }
        Direction::BackwardAll => {
            *position = 0;
            run(at, 0)
        }
        Direction::Absolute(place) => {
            *position = clamp(if place < 0 { total + 1 + place } else { place });
            vec![*position]
        }
        Direction::Relative(count) => {
            *position = clamp(at.saturating_add(count));
            vec![*position]
        }
    };
    places.into_iter().filter_map(|place| row(batches, place)).collect()
}

/// The row of a number from 1, as a batch.
fn row(batches: &[RecordBatch], place: i64) -> Option<RecordBatch> {
    let mut place = usize::try_from(place).ok()?.checked_sub(1)?;
    for batch in batches {
        if place < batch.num_rows() {
            return Some(batch.slice(place, 1));
        }
        place -= batch.num_rows();
    }
    None
}

fn no_cursor(name: &str) -> Error {
    Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}
