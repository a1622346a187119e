//! The formats of COPY: text, CSV and binary, in both directions.
//!
//! [`CopyOptions`] are what stands in parentheses behind COPY. A [`CopyDecoder`] takes the bytes
//! as they arrive, cut anywhere, and gives batches of rows; a [`CopyEncoder`] takes batches and
//! gives one message per row. Faults carry PostgreSQL's context: `COPY items, line 3, column v`.

mod binary;
mod decode;
mod encode;
mod fields;
mod lines;
mod options;

#[cfg(test)]
mod tests;

pub use decode::CopyDecoder;
pub use encode::CopyEncoder;
pub use options::{
    CopyArgument, CopyDirection, CopyFormat, CopyOptions, ForcedColumns, Header, OnError, Verbosity,
};

/// What binary data begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
