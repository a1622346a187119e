//! COPY in both directions. Data come in as they are sent and go to the table in batches, so that
//! a slow table holds a fast client back; data go out as the client takes them.

use super::{
    connection::Connection, fault::Fault, message::Message, response, rows::Length, watch::watched,
    wire::Wire,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType,
        copy::{CopyDecoder, CopyEncoder, CopyFormat, CopyOptions},
    },
    session::{CopyIn, CopyOut, OutputColumn},
};
use futures::StreamExt;
use pgwire::messages::copy::{
    CopyDone, CopyInResponse, CopyOutResponse, MESSAGE_TYPE_BYTE_COPY_DATA,
};

/// How many bytes are read into rows before another connection has its turn.
const BITE_BYTES: usize = 1 << 18;
/// How many rows are handed on at a time,
const BATCH_ROWS: usize = 4096;
/// unless they are so large that fewer are worth it.
const BATCH_BYTES: usize = 8 << 20;
/// The condition of a notice that is no warning.
const SUCCESSFUL_COMPLETION: SqlState = SqlState::new(b"00000");

impl Connection {
    /// Takes rows until the client says that there are no more; the command tag.
    pub(super) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<String, Fault> {
        match self.receive(&mut copy).await {
            Ok(()) => {
                let Self { wire, session, canceller, .. } = self;
                Ok(watched(wire, canceller, copy.finish(session)).await?)
            }
            Err(fault) => {
                copy.undo(&mut self.session);
                Err(fault)
            }
        }
    }

    async fn receive(&mut self, copy: &mut CopyIn) -> Result<(), Fault> {
        let (kinds, names) = kinds_and_names(&copy.columns);
        let style = self.session.style();
        let mut decoder = CopyDecoder::new(&copy.options, &kinds, &names, &copy.table, &style)?;
        let (format, columns, formats) = formats(&copy.options, &copy.columns)?;
        self.wire.send(&CopyInResponse::new(format, columns, formats))?;
        self.wire.flush().await?;

        let mut bytes = 0;
        loop {
            match self.data().await? {
                // However much comes in one message, it is taken in bites.
                Message::CopyData(data) => {
                    for bite in data.chunks(BITE_BYTES) {
                        decoder.push(bite)?;
                        bytes += bite.len();
                        self.hand_on(&mut decoder, copy, &mut bytes).await?;
                    }
                }
                Message::CopyDone => break,
                Message::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(Error::new(SqlState::QUERY_CANCELED, message).into());
                }
                // Flush and Sync: libpq sends them along before it knows that data is wanted.
                _ => {}
            }
        }
        decoder.finish()?;
        self.hand_on(&mut decoder, copy, &mut bytes).await
    }

    /// Gives the table the rows that make a batch; `bytes` came since the last one.
    async fn hand_on(
        &mut self,
        decoder: &mut CopyDecoder,
        copy: &mut CopyIn,
        bytes: &mut usize,
    ) -> Result<(), Fault> {
        let Self { wire, session, canceller, .. } = self;
        let mut rows = BATCH_ROWS;
        loop {
            match decoder.take_batch(rows)? {
                Some(batch) => {
                    *bytes = 0;
                    watched(wire, canceller, copy.push(session, batch)).await?;
                }
                None if *bytes >= BATCH_BYTES && rows > 1 => rows /= 2,
                None => break,
            }
        }
        for notice in decoder.take_notices() {
            wire.send(&response::notice("NOTICE", &Error::new(SUCCESSFUL_COMPLETION, notice)))?;
        }
        Ok(())
    }

    /// Sends every row; the command tag.
    pub(super) async fn copy_out(&mut self, copy: CopyOut) -> Result<String, Fault> {
        let CopyOut { columns, options, mut stream } = copy;
        let (format, count, formats) = formats(&options, &columns)?;
        let style = self.session.style();
        let (kinds, names) = kinds_and_names(&columns);
        let mut encoder = CopyEncoder::new(&options, &kinds, &names, &style)?;
        let Self { wire, canceller, .. } = self;
        wire.send(&CopyOutResponse::new(format, count, formats))?;

        let mut chunk = Vec::new();
        encoder.header(&mut chunk);
        // The names are a line of their own; a signature travels with the first row.
        if options.format != CopyFormat::Binary {
            send_data(wire, &mut chunk)?;
        }
        let mut rows = 0_u64;
        let mut chunks = Vec::new();
        while let Some(batch) = watched(wire, canceller, stream.next()).await {
            encoder.batch(&batch?, &mut chunks)?;
            for row in chunks.drain(..) {
                rows += 1;
                chunk.extend_from_slice(&row);
                send_data(wire, &mut chunk)?;
                wire.relieve().await?;
            }
        }
        encoder.trailer(&mut chunk);
        send_data(wire, &mut chunk)?;
        wire.send(&CopyDone::new())?;
        Ok(format!("COPY {rows}"))
    }
}

fn kinds_and_names(columns: &[OutputColumn]) -> (Vec<PgType>, Vec<String>) {
    columns.iter().map(|column| (column.kind.clone(), column.name.clone())).unzip()
}

/// Sends a piece, where there is one, and empties it.
fn send_data(wire: &mut Wire, piece: &mut Vec<u8>) -> Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let output = wire.output();
    output.push(MESSAGE_TYPE_BYTE_COPY_DATA);
    let length = Length::of_message(output);
    output.append(piece);
    length.write(output)
}

/// The overall format, the number of columns, and the format of each.
fn formats(options: &CopyOptions, columns: &[OutputColumn]) -> Result<(i8, i16, Vec<i16>)> {
    let format = match options.format {
        CopyFormat::Binary => 1,
        CopyFormat::Text | CopyFormat::Csv => 0,
    };
    let count = i16::try_from(columns.len())
        .map_err(|_| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many columns"))?;
    Ok((format, count, vec![i16::from(format); columns.len()]))
}
