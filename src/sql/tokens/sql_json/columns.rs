//! The columns of `JSON_TABLE`: each becomes an argument.
//!
//! ```text
//! COLUMNS (n FOR ORDINALITY, a int PATH '$.a', NESTED '$.b[*]' COLUMNS (c text))
//! json column('n', 'ordinality'), json column('a', 'value', CAST(NULL AS int), json clause('path', '$.a')),
//! json nested('$.b[*]', json column('c', 'value', CAST(NULL AS text)))
//! ```

use super::{
    COLUMN, NESTED, Result, Speaker,
    scan::{Scan, is_clause, sees},
};
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

impl Speaker {
    /// `COLUMNS (…)`
    pub(super) fn columns(&mut self, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        scan.expect("COLUMNS")?;
        let mut columns = Scan::new(scan.group()?);
        loop {
            self.comma(span);
            self.column(span, &mut columns)?;
            if columns.is_done() {
                return Ok(());
            }
            columns.expect_token(&Token::Comma)?;
        }
    }

    fn column(&mut self, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        let is_nested = scan.accept(&["NESTED", "PATH"])
            || scan.rest().get(1).is_some_and(|t| matches!(t.token, Token::SingleQuotedString(_)))
                && scan.accept(&["NESTED"]);
        if is_nested {
            return self.deeper(|speaker| speaker.nested(span, scan));
        }
        let name = scan.word()?;
        self.opened(COLUMN, span);
        self.text(&name, span);
        self.comma(span);
        if scan.accept(&["FOR", "ORDINALITY"]) {
            self.text("ordinality", span);
            self.push(Token::RParen, span);
            return Ok(());
        }
        let kind = scan.until(|rest| {
            rest[0].token == Token::Comma
                || is_clause(rest)
                || sees(rest, &["EXISTS"])
                || sees(rest, &["PATH"])
        });
        let is_formatted = scan.format();
        let exists = scan.accept(&["EXISTS"]);
        self.text(if exists { "exists" } else { "value" }, span);
        self.comma(span);
        self.a_type(kind, span);
        if is_formatted {
            self.clause("format", "json", span);
        }
        if scan.accept(&["PATH"]) {
            let path = scan.string()?;
            self.clause("path", &path, span);
        }
        self.clauses(span, scan)?;
        self.push(Token::RParen, span);
        Ok(())
    }

    fn nested(&mut self, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        let path = scan.string()?;
        if scan.accept(&["AS"]) {
            scan.word()?;
        }
        self.opened(NESTED, span);
        self.text(&path, span);
        self.columns(span, scan)?;
        self.push(Token::RParen, span);
        Ok(())
    }
}
