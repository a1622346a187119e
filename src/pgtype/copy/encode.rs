//! Rows become bytes.

use super::{CopyFormat, CopyOptions, Header, SIGNATURE};
use crate::{
    error::{Error, Result},
    pgtype::{PgType, output::Encoder, style::Style},
};
use arrow::array::RecordBatch;

/// Writes the data of a `COPY … TO STDOUT`.
#[derive(Debug)]
pub struct CopyEncoder {
    options: CopyOptions,
    kinds: Vec<PgType>,
    names: Vec<String>,
    force_quote: Vec<bool>,
    style: Style,
    value: Vec<u8>,
}

impl CopyEncoder {
    /// An encoder of rows with these columns.
    ///
    /// # Errors
    /// 42P10 where `FORCE_QUOTE` names a column that is not copied.
    pub fn new(
        options: &CopyOptions,
        kinds: &[PgType],
        names: &[String],
        style: &Style,
    ) -> Result<Self> {
        Ok(Self {
            options: options.clone(),
            kinds: kinds.to_vec(),
            names: names.to_vec(),
            force_quote: options.force_quote.among("FORCE_QUOTE", names)?,
            style: style.clone(),
            value: Vec::new(),
        })
    }

    /// Appends what stands before the rows: binary data's signature, or the line of names.
    pub fn header(&self, out: &mut Vec<u8>) {
        match self.options.format {
            CopyFormat::Binary => {
                out.extend_from_slice(SIGNATURE);
                // No flags, no extension.
                out.extend_from_slice(&[0; 8]);
            }
            _ if self.options.header == Header::None => {}
            _ => {
                for (at, name) in self.names.iter().enumerate() {
                    if at > 0 {
                        out.push(self.options.delimiter);
                    }
                    self.write_value(name.as_bytes(), false, out);
                }
                out.push(b'\n');
            }
        }
    }

    /// Appends one chunk for each row of a batch.
    ///
    /// # Errors
    /// Where a value has no form in the format: 0A000.
    pub fn batch(&mut self, batch: &RecordBatch, chunks: &mut Vec<Vec<u8>>) -> Result<()> {
        let columns = self
            .kinds
            .iter()
            .zip(batch.columns())
            .map(|(kind, array)| Encoder::new(kind, array, &self.style))
            .collect::<Result<Vec<_>>>()?;
        chunks.reserve(batch.num_rows());
        let mut length = 64;
        for row in 0..batch.num_rows() {
            let mut chunk = Vec::with_capacity(length);
            match self.options.format {
                CopyFormat::Binary => binary_row(&columns, row, &mut chunk)?,
                _ => self.line(&columns, row, &mut chunk)?,
            }
            // The next row is about as long.
            length = chunk.len() + chunk.len() / 8;
            chunks.push(chunk);
        }
        Ok(())
    }

    /// Appends what stands behind the rows.
    pub fn trailer(&self, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Binary {
            out.extend_from_slice(&(-1_i16).to_be_bytes());
        }
    }

    fn line(&mut self, columns: &[Encoder], row: usize, out: &mut Vec<u8>) -> Result<()> {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                out.push(self.options.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(self.options.null.as_bytes());
                continue;
            }
            let mut value = std::mem::take(&mut self.value);
            value.clear();
            let written = column.text(row, &mut value);
            self.write_value(&value, self.force_quote[at], out);
            self.value = value;
            written?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn write_value(&self, value: &[u8], force_quote: bool, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Csv {
            self.write_csv(value, force_quote, out);
        } else {
            self.write_text(value, out);
        }
    }

    fn write_text(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut run = 0;
        for (at, &byte) in value.iter().enumerate() {
            let escape = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                byte if byte == self.options.delimiter => byte,
                _ => continue,
            };
            out.extend_from_slice(&value[run..at]);
            out.extend_from_slice(&[b'\\', escape]);
            run = at + 1;
        }
        out.extend_from_slice(&value[run..]);
    }

    fn write_csv(&self, value: &[u8], force_quote: bool, out: &mut Vec<u8>) {
        let &CopyOptions { delimiter, quote, escape, .. } = &self.options;
        let quotes = force_quote
            || value == self.options.null.as_bytes()
            // Alone on its line it would end the data for older clients.
            || (self.kinds.len() == 1 && value == b"\\.")
            || value.iter().any(|byte| [delimiter, quote, b'\n', b'\r'].contains(byte));
        if !quotes {
            return out.extend_from_slice(value);
        }
        out.push(quote);
        for &byte in value {
            if byte == quote || byte == escape {
                out.push(escape);
            }
            out.push(byte);
        }
        out.push(quote);
    }
}

fn binary_row(columns: &[Encoder], row: usize, out: &mut Vec<u8>) -> Result<()> {
    let too_long = || Error::internal("a row is too long for binary COPY");
    let count = i16::try_from(columns.len()).map_err(|_| too_long())?;
    out.extend_from_slice(&count.to_be_bytes());
    for column in columns {
        if column.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        column.binary(row, out)?;
        let length = i32::try_from(out.len() - start - 4).map_err(|_| too_long())?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
