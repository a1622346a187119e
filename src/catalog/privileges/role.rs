//! Roles in roles. A member has what the other has (INHERIT), may become it (SET), may take others in
//! (ADMIN): each of these as its grant says.

use super::{AccessList, Class};
use crate::{
    catalog::{Catalog, POSTGRES_ROLE, Role},
    ids::Oid,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A role that another is a member of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The oid of the membership itself.
    pub id: Oid,
    /// The role that one is in.
    pub role: Oid,
    /// Who said so.
    pub grantor: Oid,
    /// Whether the member may take others in.
    pub admin: bool,
    /// Whether the member has what the role has.
    pub inherit: bool,
    /// Whether the member may become the role.
    pub set: bool,
}

/// What ALTER DEFAULT PRIVILEGES says of the objects that a role makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultAccess {
    /// Of what kind.
    pub class: Class,
    /// In which schema; `None`: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Oid>,
    /// In all schemas: the list that a new object has. In one: what is added to that.
    pub list: AccessList,
}

impl DefaultAccess {
    /// What is so where nothing is said.
    fn silent(class: Class, schema: Option<Oid>, owner: Oid) -> AccessList {
        if schema.is_some() { AccessList::default() } else { class.initial(owner).sorted() }
    }
}

impl Role {
    /// What is said of its new objects of a kind, in one schema or in all.
    #[must_use]
    pub fn default_privileges_of(&self, class: Class, schema: Option<Oid>) -> Option<&AccessList> {
        let said = self.default_access.iter();
        said.filter(|said| (said.class, said.schema) == (class, schema))
            .map(|said| &said.list)
            .next()
    }

    /// The same, to be changed.
    pub fn default_privileges_mut(&mut self, class: Class, schema: Option<Oid>) -> &mut AccessList {
        let is_it = |said: &DefaultAccess| (said.class, said.schema) == (class, schema);
        let place = self.default_access.iter().position(is_it).unwrap_or_else(|| {
            let list = DefaultAccess::silent(class, schema, self.id);
            self.default_access.push(DefaultAccess { class, schema, list });
            self.default_access.len() - 1
        });
        &mut self.default_access[place].list
    }

    /// Forgets what says no more than silence.
    pub fn forget_idle_defaults(&mut self) {
        let owner = self.id;
        self.default_access
            .retain(|said| said.list != DefaultAccess::silent(said.class, said.schema, owner));
    }
}

impl Catalog {
    /// Whether no check is made of a role.
    #[must_use]
    pub fn is_superuser(&self, role: Oid) -> bool {
        self.role(role).is_some_and(|role| role.superuser)
    }

    /// Whether a role has all that another has, being it or inheriting from it.
    #[must_use]
    pub fn has_privileges_of(&self, role: Oid, other: Oid) -> bool {
        role == other
            || self.is_superuser(role)
            || self.roles_above(role, |membership| membership.inherit).contains(&other)
    }

    /// Whether a role may become another.
    #[must_use]
    pub fn may_become(&self, role: Oid, other: Oid) -> bool {
        role == other
            || self.is_superuser(role)
            || self.roles_above(role, |membership| membership.set).contains(&other)
    }

    /// Whether a role is in another, over however many steps.
    #[must_use]
    pub fn is_member(&self, role: Oid, other: Oid) -> bool {
        role == other || self.roles_above(role, |_| true).contains(&other)
    }

    /// Whether a role may say who is in another.
    #[must_use]
    pub fn administers(&self, role: Oid, other: Oid) -> bool {
        self.is_superuser(role) || self.administrator(role, other).is_some()
    }

    /// As whom a role may say who is in another: whoever inherits from an administrator is one.
    #[must_use]
    pub fn administrator(&self, role: Oid, other: Oid) -> Option<Oid> {
        let above = self.roles_above(role, |membership| membership.inherit);
        std::iter::once(role).chain(above).find(|&role| self.admin_grants(role, other).count() > 0)
    }

    /// Who made a role an administrator of another.
    fn admin_grants(&self, role: Oid, other: Oid) -> impl Iterator<Item = Oid> {
        let own = self.role(role).into_iter().flat_map(|role| &role.member_of);
        own.filter(move |own| own.role == other && own.admin).map(|own| own.grantor)
    }

    /// Whether a role administers another even if a third one did not: only then may it make that
    /// third one an administrator, since two who are it by each other would be it for ever.
    #[must_use]
    pub fn administers_without(&self, role: Oid, other: Oid, third: Oid) -> bool {
        let mut seen = BTreeSet::from([third]);
        let mut open = vec![role];
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            for grantor in self.admin_grants(next, other) {
                if grantor == POSTGRES_ROLE {
                    return true;
                }
                open.push(grantor);
            }
        }
        false
    }

    /// The roles that one is in by memberships of a kind, itself not among them.
    #[must_use]
    pub fn roles_above(&self, role: Oid, follows: impl Fn(&Membership) -> bool) -> BTreeSet<Oid> {
        let mut found = BTreeSet::new();
        let mut open = vec![role];
        while let Some(next) = open.pop() {
            let memberships = self.role(next).map_or(&[][..], |role| &role.member_of);
            for membership in memberships.iter().filter(|membership| follows(membership)) {
                if membership.role != role && found.insert(membership.role) {
                    open.push(membership.role);
                }
            }
        }
        found
    }

    /// The members of a role, and how each is one.
    pub fn members(&self, role: Oid) -> impl Iterator<Item = (Oid, &Membership)> {
        self.roles().flat_map(move |member| {
            let own = member.member_of.iter().filter(move |membership| membership.role == role);
            own.map(|membership| (member.id, membership))
        })
    }
}
