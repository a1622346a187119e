//! Statements that are neither queries nor changes of rows, as values. Names are text here:
//! whoever runs the statement looks them up in the catalog of that moment.

mod grant;

pub use super::named::{Name, TypeName};
pub use grant::{DefaultPrivileges, Grant, GrantOn, GrantRole, Granted, MembershipOption};

use crate::{
    catalog::{Identity, OnCommit, webhook::EventKind},
    ids::Oid,
    pgtype::{PgType, enumeration::Position},
    sql::{Query, statement::Statement},
};
use std::sync::Arc;

/// A statement that is neither a query nor a change of rows.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the statement of its name, which PostgreSQL explains")]
pub enum Utility {
    CreateTable(CreateTable),
    AlterTable(AlterTable),
    AlterIndex { name: Name, if_exists: bool, action: AlterRelation },
    AlterView { name: Name, if_exists: bool, action: AlterRelation },
    AlterSequence { name: Name, if_exists: bool, action: AlterSequence },
    AlterSchema { name: String, action: AlterRelation },
    AlterDatabase { name: String, action: AlterDatabase },
    AlterRole { name: String, action: AlterRole },
    AlterExtension { name: String, version: Option<String> },
    Drop(Drop),
    CreateIndex(CreateIndex),
    CreateExtension { name: String, if_not_exists: bool, schema: Option<String> },
    CreateSchema { name: Option<String>, if_not_exists: bool, owner: Option<String> },
    CreateDatabase { name: String, options: Vec<(String, String)> },
    CreateRole { name: String, options: RoleOptions },
    CreateApiKey { name: String, role: Option<String> },
    DropApiKey { name: String, if_exists: bool },
    CreateWebhook(CreateWebhook),
    AlterWebhook { name: String, if_exists: bool, action: AlterWebhook },
    DropWebhook { names: Vec<String>, if_exists: bool },
    CreateModel { name: String, if_not_exists: bool, options: Vec<(String, String)> },
    AlterModel { name: String, if_exists: bool, action: AlterModel },
    DropModel { name: String, if_exists: bool },
    CreateSequence { name: Name, if_not_exists: bool, options: SequenceOptions },
    CreateView(CreateView),
    CreateType { name: Name, labels: Vec<String> },
    CreateDomain(CreateDomain),
    AlterDomain { name: Name, action: AlterDomain },
    AlterType { name: Name, action: AlterType },
    Comment { object: ObjectKind, name: Name, column: Option<String>, comment: Option<String> },
    Grant(Grant),
    GrantRole(GrantRole),
    AlterDefaultPrivileges(DefaultPrivileges),
    ReassignOwned { from: Vec<String>, to: String },
    DropOwned { roles: Vec<String>, cascade: bool },
    Truncate { tables: Vec<Name>, restart_identity: bool, cascade: bool },
    Begin(TransactionModes),
    Commit { chain: bool },
    Rollback { chain: bool },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    SetTransaction { modes: TransactionModes, session: bool },
    SetConstraints,
    Set { name: String, value: SetValue, local: bool },
    Reset(Option<String>),
    Show(Option<String>),
    Discard(Discard),
    Declare(Declare),
    Fetch { cursor: String, direction: Direction, moves: bool },
    Close(Option<String>),
    Prepare { name: String, types: Vec<TypeName>, statement: Arc<Statement> },
    Execute(Execute),
    Deallocate(Option<String>),
    Listen(String),
    Unlisten(Option<String>),
    Notify { channel: String, payload: String },
    Lock { tables: Vec<Name>, mode: String, wait: bool },
    Vacuum { tables: Vec<Name>, full: bool, analyze: bool },
    Analyze { tables: Vec<Name> },
    Reindex { object: ObjectKind, name: Option<Name>, concurrently: bool },
    Cluster { table: Option<Name> },
    Checkpoint,
}

impl Utility {
    /// Whether it leaves a transaction that has not taken its snapshot without one, as what only
    /// steers the session does.
    #[must_use]
    pub fn takes_no_snapshot(&self) -> bool {
        matches!(
            self,
            Self::Begin(_)
                | Self::Commit { .. }
                | Self::Rollback { .. }
                | Self::Savepoint(_)
                | Self::Release(_)
                | Self::RollbackTo(_)
                | Self::SetTransaction { .. }
                | Self::SetConstraints
                | Self::Set { .. }
                | Self::Reset(_)
                | Self::Show(_)
                | Self::Discard(_)
                | Self::Fetch { .. }
                | Self::Close(_)
                | Self::Deallocate(_)
                | Self::Listen(_)
                | Self::Unlisten(_)
                | Self::Notify { .. }
                | Self::Lock { .. }
                | Self::Checkpoint
        )
    }
}

