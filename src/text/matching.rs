//! Whether a query matches a document.

use super::{
    document::{Document, Place},
    phrase,
    query::{Node, Operand, Query},
};

impl Query {
    /// Whether a document has what this asks for; one that asks for nothing matches nothing.
    #[must_use]
    pub fn matches(&self, document: &Document) -> bool {
        self.0.as_ref().is_some_and(|node| matches(node, &|operand| found(document, operand)))
    }
}

/// What is known of an operand: not there, there, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    No,
    /// There, at places that nobody knows.
    Somewhere,
    /// At these positions, ascending.
    At(Vec<u16>),
}

/// Whether a tree holds, of which `find` knows the leaves.
pub(super) fn matches(node: &Node, find: &impl Fn(&Operand) -> Found) -> bool {
    match node {
        Node::Word(operand) => find(operand) != Found::No,
        Node::Not(inner) => !matches(inner, find),
        Node::And(left, right) => matches(left, find) && matches(right, find),
        Node::Or(left, right) => matches(left, find) || matches(right, find),
        Node::Phrase(..) => phrase::matches(node, find),
    }
}

fn found(document: &Document, operand: &Operand) -> Found {
    let lexemes = if operand.is_prefix {
        document.starting_with(&operand.word)
    } else {
        document.find(&operand.word).map_or(&[][..], std::slice::from_ref)
    };
    // Who asks for a weight does not mean a place that nobody knows.
    let is_somewhere = operand.weights == 0 && lexemes.iter().any(|l| l.places.is_empty());
    let places = lexemes.iter().flat_map(|lexeme| &lexeme.places);
    let fit = places.filter(|place: &&Place| operand.takes(place.weight));
    let mut positions: Vec<u16> = fit.map(|place| place.position).collect();
    if positions.is_empty() {
        return if is_somewhere { Found::Somewhere } else { Found::No };
    }
    positions.sort_unstable();
    positions.dedup();
    Found::At(positions)
}
