//! Tokens into the tree of a path, by descent: what binds loosest is read first.

use super::{
    Argument, Arithmetic, Compare, Expr, Method, Path, Sign, Step,
    lexer::{Token, syntax_error, tokens},
};
use crate::error::{Error, Result, SqlState};

/// How deep a path may nest.
const DEPTH_MAX: usize = 128;

pub(super) fn parse(text: &str) -> Result<Path> {
    let tokens = tokens(text)?;
    let mut parser =
        Parser { text, tokens: &tokens, at: 0, depth: 0, in_filter: 0, in_brackets: 0 };
    let strict = parser.accept_word("strict");
    if !strict {
        parser.accept_word("lax");
    }
    let expr = parser.any()?;
    if parser.at < tokens.len() {
        return parser.fault();
    }
    Ok(Path { strict, expr })
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    /// `@` is known within filters, `last` within subscripts.
    in_filter: usize,
    in_brackets: usize,
}

impl Parser<'_> {
    fn fault<T>(&self) -> Result<T> {
        let near = self.peek().map(Token::to_string);
        Err(syntax_error(self.text, near.as_deref()))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn accept(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: char) -> bool {
        self.accept(&Token::Sign(sign))
    }

    fn expect(&mut self, sign: char) -> Result<()> {
        if self.sign(sign) { Ok(()) } else { self.fault() }
    }

    fn sees_word(&self, ahead: usize, wanted: &str) -> bool {
        matches!(self.tokens.get(self.at + ahead), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted))
    }

    fn accept_word(&mut self, wanted: &str) -> bool {
        let found = self.sees_word(0, wanted);
        self.at += usize::from(found);
        found
    }

    fn predicate(&self, expr: Expr) -> Result<Box<Expr>> {
        if expr.is_predicate() { Ok(Box::new(expr)) } else { self.fault() }
    }

    fn items(&self, expr: Expr) -> Result<Box<Expr>> {
        if expr.is_predicate() { self.fault() } else { Ok(Box::new(expr)) }
    }

    /// Items or a predicate: `||` binds loosest.
    fn any(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded"));
        }
        let mut left = self.all()?;
        while self.accept(&Token::Or) {
            let right = self.all()?;
            left = Expr::Or(self.predicate(left)?, self.predicate(right)?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all(&mut self) -> Result<Expr> {
        let mut left = self.test()?;
        while self.accept(&Token::And) {
            let right = self.test()?;
            left = Expr::And(self.predicate(left)?, self.predicate(right)?);
        }
        Ok(left)
    }

    fn test(&mut self) -> Result<Expr> {
        if self.sign('!') {
            let inner = match self.peek() {
                Some(Token::Sign('(')) => {
                    self.at += 1;
                    let inner = self.any()?;
                    self.expect(')')?;
                    inner
                }
                _ => self.exists()?,
            };
            return Ok(Expr::Not(self.predicate(inner)?));
        }
        if self.sees_word(0, "exists") {
            return self.exists();
        }
        let left = self.sum()?;
        if let Some(Token::Compare(compare)) = self.peek() {
            let compare: Compare = *compare;
            self.at += 1;
            let right = self.sum()?;
            return Ok(Expr::Compare(compare, self.items(left)?, self.items(right)?));
        }
        if self.sees_word(0, "starts") && self.sees_word(1, "with") {
            self.at += 2;
            let right = match self.peek().cloned() {
                Some(Token::Text(text)) => Expr::Text(text),
                Some(Token::Variable(name)) => Expr::Variable(name),
                _ => return self.fault(),
            };
            self.at += 1;
            return Ok(Expr::StartsWith(self.items(left)?, Box::new(right)));
        }
        if self.accept_word("like_regex") {
            let pattern = self.text_literal()?;
            let flags = if self.accept_word("flag") { self.text_literal()? } else { String::new() };
            return Ok(Expr::LikeRegex(self.items(left)?, pattern, self.flags(&flags)?));
        }
        if left.is_predicate() && self.sees_word(0, "is") && self.sees_word(1, "unknown") {
            self.at += 2;
            return Ok(Expr::IsUnknown(Box::new(left)));
        }
        Ok(left)
    }

    fn flags(&self, flags: &str) -> Result<String> {
        if let Some(other) = flags.chars().find(|flag| !"ismxq".contains(*flag)) {
            let what = "invalid input syntax for type jsonpath";
            let detail =
                format!("Unrecognized flag character \"{other}\" in LIKE_REGEX predicate.");
            return Err(Error::new(SqlState::SYNTAX_ERROR, what).detail(detail));
        }
        if flags.contains('x') && !flags.contains('q') {
            let what = "XQuery \"x\" flag (expanded regular expressions) is not implemented";
            return Err(Error::unsupported(what));
        }
        // Each once, in the order in which PostgreSQL writes them.
        Ok("ismxq".chars().filter(|flag| flags.contains(*flag)).collect())
    }

    fn text_literal(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text)
            }
            _ => self.fault(),
        }
    }

    fn exists(&mut self) -> Result<Expr> {
        if !self.accept_word("exists") {
            return self.fault();
        }
        self.expect('(')?;
        let inner = self.any()?;
        self.expect(')')?;
        Ok(Expr::Exists(self.items(inner)?))
    }

    fn sum(&mut self) -> Result<Expr> {
        let mut left = self.product()?;
        loop {
            let op = match self.peek() {
                Some(Token::Sign('+')) => Arithmetic::Add,
                Some(Token::Sign('-')) => Arithmetic::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = Expr::Arithmetic(op, self.items(left)?, self.items(right)?);
        }
    }

    fn product(&mut self) -> Result<Expr> {
        let mut left = self.signed()?;
        loop {
            let op = match self.peek() {
                Some(Token::Sign('*')) => Arithmetic::Multiply,
                Some(Token::Sign('/')) => Arithmetic::Divide,
                Some(Token::Sign('%')) => Arithmetic::Modulo,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.signed()?;
            left = Expr::Arithmetic(op, self.items(left)?, self.items(right)?);
        }
    }

    fn signed(&mut self) -> Result<Expr> {
        let sign = match self.peek() {
            Some(Token::Sign('+')) => Sign::Plus,
            Some(Token::Sign('-')) => Sign::Minus,
            _ => return self.stepped(),
        };
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault();
        }
        let inner = self.signed()?;
        self.depth -= 1;
        // A number's sign is part of it.
        Ok(match (sign, inner) {
            (Sign::Minus, Expr::Number(digits)) if !digits.starts_with('-') => {
                Expr::Number(format!("-{digits}"))
            }
            (Sign::Plus, number @ Expr::Number(_)) => number,
            (sign, inner) => Expr::Sign(sign, self.items(inner)?),
        })
    }

    fn stepped(&mut self) -> Result<Expr> {
        let base = self.primary()?;
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        if steps.is_empty() {
            return Ok(base);
        }
        Ok(match base {
            Expr::Steps(base, before) => Expr::Steps(base, [before, steps].concat()),
            base => Expr::Steps(Box::new(base), steps),
        })
    }

    fn primary(&mut self) -> Result<Expr> {
        let Some(token) = self.peek().cloned() else { return self.fault() };
        self.at += 1;
        Ok(match token {
            Token::Sign('$') => Expr::Root,
            Token::Sign('@') if self.in_filter > 0 => Expr::Current,
            Token::Sign('@') => {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    "@ is not allowed in root expressions",
                ));
            }
            Token::Sign('(') => {
                let inner = self.any()?;
                self.expect(')')?;
                inner
            }
            Token::Variable(name) => Expr::Variable(name),
            Token::Number(digits) => Expr::Number(digits),
            Token::Text(text) => Expr::Text(text),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                // These are written in lower case alone.
                "null" if word == "null" => Expr::Null,
                "true" if word == "true" => Expr::Bool(true),
                "false" if word == "false" => Expr::Bool(false),
                "last" if self.in_brackets > 0 => Expr::Last,
                "last" => {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "LAST is allowed only in array subscripts",
                    ));
                }
                _ => return self.fault(),
            },
            _ => return self.fault(),
        })
    }

    fn step(&mut self) -> Result<Option<Step>> {
        if self.sign('.') {
            return self.member().map(Some);
        }
        if self.sign('?') {
            self.expect('(')?;
            self.in_filter += 1;
            let condition = self.any()?;
            self.in_filter -= 1;
            self.expect(')')?;
            return Ok(Some(Step::Filter(*self.predicate(condition)?)));
        }
        if !self.sign('[') {
            return Ok(None);
        }
        if self.sign('*') {
            self.expect(']')?;
            return Ok(Some(Step::AnyElement));
        }
        let mut elements = Vec::new();
        self.in_brackets += 1;
        loop {
            let from = self.sum()?;
            let to = if self.accept_word("to") { Some(self.sum()?) } else { None };
            elements.push((from, to));
            if !self.sign(',') {
                break;
            }
        }
        self.in_brackets -= 1;
        self.expect(']')?;
        Ok(Some(Step::Elements(elements)))
    }

    /// What stands behind a point.
    fn member(&mut self) -> Result<Step> {
        let Some(token) = self.peek().cloned() else { return self.fault() };
        self.at += 1;
        match token {
            Token::Sign('*') => Ok(Step::AnyKey),
            Token::Descend => self.levels(),
            Token::Text(key) => Ok(Step::Key(key)),
            Token::Word(word) if self.peek() == Some(&Token::Sign('(')) => self.method(&word),
            Token::Word(key) => Ok(Step::Key(key)),
            _ => self.fault(),
        }
    }

    /// `{1}`, `{1 to last}` behind `**`.
    fn levels(&mut self) -> Result<Step> {
        if !self.sign('{') {
            return Ok(Step::Descend(Some(0), None));
        }
        let from = self.level()?;
        let to = if self.accept_word("to") { self.level()? } else { from };
        self.expect('}')?;
        Ok(Step::Descend(from, to))
    }

    fn level(&mut self) -> Result<Option<u32>> {
        if self.accept_word("last") {
            return Ok(None);
        }
        match self.peek() {
            Some(Token::Number(digits)) => match digits.parse() {
                Ok(level) => {
                    self.at += 1;
                    Ok(Some(level))
                }
                Err(_) => self.fault(),
            },
            _ => self.fault(),
        }
    }

    fn method(&mut self, name: &str) -> Result<Step> {
        self.expect('(')?;
        let method = match name {
            "abs" => Method::Abs,
            "bigint" => Method::Bigint,
            "boolean" => Method::Boolean,
            "ceiling" => Method::Ceiling,
            "double" => Method::Double,
            "floor" => Method::Floor,
            "integer" => Method::Integer,
            "keyvalue" => Method::Keyvalue,
            "number" => Method::Number,
            "size" => Method::Size,
            "string" => Method::String,
            "type" => Method::Type,
            "decimal" => Method::Decimal(match self.number()? {
                None => None,
                Some(precision) if self.sign(',') => Some((precision, self.number()?)),
                Some(precision) => Some((precision, None)),
            }),
            "datetime" => Method::Moment(
                "datetime",
                match self.peek() {
                    Some(Token::Text(_)) => Some(Argument::Text(self.text_literal()?)),
                    _ => None,
                },
            ),
            "date" => Method::Moment("date", None),
            "time" => Method::Moment("time", self.number()?.map(Argument::Number)),
            "time_tz" => Method::Moment("time_tz", self.number()?.map(Argument::Number)),
            "timestamp" => Method::Moment("timestamp", self.number()?.map(Argument::Number)),
            "timestamp_tz" => Method::Moment("timestamp_tz", self.number()?.map(Argument::Number)),
            _ => return self.fault(),
        };
        self.expect(')')?;
        Ok(Step::Method(method))
    }

    /// A whole number among a method's arguments, perhaps with its sign.
    fn number(&mut self) -> Result<Option<String>> {
        let minus = self.sign('-');
        let _ = !minus && self.sign('+');
        match self.peek() {
            Some(Token::Number(digits)) => {
                let digits = format!("{}{digits}", if minus { "-" } else { "" });
                self.at += 1;
                Ok(Some(digits))
            }
            _ if minus => self.fault(),
            _ => Ok(None),
        }
    }
}
