//! Bytes become rows.

use super::{
    CopyFormat, CopyOptions, Header, OnError, Verbosity, binary,
    fields::Fields,
    lines::{Found, Lines},
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, faults::text_of_bytes, input::ColumnBuilder, style::Style},
};
use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use std::{collections::VecDeque, sync::Arc};

/// Values and lines are shown up to so many bytes in a context.
const SHOWN_BYTES_MAX: usize = 100;

/// Reads the data of a `COPY … FROM STDIN`.
///
/// After an error the decoder is spent: the COPY has failed.
#[derive(Debug)]
pub struct CopyDecoder {
    options: Arc<CopyOptions>,
    table: String,
    columns: Vec<Column>,
    schema: SchemaRef,
    lines: Lines,
    fields: Fields,
    /// Bytes that do not make a row yet.
    buffer: Vec<u8>,
    /// The line, or the row of binary data, that is being read: counted from 1.
    line: u64,
    header: bool,
    ended: bool,
    finished: bool,
    /// Rows in the builders.
    rows: usize,
    batches: VecDeque<RecordBatch>,
    skipped: u64,
    notices: Vec<String>,
}

#[derive(Debug)]
struct Column {
    name: String,
    builder: ColumnBuilder,
    force_not_null: bool,
    force_null: bool,
}

