//! A statement that is being written: text with numbered parameters, and their values. Whatever
//! comes from outside is a parameter or a quoted name.

use crate::pgtype::PgType;
use arrow::array::ArrayRef;

/// The parameters of a statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    pub(super) kinds: Vec<Option<PgType>>,
    pub(super) values: Vec<ArrayRef>,
}

impl Parameters {
    /// Takes a value, an array of one row, and gives back the word that stands for it.
    pub(super) fn add(&mut self, kind: &PgType, value: ArrayRef) -> String {
        self.kinds.push(Some(kind.clone()));
        self.values.push(value);
        format!("${}", self.values.len())
    }
}

/// A statement with its parameters.
#[derive(Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) parameters: Parameters,
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self { text, parameters: Parameters::default() }
    }
}

/// Parts joined by a word in pairs of pairs, so that many of them do not nest deeply.
pub(super) fn joined(mut parts: Vec<String>, word: &str) -> String {
    while parts.len() > 1 {
        let pairs = parts.chunks(2).map(|pair| match pair {
            [left, right] => format!("({left} {word} {right})"),
            rest => rest.concat(),
        });
        parts = pairs.collect();
    }
    parts.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_parts_do_not_nest_deeply() {
        let parts = |count: usize| (0..count).map(|at| at.to_string()).collect();
        assert_eq!(joined(parts(0), "AND"), "");
        assert_eq!(joined(parts(1), "AND"), "0");
        assert_eq!(joined(parts(3), "OR"), "((0 OR 1) OR 2)");
        let deep = joined(parts(1000), "AND");
        let depth = deep.chars().take_while(|&char| char == '(').count();
        assert_eq!(depth, 10);
    }
}
