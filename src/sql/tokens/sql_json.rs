//! SQL/JSON: sqlparser knows hardly any of its clauses. Before it reads, each call is put into words that
//! it does know, its clauses among the arguments:
//!
//! ```text
//! JSON_VALUE(doc, '$.a' RETURNING int NULL ON EMPTY)
//! json value(doc, '$.a', json clause('returning', CAST(NULL AS int)), json clause('empty', 'null'))
//!
//! doc IS NOT JSON ARRAY
//! doc NOT RLIKE json test('array')
//! ```
//!
//! Names with a space in them, and without quotes, are such that no user can write.

mod columns;
mod scan;

use self::scan::{Scan, is_clause, is_format, keyword, sees};
use super::NESTING_MAX;
use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Span, Token, TokenWithSpan, Word},
};

/// A clause: its name, and what it says.
pub(crate) const CLAUSE: &str = "json clause";
/// `x FORMAT JSON`
pub(crate) const FORMAT: &str = "json format";
/// `x IS JSON`
pub(crate) const TEST: &str = "json test";
/// A column of `JSON_TABLE`.
pub(crate) const COLUMN: &str = "json column";
/// Columns of `JSON_TABLE` one level deeper.
pub(crate) const NESTED: &str = "json nested";

/// `JSON(x)`
pub(crate) const JSON: &str = "json made";

/// The words of SQL/JSON, as calls begin with them.
const CALLS: [(&str, Call); 10] = [
    ("JSON_EXISTS", Call::Path("json exists")),
    ("JSON_VALUE", Call::Path("json value")),
    ("JSON_QUERY", Call::Path("json query")),
    ("JSON_TABLE", Call::Path("json table")),
    ("JSON_OBJECT", Call::Object("json object")),
    ("JSON_OBJECTAGG", Call::Object("json objectagg")),
    ("JSON_ARRAY", Call::Array("json array")),
    ("JSON_ARRAYAGG", Call::Array("json arrayagg")),
    ("JSON", Call::Value(JSON)),
    ("JSON_SERIALIZE", Call::Value("json serialize")),
];

