//! Domains: names for a type whose values obey rules.
//!
//! A column of a domain has the domain's type as its own, and the domain's number beside it. So reading,
//! storing and writing know nothing of domains; only where a value is to become one is it checked.

use super::{Catalog, Column, Table};
use crate::{ids::Oid, pgtype::PgType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its oid.
    pub id: Oid,
    /// The oid of its array, which has no values yet.
    pub array: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: Oid,
    /// What its values are.
    pub base: PgType,
    /// The domain whose rules its values obey too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Oid>,
    /// Whether NULL is refused.
    #[serde(default)]
    pub not_null: bool,
    /// `DEFAULT`, as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// `CHECK`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<DomainCheck>,
    /// `COMMENT ON DOMAIN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A rule of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCheck {
    /// Its oid.
    pub id: Oid,
    /// Its name.
    pub name: String,
    /// The expression over VALUE that must not be false, as SQL text.
    pub expression: String,
}

impl Domain {
    /// The greatest oid that belongs to it.
    pub(super) fn last_oid(&self) -> Oid {
        let checks = self.checks.iter().map(|check| check.id).max();
        checks.unwrap_or(self.id).max(self.id).max(self.array)
    }
}

impl Catalog {
    /// The domain of a name in a schema.
    #[must_use]
    pub fn domain_named(&self, schema: Oid, name: &str) -> Option<&Arc<Domain>> {
        self.domains().find(|domain| domain.schema == schema && domain.name == name)
    }

    /// The domain of an oid, or of that of its array.
    #[must_use]
    pub fn domain_of_oid(&self, oid: Oid) -> Option<&Arc<Domain>> {
        self.domain(oid).or_else(|| self.domains().find(|domain| domain.array == oid))
    }

    /// A domain as SQL that finds it from everywhere.
    #[must_use]
    pub fn domain_text(&self, domain: &Domain) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let schema = self.schema(domain.schema).map_or("", |schema| &schema.name);
        format!("{}.{}", quoted(schema), quoted(&domain.name))
    }

    /// A domain and those whose rules it has too, the innermost first.
    #[must_use]
    pub fn lineage(&self, domain: &Arc<Domain>) -> Vec<Arc<Domain>> {
        let mut lineage = vec![Arc::clone(domain)];
        let mut parent = domain.parent;
        while let Some(next) = parent.and_then(|id| self.domain(id)) {
            lineage.push(Arc::clone(next));
            parent = next.parent;
        }
        lineage.reverse();
        lineage
    }

    /// The default that columns of a domain have which have none of their own.
    #[must_use]
    pub fn default_of_domain(&self, domain: &Arc<Domain>) -> Option<String> {
        self.lineage(domain).iter().rev().find_map(|domain| domain.default.clone())
    }

    /// The columns that are of a domain, or of one that has its rules.
    pub fn columns_of_domain(&self, id: Oid) -> impl Iterator<Item = (&Arc<Table>, &Column)> {
        self.tables().flat_map(move |table| {
            let is_of = move |column: &&Column| {
                let domain = column.domain.and_then(|own| self.domain(own));
                domain.is_some_and(|own| self.lineage(own).iter().any(|other| other.id == id))
            };
            table.columns.iter().filter(is_of).map(move |column| (table, column))
        })
    }
}
