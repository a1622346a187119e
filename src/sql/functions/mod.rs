//! The functions that SQL calls: the list, and what each asks of its arguments.
//!
//! A line of the table is a signature as PostgreSQL prints it and what carries it out: a body of
//! ours, or a function of DataFusion's where that does the same. Functions about the catalog are
//! in `pg/`, aggregates in `aggregates.rs`, window functions in `windows.rs`.

pub(crate) mod aggregates;
pub(crate) mod arithmetic;
pub(crate) mod array;
pub(crate) mod bit;
mod bit_fold;
mod bytes;
pub(crate) mod call;
mod carried;
pub(crate) mod cast;
pub(crate) mod datetime;
pub(crate) mod dense;
pub mod distance;
pub(crate) mod domain;
pub(crate) mod embed;
mod enumeration;
mod hash;
mod interval_fold;
pub(crate) mod json;
mod leave_types;
mod list;
mod lists;
mod numbers;
mod numeral;
pub(crate) mod ordered_set;
pub mod pg;
pub mod points;
pub(crate) mod row;
pub(crate) mod sparsevec;
pub(crate) mod text;
pub(crate) mod text_search;
mod uuid;
pub mod vector;
mod vector_fold;
pub(crate) mod vector_functions;
pub(crate) mod windows;
pub(crate) mod zone;

pub use array::quantified::as_any_of;

use crate::{
    pgtype::PgType,
    sql::{
        coerce::{Reason, castable},
        typed::{Typed, same},
    },
    vector::{Metric, Space},
};
use call::Body;
use datafusion::logical_expr::{ScalarUDF, Volatility};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// What a parameter takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    Exact(PgType),
    /// `anyelement`
    Element,
    /// `anyarray`
    Array,
    /// `anyenum`
    Enum,
    /// `"any"`
    Any,
}

/// What carries a function out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Implementation {
    Own(Body),
    DataFusion(fn() -> Arc<ScalarUDF>),
    Distance(Space, Metric),
}

#[derive(Debug, Clone)]
enum Returns {
    Exact(PgType),
    Element,
    Array,
    /// The type of the first argument.
    First,
}

/// A function.
#[derive(Debug)]
pub(crate) struct Signature {
    parameters: Vec<Parameter>,
    /// The last parameter repeats.
    variadic: bool,
    /// How many of the last parameters may be left out.
    optional: usize,
    returns: Returns,
    /// It returns a set: the body makes a list.
    pub(crate) set: bool,
    pub(crate) volatility: Volatility,
    pub(crate) implementation: Implementation,
}

impl Signature {
    /// What the argument at a place is for.
    pub(crate) fn parameter(&self, at: usize) -> Option<&Parameter> {
        match self.parameters.get(at) {
            Some(parameter) => Some(parameter),
            None if self.variadic => self.parameters.last(),
            None => None,
        }
    }

    /// Whether its last parameter repeats, so that it takes VARIADIC.
    pub(crate) fn is_variadic(&self) -> bool {
        self.variadic
    }

    /// How well arguments fit; nothing where they do not.
    pub(crate) fn fit(&self, args: &[Typed]) -> Option<(usize, usize, usize)> {
        let most = self.parameters.len();
        let least = most - self.optional - usize::from(self.variadic);
        if args.len() < least || (args.len() > most && !self.variadic) {
            return None;
        }
        let (mut exact, mut preferred, mut untyped) = (0, 0, 0);
        for (at, arg) in args.iter().enumerate() {
            match self.parameter(at)? {
                Parameter::Any => {}
                Parameter::Element => {}
                Parameter::Enum => match arg.kind {
                    PgType::Enum(_) => exact += 1,
                    // Another argument may tell which.
                    PgType::Unknown if args.iter().any(|arg| !arg.is_unknown()) => {}
                    _ => return None,
                },
                Parameter::Array => match arg.kind {
                    PgType::Array(_) | PgType::Int2vector | PgType::Oidvector => exact += 1,
                    PgType::Unknown => {}
                    _ => return None,
                },
                Parameter::Exact(kind) if arg.is_unknown() => {
                    untyped += usize::from(*kind == PgType::Text);
                }
                Parameter::Exact(kind) if same(&arg.kind, kind) => exact += 1,
                Parameter::Exact(kind) => {
                    if castable(&arg.kind, kind) != Some(Reason::Implicit) {
                        return None;
                    }
                    // Text's kin are text; among numbers the widest is preferred.
                    exact += usize::from(arg.kind.is_textual() && *kind == PgType::Text);
                    preferred += usize::from(matches!(
                        kind,
                        PgType::Float8 | PgType::Text | PgType::Timestamptz(_) | PgType::Oid
                    ));
                }
            }
        }
        Some((exact, preferred, untyped))
    }