/// Where in a line a fault lies.
enum Place<'a> {
    Line,
    Text(&'a str),
    Column(&'a str),
    Value(&'a str, Option<&'a str>),
}

impl CopyDecoder {
    /// A decoder of rows with these columns, for the table of this name.
    ///
    /// # Errors
    /// 42P10 where a `FORCE_…` option names a column that is not copied.
    pub fn new(
        options: &CopyOptions,
        kinds: &[PgType],
        names: &[String],
        table: &str,
        style: &Style,
    ) -> Result<Self> {
        let not_null = options.force_not_null.among("FORCE_NOT_NULL", names)?;
        let null = options.force_null.among("FORCE_NULL", names)?;
        let columns = kinds
            .iter()
            .zip(names)
            .zip(not_null.into_iter().zip(null))
            .map(|((kind, name), (force_not_null, force_null))| Column {
                name: name.clone(),
                builder: ColumnBuilder::new(kind, style),
                force_not_null,
                force_null,
            })
            .collect();
        let fields: Vec<_> =
            kinds.iter().zip(names).map(|(kind, name)| kind.field(name, true)).collect();
        let header = options.format == CopyFormat::Binary || options.header != Header::None;
        Ok(Self {
            options: Arc::new(options.clone()),
            table: table.to_owned(),
            columns,
            schema: Arc::new(Schema::new(fields)),
            lines: Lines::new(options),
            fields: Fields::default(),
            buffer: Vec::new(),
            line: 0,
            header,
            ended: false,
            finished: false,
            rows: 0,
            batches: VecDeque::new(),
            skipped: 0,
            notices: Vec::new(),
        })
    }

    /// Takes the bytes of one message.
    ///
    /// # Errors
    /// 22P04 where they are not of the format, and whatever the types' input functions raise,
    /// with line and column as context.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.ended {
            return match self.options.format {
                CopyFormat::Binary if !bytes.is_empty() => {
                    Err(self.at(Place::Line, binary::bad("received copy data after EOF marker")))
                }
                // What follows `\.` is not looked at.
                _ => Ok(()),
            };
        }
        self.buffer.extend_from_slice(bytes);
        self.read(false)
    }

    /// Reads what is left once all data has come; [`Self::take_batch`] then gives every row.
    ///
    /// # Errors
    /// As [`Self::push`]; 22P04 where binary data ends within a row.
    pub fn finish(&mut self) -> Result<()> {
        if !self.ended {
            self.read(true)?;
        }
        self.flush()?;
        self.finished = true;
        Ok(())
    }

    /// A batch of at most `max_rows` rows: once that many are there, or all data has come.
    ///
    /// # Errors
    /// An internal error where columns do not make a batch.
    pub fn take_batch(&mut self, max_rows: usize) -> Result<Option<RecordBatch>> {
        let waiting: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let enough = waiting + self.rows >= max_rows || self.finished;
        if !enough {
            return Ok(None);
        }
        if self.batches.is_empty() {
            self.flush()?;
        }
        let Some(batch) = self.batches.pop_front() else { return Ok(None) };
        if batch.num_rows() <= max_rows {
            return Ok(Some(batch));
        }
        self.batches.push_front(batch.slice(max_rows, batch.num_rows() - max_rows));
        Ok(Some(batch.slice(0, max_rows)))
    }

    /// How many rows `ON_ERROR ignore` has left out.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What is to be told of rows that were left out, since the last call: notices.
    pub fn take_notices(&mut self) -> Vec<String> {
        let mut notices = std::mem::take(&mut self.notices);
        if self.finished && self.skipped > 0 && self.options.verbosity != Verbosity::Silent {
            let rows = if self.skipped == 1 { "row was" } else { "rows were" };
            notices
                .push(format!("{} {rows} skipped due to data type incompatibility", self.skipped));
        }
        notices
    }

    /// Reads all whole rows of the buffer; `last` tells that nothing will follow.
    fn read(&mut self, last: bool) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let read = match self.options.format {
            CopyFormat::Binary => self.read_binary(&buffer, last)?,
            _ => self.read_lines(&buffer, last)?,
        };
        self.buffer = buffer;
        self.buffer.drain(..read);
        Ok(())
    }

    fn read_lines(&mut self, buffer: &[u8], last: bool) -> Result<usize> {
        let mut read = 0;
        loop {
            self.line += 1;
            let found = self.lines.find(&buffer[read..], last);
            if found.as_ref().map_or(true, |found| *found != Found::More) {
                self.line += std::mem::take(&mut self.lines.inner);
            }
            match found.map_err(|error| self.at(Place::Line, error))? {
                Found::More => {
                    self.line -= 1;
                    return Ok(read);
                }
                Found::End => {
                    self.ended = true;
                    return Ok(buffer.len());
                }
                Found::Line(length, whole) => {
                    let line = text_of_bytes(&buffer[read..read + length])
                        .map_err(|error| self.at(Place::Line, error))?;
                    if std::mem::take(&mut self.header) {
                        self.check_header(line)?;
                    } else {
                        self.row(line)?;
                    }
                    read += whole;
                }
            }
        }
    }

    fn check_header(&mut self, line: &str) -> Result<()> {
        if self.options.header != Header::Match {
            return Ok(());
        }
        let fault = |message: String| self.at(Place::Text(line), binary::bad(message));
        let mut fields = Fields::default();
        fields.read(line, &self.options).map_err(|error| self.at(Place::Text(line), error))?;
        let (found, expected) = (fields.len(), self.columns.len());
        if found != expected {
            return Err(fault(format!(
                "wrong number of fields in header line: got {found}, expected {expected}"
            )));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let name = fields.get(line, at).map_err(|error| self.at(Place::Text(line), error))?;
            if name == Some(&column.name) {
                continue;
            }
            let got = match name {
                Some(name) => format!("\"{name}\""),
                None => format!("null value (\"{}\")", self.options.null),
            };
            return Err(fault(format!(
                "column name mismatch in header line field {}: got {got}, expected \"{}\"",
                at + 1,
                column.name
            )));
        }
        Ok(())
    }

    fn row(&mut self, line: &str) -> Result<()> {
        let mut fields = std::mem::take(&mut self.fields);
        let result = self.fill(line, &mut fields);
        self.fields = fields;
        result
    }

    fn fill(&mut self, line: &str, fields: &mut Fields) -> Result<()> {
        let options = Arc::clone(&self.options);
        fields.read(line, &options).map_err(|error| self.at(Place::Text(line), error))?;
        if fields.len() > self.columns.len() {
            let error = binary::bad("extra data after last expected column");
            return Err(self.at(Place::Text(line), error));
        }
        for at in 0..self.columns.len() {
            let column = &mut self.columns[at];
            if at >= fields.len() {
                let error = binary::bad(format!("missing data for column \"{}\"", column.name));
                return Err(self.at(Place::Text(line), error));
            }
            let field = match fields.get(line, at) {
                Ok(field) => field,
                Err(error) => return Err(self.at(Place::Text(line), error)),
            };
            let value = match field {
                None if column.force_not_null => Some(options.null.as_str()),
                Some(text) if column.force_null && text == options.null => None,
                field => field,
            };
            let pushed = match value {
                Some(text) => column.builder.push_text(text),
                None => column.builder.push_null(),
            };
            if let Err(error) = pushed {
                return self.reject(error, at, value);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// A value does not fit its column: the COPY fails, or goes on without the row.
    fn reject(&mut self, error: Error, column: usize, value: Option<&str>) -> Result<()> {
        let name = self.columns[column].name.clone();
        let OnError::Ignore(limit) = self.options.on_error else {
            return Err(self.at(Place::Value(&name, value), error));
        };
        // The columns before have the row already: they end without it.
        self.flush()?;
        self.skipped += 1;
        if self.options.verbosity == Verbosity::Verbose {
            let shown =
                value.map_or("null input".to_owned(), |value| format!("\"{}\"", shown(value)));
            self.notices.push(format!(
                "skipping row due to data type incompatibility at line {} for column \"{name}\": \
                 {shown}",
                self.line
            ));
        }
        match limit {
            Some(limit) if self.skipped > limit => {
                let error = Error::new(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    format!(
                        "skipped more than REJECT_LIMIT ({limit}) rows due to data type \
                         incompatibility"
                    ),
                );
                Err(self.at(Place::Value(&name, value), error))
            }
            _ => Ok(()),
        }
    }

    fn read_binary(&mut self, buffer: &[u8], last: bool) -> Result<usize> {
        let mut read = 0;
        let cut = || binary::bad("unexpected EOF in COPY data");
        if self.header {
            match binary::header(buffer).map_err(|error| self.at(Place::Line, error))? {
                Some(length) => read = length,
                None if last => {
                    let error = binary::bad("COPY file signature not recognized");
                    return Err(self.at(Place::Line, error));
                }
                None => return Ok(0),
            }
            self.header = false;
        }
        loop {
            self.line += 1;
            let rest = &buffer[read..];
            let found = binary::row(rest, self.columns.len());
            match found.map_err(|error| self.at(Place::Line, error))? {
                binary::Found::More if last && !rest.is_empty() => {
                    return Err(self.at(Place::Line, cut()));
                }
                binary::Found::More => {
                    self.line -= 1;
                    return Ok(read);
                }
                binary::Found::End => {
                    self.ended = true;
                    if rest.len() > 2 {
                        let error = binary::bad("received copy data after EOF marker");
                        return Err(self.at(Place::Line, error));
                    }
                    return Ok(buffer.len());
                }
                binary::Found::Row(length) => {
                    self.binary_row(&rest[2..length])?;
                    read += length;
                }
            }
        }
    }

    fn binary_row(&mut self, mut row: &[u8]) -> Result<()> {
        for at in 0..self.columns.len() {
            let column = &mut self.columns[at];
            let pushed = binary::field(row).and_then(|(value, rest)| {
                row = rest;
                match value {
                    Some(bytes) => column.builder.push_binary(bytes),
                    None => column.builder.push_null(),
                }
            });
            if let Err(error) = pushed {
                let name = &self.columns[at].name;
                return Err(self.at(Place::Column(name), error));
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Makes a batch of the whole rows in the builders.
    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let columns =
            self.columns.iter_mut().map(|column| column.builder.finish().slice(0, rows)).collect();
        if rows > 0 {
            let batch =
                RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| {
                    Error::internal("the columns of COPY do not make a batch").source(error)
                })?;
            self.batches.push_back(batch);
        }
        Ok(())
    }

    /// Says where in the data a fault lies.
    fn at(&self, place: Place<'_>, error: Error) -> Error {
        let (table, line) = (&self.table, self.line);
        let here = format!("COPY {table}, line {line}");
        let here = match place {
            Place::Line => here,
            Place::Text(text) => format!("{here}: \"{}\"", shown(text)),
            Place::Column(name) => format!("{here}, column {name}"),
            Place::Value(name, None) => format!("{here}, column {name}: null input"),
            Place::Value(name, Some(value)) => {
                format!("{here}, column {name}: \"{}\"", shown(value))
            }
        };
        let context = match &error.fields().context {
            Some(inner) => format!("{inner}\n{here}"),
            None => here,
        };
        error.context(context)
    }
}

/// The beginning of a text that is too long to be shown.
fn shown(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}
