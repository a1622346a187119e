//! `tsquery`: which lexemes a document is to have, as a tree.

use super::{
    document::{Weight, not_binary, take, take_word},
    lexeme::{POSITION_MAX, Quoted, short_enough},
};
use crate::error::{Error, Result, SqlState};
use std::fmt;

/// The most distant that the parts of a phrase may be.
pub(super) const DISTANCE_MAX: u16 = POSITION_MAX + 1;
/// Nodes of the largest query: what follows a tree goes down it by calls.
pub(super) const NODES_MAX: usize = 8192;

/// A lexeme that a document is to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operand {
    /// Itself.
    pub word: String,
    /// One with this as its beginning will do.
    pub is_prefix: bool,
    /// At a place of one of these weights: bit `n` for the n-th of [`Weight::ALL`]. None: any.
    pub weights: u8,
}

impl Operand {
    /// Whether a place of that weight will do.
    #[must_use]
    pub fn takes(&self, weight: Weight) -> bool {
        self.weights == 0 || self.weights & 1 << weight as u8 != 0
    }
}

/// A part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A lexeme.
    Word(Operand),
    /// Not this.
    Not(Box<Node>),
    /// Both.
    And(Box<Node>, Box<Node>),
    /// One of them.
    Or(Box<Node>, Box<Node>),
    /// The second so many words behind the first.
    Phrase(Box<Node>, Box<Node>, u16),
}

impl Node {
    /// How strongly it binds.
    fn strength(&self) -> u8 {
        match self {
            Self::Or(..) => 1,
            Self::And(..) => 2,
            Self::Phrase(..) => 3,
            Self::Not(_) => 4,
            Self::Word(_) => 5,
        }
    }

    /// Calls with every lexeme, from left to right.
    pub(super) fn words<'n>(&'n self, each: &mut impl FnMut(&'n Operand)) {
        match self {
            Self::Word(operand) => each(operand),
            Self::Not(inner) => inner.words(each),
            Self::And(left, right) | Self::Or(left, right) | Self::Phrase(left, right, _) => {
                left.words(each);
                right.words(each);
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Word(_) => 1,
            Self::Not(inner) => 1 + inner.count(),
            Self::And(left, right) | Self::Or(left, right) | Self::Phrase(left, right, _) => {
                1 + left.count() + right.count()
            }
        }
    }
}

/// A query; one without a lexeme matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(pub Option<Node>);

impl Query {
    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.joined(other, Node::And)
    }

