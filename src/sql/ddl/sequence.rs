//! Sequences: where they start, how they step, where they end.

use crate::{
    error::{Error, Result, SqlState},
    sql::{
        cursor::Cursor,
        utility::{Name, SequenceOptions},
    },
};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Options of a sequence, and RESTART with its number.
pub(super) fn sequence_options(
    cursor: &mut Cursor<'_>,
) -> Result<(SequenceOptions, Option<Option<i64>>)> {
    let (mut options, mut restart) = (SequenceOptions::default(), None);
    loop {
        if cursor.accept("AS") {
            options.kind = Some(cursor.known_type()?);
        } else if cursor.accept("INCREMENT") {
            cursor.accept("BY");
            options.increment = Some(cursor.integer()?);
        } else if cursor.accept("START") {
            cursor.accept("WITH");
            options.start = Some(cursor.integer()?);
        } else if cursor.accept("RESTART") {
            cursor.accept("WITH");
            let is_number = matches!(
                cursor.peek().map(|token| &token.token),
                Some(Token::Number(..) | Token::Minus)
            );
            restart = Some(if is_number { Some(cursor.integer()?) } else { None });
        } else if cursor.accept("NO MINVALUE") {
            options.min = Some(None);
        } else if cursor.accept("MINVALUE") {
            options.min = Some(Some(cursor.integer()?));
        } else if cursor.accept("NO MAXVALUE") {
            options.max = Some(None);
        } else if cursor.accept("MAXVALUE") {
            options.max = Some(Some(cursor.integer()?));
        } else if cursor.accept("NO CYCLE") {
            options.cycle = Some(false);
        } else if cursor.accept("CYCLE") {
            options.cycle = Some(true);
        } else if cursor.accept("CACHE") {
            // How many values are reserved at once is the sequence's own business.
            cursor.integer()?;
        } else if cursor.accept("OWNED BY NONE") {
            options.owned_by = Some(None);
        } else if cursor.accept("OWNED BY") {
            let path = cursor.name()?;
            let table = path.schema.ok_or_else(|| {
                Error::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                    .hint("Specify OWNED BY table.column or OWNED BY NONE.")
                    .at(path.position)
            })?;
            let name = Name { schema: None, name: table, position: path.position };
            options.owned_by = Some(Some((name, path.name)));
        } else if cursor.accept("SEQUENCE NAME") {
            cursor.name()?;
        } else {
            return Ok((options, restart));
        }
    }
}
