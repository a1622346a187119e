//! Enumerations: types whose values are labels, in the order that was declared.
//!
//! A value is carried as its label's *place*: a number whose order is that of the labels, so that columns
//! sort, group, join and are filtered as any column of integers. Places are given once and stay: a new label
//! between two others gets a place between theirs, and a label that is renamed keeps its own, so
//! that no row is ever rewritten ([ADR 0013](../../docs/adr/0013-enums-are-places.md)).

use super::name::quoted;
use crate::error::{Error, Result, SqlState};
use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};

/// The distance between labels that were declared together. It is a power of two, so that a place is PostgreSQL's
/// `enumsortorder` in fixed point: 44 labels can be put, one by one, each into the middle of what the last
/// one left of a gap.
const STEP: i64 = 1 << 44;

/// How many bytes a label may have, as in PostgreSQL.
const LABEL_BYTES_MAX: usize = 63;

/// An enumeration. It is the one of its oid, whatever its labels and its name are at the moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enum {
    /// Its oid.
    pub oid: u32,
    /// The oid of its array.
    pub array_oid: u32,
    /// Its name.
    pub name: String,
    /// Its labels, in order.
    labels: Vec<Label>,
}

impl PartialEq for Enum {
    fn eq(&self, other: &Self) -> bool {
        self.oid == other.oid
    }
}

impl Eq for Enum {}

impl Hash for Enum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.oid.hash(state);
    }
}

/// A label of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// Its oid, in `pg_enum`.
    pub oid: u32,
    /// What stands for it in columns.
    pub place: i64,
    /// What it is called.
    pub name: String,
}

impl Label {
    /// `pg_enum.enumsortorder`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL's is of single precision, too")]
    pub fn sort_order(&self) -> f64 {
        self.place as f64 / STEP as f64
    }
}

/// Where a new label goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Behind all others.
    Last,
    /// Just before one.
    Before(String),
    /// Just behind one.
    After(String),
}

impl Enum {
    /// An enumeration of some labels, in order; `oids` gives each its own.
    ///
    /// # Errors
    /// 42710 where two are the same, 42602 where one is too long.
    pub fn new(
        (oid, array_oid): (u32, u32),
        name: String,
        labels: &[String],
        mut fresh: impl FnMut() -> u32,
    ) -> Result<Self> {
        let mut made = Self { oid, array_oid, name, labels: Vec::with_capacity(labels.len()) };
        for label in labels {
            if made.labels.iter().any(|other| other.name == *label) {
                // The index of PostgreSQL's catalog notices it.
                let message =
                    "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"";
                return Err(Error::new(SqlState::UNIQUE_VIOLATION, message).detail(format!(
                    "Key (enumtypid, enumlabel)=({oid}, {label}) already exists."
                )));
            }
            made.add(label, &Position::Last, fresh())?;
        }
        Ok(made)
    }

    /// The labels, in order.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Whether there is a label of a name.
    #[must_use]
    pub fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|other| other.name == label)
    }

    /// The place of a label.
    ///
    /// # Errors
    /// 22P02 where there is no such label.
    pub fn place(&self, label: &str) -> Result<i64> {
        let found = self.labels.iter().find(|other| other.name == label);
        found.map(|label| label.place).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("invalid input value for enum {}: \"{label}\"", quoted(&self.name)),
            )
        })
    }

    /// The label at a place.
    ///
    /// # Errors
    /// Internal where there is none: a column holds places that were given.
    pub fn label(&self, place: i64) -> Result<&str> {
        let found = self.labels.binary_search_by_key(&place, |label| label.place);
        let label = found.map(|at| self.labels[at].name.as_str());
        label.map_err(|_| Error::internal(format!("enum {} has no label at {place}", self.name)))
    }

    /// Adds a label.
    ///
    /// # Errors
    /// 42602 where it is too long, 22023 where its neighbour is not there, 54000 where no place is left between two.
    pub fn add(&mut self, label: &str, position: &Position, oid: u32) -> Result<()> {
        check(label)?;
        let neighbour = |name: &String| {
            let found = self.labels.iter().position(|other| other.name == *name);
            found.ok_or_else(|| {
                let message = format!("\"{name}\" is not an existing enum label");
                Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
            })
        };
        let at = match position {
            Position::Last => self.labels.len(),
            Position::Before(other) => neighbour(other)?,
            Position::After(other) => neighbour(other)? + 1,
        };
        let before = at.checked_sub(1).map(|at| self.labels[at].place);
        let after = self.labels.get(at).map(|label| label.place);
        let place = between(before, after).ok_or_else(|| {
            let message = format!("no more labels fit at this place of enum {}", self.name);
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .hint("Create a new type with all the labels, and change the columns to it.")
        })?;
        self.labels.insert(at, Label { oid, place, name: label.to_owned() });
        Ok(())
    }

    /// Gives a label another name.
    ///
    /// # Errors
    /// 22023 where it is not there, 42710 where the new name is.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        check(to)?;
        let Some(at) = self.labels.iter().position(|label| label.name == from) else {
            let message = format!("\"{from}\" is not an existing enum label");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        };
        if self.has(to) {
            return Err(exists(to));
        }
        to.clone_into(&mut self.labels[at].name);
        Ok(())
    }
}

