//! Roles.

use super::{Membership, privileges};
use crate::ids::Oid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who acts: a user, or a group of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its oid.
    pub id: Oid,
    /// Its name.
    pub name: String,
    /// Whether every check is waived.
    pub superuser: bool,
    /// Whether it may connect.
    pub login: bool,
    /// The SCRAM-SHA-256 verifier of its password.
    #[serde(default)]
    pub verifier: Option<String>,
    /// Hashes of the keys by which HTTP clients act as this role, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub api_keys: BTreeMap<String, String>,
    /// `ALTER ROLE … SET`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Whether it has what the roles have that it is taken into, where a grant is silent on it.
    #[serde(default = "inherits", skip_serializing_if = "bool::clone")]
    pub inherit: bool,
    /// Whether it may make roles.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_role: bool,
    /// Whether it may make databases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_database: bool,
    /// The roles that it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_of: Vec<Membership>,
    /// `ALTER DEFAULT PRIVILEGES`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_access: Vec<privileges::DefaultAccess>,
}

fn inherits() -> bool {
    true
}

impl Role {
    /// A role that may do nothing yet.
    #[must_use]
    pub fn new(id: Oid, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            superuser: false,
            login: false,
            verifier: None,
            api_keys: BTreeMap::new(),
            settings: BTreeMap::new(),
            inherit: true,
            create_role: false,
            create_database: false,
            member_of: Vec::new(),
            default_access: Vec::new(),
        }
    }
}
