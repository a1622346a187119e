//! How a query is read.

use super::{
    document::Weight,
    gaps::Tree,
    lexeme::Reader,
    query::{DISTANCE_MAX, NODES_MAX, Node, Operand, Query, bad_distance, too_large},
};
use crate::error::{Error, Result, SqlState};

impl Query {
    /// Of what `Display` writes, and of what people do.
    ///
    /// # Errors
    /// 42601 for what is none, 54000 for one that is too large.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, |word, is_prefix, weights| {
            Ok(Some(Node::Word(Operand { word, is_prefix, weights })))
        })
    }

    /// The same where every operand stands for what `operand` makes of it: `None` for one that says
    /// nothing, which goes away with its operator.
    pub(super) fn parse_with(
        text: &str,
        operand: impl Fn(String, bool, u8) -> Result<Option<Node>>,
    ) -> Result<Self> {
        let reader = Reader::new(text, "tsquery");
        let mut parser = Parser { reader, text, operand, nodes: 0, depth: 0 };
        parser.reader.skip_spaces();
        if parser.reader.rest.peek().is_none() {
            return Ok(Self(None));
        }
        let tree = parser.binary(1)?;
        if parser.reader.rest.peek().is_some() {
            return Err(parser.reader.syntax_error());
        }
        Ok(Self(tree.without_gaps().node))
    }
}

struct Parser<'t, F> {
    reader: Reader<'t>,
    text: &'t str,
    operand: F,
    nodes: usize,
    depth: usize,
}

impl<F: Fn(String, bool, u8) -> Result<Option<Node>>> Parser<'_, F> {
    /// Operators that bind at least so strongly.
    fn binary(&mut self, strength: u8) -> Result<Tree> {
        let mut left = self.unary()?;
        loop {
            self.reader.skip_spaces();
            let own = match self.reader.rest.peek() {
                Some('|') => 1,
                Some('&') => 2,
                Some('<') => 3,
                _ => return Ok(left),
            };
            if own < strength {
                return Ok(left);
            }
            self.reader.rest.next();
            let distance = if own == 3 { self.distance()? } else { 0 };
            self.count()?;
            let right = Box::new(self.binary(own + 1)?);
            left = match own {
                1 => Tree::Or(Box::new(left), right),
                2 => Tree::And(Box::new(left), right),
                _ => Tree::Phrase(Box::new(left), right, distance),
            };
        }
    }

    /// What follows a `<`: `->` or `2>`.
    fn distance(&mut self) -> Result<u16> {
        let distance = match self.reader.rest.peek() {
            Some('-') => {
                self.reader.rest.next();
                1
            }
            _ => self.reader.number().ok_or_else(|| self.reader.syntax_error())?,
        };
        if !self.reader.skip('>') {
            return Err(self.reader.syntax_error());
        }
        let distance = u16::try_from(distance).ok().filter(|&distance| distance <= DISTANCE_MAX);
        distance.ok_or_else(bad_distance)
    }

    fn unary(&mut self) -> Result<Tree> {
        self.reader.skip_spaces();
        self.depth += 1;
        if self.depth > NODES_MAX / 8 {
            return Err(too_large());
        }
        let tree = if self.reader.skip('!') {
            self.count()?;
            Tree::Not(Box::new(self.unary()?))
        } else if self.reader.skip('(') {
            let inner = self.binary(1)?;
            self.reader.skip_spaces();
            if !self.reader.skip(')') {
                return Err(self.reader.syntax_error());
            }
            inner
        } else {
            self.count()?;
            let ends = |c| matches!(c, '!' | '&' | '|' | '(' | ')' | '<');
            let Some(word) = self.reader.lexeme(ends)? else {
                if self.reader.rest.peek().is_some() {
                    return Err(self.reader.syntax_error());
                }
                let message = format!("no operand in tsquery: \"{}\"", self.text);
                return Err(Error::new(SqlState::SYNTAX_ERROR, message));
            };
            let (is_prefix, weights) = self.flags();
            Tree::of((self.operand)(word, is_prefix, weights)?)
        };
        self.depth -= 1;
        Ok(tree)
    }

    /// What follows a lexeme: `:*AB`.
    fn flags(&mut self) -> (bool, u8) {
        let (mut is_prefix, mut weights) = (false, 0);
        if self.reader.skip(':') {
            while let Some(&c) = self.reader.rest.peek() {
                match Weight::of_letter(c) {
                    Some(weight) => weights |= 1 << weight as u8,
                    None if c == '*' => is_prefix = true,
                    None => break,
                }
                self.reader.rest.next();
            }
        }
        (is_prefix, weights)
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { Err(too_large()) } else { Ok(()) }
    }
}