/// What stands in a call, and the name that it gets.
#[derive(Clone, Copy)]
enum Call {
    /// A document, a path and clauses.
    Path(&'static str),
    /// Pairs, then clauses.
    Object(&'static str),
    /// Values or a query, then clauses.
    Array(&'static str),
    /// One value, then clauses.
    Value(&'static str),
}

impl Call {
    /// Whether it is a call of SQL/JSON, and not one of the function `json_object`, a cast `json(x)`, or
    /// the columns of a table that is named `json`.
    fn is_meant(self, mut scan: Scan<'_>) -> bool {
        match self {
            Self::Object("json object") if !scan.is_done() && !is_clause(scan.rest()) => {
                scan.key();
                sees(scan.rest(), &["VALUE"]) || scan.accept_token(&Token::Colon)
            }
            Self::Value(JSON) => {
                scan.until(is_clause);
                !scan.is_done()
            }
            _ => true,
        }
    }
}

/// Why tokens cannot be spoken.
pub(super) enum Fault {
    TooDeep,
    /// A token that must not stand there.
    Unexpected(TokenWithSpan),
    /// The end of a call that must not come yet.
    End,
}

type Result<T> = std::result::Result<T, Fault>;

/// The tokens with SQL/JSON in words that sqlparser knows.
pub(super) fn spoken(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut speaker = Speaker { out: Vec::with_capacity(tokens.len()), depth: 0 };
    speaker.all(tokens)?;
    Ok(speaker.out)
}

/// Whether there is anything of SQL/JSON.
pub(super) fn is_any(tokens: &[TokenWithSpan]) -> bool {
    let is_json = |word: &Word| {
        word.quote_style.is_none()
            && word.value.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("json"))
    };
    tokens.iter().any(|token| matches!(&token.token, Token::Word(word) if is_json(word)))
}

struct Speaker {
    out: Vec<TokenWithSpan>,
    depth: usize,
}

impl Speaker {
    fn all(&mut self, tokens: &[TokenWithSpan]) -> Result<()> {
        self.deeper(|speaker| speaker.each(tokens))
    }

    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(Fault::TooDeep);
        }
        let result = run(self);
        self.depth -= 1;
        result
    }

    fn each(&mut self, tokens: &[TokenWithSpan]) -> Result<()> {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let taken = match &token.token {
                Token::Word(word) if word.quote_style.is_none() => {
                    self.call(tokens, at)?.or_else(|| self.test(tokens, at))
                }
                _ => None,
            };
            match taken {
                Some(taken) => at += taken,
                None => {
                    self.out.push(token.clone());
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// A call that begins at a place; how many tokens it takes. Nothing for what is none.
    fn call(&mut self, tokens: &[TokenWithSpan], at: usize) -> Result<Option<usize>> {
        let opens = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
        let known = CALLS.iter().find(|(word, _)| opens && keyword(&tokens[at], word));
        let before = at.checked_sub(1).map(|before| &tokens[before].token);
        let Some((_, call)) = known.filter(|_| before != Some(&Token::Period)) else {
            return Ok(None);
        };
        let Some(inner) = scan::group(tokens, at + 1) else { return Ok(None) };
        let mut scan = Scan::new(inner);
        if !call.is_meant(scan.clone()) {
            return Ok(None);
        }
        let (span, close) = (tokens[at].span, &tokens[at + 2 + inner.len()]);
        let spoken = match call {
            Call::Path(name) => self.path_call(name, span, &mut scan),
            Call::Object(name) => self.object(name, span, &mut scan),
            Call::Array(name) => self.array(name, span, &mut scan),
            Call::Value(name) => self.value_call(name, span, &mut scan),
        };
        match spoken.and_then(|()| if scan.is_done() { Ok(()) } else { Err(scan.fault()) }) {
            Err(Fault::End) => return Err(Fault::Unexpected(close.clone())),
            spoken => spoken?,
        }
        self.push(Token::RParen, close.span);
        Ok(Some(inner.len() + 3))
    }

    /// `JSON_VALUE(document, path …)` and kin.
    fn path_call(&mut self, name: &str, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        self.opened(name, span);
        self.formatted(scan, |rest| rest[0].token == Token::Comma)?;
        scan.expect_token(&Token::Comma)?;
        self.comma(span);
        let ends = |rest: &[TokenWithSpan]| {
            is_clause(rest) || sees(rest, &["COLUMNS"]) || keyword(&rest[0], "AS")
        };
        self.all(scan.until(ends))?;
        // The path of JSON_TABLE may have a name, of which nothing comes.
        if scan.accept(&["AS"]) {
            scan.word()?;
        }
        self.clauses(span, scan)?;
        if name != "json table" {
            return Ok(());
        }
        self.columns(span, scan)?;
        self.clauses(span, scan)
    }

    /// `JSON_OBJECT(key : value, key VALUE value …)`
    fn object(&mut self, name: &str, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        self.opened(name, span);
        let mut is_first = true;
        while !scan.is_done() && !is_clause(scan.rest()) {
            if !is_first {
                self.comma(span);
            }
            self.all(scan.key())?;
            if !scan.accept(&["VALUE"]) {
                scan.expect_token(&Token::Colon)?;
            }
            self.comma(span);
            self.formatted(scan, |rest| rest[0].token == Token::Comma || is_clause(rest))?;
            is_first = false;
            if !scan.accept_token(&Token::Comma) {
                break;
            }
        }
        self.list_clauses(is_first, span, scan)
    }

    /// `JSON_ARRAY(value, …)`, `JSON_ARRAYAGG(value ORDER BY …)`, `JSON_ARRAY(query)`.
    fn array(&mut self, name: &str, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        let query = ["SELECT", "WITH", "VALUES", "TABLE"];
        let is_query = scan.rest().first().is_some_and(|t| query.iter().any(|w| keyword(t, w)));
        if is_query && name == "json array" {
            return self.array_of_query(span, scan);
        }
        self.opened(name, span);
        let mut is_first = true;
        while !scan.is_done() && !is_clause(scan.rest()) {
            if !is_first {
                self.comma(span);
            }
            let ends = |rest: &[TokenWithSpan]| {
                rest[0].token == Token::Comma || is_clause(rest) || sees(rest, &["ORDER", "BY"])
            };
            self.formatted(scan, ends)?;
            is_first = false;
            if !scan.accept_token(&Token::Comma) {
                break;
            }
        }
        let order = scan.until(is_clause);
        self.list_clauses(is_first, span, scan)?;
        self.all(order)
    }

    /// `json array query(ARRAY(query), …)`
    fn array_of_query(&mut self, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        let query = scan.until(|rest| is_format(rest) || sees(rest, &["RETURNING"]));
        scan.format();
        self.opened("json array query", span);
        self.push(Token::make_keyword("ARRAY"), span);
        self.push(Token::LParen, span);
        self.all(query)?;
        self.push(Token::RParen, span);
        self.clauses(span, scan)
    }

    /// `JSON(text WITH UNIQUE KEYS)`, `JSON_SERIALIZE(document RETURNING varchar)`.
    fn value_call(&mut self, name: &str, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        self.opened(name, span);
        self.formatted(scan, is_clause)?;
        self.clauses(span, scan)
    }

    /// A value up to a place, `FORMAT JSON` behind it.
    fn formatted(
        &mut self,
        scan: &mut Scan<'_>,
        ends: impl Fn(&[TokenWithSpan]) -> bool,
    ) -> Result<()> {
        let value = scan.until(|rest| is_format(rest) || ends(rest));
        let span = value.first().map_or(Span::empty(), |token| token.span);
        if !scan.format() {
            return self.all(value);
        }
        self.opened(FORMAT, span);
        self.all(value)?;
        self.push(Token::RParen, span);
        Ok(())
    }

    /// Clauses behind values, the first of them without a comma where there are no values.
    fn list_clauses(&mut self, is_first: bool, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        let start = self.out.len();
        self.clauses(span, scan)?;
        if is_first && self.out.len() > start {
            self.out.remove(start);
        }
        Ok(())
    }

    /// Each clause as an argument of its own, as far as there are any.
    fn clauses(&mut self, span: Span, scan: &mut Scan<'_>) -> Result<()> {
        while is_clause(scan.rest()) {
            if scan.accept(&["PASSING"]) {
                loop {
                    self.begin("passing", span);
                    self.comma(span);
                    self.formatted(scan, |rest| keyword(&rest[0], "AS"))?;
                    scan.expect("AS")?;
                    let name = scan.word()?;
                    self.comma(span);
                    self.text(&name, span);
                    self.push(Token::RParen, span);
                    if !scan.accept_token(&Token::Comma) {
                        break;
                    }
                }
            } else if scan.accept(&["RETURNING"]) {
                self.begin("returning", span);
                self.comma(span);
                self.a_type(scan.until(is_clause), span);
                self.push(Token::RParen, span);
            } else if scan.format() {
                self.clause("format", "json", span);
            } else if let Some((clause, word)) = scan.fixed_clause() {
                self.clause(clause, word, span);
            } else if scan.accept(&["DEFAULT"]) {
                let value = scan.until(scan::is_on);
                let Some(on) = scan.on() else { return Err(scan.fault()) };
                self.begin(on, span);
                self.comma(span);
                self.text("default", span);
                self.comma(span);
                self.all(value)?;
                self.push(Token::RParen, span);
            } else {
                return Err(scan.fault());
            }
        }
        Ok(())
    }

    /// `IS [NOT] JSON [kind] [WITH UNIQUE KEYS]`
    fn test(&mut self, tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
        let mut scan = Scan::new(&tokens[at..]);
        if !scan.accept(&["IS"]) {
            return None;
        }
        let negated = scan.accept(&["NOT"]);
        if !scan.accept(&["JSON"]) {
            return None;
        }
        let kinds =
            [("VALUE", "value"), ("SCALAR", "scalar"), ("ARRAY", "array"), ("OBJECT", "object")];
        let kind = kinds.iter().find(|(word, _)| scan.accept(&[*word]));
        let says_unique =
            ["WITH", "WITHOUT"].iter().any(|with| sees(scan.rest(), &[*with, "UNIQUE"]));
        let unique = if says_unique { scan.fixed_clause() } else { None };
        let span = tokens[at].span;
        if negated {
            self.push(Token::make_keyword("NOT"), span);
        }
        self.push(Token::make_keyword("RLIKE"), span);
        self.opened(TEST, span);
        self.text(kind.map_or("value", |(_, kind)| kind), span);
        if let Some((_, unique)) = unique {
            self.comma(span);
            self.text(unique, span);
        }
        self.push(Token::RParen, span);
        Some(scan.taken())
    }

    fn push(&mut self, token: Token, span: Span) {
        self.out.push(TokenWithSpan { token, span });
    }

    fn comma(&mut self, span: Span) {
        self.push(Token::Comma, span);
    }

    fn name(&mut self, name: &str, span: Span) {
        let word = Word { value: name.into(), quote_style: None, keyword: Keyword::NoKeyword };
        self.push(Token::Word(word), span);
    }

    fn text(&mut self, text: &str, span: Span) {
        self.push(Token::SingleQuotedString(text.into()), span);
    }

    /// `name(`
    fn opened(&mut self, name: &str, span: Span) {
        self.name(name, span);
        self.push(Token::LParen, span);
    }

    /// `, json clause('name'`
    fn begin(&mut self, clause: &str, span: Span) {
        self.comma(span);
        self.opened(CLAUSE, span);
        self.text(clause, span);
    }

    /// `, json clause('name', 'word')`
    fn clause(&mut self, clause: &str, word: &str, span: Span) {
        self.begin(clause, span);
        self.comma(span);
        self.text(word, span);
        self.push(Token::RParen, span);
    }

    /// `CAST(NULL AS type)`
    fn a_type(&mut self, kind: &[TokenWithSpan], span: Span) {
        for word in ["CAST", "(", "NULL", "AS"] {
            self.push(if word == "(" { Token::LParen } else { Token::make_keyword(word) }, span);
        }
        self.out.extend_from_slice(kind);
        self.push(Token::RParen, span);
    }
}
