//! Queries of which some words say nothing: what is left of them.

use super::query::{DISTANCE_MAX, Node};

/// A tree in which operands may be missing.
pub(super) enum Tree {
    Gap,
    Leaf(Node),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
    Phrase(Box<Tree>, Box<Tree>, u16),
}

/// What is left of a tree, and by how many words it grew on both sides.
pub(super) struct Left {
    pub(super) node: Option<Node>,
    before: u16,
    behind: u16,
}

impl Tree {
    pub(super) fn of(node: Option<Node>) -> Self {
        node.map_or(Self::Gap, Self::Leaf)
    }

    /// Without what is missing: operators that lack an operand go, and phrases keep their distances.
    pub(super) fn without_gaps(self) -> Left {
        let kept = |node| Left { node: Some(node), before: 0, behind: 0 };
        match self {
            Self::Gap => Left { node: None, before: 0, behind: 0 },
            Self::Leaf(node) => kept(node),
            Self::Not(inner) => {
                let Left { node, before, behind } = inner.without_gaps();
                Left { node: node.map(|node| Node::Not(Box::new(node))), before, behind }
            }
            Self::And(left, right) => joined(*left, *right, Node::And),
            Self::Or(left, right) => joined(*left, *right, Node::Or),
            Self::Phrase(left, right, distance) => {
                let (left, right) = (left.without_gaps(), right.without_gaps());
                let sum = |parts: [u16; 3]| {
                    parts.into_iter().fold(0, u16::saturating_add).min(DISTANCE_MAX)
                };
                match (left.node, right.node) {
                    (None, None) => {
                        let all = sum([left.before, distance, right.before]);
                        Left { node: None, before: all, behind: all }
                    }
                    (None, node) => {
                        let before = sum([left.before, distance, right.before]);
                        Left { node, before, behind: right.behind }
                    }
                    (node, None) => {
                        let behind = sum([left.behind, distance, right.behind]);
                        Left { node, before: left.before, behind }
                    }
                    (Some(first), Some(second)) => {
                        let distance = sum([distance, left.behind, right.before]);
                        let node = Node::Phrase(Box::new(first), Box::new(second), distance);
                        Left { node: Some(node), before: left.before, behind: right.behind }
                    }
                }
            }
        }
    }
}

fn joined(left: Tree, right: Tree, join: fn(Box<Node>, Box<Node>) -> Node) -> Left {
    let (left, right) = (left.without_gaps(), right.without_gaps());
    match (left.node, right.node) {
        (None, None) => {
            let most = left.before.max(right.before);
            Left { node: None, before: most, behind: most }
        }
        (None, node) => Left { node, before: right.before, behind: right.behind },
        (node, None) => Left { node, before: left.before, behind: left.behind },
        (Some(first), Some(second)) => {
            let node = join(Box::new(first), Box::new(second));
            Left { node: Some(node), before: 0, behind: 0 }
        }
    }
}
