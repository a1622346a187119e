//! GRANT and REVOKE of roles: who is in whom.

use super::{
    Ddl,
    grant::{INVALID_GRANT, dependent_privileges},
};
use crate::{
    catalog::{Catalog, Change, POSTGRES_ROLE, Role, privileges::Membership},
    error::{Error, Result, SqlState},
    ids::Oid,
    sql::utility::{GrantRole, MembershipOption, RoleOptions},
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn grant_role(&mut self, grant: &GrantRole) -> Result<&'static str> {
        let tag = if grant.revoke { "REVOKE ROLE" } else { "GRANT ROLE" };
        self.transaction.check_writable(tag)?;
        for name in &grant.roles {
            let role = self.role(name)?;
            let grantor = self.admin_of(&role, grant)?;
            for name in &grant.members {
                let member = self.role(name)?;
                self.lock_name(Oid(1), &member.name).await?;
                let member = self.role(&member.name)?;
                match grant.revoke {
                    false => self.take_in(&role, &member, grantor, &grant.options)?,
                    true => self.put_out(&role, &member, grantor, grant)?,
                }
            }
        }
        Ok(tag)
    }

    /// The memberships that CREATE ROLE names. Whoever makes a role and is no superuser administers it.
    pub(super) async fn first_memberships(
        &mut self,
        role: &Role,
        options: &RoleOptions,
    ) -> Result<()> {
        use MembershipOption::{Admin, Inherit, Set};
        let user = self.user();
        let own = self.catalog().role(user).cloned();
        let granted = |role: &str, member: &str| GrantRole {
            revoke: false,
            roles: vec![role.to_owned()],
            members: vec![member.to_owned()],
            options: Vec::new(),
            grantor: None,
            cascade: false,
        };
        if let Some(own) = own.filter(|own| !own.superuser) {
            let options = [(Admin, true), (Inherit, false), (Set, false)];
            self.take_in(role, &own, POSTGRES_ROLE, &options)?;
        }
        for above in &options.in_roles {
            self.grant_role(&granted(above, &role.name)).await?;
        }
        for member in &options.members {
            self.grant_role(&granted(&role.name, member)).await?;
        }
        for member in &options.admins {
            let options = vec![(Admin, true)];
            self.grant_role(&GrantRole { options, ..granted(&role.name, member) }).await?;
        }
        Ok(())
    }

    /// In whose name others are taken into a role, or put out of it: whoever may say who is in it.
    fn admin_of(&mut self, role: &Role, grant: &GrantRole) -> Result<Oid> {
        let (user, catalog) = (self.user(), self.catalog());
        let (verb, may) = if grant.revoke { ("revoke", "revoke") } else { ("grant", "grant") };
        let refused = |detail: String| {
            let message = format!("permission denied to {verb} role \"{}\"", role.name);
            Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).detail(detail)
        };
        let is_superuser = catalog.is_superuser(user);
        if role.superuser && !is_superuser {
            return Err(refused(format!(
                "Only roles with the SUPERUSER attribute may {may} roles with the SUPERUSER attribute."
            )));
        }
        if !catalog.administers(user, role.id) {
            return Err(refused(format!(
                "Only roles with the ADMIN option on role \"{}\" may {may} this role.",
                role.name
            )));
        }
        if let Some(grantor) = &grant.grantor {
            let grantor = self.role(grantor)?;
            let may_stand_for = catalog.has_privileges_of(user, grantor.id);
            if may_stand_for && catalog.administers(grantor.id, role.id) {
                return Ok(if grantor.superuser { POSTGRES_ROLE } else { grantor.id });
            }
            return Err(refused(format!(
                "The grantor must have the ADMIN option on role \"{}\".",
                role.name
            )));
        }
        let administrator = catalog.administrator(user, role.id).unwrap_or(user);
        Ok(if is_superuser { POSTGRES_ROLE } else { administrator })
    }

    pub(super) fn take_in(
        &mut self,
        role: &Role,
        member: &Role,
        grantor: Oid,
        options: &[(MembershipOption, bool)],
    ) -> Result<()> {
        let catalog = self.catalog();
        if catalog.is_member(role.id, member.id) {
            let message = format!("role \"{}\" is a member of role \"{}\"", member.name, role.name);
            let swapped = format!("role \"{}\" is a member of role \"{}\"", role.name, member.name);
            let message = if role.id == member.id { message } else { swapped };
            return Err(Error::new(INVALID_GRANT, message));
        }
        if grantor != POSTGRES_ROLE
            && options.contains(&(MembershipOption::Admin, true))
            && !catalog.administers_without(grantor, role.id, member.id)
        {
            let message = "ADMIN option cannot be granted back to your own grantor";
            return Err(Error::new(INVALID_GRANT, message));
        }
        let mut changed = Role::clone(member);
        let is_it = |membership: &&mut Membership| {
            (membership.role, membership.grantor) == (role.id, grantor)
        };
        match changed.member_of.iter_mut().find(is_it) {
            Some(membership) => {
                let before = *membership;
                set_options(membership, options);
                if *membership == before {
                    self.notice(format!(
                        "role \"{}\" has already been granted membership in role \"{}\" by role \"{}\"",
                        member.name,
                        role.name,
                        name_of(&catalog, grantor)
                    ));
                    return Ok(());
                }
            }
            None => {
                let mut membership = Membership {
                    id: self.fresh_oid(),
                    role: role.id,
                    grantor,
                    admin: false,
                    inherit: member.inherit,
                    set: true,
                };
                set_options(&mut membership, options);
                changed.member_of.push(membership);
            }
        }
        self.transaction.change([Change::Role(Arc::new(changed))]);
        Ok(())
    }

    fn put_out(
        &mut self,
        role: &Role,
        member: &Role,
        grantor: Oid,
        grant: &GrantRole,
    ) -> Result<()> {
        let catalog = self.catalog();
        let is_it =
            |membership: &Membership| (membership.role, membership.grantor) == (role.id, grantor);
        if !member.member_of.iter().any(is_it) {
            let message = format!(
                "role \"{}\" has not been granted membership in role \"{}\" by role \"{}\"",
                member.name,
                role.name,
                name_of(&catalog, grantor)
            );
            self.env.context.notice(Error::new(SqlState::new(b"01000"), message));
            return Ok(());
        }
        let mut changed = Role::clone(member);
        match grant.options.as_slice() {
            [] => changed.member_of.retain(|membership| !is_it(membership)),
            options => {
                let own = changed.member_of.iter_mut().filter(|membership| is_it(membership));
                own.for_each(|membership| set_options(membership, options));
            }
        }
        self.transaction.change([Change::Role(Arc::new(changed))]);
        self.put_out_dependent(role, member.id, grant)
    }

    /// Whoever was taken in by one who may do so no more goes too, or stands in the way.
    fn put_out_dependent(&mut self, role: &Role, former: Oid, grant: &GrantRole) -> Result<()> {
        let catalog = self.catalog();
        if catalog.administers(former, role.id) {
            return Ok(());
        }
        let members = catalog.members(role.id);
        let taken: Vec<Oid> = members
            .filter(|(_, membership)| membership.grantor == former)
            .map(|(member, _)| member)
            .collect();
        if !taken.is_empty() && !grant.cascade {
            return Err(dependent_privileges());
        }
        let whole = GrantRole { options: Vec::new(), ..grant.clone() };
        for member in taken {
            let Some(member) = self.catalog().role(member).cloned() else { continue };
            self.put_out(role, &member, former, &whole)?;
        }
        Ok(())
    }
}

fn set_options(membership: &mut Membership, options: &[(MembershipOption, bool)]) {
    for (option, value) in options {
        match option {
            MembershipOption::Admin => membership.admin = *value,
            MembershipOption::Inherit => membership.inherit = *value,
            MembershipOption::Set => membership.set = *value,
        }
    }
}

fn name_of(catalog: &Catalog, role: Oid) -> String {
    catalog.role(role).map_or_else(|| role.to_string(), |role| role.name.clone())
}