    /// The type of the result for arguments of these types.
    pub(crate) fn result(&self, given: &[PgType]) -> PgType {
        let find = |wanted: &Parameter| {
            given
                .iter()
                .enumerate()
                .find(|(at, _)| self.parameter(*at) == Some(wanted))
                .map(|(_, kind)| kind)
        };
        let element = || match find(&Parameter::Element).or_else(|| find(&Parameter::Enum)) {
            Some(kind) => kind.clone(),
            None => match find(&Parameter::Array) {
                Some(PgType::Array(element)) => (**element).clone(),
                Some(PgType::Int2vector) => PgType::Int2,
                Some(PgType::Oidvector) => PgType::Oid,
                _ => PgType::Text,
            },
        };
        match &self.returns {
            Returns::Exact(kind) => kind.clone(),
            Returns::First => given.first().cloned().unwrap_or(PgType::Text),
            Returns::Element => element(),
            Returns::Array => match find(&Parameter::Array) {
                Some(kind) => kind.clone(),
                None => element().array(),
            },
        }
    }
}

/// The functions of a name.
pub(crate) fn named(name: &str) -> Option<&'static [Signature]> {
    static TABLE: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
        let mut table: HashMap<&'static str, Vec<Signature>> = HashMap::new();
        for (line, implementation) in list::FUNCTIONS {
            let (name, signature) = parse(line, *implementation);
            table.entry(name).or_default().push(signature);
        }
        table
    });
    TABLE.get(name).map(Vec::as_slice)
}

/// The columns of a function that returns records, and the function that makes each.
pub(crate) fn record_columns(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    list::RECORDS.iter().find(|(other, _)| *other == name).map(|(_, columns)| *columns)
}

/// `name(type, [type], variadic type) -> setof type volatility`
fn parse(line: &'static str, implementation: Implementation) -> (&'static str, Signature) {
    let (head, tail) = line.split_once(" -> ").expect("a signature has a result");
    let (name, parameters) = head.split_once('(').expect("a signature has parameters");
    let parameters = parameters.strip_suffix(')').expect("a signature's parameters end");
    let (mut variadic, mut optional) = (false, 0);
    let parameters = parameters
        .split(", ")
        .filter(|text| !text.is_empty())
        .map(|text| {
            let text = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                Some(text) => {
                    optional += 1;
                    text
                }
                None => text,
            };
            let text = match text.strip_prefix("variadic ") {
                Some(text) => {
                    variadic = true;
                    text
                }
                None => text,
            };
            match text {
                "any" => Parameter::Any,
                "anyelement" => Parameter::Element,
                "anyarray" => Parameter::Array,
                "anyenum" => Parameter::Enum,
                text => Parameter::Exact(PgType::parse(text).expect("a parameter's type")),
            }
        })
        .collect();
    let (tail, volatility) = if let Some(tail) = tail.strip_suffix(" volatile") {
        (tail, Volatility::Volatile)
    } else if let Some(tail) = tail.strip_suffix(" stable") {
        (tail, Volatility::Stable)
    } else {
        (tail, Volatility::Immutable)
    };
    let (set, tail) = match tail.strip_prefix("setof ") {
        Some(tail) => (true, tail),
        None => (false, tail),
    };
    let returns = match tail {
        "same" => Returns::First,
        "anyelement" | "anyenum" => Returns::Element,
        "anyarray" => Returns::Array,
        text => Returns::Exact(PgType::parse(text).expect("a result's type")),
    };
    (name, Signature { parameters, variadic, optional, returns, set, volatility, implementation })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_line_of_the_table_reads() {
        assert!(super::named("lower").is_some_and(|all| !all.is_empty()));
        assert!(super::named("no_such_function").is_none());
    }
}
