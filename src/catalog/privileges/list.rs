//! An access list: who was granted what, by whom, and what of it they may grant on.

use super::Privileges;
use crate::ids::Oid;
use serde::{Deserialize, Serialize};

/// What one role was granted by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessItem {
    /// To whom; [`EVERYBODY`](super::EVERYBODY) for PUBLIC.
    pub grantee: Oid,
    /// By whom.
    pub grantor: Oid,
    /// What.
    pub privileges: Privileges,
    /// What of it may be granted on.
    #[serde(default, skip_serializing_if = "Privileges::is_empty_ref")]
    pub options: Privileges,
}

impl Privileges {
    fn is_empty_ref(&self) -> bool {
        self.is_empty()
    }
}

impl AccessItem {
    /// Nothing of it may be granted on.
    #[must_use]
    pub const fn new(grantee: Oid, grantor: Oid, privileges: Privileges) -> Self {
        Self { grantee, grantor, privileges, options: Privileges::NONE }
    }
}

/// The items, in the order in which they came; one for each pair of grantee and grantor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessList(Vec<AccessItem>);

/// Why nothing was revoked: others hold it from the one who would lose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependent;

/// What comes of revoking.
pub type Revoked = Result<(), Dependent>;

impl FromIterator<AccessItem> for AccessList {
    fn from_iter<I: IntoIterator<Item = AccessItem>>(items: I) -> Self {
        Self(items.into_iter().filter(|item| !item.privileges.is_empty()).collect())
    }
}

impl AccessList {
    /// Its items.
    pub fn items(&self) -> impl Iterator<Item = &AccessItem> {
        self.0.iter()
    }

    /// Whether nobody has anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a role is in it, on either side.
    #[must_use]
    pub fn names(&self, role: Oid) -> bool {
        self.0.iter().any(|item| item.grantee == role || item.grantor == role)
    }

    /// What whoever is one of `grantees` was granted.
    pub fn held(&self, is_one: impl Fn(Oid) -> bool) -> Privileges {
        let held = self.0.iter().filter(|item| is_one(item.grantee));
        held.fold(Privileges::NONE, |all, item| all.and(item.privileges))
    }

    /// What of it they may grant on.
    pub fn options(&self, is_one: impl Fn(Oid) -> bool) -> Privileges {
        let held = self.0.iter().filter(|item| is_one(item.grantee));
        held.fold(Privileges::NONE, |all, item| all.and(item.options))
    }

    /// Adds what an item says to what is there between the two.
    pub fn grant(&mut self, new: AccessItem) {
        if new.privileges.is_empty() {
            return;
        }
        let is_same =
            |item: &&mut AccessItem| (item.grantee, item.grantor) == (new.grantee, new.grantor);
        match self.0.iter_mut().find(is_same) {
            Some(item) => {
                item.privileges = item.privileges.and(new.privileges);
                item.options = item.options.and(new.options);
            }
            None => self.0.push(new),
        }
    }

    /// Whether the right to grant on would go back to one from whom its grantor has it: two who hold it
    /// of each other would keep it for ever.
    #[must_use]
    pub fn goes_back(&self, new: &AccessItem, owner: Oid) -> bool {
        if new.grantor == owner || new.options.is_empty() {
            return false;
        }
        let mut without = self.clone();
        let held = self.0.iter().filter(|item| item.grantee == new.grantee);
        for item in held {
            // Under CASCADE nothing stands in the way.
            let _ = without.revoke((item.grantee, item.grantor), owner, item.options, true, true);
        }
        !without.options(|role| role == new.grantor).contains(new.options)
    }

    /// Takes back what `grantor` granted: the right to grant it on alone, or all of it. What the
    /// grantee granted on goes with it under CASCADE, and stands in the way otherwise.
    pub fn revoke(
        &mut self,
        (grantee, grantor): (Oid, Oid),
        owner: Oid,
        privileges: Privileges,
        options_only: bool,
        cascade: bool,
    ) -> Revoked {
        let is_it = |item: &&mut AccessItem| (item.grantee, item.grantor) == (grantee, grantor);
        if let Some(item) = self.0.iter_mut().find(is_it) {
            item.options = item.options.without(privileges);
            if !options_only {
                item.privileges = item.privileges.without(privileges);
            }
        }
        self.0.retain(|item| !item.privileges.is_empty());
        // The owner grants by right, which no list takes away.
        if grantee == owner {
            return Ok(());
        }
        let lost = privileges.without(self.options(|role| role == grantee));
        let dependent: Vec<AccessItem> = self
            .0
            .iter()
            .filter(|item| item.grantor == grantee && !item.privileges.common(lost).is_empty())
            .copied()
            .collect();
        if !dependent.is_empty() && !cascade {
            return Err(Dependent);
        }
        dependent.into_iter().try_for_each(|item| {
            self.revoke((item.grantee, item.grantor), owner, lost, false, true)
        })
    }

    /// The items in the order of their roles, in which lists are compared.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_unstable_by_key(|item| (item.grantee, item.grantor));
        self
    }

    /// All that was granted by one role or to it is another's from now on.
    pub fn replace(&mut self, from: Oid, to: Oid) {
        let put = |role: Oid| if role == from { to } else { role };
        for item in std::mem::take(&mut self.0) {
            self.grant(AccessItem {
                grantee: put(item.grantee),
                grantor: put(item.grantor),
                ..item
            });
        }
    }

    /// All that was granted to a role goes, and what it granted on.
    pub fn forget(&mut self, role: Oid, owner: Oid) {
        let held: Vec<AccessItem> =
            self.0.iter().filter(|item| item.grantee == role).copied().collect();
        for item in held {
            // Under CASCADE nothing stands in the way.
            let _ = self.revoke((role, item.grantor), owner, item.privileges, false, true);
        }
    }
}