    /// One of them.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.joined(other, Node::Or)
    }

    /// The other so many words behind this one.
    ///
    /// # Errors
    /// 22023 for a distance that cannot be.
    pub fn before(self, other: Self, distance: i32) -> Result<Self> {
        let distance = u16::try_from(distance).ok().filter(|&distance| distance <= DISTANCE_MAX);
        let distance = distance.ok_or_else(bad_distance)?;
        Ok(self.joined(other, |left, right| Node::Phrase(left, right, distance)))
    }

    /// Not this.
    #[must_use]
    pub fn negated(self) -> Self {
        Self(self.0.map(|node| Node::Not(Box::new(node))))
    }

    fn joined(self, other: Self, join: impl FnOnce(Box<Node>, Box<Node>) -> Node) -> Self {
        Self(match (self.0, other.0) {
            (Some(left), Some(right)) => Some(join(Box::new(left), Box::new(right))),
            (left, right) => left.or(right),
        })
    }

    /// `numnode`: lexemes and operators.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.0.as_ref().map_or(0, Node::count)
    }

    /// Refuses one that has grown too large.
    ///
    /// # Errors
    /// 54000
    pub fn checked(self) -> Result<Self> {
        if self.nodes() > NODES_MAX { Err(too_large()) } else { Ok(self) }
    }

    /// The lexemes, from left to right.
    #[must_use]
    pub fn words(&self) -> Vec<&Operand> {
        let mut words = Vec::new();
        if let Some(node) = &self.0 {
            node.words(&mut |operand| words.push(operand));
        }
        words
    }

    /// The binary form of `tsquerysend`.
    pub fn write_binary(&self, out: &mut Vec<u8>) {
        fn node(at: &Node, out: &mut Vec<u8>) {
            match at {
                Node::Word(Operand { word, is_prefix, weights }) => {
                    out.extend_from_slice(&[1, *weights, u8::from(*is_prefix)]);
                    out.extend_from_slice(word.as_bytes());
                    out.push(0);
                }
                Node::Not(inner) => {
                    out.extend_from_slice(&[2, 1]);
                    node(inner, out);
                }
                Node::And(left, right) => both(2, None, left, right, out),
                Node::Or(left, right) => both(3, None, left, right, out),
                Node::Phrase(left, right, distance) => both(4, Some(*distance), left, right, out),
            }
        }
        fn both(kind: u8, distance: Option<u16>, left: &Node, right: &Node, out: &mut Vec<u8>) {
            out.extend_from_slice(&[2, kind]);
            out.extend(distance.map(u16::to_be_bytes).into_iter().flatten());
            node(right, out);
            node(left, out);
        }
        let count = u32::try_from(self.nodes()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        if let Some(root) = &self.0 {
            node(root, out);
        }
    }

    /// Out of that form.
    ///
    /// # Errors
    /// 08P01 for bytes that are none, 54000 for one that is too large.
    pub fn read_binary(mut bytes: &[u8]) -> Result<Self> {
        fn node(bytes: &mut &[u8], left: &mut usize) -> Result<Node> {
            *left = left.checked_sub(1).ok_or_else(|| not_binary("tsquery"))?;
            let [kind] = take(bytes)?;
            if kind == 1 {
                let [weights, prefix] = take(bytes)?;
                if weights > 15 || prefix > 1 {
                    return Err(not_binary("tsquery"));
                }
                let word = short_enough(take_word(bytes)?)?;
                return Ok(Node::Word(Operand { word, is_prefix: prefix == 1, weights }));
            }
            let [operator] = take(bytes)?;
            if kind != 2 || !(1..=4).contains(&operator) {
                return Err(not_binary("tsquery"));
            }
            if operator == 1 {
                return Ok(Node::Not(Box::new(node(bytes, left)?)));
            }
            let distance = if operator == 4 { u16::from_be_bytes(take(bytes)?) } else { 0 };
            if distance > DISTANCE_MAX {
                return Err(not_binary("tsquery"));
            }
            let second = Box::new(node(bytes, left)?);
            let first = Box::new(node(bytes, left)?);
            Ok(match operator {
                2 => Node::And(first, second),
                3 => Node::Or(first, second),
                _ => Node::Phrase(first, second, distance),
            })
        }
        let mut left = usize::try_from(u32::from_be_bytes(take(&mut bytes)?)).unwrap_or(usize::MAX);
        if left > NODES_MAX {
            return Err(too_large());
        }
        let root = if left == 0 { None } else { Some(node(&mut bytes, &mut left)?) };
        if left > 0 || !bytes.is_empty() {
            return Err(not_binary("tsquery"));
        }
        // What comes in has to be read again as it is written.
        let query = Self(root);
        if Self::parse(&query.to_string())? != query {
            return Err(not_binary("tsquery"));
        }
        Ok(query)
    }
}

pub(super) fn too_large() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "tsquery is too large")
        .detail(format!("It may have {NODES_MAX} lexemes and operators."))
}

pub(super) fn bad_distance() -> Error {
    let message = format!(
        "distance in phrase operator must be an integer value between zero and {DISTANCE_MAX} inclusive"
    );
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |node| write_node(node, 0, false, f))
    }
}

/// Within an operator that binds so strongly; whether as what follows in a phrase.
fn write_node(node: &Node, outer: u8, follows: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let own = node.strength();
    let is_apart = own < outer || (follows && matches!(node, Node::Phrase(..)) && own == outer);
    if is_apart {
        f.write_str("( ")?;
    }
    match node {
        Node::Word(Operand { word, is_prefix, weights }) => {
            write!(f, "{}", Quoted(word))?;
            if *is_prefix || *weights != 0 {
                f.write_str(":")?;
            }
            if *is_prefix {
                f.write_str("*")?;
            }
            for weight in Weight::ALL.into_iter().rev() {
                if weights & 1 << weight as u8 != 0 {
                    write!(f, "{}", weight.letter())?;
                }
            }
        }
        Node::Not(inner) => {
            f.write_str("!")?;
            write_node(inner, own, false, f)?;
        }
        Node::And(left, right) => write_both(left, " & ", right, own, f)?,
        Node::Or(left, right) => write_both(left, " | ", right, own, f)?,
        Node::Phrase(left, right, 1) => write_both(left, " <-> ", right, own, f)?,
        Node::Phrase(left, right, n) => write_both(left, &format!(" <{n}> "), right, own, f)?,
    }
    if is_apart { f.write_str(" )") } else { Ok(()) }
}

fn write_both(
    left: &Node,
    sign: &str,
    right: &Node,
    own: u8,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write_node(left, own, false, f)?;
    f.write_str(sign)?;
    write_node(right, own, true, f)
}
