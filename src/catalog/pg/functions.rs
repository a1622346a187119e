//! `pg_proc` and kin: the functions that there are.

use super::{
    SystemRelation, View,
    facts::{Facts, placed},
    types::static_relations,
};
use crate::{error::Result, ids::Oid};
use arrow::array::RecordBatch;
use std::{
    collections::HashMap,
    sync::{LazyLock, OnceLock},
};

static_relations! {
    /// Aggregate functions.
    pg_aggregate AGGREGATES "facts/pg_aggregate.tsv";
    /// `internal` and `sql`.
    pg_language LANGUAGES "facts/pg_language.tsv";
    /// Every function. Its source is its own name, as that of PostgreSQL's internal functions is.
    pg_proc FUNCTIONS "facts/pg_proc.tsv" "pronamespace";
}

/// A function.
#[derive(Debug)]
pub struct KnownFunction {
    /// Its oid.
    pub oid: Oid,
    /// Its name.
    pub name: &'static str,
    pub(super) schema: Oid,
    /// `f`unction, `a`ggregate, `w`indow.
    pub kind: &'static str,
    /// The types of its arguments.
    pub arguments: Vec<Oid>,
    /// The types of all its arguments, those for results among them.
    pub all_arguments: Option<Vec<Oid>>,
    /// For each of them whether it goes `i`n, `o`ut, `b`oth ways, is `v`ariadic or a `t`able's.
    pub modes: Option<Vec<String>>,
    /// Their names.
    pub names: Option<Vec<String>>,
    /// How many of them have defaults.
    pub defaults: i64,
    /// The type of an argument that may be repeated; 0: none.
    pub variadic: Oid,
    /// What it returns.
    pub returns: Oid,
    /// Whether it returns a set of those.
    pub returns_set: bool,
    /// `i`mmutable, `s`table or `v`olatile.
    pub volatility: &'static str,
    /// Whether it is NULL when an argument is.
    pub strict: bool,
}

struct Known {
    list: Vec<KnownFunction>,
    by_oid: HashMap<Oid, usize>,
    by_name: HashMap<&'static str, Vec<Oid>>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let function = |fact: super::facts::Fact<'_>| KnownFunction {
        oid: fact.oid("oid"),
        name: fact.field("proname").unwrap_or_default(),
        schema: fact.oid("pronamespace"),
        kind: fact.field("prokind").unwrap_or("f"),
        arguments: fact.oids("proargtypes"),
        all_arguments: fact
            .texts("proallargtypes")
            .map(|types| types.iter().map(|oid| Oid(oid.parse().unwrap_or(0))).collect()),
        modes: fact.texts("proargmodes"),
        names: fact.texts("proargnames"),
        defaults: fact.number("pronargdefaults"),
        variadic: fact.oid("provariadic"),
        returns: fact.oid("prorettype"),
        returns_set: fact.field("proretset") == Some("t"),
        volatility: fact.field("provolatile").unwrap_or("v"),
        strict: fact.field("proisstrict") == Some("t"),
    };
    let list: Vec<_> = FUNCTIONS.iter().map(function).collect();
    let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
    for function in &list {
        by_name.entry(function.name).or_default().push(function.oid);
    }
    let by_oid = list.iter().enumerate().map(|(place, f)| (f.oid, place)).collect();
    Known { list, by_oid, by_name }
});

/// Every function.
pub(super) fn all() -> impl Iterator<Item = &'static KnownFunction> {
    KNOWN.list.iter()
}

/// The function of an oid.
#[must_use]
pub fn known(oid: Oid) -> Option<&'static KnownFunction> {
    KNOWN.by_oid.get(&oid).map(|&place| &KNOWN.list[place])
}

/// The functions of a name.
#[must_use]
pub fn named(name: &str) -> &'static [Oid] {
    KNOWN.by_name.get(name).map_or(&[], Vec::as_slice)
}
