//! `pg_type` and what belongs to types: operators, access methods and their operator classes,
//! casts, collations. All of it is what PostgreSQL reports ([`super::facts`]).

use super::{
    SystemRelation, View,
    facts::{Facts, placed},
};
use crate::{error::Result, ids::Oid};
use arrow::array::RecordBatch;
use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

macro_rules! static_relations {
    ($($(#[$doc:meta])* $name:ident $facts:ident $file:literal $($schema:literal)?;)*) => {$(
        pub(super) static $facts: LazyLock<Facts> =
            LazyLock::new(|| Facts::parse(include_str!($file)));

        $(#[$doc])*
        pub(super) fn $name(
            relation: &'static SystemRelation,
            view: &View,
        ) -> Result<RecordBatch> {
            static ROWS: OnceLock<RecordBatch> = OnceLock::new();
            let rows = match ROWS.get() {
                Some(rows) => rows,
                None => {
                    let made = $facts.batch(relation)?;
                    ROWS.get_or_init(|| made)
                }
            };
            placed(rows, None$(.or(Some($schema)))?, view)
        }
    )*};
}
pub(super) use static_relations;

static_relations! {
    /// Every type that is always there, arrays and pseudo-types among them.
    system_types TYPES "facts/pg_type.tsv" "typnamespace";
    /// Every operator.
    pg_operator OPERATORS "facts/pg_operator.tsv" "oprnamespace";
    /// Every operator class.
    pg_opclass CLASSES "facts/pg_opclass.tsv" "opcnamespace";
    /// Every operator family.
    pg_opfamily FAMILIES "facts/pg_opfamily.tsv" "opfnamespace";
    /// Access methods that an index can be asked for, and that of tables.
    pg_am METHODS "facts/pg_am.tsv";
    /// Which operators belong to which family.
    pg_amop FAMILY_OPERATORS "facts/pg_amop.tsv";
    /// Which functions belong to which family.
    pg_amproc FAMILY_FUNCTIONS "facts/pg_amproc.tsv";
    /// Casts between the types that there are.
    pg_cast CASTS "facts/pg_cast.tsv";
    /// `default`, `C` and `POSIX`: text is compared by its bytes.
    pg_collation COLLATIONS "facts/pg_collation.tsv";
}

/// What `pg_type` knows of a type.
#[derive(Debug)]
pub(super) struct KnownType {
    pub(super) name: &'static str,
    pub(super) schema: Oid,
    pub(super) element: Oid,
    pub(super) by_value: bool,
    pub(super) align: &'static str,
    pub(super) storage: &'static str,
    pub(super) collation: Oid,
    pub(super) output: Oid,
    pub(super) send: Oid,
}

static KNOWN: LazyLock<HashMap<Oid, KnownType>> = LazyLock::new(|| {
    let known = |fact: super::facts::Fact<'_>| KnownType {
        name: fact.field("typname").unwrap_or_default(),
        schema: fact.oid("typnamespace"),
        element: fact.oid("typelem"),
        by_value: fact.field("typbyval") == Some("t"),
        align: fact.field("typalign").unwrap_or("i"),
        storage: fact.field("typstorage").unwrap_or("p"),
        collation: fact.oid("typcollation"),
        output: fact.oid("typoutput"),
        send: fact.oid("typsend"),
    };
    TYPES.iter().map(|fact| (fact.oid("oid"), known(fact))).collect()
});

/// What `pg_type` knows of a type.
pub(super) fn known(oid: Oid) -> Option<&'static KnownType> {
    KNOWN.get(&oid)
}

/// The type of a name in `pg_type`.
pub(super) fn named(name: &str) -> Option<Oid> {
    static NAMES: LazyLock<HashMap<&'static str, Oid>> =
        LazyLock::new(|| KNOWN.iter().map(|(&oid, known)| (known.name, oid)).collect());
    NAMES.get(name).copied()
}

/// An operator.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    pub(super) oid: Oid,
    pub(super) name: &'static str,
    pub(super) schema: Oid,
    pub(super) left: Oid,
    pub(super) right: Oid,
}

static KNOWN_OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
    let operator = |fact: super::facts::Fact<'_>| Operator {
        oid: fact.oid("oid"),
        name: fact.field("oprname").unwrap_or_default(),
        schema: fact.oid("oprnamespace"),
        left: fact.oid("oprleft"),
        right: fact.oid("oprright"),
    };
    OPERATORS.iter().map(operator).collect()
});

/// The operator of an oid.
pub(super) fn operator(oid: Oid) -> Option<&'static Operator> {
    KNOWN_OPERATORS.iter().find(|operator| operator.oid == oid)
}

/// The operators of a name.
pub(super) fn operators_named(name: &str) -> Vec<&'static Operator> {
    KNOWN_OPERATORS.iter().filter(|operator| operator.name == name).collect()
}

/// The access method of a name; 0 for one that Nearlake does not list.
pub(super) fn method(name: &str) -> Oid {
    METHODS
        .iter()
        .find(|fact| fact.field("amname") == Some(name))
        .map_or(Oid(0), |fact| fact.oid("oid"))
}

/// The operator class of a name for an access method.
pub(super) fn class_named(method: Oid, name: &str) -> Option<Oid> {
    CLASSES
        .iter()
        .find(|f| f.oid("opcmethod") == method && f.field("opcname") == Some(name))
        .map(|fact| fact.oid("oid"))
}

/// The operator class that an access method takes for a type when none is named; 0 where there is
/// none. Arrays share one class, and strings that of text.
pub(super) fn default_class(method: Oid, kind: Oid) -> Oid {
    const ANY_ARRAY: Oid = Oid(2277);
    const TEXT: Oid = Oid(25);
    const VARCHAR: Oid = Oid(1043);
    let of = |kind: Oid| {
        CLASSES
            .iter()
            .find(|fact| {
                fact.oid("opcmethod") == method
                    && fact.oid("opcintype") == kind
                    && fact.field("opcdefault") == Some("t")
            })
            .map(|fact| fact.oid("oid"))
    };
    let is_array = known(kind).is_some_and(|known| known.name.starts_with('_'));
    let kin = if is_array {
        ANY_ARRAY
    } else if kind == VARCHAR {
        TEXT
    } else {
        kind
    };
    of(kind).or_else(|| of(kin)).unwrap_or(Oid(0))
}

/// The name of an operator class, and whether its access method takes it unasked.
pub(super) fn class_name(class: Oid) -> Option<(&'static str, bool)> {
    let fact = CLASSES.iter().find(|fact| fact.oid("oid") == class)?;
    Some((fact.field("opcname")?, fact.field("opcdefault") == Some("t")))
}
