//! Who may do what with which object.
//!
//! An object belongs to a role, which may do everything with it; [`Grants`] hold what others may, and
//! stand beside the object: to grant changes no table, so nobody who reads or writes it has to wait or
//! to begin anew. An object without [`Grants`] has the access list that its kind begins with
//! ([`Class::initial`]). [`held`] answers what a role may, membership and PUBLIC included;
//! [`role`] who is a member of whom.

mod held;
mod list;
mod role;

pub use held::{Object, denied, not_owner};
pub use list::{AccessItem, AccessList, Revoked};
pub use role::{DefaultAccess, Membership};

use crate::ids::{ColumnId, Oid};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Everybody, in the place of a role.
pub const EVERYBODY: Oid = Oid(0);

/// Things that one may do with an object.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Privileges(u16);

/// Each privilege: its letter in an access list, and its word.
const WORDS: [(Privileges, char, &str); 13] = [
    (Privileges::INSERT, 'a', "INSERT"),
    (Privileges::SELECT, 'r', "SELECT"),
    (Privileges::UPDATE, 'w', "UPDATE"),
    (Privileges::DELETE, 'd', "DELETE"),
    (Privileges::TRUNCATE, 'D', "TRUNCATE"),
    (Privileges::REFERENCES, 'x', "REFERENCES"),
    (Privileges::TRIGGER, 't', "TRIGGER"),
    (Privileges::USAGE, 'U', "USAGE"),
    (Privileges::CREATE, 'C', "CREATE"),
    (Privileges::TEMPORARY, 'T', "TEMPORARY"),
    (Privileges::CONNECT, 'c', "CONNECT"),
    (Privileges::MAINTAIN, 'm', "MAINTAIN"),
    (Privileges::EXECUTE, 'X', "EXECUTE"),
];

#[expect(missing_docs, reason = "each is the privilege of its name")]
impl Privileges {
    pub const NONE: Self = Self(0);
    pub const INSERT: Self = Self(1);
    pub const SELECT: Self = Self(1 << 1);
    pub const UPDATE: Self = Self(1 << 2);
    pub const DELETE: Self = Self(1 << 3);
    pub const TRUNCATE: Self = Self(1 << 4);
    pub const REFERENCES: Self = Self(1 << 5);
    pub const TRIGGER: Self = Self(1 << 6);
    pub const EXECUTE: Self = Self(1 << 7);
    pub const USAGE: Self = Self(1 << 8);
    pub const CREATE: Self = Self(1 << 9);
    pub const TEMPORARY: Self = Self(1 << 10);
    pub const CONNECT: Self = Self(1 << 11);
    pub const MAINTAIN: Self = Self(1 << 12);

    /// The privilege of a word; TEMP is short for TEMPORARY.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let word = if word.eq_ignore_ascii_case("TEMP") { "TEMPORARY" } else { word };
        let found = WORDS.iter().find(|(_, _, other)| other.eq_ignore_ascii_case(word));
        found.map(|(privilege, ..)| *privilege)
    }

    /// The privilege of a letter.
    #[must_use]
    pub fn of_letter(letter: char) -> Option<Self> {
        WORDS.iter().find(|(_, other, _)| *other == letter).map(|(privilege, ..)| *privilege)
    }

    /// Each of them by itself, with its letter and its word, in the order of access lists.
    pub fn each(self) -> impl Iterator<Item = (Self, char, &'static str)> {
        WORDS.into_iter().filter(move |(privilege, ..)| self.contains(*privilege))
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Their letters: `arwd`.
impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.each().try_for_each(|(_, letter, _)| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Privileges({self})")
    }
}

impl From<Privileges> for String {
    fn from(privileges: Privileges) -> Self {
        privileges.to_string()
    }
}

impl TryFrom<String> for Privileges {
    type Error = String;

    fn try_from(letters: String) -> Result<Self, String> {
        letters.chars().try_fold(Self::NONE, |all, letter| {
            let known = Self::of_letter(letter).ok_or_else(|| format!("no privilege {letter}"))?;
            Ok(all.and(known))
        })
    }
}

/// A kind of object, by what one may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A table, a view, a relation of the system.
    Relation,
    /// A column of a relation.
    Column,
    /// A sequence.
    Sequence,
    /// A schema.
    Schema,
    /// A database.
    Database,
    /// A type or a domain that a user made.
    Type,
}

impl Class {
    /// All that one may do with it: what ALL PRIVILEGES stands for.
    #[must_use]
    pub const fn all(self) -> Privileges {
        use Privileges as P;
        let column = P::SELECT.and(P::INSERT).and(P::UPDATE).and(P::REFERENCES);
        match self {
            Self::Relation => {
                column.and(P::DELETE).and(P::TRUNCATE).and(P::TRIGGER).and(P::MAINTAIN)
            }
            Self::Column => column,
            Self::Sequence => P::USAGE.and(P::SELECT).and(P::UPDATE),
            Self::Schema => P::USAGE.and(P::CREATE),
            Self::Database => P::CREATE.and(P::TEMPORARY).and(P::CONNECT),
            Self::Type => P::USAGE,
        }
    }

    /// What everybody may do with a new one.
    #[must_use]
    pub const fn open(self) -> Privileges {
        match self {
            Self::Database => Privileges::TEMPORARY.and(Privileges::CONNECT),
            Self::Type => Privileges::USAGE,
            _ => Privileges::NONE,
        }
    }

    /// The access list that a new one has.
    #[must_use]
    pub fn initial(self, owner: Oid) -> AccessList {
        let item = |grantee, privileges| AccessItem::new(grantee, owner, privileges);
        match self {
            Self::Column => AccessList::default(),
            _ => [item(EVERYBODY, self.open()), item(owner, self.all())].into_iter().collect(),
        }
    }

    /// Its word in messages: `schema`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Relation => "table",
            Self::Column => "column",
            Self::Sequence => "sequence",
            Self::Schema => "schema",
            Self::Database => "database",
            Self::Type => "type",
        }
    }
}

/// What was granted on an object and on its columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grants {
    /// The object.
    pub id: Oid,
    /// Its access list; `None`: as it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<AccessList>,
    /// Those of its columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<ColumnId, AccessList>,
}

impl Grants {
    /// Whether a role is among those who granted or were granted something.
    #[must_use]
    pub fn names(&self, role: Oid) -> bool {
        self.list.iter().chain(self.columns.values()).any(|list| list.names(role))
    }

    /// Each of the lists.
    pub fn lists_mut(&mut self) -> impl Iterator<Item = &mut AccessList> {
        self.list.iter_mut().chain(self.columns.values_mut())
    }
}

#[cfg(test)]
mod tests;