/// What ALTER EMBEDDING MODEL does.
#[derive(Debug, Clone)]
pub enum AlterModel {
    /// `SET (…)`.
    Set(Vec<(String, String)>),
    /// `ACCEPT FILES`: the files as they are now are the model's.
    AcceptFiles,
    /// `RENAME TO …`.
    Rename(String),
    /// `OWNER TO …`.
    Owner(String),
}

/// CREATE TABLE.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// `ON COMMIT`, where it is written; within: what it does to rows that do not stay.
    pub on_commit: Option<Option<OnCommit>>,
    /// Its name.
    pub name: Name,
    /// Leave one that is there.
    pub if_not_exists: bool,
    /// Its columns.
    pub columns: Vec<ColumnDefinition>,
    /// Keys, checks and references; those written at columns too.
    pub constraints: Vec<TableConstraint>,
    /// `WITH (…)`.
    pub options: Vec<(String, String)>,
    /// `LIKE …`.
    pub like: Vec<Like>,
    /// `AS query`.
    pub query: Option<CreateTableAs>,
}

/// `CREATE TABLE … AS`.
#[derive(Debug, Clone)]
pub struct CreateTableAs {
    /// What fills the table; the table's columns are the query's, under the names that the
    /// statement gives (already in `query.columns`).
    pub query: Box<Query>,
    /// Whether to run it.
    pub with_data: bool,
}

/// `LIKE table INCLUDING …`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what is copied beside names, types and NOT NULL")]
pub struct Like {
    pub table: Name,
    pub defaults: bool,
    pub constraints: bool,
    pub indexes: bool,
    pub identity: bool,
    pub generated: bool,
    pub comments: bool,
}

/// A column of CREATE TABLE or ADD COLUMN. Its keys and checks are among the table's.
#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: TypeName,
    /// Whether NULL is refused: NOT NULL, serial, identity; a primary key adds its own.
    pub not_null: bool,
    /// `DEFAULT`, as SQL text.
    pub default: Option<String>,
    /// `serial`: a sequence that the column owns, and its default.
    pub serial: bool,
    /// `GENERATED … AS IDENTITY`.
    pub identity: Option<(Identity, SequenceOptions)>,
    /// `GENERATED ALWAYS AS (…) STORED`: the expression, as SQL text.
    pub generated: Option<String>,
}

/// A constraint in CREATE or ALTER TABLE.
#[derive(Debug, Clone)]
pub struct TableConstraint {
    /// Its name, if one was given.
    pub name: Option<String>,
    /// What it asks.
    pub kind: TableConstraintKind,
}

/// What a constraint asks.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the parts of each constraint, by their names in SQL")]
pub enum TableConstraintKind {
    PrimaryKey { columns: Vec<String> },
    Unique { columns: Vec<String>, nulls_not_distinct: bool },
    Check { expression: String },
    ForeignKey { columns: Vec<String>, references: Name, referenced: Vec<String>, actions: String },
}

/// ALTER TABLE.
#[derive(Debug, Clone)]
pub struct AlterTable {
    /// Its name.
    pub name: Name,
    /// Say nothing when it is not there.
    pub if_exists: bool,
    /// What changes, in order.
    pub actions: Vec<AlterTableAction>,
}

/// One change of ALTER TABLE.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterTableAction {
    AddColumn { column: ColumnDefinition, constraints: Vec<TableConstraint>, if_not_exists: bool },
    DropColumn { column: String, if_exists: bool, cascade: bool },
    RenameColumn { from: String, to: String },
    RenameTable { to: String },
    RenameConstraint { from: String, to: String },
    SetNotNull(String),
    DropNotNull(String),
    SetDefault { column: String, default: String },
    DropDefault(String),
    AddIdentity { column: String, identity: Identity, options: SequenceOptions },
    DropIdentity { column: String, if_exists: bool },
    SetExpression { column: String, expression: String },
    DropExpression { column: String, if_exists: bool },
    AlterType { column: String, kind: TypeName, using: Option<String> },
    AddConstraint(TableConstraint),
    DropConstraint { name: String, if_exists: bool, cascade: bool },
    SetSchema(String),
    Owner(String),
    SetOptions(Vec<(String, String)>),
    ResetOptions(Vec<String>),
}

