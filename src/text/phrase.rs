//! Phrases: where the parts of a query stand, and whether these places follow each other.

use super::query::{Node, Operand};

/// What is known of an operand: not there, there, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    No,
    /// There, at places that nobody knows.
    Somewhere,
    /// At these positions, ascending.
    At(Vec<u16>),
}

impl Found {
    /// It stands there, too.
    pub(super) fn stand_at(&mut self, position: u16) {
        match self {
            Self::At(positions) => {
                if let Err(at) = positions.binary_search(&position) {
                    positions.insert(at, position);
                }
            }
            _ => *self = Self::At(vec![position]),
        }
    }
}

/// Where a part of a phrase matches: at these places, or everywhere but there.
struct Matches {
    /// The last positions of the matches, ascending.
    ends: Vec<u32>,
    /// Words between the first and the last position of a match.
    width: u32,
    is_elsewhere: bool,
}

impl Matches {
    fn nowhere() -> Self {
        Self { ends: Vec::new(), width: 0, is_elsewhere: false }
    }

    fn is_possible(&self) -> bool {
        self.is_elsewhere || !self.ends.is_empty()
    }
}

/// Where a part of a query stands that has to be there.
pub(super) struct Location {
    /// The last positions of it, ascending.
    pub(super) ends: Vec<u32>,
    pub(super) width: u32,
}

/// Where the parts of a query stand that all have to be there; `None` where it does not hold.
pub(super) fn locations(
    node: &Node,
    find: &impl Fn(&Operand) -> Vec<u32>,
) -> Option<Vec<Location>> {
    match node {
        Node::Not(inner) => locations(inner, find).is_none().then(Vec::new),
        Node::And(left, right) => {
            let (mut all, more) = (locations(left, find)?, locations(right, find)?);
            all.extend(more);
            Some(all)
        }
        Node::Or(left, right) => match (locations(left, find), locations(right, find)) {
            (Some(left), Some(right)) => Some(either(left, right)),
            (left, right) => left.or(right),
        },
        Node::Word(_) | Node::Phrase(..) => {
            let standing = |operand: &Operand| {
                let ends = find(operand);
                Matches { ends, width: 0, is_elsewhere: false }
            };
            let Matches { ends, width, is_elsewhere } = places_by(node, &standing);
            match (is_elsewhere, ends.is_empty()) {
                (false, true) => None,
                // Where it is not is no place to show.
                (true, _) => Some(Vec::new()),
                (false, false) => Some(vec![Location { ends, width }]),
            }
        }
    }
}

/// Of two of which one is enough: the places of both together.
fn either(left: Vec<Location>, right: Vec<Location>) -> Vec<Location> {
    let mut together = Location { ends: Vec::new(), width: 0 };
    for location in left.into_iter().chain(right) {
        together.ends.extend(location.ends);
        together.width = together.width.max(location.width);
    }
    together.ends.sort_unstable();
    together.ends.dedup();
    if together.ends.is_empty() { Vec::new() } else { vec![together] }
}

/// Whether a phrase stands somewhere.
pub(super) fn matches<'f>(node: &Node, find: &impl Fn(&Operand) -> &'f Found) -> bool {
    places(node, find).is_possible()
}

fn places<'f>(node: &Node, find: &impl Fn(&Operand) -> &'f Found) -> Matches {
    places_by(node, &|operand: &Operand| match find(operand) {
        // Nobody knows where: no phrase can be seen.
        Found::No | Found::Somewhere => Matches::nowhere(),
        Found::At(positions) => {
            let ends = positions.iter().map(|&position| u32::from(position)).collect();
            Matches { ends, width: 0, is_elsewhere: false }
        }
    })
}

fn places_by(node: &Node, find: &impl Fn(&Operand) -> Matches) -> Matches {
    match node {
        Node::Word(operand) => find(operand),
        Node::Not(inner) => {
            let inner = places_by(inner, find);
            Matches { is_elsewhere: !inner.is_elsewhere, ..inner }
        }
        Node::Phrase(left, right, distance) => {
            let (left, right) = (places_by(left, find), places_by(right, find));
            let shift = u32::from(*distance) + right.width;
            let width = left.width + shift;
            both(&left, &right, (shift, 0), width)
        }
        Node::And(left, right) => {
            let (left, right) = (places_by(left, find), places_by(right, find));
            let width = left.width.max(right.width);
            both(&left, &right, (width - left.width, width - right.width), width)
        }
        Node::Or(left, right) => {
            let (left, right) = (places_by(left, find), places_by(right, find));
            let width = left.width.max(right.width);
            let shifts = (width - left.width, width - right.width);
            // Not (not a and not b), where a place is meant by what it is not.
            let (ends, is_elsewhere) = match (left.is_elsewhere, right.is_elsewhere) {
                (true, true) => (merged(&left, &right, shifts, |a, b| a && b), true),
                (true, false) => (merged(&left, &right, shifts, |a, b| a && !b), true),
                (false, true) => (merged(&left, &right, shifts, |a, b| b && !a), true),
                (false, false) => (merged(&left, &right, shifts, |a, b| a || b), false),
            };
            Matches { ends, width, is_elsewhere }
        }
    }
}

/// Where both match, each moved so far.
fn both(left: &Matches, right: &Matches, shifts: (u32, u32), width: u32) -> Matches {
    let (ends, is_elsewhere) = match (left.is_elsewhere, right.is_elsewhere) {
        (true, true) => (merged(left, right, shifts, |a, b| a || b), true),
        (true, false) => (merged(left, right, shifts, |a, b| b && !a), false),
        (false, true) => (merged(left, right, shifts, |a, b| a && !b), false),
        (false, false) => (merged(left, right, shifts, |a, b| a && b), false),
    };
    Matches { ends, width, is_elsewhere }
}

/// The positions that are to be kept, by whether they are among the left and the right.
fn merged(
    left: &Matches,
    right: &Matches,
    shifts: (u32, u32),
    is_kept: impl Fn(bool, bool) -> bool,
) -> Vec<u32> {
    let mut a = left.ends.iter().map(|end| end + shifts.0).peekable();
    let mut b = right.ends.iter().map(|end| end + shifts.1).peekable();
    let mut kept = Vec::new();
    loop {
        let next = match (a.peek(), b.peek()) {
            (None, None) => return kept,
            (Some(&a), None) => a,
            (None, Some(&b)) => b,
            (Some(&a), Some(&b)) => a.min(b),
        };
        let (in_a, in_b) = (a.next_if_eq(&next).is_some(), b.next_if_eq(&next).is_some());
        if is_kept(in_a, in_b) {
            kept.push(next);
        }
    }
}
