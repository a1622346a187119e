//! What the server says beside rows: errors, notices, descriptions.

use super::message::Format;
use crate::{
    error::Error,
    pgtype::{NUMERIC_ANY, PgType},
    session::{OutputColumn, TransactionStatus},
};
use pgwire::messages::{
    data::{FieldDescription, RowDescription},
    response::{ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus as ReadyStatus},
};

/// An error after which the connection goes on.
pub(super) fn error(error: &Error) -> ErrorResponse {
    ErrorResponse::new(fields("ERROR", error))
}

/// An error with which the connection ends.
pub(super) fn fatal(error: &Error) -> ErrorResponse {
    ErrorResponse::new(fields("FATAL", error))
}

/// Something worth saying that is no error.
pub(super) fn notice(severity: &str, notice: &Error) -> NoticeResponse {
    NoticeResponse::new(fields(severity, notice))
}

fn fields(severity: &str, error: &Error) -> Vec<(u8, String)> {
    let more = error.fields();
    let optional = [
        (b'D', more.detail.clone()),
        (b'H', more.hint.clone()),
        (b'P', more.position.map(|position| position.to_string())),
        (b'W', more.context.clone()),
        (b's', more.schema.clone()),
        (b't', more.table.clone()),
        (b'c', more.column.clone()),
        (b'n', more.constraint.clone()),
    ];
    [
        (b'S', Some(severity.to_owned())),
        (b'V', Some(severity.to_owned())),
        (b'C', Some(error.state().to_string())),
        (b'M', Some(error.message().to_owned())),
    ]
    .into_iter()
    .chain(optional)
    // A zero byte would end the field, and with it the sense of the rest.
    .filter_map(|(code, text)| text.map(|text| (code, text.replace('\0', "\\0"))))
    .collect()
}

/// The server waits for the next message.
pub(super) fn ready(status: TransactionStatus) -> ReadyForQuery {
    ReadyForQuery::new(match status {
        TransactionStatus::Idle => ReadyStatus::Idle,
        TransactionStatus::InTransaction => ReadyStatus::Transaction,
        TransactionStatus::Failed => ReadyStatus::Error,
    })
}

/// The modifier of a column's type. A numeric that is computed has digits enough, which is how it
/// is carried and no modifier.
fn modifier(column: &OutputColumn) -> i32 {
    match column.kind {
        PgType::Numeric(Some((digits, _))) if column.table == 0 && digits == NUMERIC_ANY.0 => -1,
        _ => column.kind.typmod(),
    }
}

/// The columns of a result and how each is written.
pub(super) fn row_description(
    columns: &[OutputColumn],
    format: impl Fn(usize) -> Format,
) -> RowDescription {
    let field = |(index, column): (usize, &OutputColumn)| {
        FieldDescription::new(
            column.name.clone(),
            // An oid has 32 bits; pgwire reads them as signed.
            column.table.cast_signed(),
            column.column,
            column.kind.oid(),
            column.kind.typlen(),
            modifier(column),
            format(index).code(),
        )
    };
    RowDescription::new(columns.iter().enumerate().map(field).collect())
}