/// A change that several kinds of objects know.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterRelation {
    Rename(String),
    Owner(String),
    SetSchema(String),
    SetOptions(Vec<(String, String)>),
    ResetOptions(Vec<String>),
}

/// A change of ALTER TYPE.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterType {
    Placed(AlterRelation),
    AddValue { label: String, if_not_exists: bool, position: Position },
    RenameValue { from: String, to: String },
}

/// CREATE DOMAIN.
#[derive(Debug, Clone)]
pub struct CreateDomain {
    /// Its name.
    pub name: Name,
    /// What its values are: a type, or another domain.
    pub base: TypeName,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// `DEFAULT`, as SQL text.
    pub default: Option<String>,
    /// `CHECK`: its name, if one was given, and the expression as SQL text.
    pub checks: Vec<(Option<String>, String)>,
}

/// A change of ALTER DOMAIN.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterDomain {
    Placed(AlterRelation),
    SetDefault(String),
    DropDefault,
    SetNotNull,
    DropNotNull,
    AddCheck { name: Option<String>, expression: String },
    DropConstraint { name: String, if_exists: bool },
    RenameConstraint { from: String, to: String },
}

/// A change of ALTER SEQUENCE.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterSequence {
    Relation(AlterRelation),
    Options { options: SequenceOptions, restart: Option<Option<i64>> },
}

/// A change of ALTER DATABASE.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterDatabase {
    Rename(String),
    Owner(String),
    Set { name: String, value: SetValue },
    Reset(Option<String>),
}

/// A change of ALTER ROLE.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterRole {
    Rename(String),
    Options(RoleOptions),
    Set { name: String, value: SetValue },
    Reset(Option<String>),
}

/// What kind of object a statement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the kind of its name")]
pub enum ObjectKind {
    Table,
    View,
    Index,
    Sequence,
    Schema,
    Database,
    Role,
    Extension,
    Column,
    Constraint,
    MaterializedView,
    Type,
    Domain,
    Function,
    System,
}

/// DROP.
#[derive(Debug, Clone)]
pub struct Drop {
    /// Of what.
    pub object: ObjectKind,
    /// Which.
    pub names: Vec<Name>,
    /// Say nothing but a notice when one is not there.
    pub if_exists: bool,
    /// What depends on it goes too.
    pub cascade: bool,
    /// CONCURRENTLY: 25001 in a transaction block.
    pub concurrently: bool,
}

/// CREATE INDEX.
#[derive(Debug, Clone)]
pub struct CreateIndex {
    /// Its name; `None`: one is made up.
    pub name: Option<String>,
    /// Of which table.
    pub table: Name,
    /// `USING …`; `btree` where the statement is silent.
    pub method: String,
    /// What is indexed.
    pub keys: Vec<IndexKey>,
    /// `INCLUDE (…)`.
    pub include: Vec<String>,
    /// Whether rows must differ.
    pub unique: bool,
    /// Whether NULLs equal each other then.
    pub nulls_not_distinct: bool,
    /// Leave one that is there.
    pub if_not_exists: bool,
    /// CONCURRENTLY: 25001 in a transaction block.
    pub concurrently: bool,
    /// `WITH (…)`.
    pub options: Vec<(String, String)>,
    /// `WHERE …`, as SQL text.
    pub predicate: Option<String>,
}

/// A column or expression of an index.
#[derive(Debug, Clone)]
pub struct IndexKey {
    /// The column, where it is one and nothing more.
    pub column: Option<String>,
    /// The key as SQL text, with ASC, DESC and NULLS where written.
    pub text: String,
    /// The operator class.
    pub operator_class: Option<String>,
}

/// CREATE VIEW.
#[derive(Debug, Clone)]
pub struct CreateView {
    /// Its name.
    pub name: Name,
    /// Put it in the place of one that is there.
    pub or_replace: bool,
    /// Its columns.
    pub columns: Vec<(String, PgType)>,
    /// Its query, as SQL text.
    pub query: String,
    /// The schemas in which the names of the query were looked up.
    pub path: Vec<Oid>,
}

/// CREATE WEBHOOK.
#[derive(Debug, Clone)]
pub struct CreateWebhook {
    /// Its name.
    pub name: String,
    /// Leave one that is there.
    pub if_not_exists: bool,
    /// Whose changes it tells of.
    pub of: WebhookOf,
    /// `WHEN (…)`.
    pub events: Vec<EventKind>,
    /// `WHERE …`, as SQL text.
    pub condition: Option<String>,
    /// `TO …`.
    pub url: String,
    /// `WITH (…)`.
    pub options: Vec<(String, String)>,
}

