//! GRANT and REVOKE, and what is kin to them, as values.

use super::Name;
use crate::catalog::privileges::{Class, Privileges};

/// GRANT or REVOKE of privileges on objects.
#[derive(Debug, Clone)]
pub struct Grant {
    /// REVOKE.
    pub revoke: bool,
    /// `GRANT OPTION FOR`: only the right to grant on is revoked.
    pub options_only: bool,
    /// What is allowed.
    pub privileges: Vec<Granted>,
    /// On what.
    pub on: GrantOn,
    /// To or from whom; `public` among them for everybody.
    pub roles: Vec<String>,
    /// `WITH GRANT OPTION`.
    pub with_option: bool,
    /// `GRANTED BY`.
    pub grantor: Option<String>,
    /// What others were granted on goes too.
    pub cascade: bool,
}

/// What a GRANT allows.
#[derive(Debug, Clone)]
pub struct Granted {
    /// `None`: ALL.
    pub privilege: Option<Privileges>,
    /// On these columns alone; none: on the whole.
    pub columns: Vec<String>,
}

/// On what a GRANT is.
#[derive(Debug, Clone)]
pub enum GrantOn {
    /// Tables and views; sequences too, as PostgreSQL has it.
    Tables(Vec<Name>),
    /// Sequences.
    Sequences(Vec<Name>),
    /// Schemas.
    Schemas(Vec<String>),
    /// Databases.
    Databases(Vec<String>),
    /// Types and domains.
    Types(Vec<Name>),
    /// All that there are of a kind in some schemas.
    AllIn(Class, Vec<String>),
}

/// GRANT or REVOKE of roles.
#[derive(Debug, Clone)]
pub struct GrantRole {
    /// REVOKE.
    pub revoke: bool,
    /// The roles that others are taken into.
    pub roles: Vec<String>,
    /// Who is taken in.
    pub members: Vec<String>,
    /// `WITH ADMIN OPTION` and kin; with REVOKE the options that are taken away, all where there are
    /// none.
    pub options: Vec<(MembershipOption, bool)>,
    /// `GRANTED BY`.
    pub grantor: Option<String>,
    /// What others were granted on goes too.
    pub cascade: bool,
}

/// What a member may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipOption {
    /// Take others in.
    Admin,
    /// Have what the role has.
    Inherit,
    /// Become the role.
    Set,
}

/// ALTER DEFAULT PRIVILEGES.
#[derive(Debug, Clone)]
pub struct DefaultPrivileges {
    /// Whose new objects; none: those of whoever says so.
    pub owners: Vec<String>,
    /// In which schemas; none: in all.
    pub schemas: Vec<String>,
    /// Of which kind.
    pub class: Class,
    /// REVOKE.
    pub revoke: bool,
    /// `GRANT OPTION FOR`.
    pub options_only: bool,
    /// What is allowed.
    pub privileges: Vec<Granted>,
    /// To or from whom.
    pub roles: Vec<String>,
    /// `WITH GRANT OPTION`.
    pub with_option: bool,
    /// What others were granted on goes too.
    pub cascade: bool,
}
