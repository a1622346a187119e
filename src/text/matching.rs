//! Whether a query matches a document.

use super::{
    document::Place,
    phrase::{self, Found},
    query::{Node, Operand, Query},
    written::{self, Written},
};
use crate::error::Result;

/// A query, made ready to be asked of many documents.
#[derive(Debug)]
pub struct Matcher {
    query: Query,
    /// Those of the query, each once, ascending: first all that are whole words.
    operands: Vec<Operand>,
    /// How many of them are whole words.
    whole: usize,
}

impl Matcher {
    /// Of a query.
    #[must_use]
    pub fn new(query: Query) -> Self {
        let mut operands: Vec<Operand> = query.words().into_iter().cloned().collect();
        operands.sort_unstable_by(|a, b| (a.is_prefix, a).cmp(&(b.is_prefix, b)));
        operands.dedup();
        let whole = operands.partition_point(|operand| !operand.is_prefix);
        Self { query, operands, whole }
    }

    /// Whether a document has what the query asks for, of which `text` is the written form; a query that asks
    /// for nothing matches nothing.
    ///
    /// # Errors
    /// 42601 for a text that is not as documents are written.
    pub fn matches(&self, text: &str) -> Result<bool> {
        let Some(root) = &self.query.0 else { return Ok(false) };
        let found = self.found(text)?;
        let find = |operand: &Operand| {
            let by = |one: &Operand| (one.is_prefix, one).cmp(&(operand.is_prefix, operand));
            self.operands.binary_search_by(by).map_or(&Found::No, |at| &found[at])
        };
        Ok(matches(root, &find))
    }

    /// What the document knows of each operand. Lexemes ascend, as operands do, so that one pass finds all.
    fn found(&self, text: &str) -> Result<Vec<Found>> {
        let mut found = vec![Found::No; self.operands.len()];
        let (whole, prefixes) = self.operands.split_at(self.whole);
        let mut next = 0;
        for lexeme in Written::of(text) {
            let (word, places) = lexeme?;
            let word: &str = &word;
            while next < whole.len() && whole[next].word.as_str() < word {
                next += 1;
            }
            if next == whole.len() && prefixes.is_empty() {
                break;
            }
            let same = whole[next..].iter().take_while(|operand| operand.word == word);
            for (at, operand) in (next..).zip(same) {
                found[at].add(operand, places)?;
            }
            for (at, operand) in (self.whole..).zip(prefixes) {
                if word.starts_with(&operand.word) {
                    found[at].add(operand, places)?;
                }
            }
        }
        Ok(found)
    }
}

impl Found {
    /// Another lexeme that is the operand, with its places as they are written.
    fn add(&mut self, operand: &Operand, places: &str) -> Result<()> {
        if places.is_empty() {
            // Its weight is not known, so that any that is asked for will do.
            if *self == Self::No {
                *self = Self::Somewhere;
            }
            return Ok(());
        }
        for place in written::places(places) {
            let Place { position, weight } = place?;
            if !operand.takes(weight) {
                continue;
            }
            self.stand_at(position);
        }
        Ok(())
    }
}

/// Whether a tree holds, of which `find` knows the leaves.
pub(super) fn matches<'f>(node: &Node, find: &impl Fn(&Operand) -> &'f Found) -> bool {
    match node {
        Node::Word(operand) => *find(operand) != Found::No,
        Node::Not(inner) => !matches(inner, find),
        Node::And(left, right) => matches(left, find) && matches(right, find),
        Node::Or(left, right) => matches(left, find) || matches(right, find),
        Node::Phrase(..) => phrase::matches(node, find),
    }
}