/// Whose changes a webhook tells of.
#[derive(Debug, Clone)]
pub enum WebhookOf {
    /// One table's.
    Table(Name),
    /// All tables' of a database; none named: of this one.
    Database(Option<String>),
}

/// A change of ALTER WEBHOOK.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the clause of its name")]
pub enum AlterWebhook {
    Rename(String),
    Owner(String),
    SetOptions(Vec<(String, String)>),
    ResetOptions(Vec<String>),
    Enable,
    Disable,
    RotateSecret,
    Url(String),
    Events {
        events: Vec<EventKind>,
        condition: Option<String>,
    },
    Test,
    /// Of one event, or of all.
    Replay(Option<String>),
    /// Of one event, or of all.
    Forget(Option<String>),
}

/// Options of CREATE and ALTER ROLE; `None` where the statement is silent.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the option of its name")]
pub struct RoleOptions {
    pub superuser: Option<bool>,
    pub login: Option<bool>,
    pub inherit: Option<bool>,
    pub create_role: Option<bool>,
    pub create_database: Option<bool>,
    /// `IN ROLE`: the roles that it is taken into.
    pub in_roles: Vec<String>,
    /// `ROLE`: who is taken into it.
    pub members: Vec<String>,
    /// `ADMIN`: who is taken into it, and may take others in.
    pub admins: Vec<String>,
    /// The password; `Some(None)` takes it away.
    pub password: Option<Option<String>>,
}

/// Options of a sequence; `None` where the statement is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the option of its name")]
pub struct SequenceOptions {
    pub kind: Option<PgType>,
    pub start: Option<i64>,
    pub increment: Option<i64>,
    /// `Some(None)`: NO MINVALUE.
    pub min: Option<Option<i64>>,
    /// `Some(None)`: NO MAXVALUE.
    pub max: Option<Option<i64>>,
    pub cycle: Option<bool>,
    /// Table and column; `Some(None)`: OWNED BY NONE.
    pub owned_by: Option<Option<(Name, String)>>,
}

/// Modes of BEGIN and SET TRANSACTION; `None` where the statement is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the mode of its name")]
pub struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

/// An isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the level of its name")]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// What SET sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// As it was at the session's start.
    Default,
    /// One value, or the elements of a list.
    Values(Vec<String>),
}

/// What DISCARD discards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word of its name")]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temp,
}

/// DECLARE.
#[derive(Debug, Clone)]
pub struct Declare {
    /// The cursor's name.
    pub name: String,
    /// What it runs over.
    pub query: Box<Query>,
    /// Whether it goes back: `None` where the statement is silent.
    pub scroll: Option<bool>,
    /// Whether it outlives its transaction.
    pub hold: bool,
    /// Whether rows come in binary form.
    pub binary: bool,
}

impl Declare {
    /// Whether it has all its rows from the beginning.
    #[must_use]
    pub fn keeps_rows(&self) -> bool {
        keeps_rows(self.scroll, self.hold)
    }
}

/// A cursor that goes back, or outlives its transaction, has all its rows from the beginning.
pub(crate) fn keeps_rows(scroll: Option<bool>, hold: bool) -> bool {
    hold || scroll == Some(true)
}

/// Where FETCH and MOVE go. Negative counts go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// That many rows; 0 is the row once more.
    Forward(i64),
    /// All that are left.
    ForwardAll,
    /// All before.
    BackwardAll,
    /// The row of that number, from the end where negative.
    Absolute(i64),
    /// The row that many further.
    Relative(i64),
}

/// EXECUTE; its arguments get their types from the prepared statement, see
/// [`super::bind_arguments`].
#[derive(Debug, Clone)]
pub struct Execute {
    /// The prepared statement's name.
    pub name: String,
    /// The arguments.
    pub arguments: Vec<datafusion::sql::sqlparser::ast::Expr>,
}

/// What EXPLAIN tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the option of its name")]
pub struct ExplainOptions {
    pub analyze: bool,
    pub verbose: bool,
    pub costs: bool,
    pub buffers: bool,
    pub timing: bool,
    pub summary: bool,
    pub format: ExplainFormat,
}

/// How EXPLAIN writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the format of its name")]
pub enum ExplainFormat {
    #[default]
    Text,
    Json,
}
