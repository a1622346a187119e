//! Arrow batches become DataRow messages, a row at a time, written in place into the output.
//! Nothing is kept but the batch at hand: the next one is made when the client has taken this
//! one.

use super::{fault::Fault, message::Format, watch::watched, wire::Wire};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{output::Encoder, style::Style},
    session::{Canceller, OutputColumn, Pace, RowStream, Rows, RowsTag},
};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use pgwire::messages::data::MESSAGE_TYPE_BYTE_DATA_ROW;
use std::sync::Arc;

/// A result that is being sent, perhaps with pauses.
pub(super) struct Cursor {
    columns: Arc<[OutputColumn]>,
    formats: Vec<Format>,
    stream: RowStream,
    tag: RowsTag,
    pace: Option<Arc<Pace>>,
    /// What was made and not yet sent: rows of the batch from this one on.
    rest: Option<(RecordBatch, usize)>,
}

/// What one call sent.
pub(super) struct Sent {
    pub(super) rows: u64,
    /// Whether it stopped at the limit; there may or may not be more rows.
    pub(super) is_suspended: bool,
}

impl Cursor {
    /// `formats`: none for text, one for all columns, or one for each.
    pub(super) fn new(rows: Rows, formats: Vec<Format>) -> Self {
        let Rows { columns, stream, tag, pace } = rows;
        Self { columns, formats, stream, tag, pace, rest: None }
    }

    /// Sends at most `rows_max` more rows.
    pub(super) async fn send(
        &mut self,
        wire: &mut Wire,
        canceller: &Canceller,
        style: &Style,
        rows_max: Option<u64>,
    ) -> Result<Sent, Fault> {
        if let Some(pace) = &self.pace {
            pace.resume();
        }
        let sent = self.send_some(wire, canceller, style, rows_max).await;
        if let Some(pace) = &self.pace {
            pace.pause();
        }
        sent
    }

    async fn send_some(
        &mut self,
        wire: &mut Wire,
        canceller: &Canceller,
        style: &Style,
        rows_max: Option<u64>,
    ) -> Result<Sent, Fault> {
        let rows_max = rows_max.unwrap_or(u64::MAX);
        let mut rows = 0;
        while rows < rows_max {
            let (batch, start) = match self.rest.take() {
                Some(rest) => rest,
                None => match watched(wire, canceller, self.stream.next()).await {
                    Some(batch) => (batch?, 0),
                    None => return Ok(Sent { rows, is_suspended: false }),
                },
            };
            let wanted = usize::try_from(rows_max - rows).unwrap_or(usize::MAX);
            let end = batch.num_rows().min(start.saturating_add(wanted));
            let encoder = RowEncoder::new(&self.columns, &self.formats, &batch, style)?;
            for row in start..end {
                encoder.row(row, wire.output())?;
                wire.relieve().await?;
            }
            rows += u64::try_from(end - start).expect("a batch has fewer rows than that");
            if end < batch.num_rows() {
                self.rest = Some((batch, end));
            }
        }
        Ok(Sent { rows, is_suspended: true })
    }

    /// The command tag when all is sent: a SELECT counts the rows since it was last resumed, as
    /// PostgreSQL does.
    pub(super) fn tag(&self, rows: u64) -> String {
        self.tag.text(rows)
    }
}

/// The format of a column where `formats` names none, one for all, or one for each.
pub(super) fn format_of(formats: &[Format], column: usize) -> Format {
    match formats {
        [] => Format::Text,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(Format::Text),
    }
}

/// Writes the rows of one batch.
struct RowEncoder {
    columns: Vec<(Encoder, Format)>,
    count: [u8; 2],
}

impl RowEncoder {
    fn new(
        columns: &[OutputColumn],
        formats: &[Format],
        batch: &RecordBatch,
        style: &Style,
    ) -> Result<Self> {
        let columns = columns
            .iter()
            .zip(batch.columns())
            .enumerate()
            .map(|(index, (column, array))| {
                Ok((Encoder::new(&column.kind, array, style)?, format_of(formats, index)))
            })
            .collect::<Result<Vec<_>>>()?;
        let count = u16::try_from(columns.len())
            .map_err(|_| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many columns"))?;
        Ok(Self { columns, count: count.to_be_bytes() })
    }

    /// Appends one message, or nothing.
    fn row(&self, row: usize, output: &mut Vec<u8>) -> Result<()> {
        let start = output.len();
        let written = self.try_row(row, output);
        if written.is_err() {
            output.truncate(start);
        }
        written
    }

    fn try_row(&self, row: usize, output: &mut Vec<u8>) -> Result<()> {
        output.push(MESSAGE_TYPE_BYTE_DATA_ROW);
        let message = Length::of_message(output);
        output.extend_from_slice(&self.count);
        for (encoder, format) in &self.columns {
            if encoder.is_null(row) {
                output.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let field = Length::of_field(output);
            match format {
                Format::Text => encoder.text(row, output)?,
                Format::Binary => encoder.binary(row, output)?,
            }
            field.write(output)?;
        }
        message.write(output)
    }
}

/// A length that stands before what it counts, and is known only after.
pub(super) struct Length {
    at: usize,
    counted_from: usize,
}

impl Length {
    /// The length of a message counts itself.
    pub(super) fn of_message(output: &mut Vec<u8>) -> Self {
        Self::reserve(output, 0)
    }

    /// The length of a field does not.
    fn of_field(output: &mut Vec<u8>) -> Self {
        Self::reserve(output, 4)
    }

    fn reserve(output: &mut Vec<u8>, skipped: usize) -> Self {
        let at = output.len();
        output.extend_from_slice(&[0; 4]);
        Self { at, counted_from: at + skipped }
    }

    pub(super) fn write(self, output: &mut [u8]) -> Result<()> {
        let length = i32::try_from(output.len() - self.counted_from).map_err(|_| {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is longer than a message can be")
        })?;
        output[self.at..self.at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}