/// A label that is there already.
#[must_use]
pub fn exists(label: &str) -> Error {
    Error::new(SqlState::DUPLICATE_OBJECT, format!("enum label \"{label}\" already exists"))
}

fn check(label: &str) -> Result<()> {
    if label.len() <= LABEL_BYTES_MAX {
        return Ok(());
    }
    let message = format!("invalid enum label \"{label}\"");
    Err(Error::new(SqlState::INVALID_NAME, message)
        .detail(format!("Labels must be {LABEL_BYTES_MAX} bytes or less.")))
}

/// A place between two others; `None` where they are neighbours.
fn between(before: Option<i64>, after: Option<i64>) -> Option<i64> {
    match (before, after) {
        (None, None) => Some(STEP),
        (Some(before), None) => before.checked_add(STEP),
        (None, Some(after)) => after.checked_sub(STEP),
        (Some(before), Some(after)) => {
            let middle = before.midpoint(after);
            (middle > before && middle < after).then_some(middle)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mood() -> Enum {
        let labels = ["sad", "ok", "happy"].map(str::to_owned);
        let mut next = 100;
        let fresh = || {
            next += 1;
            next
        };
        Enum::new((90, 91), "mood".to_owned(), &labels, fresh).unwrap()
    }

    fn names(mood: &Enum) -> Vec<&str> {
        mood.labels().iter().map(|label| label.name.as_str()).collect()
    }

    #[test]
    fn places_have_the_order_of_labels_and_stay() {
        let mut mood = mood();
        let ok = mood.place("ok").unwrap();
        mood.add("angry", &Position::Before("sad".into()), 1).unwrap();
        mood.add("fine", &Position::After("ok".into()), 2).unwrap();
        mood.add("meh", &Position::Before("ok".into()), 3).unwrap();
        mood.add("elated", &Position::Last, 4).unwrap();
        assert_eq!(names(&mood), ["angry", "sad", "meh", "ok", "fine", "happy", "elated"]);
        assert!(mood.labels().is_sorted_by_key(|label| label.place));
        assert_eq!(mood.place("ok").unwrap(), ok);
        mood.rename("ok", "so-so").unwrap();
        assert_eq!(mood.label(ok).unwrap(), "so-so");
        let orders: Vec<f64> = mood.labels().iter().map(Label::sort_order).collect();
        assert_eq!(orders, [0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0]);
    }

    #[test]
    fn a_gap_takes_44_labels_and_then_says_so() {
        let mut mood = mood();
        for number in 0..44 {
            mood.add(&format!("b{number}"), &Position::Before("ok".into()), number).unwrap();
        }
        let full = mood.add("one more", &Position::Before("ok".into()), 99).unwrap_err();
        assert_eq!(full.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert!(mood.labels().is_sorted_by_key(|label| label.place));
        mood.add("behind", &Position::Last, 100).unwrap();
    }

    #[test]
    fn faults_are_those_of_postgres() {
        let mut mood = mood();
        let message = |error: Error| error.message().to_owned();
        assert_eq!(
            message(mood.place("Sad").unwrap_err()),
            "invalid input value for enum mood: \"Sad\""
        );
        let lost = mood.add("x", &Position::After("y".into()), 1).unwrap_err();
        assert_eq!(message(lost), "\"y\" is not an existing enum label");
        let taken = mood.rename("sad", "ok").unwrap_err();
        assert_eq!(message(taken), "enum label \"ok\" already exists");
        assert!(mood.add(&"x".repeat(64), &Position::Last, 1).is_err());
    }
}
