//! CREATE, ALTER and DROP TYPE.
//!
//! Columns have their types whole, so a change of a type reaches them by the catalog, without a look at
//! their tables. What the catalog keeps as text (defaults, checks, views) names types and labels: a
//! default follows where it is a label and nothing more, anything else stands in the way of another name.

use super::{
    Ddl,
    kept::{names_word, refused},
};
use crate::{
    catalog::{
        Change, Column, Domain, Privileges, Table, UserType, no_type, pg::names, privileges::Class,
    },
    error::{Error, Result, SqlState},
    exec::locks::{Mode, Target},
    ids::Oid,
    pgtype::{Enum, PgType, cast, enumeration, style::Style},
    sql::utility::{AlterRelation, AlterType, Drop, Name, TypeName},
};
use std::sync::Arc;

impl Ddl<'_> {
    /// A type by its name, which stays what it is until the transaction ends.
    pub(super) async fn kind_of(&mut self, name: &TypeName) -> Result<PgType> {
        if let Some(domain) = self.domain_named(name) {
            self.lock(Target::Name(domain.schema, domain.name.clone()), Mode::Shared).await?;
            self.transaction.start_statement();
            self.check_any(domain.id, Privileges::USAGE)?;
        }
        let found = self.resolved(name)?;
        let Some(made) = self.catalog().type_(Oid(found.element().oid())).cloned() else {
            return Ok(found);
        };
        self.lock(Target::Name(made.schema, made.name().to_owned()), Mode::Shared).await?;
        self.transaction.start_statement();
        self.check_any(made.id(), Privileges::USAGE)?;
        self.resolved(name)
    }

    fn resolved(&mut self, name: &TypeName) -> Result<PgType> {
        self.in_scope(|scope| name.resolve(scope))
    }

    /// The domain that a type's name stands for.
    pub(super) fn domain_named(&mut self, name: &TypeName) -> Option<Arc<Domain>> {
        self.in_scope(|scope| name.domain(scope))
    }

    /// Looks names up as the session finds them.
    pub(super) fn in_scope<T>(&mut self, look: impl FnOnce(&names::Scope<'_>) -> T) -> T {
        let (catalog, path) = (self.catalog(), self.env.context.search_path());
        let database = self.env.context.database();
        look(&names::Scope { catalog: &catalog, database, path: &path })
    }

    /// The type or domain of a name, as an object on which something can be granted.
    pub(super) fn grantable_type(&mut self, name: &Name) -> Result<Oid> {
        let wanted = TypeName::Named { name: name.clone(), is_array: false };
        if let Some(domain) = self.domain_named(&wanted) {
            return Ok(domain.id);
        }
        if let Ok(PgType::Enum(made)) = self.resolved(&wanted) {
            return Ok(Oid(made.oid));
        }
        if PgType::from_name(&name.name).is_some() {
            let message =
                format!("privileges on type {name}, which is the system's, are not supported");
            return Err(Error::unsupported(message).hint("Everybody may use it."));
        }
        Err(no_type(&name.to_string()))
    }

    /// A type that a user made, if there is one of that name; held against others who would change it.
    async fn user_type(&mut self, name: &Name) -> Result<Option<Arc<UserType>>> {
        let find = |ddl: &mut Self| {
            let kind =
                ddl.resolved(&TypeName::Named { name: name.clone(), is_array: false }).ok()?;
            ddl.catalog().type_(Oid(kind.oid())).cloned()
        };
        let Some(found) = find(self) else { return Ok(None) };
        self.lock_name(found.schema, found.name()).await?;
        Ok(find(self))
    }

    async fn expect_type(&mut self, name: &Name) -> Result<Arc<UserType>> {
        let found = self.user_type(name).await?;
        found.ok_or_else(|| match PgType::from_name(&name.name) {
            Some(kind) => not_an_enum(&kind),
            None => no_type(&name.to_string()),
        })
    }

    /// Refuses a name that another type has, or a table, whose rows are of a type of its name.
    pub(super) fn refuse_taken_by_type(&mut self, schema: Oid, name: &str) -> Result<()> {
        let catalog = self.catalog();
        let is_taken = catalog.type_named(schema, name).is_some()
            || catalog.domain_named(schema, name).is_some();
        if is_taken { Err(taken(name)) } else { Ok(()) }
    }

    /// The same for a new table or view.
    pub(super) fn refuse_row_type(&mut self, schema: Oid, name: &str) -> Result<()> {
        self.refuse_taken_by_type(schema, name).map_err(|error| {
            error.hint(
                "A relation has an associated type of the same name, so you must use a name that \
                 doesn't conflict with any existing type.",
            )
        })
    }

    pub(super) fn refuse_type_name(&mut self, schema: Oid, name: &str) -> Result<()> {
        self.refuse_taken_by_type(schema, name)?;
        let relation = self.catalog().relation_named(schema, name);
        match relation {
            Some(crate::catalog::Relation::Table(_) | crate::catalog::Relation::View(_)) => {
                Err(taken(name))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn create_type(
        &mut self,
        name: &Name,
        labels: &[String],
    ) -> Result<&'static str> {
        self.transaction.check_writable("CREATE TYPE")?;
        let schema = self.schema_for(name).await?.id;
        self.lock_name(schema, &name.name).await?;
        self.refuse_type_name(schema, &name.name)?;
        let oids = (self.fresh_oid().0, self.fresh_oid().0);
        let made = Enum::new(oids, name.name.clone(), labels, || self.fresh_oid().0)?;
        let kind = PgType::Enum(Arc::new(made));
        let owner = self.user();
        let made = UserType { schema, owner, comment: None, kind };
        let granted = self.grants_of_new(made.id(), Class::Type, owner, Some(schema));
        self.transaction.change([Change::Type(Arc::new(made))]);
        self.transaction.change(granted);
        Ok("CREATE TYPE")
    }

    pub(super) async fn alter_type(
        &mut self,
        name: &Name,
        action: &AlterType,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER TYPE")?;
        let mut made = UserType::clone(&*self.expect_type(name).await?);
        self.check_owner(made.owner, "type", &made.kind.to_string())?;
        match action {
            AlterType::AddValue { label, if_not_exists, position } => {
                let kind = enumeration(&mut made)?;
                if kind.has(label) {
                    let exists = enumeration::exists(label);
                    if !if_not_exists {
                        return Err(exists);
                    }
                    let message = format!("{}, skipping", exists.message());
                    self.env.context.notice(Error::new(SqlState::DUPLICATE_OBJECT, message));
                    return Ok("ALTER TYPE");
                }
                let oid = self.fresh_oid().0;
                kind.add(label, position, oid)?;
            }
            AlterType::RenameValue { from, to } => {
                let before = made.clone();
                enumeration(&mut made)?.rename(from, to)?;
                let literal = names::quote_literal(from);
                // By itself, or among others in the literal of an array.
                let says = |text: &str| {
                    text.contains(&literal) || text.contains("'{") && text.contains(from.as_str())
                };
                let what = format!("enum label {literal}");
                self.settle_tables(&before, &made, &what, says).await?;
            }
            AlterType::Placed(action) => {
                let before = made.clone();
                if !matches!(action, AlterRelation::Owner(_)) {
                    let (name, what) = (before.name(), format!("type {}", before.kind));
                    let says = |text: &str| names_word(text, name);
                    self.settle_tables(&before, &before, &what, says).await?;
                }
                self.place_type(&mut made, action).await?;
            }
        }
        self.transaction.change([Change::Type(Arc::new(made))]);
        Ok("ALTER TYPE")
    }

    /// Another name, schema or owner.
    async fn place_type(&mut self, made: &mut UserType, action: &AlterRelation) -> Result<()> {
        match action {
            AlterRelation::Rename(to) => {
                self.check_creates_in(made.schema)?;
                self.lock_name(made.schema, to).await?;
                self.refuse_type_name(made.schema, to)?;
                enumeration(made)?.name.clone_from(to);
            }
            AlterRelation::SetSchema(to) => {
                let to = self.schema_named(to)?.id;
                self.check_creates_in(to)?;
                if to != made.schema {
                    self.lock_name(to, made.name()).await?;
                    self.refuse_type_name(to, made.name())?;
                }
                made.schema = to;
            }
            AlterRelation::Owner(to) => {
                let owner = self.new_owner(to, Some(made.schema))?.id;
                self.hand_over_grants(made.id(), made.owner, owner);
                made.owner = owner;
            }
            AlterRelation::SetOptions(_) | AlterRelation::ResetOptions(_) => {
                return Err(Error::unsupported("options of a type are not supported").hint(
                    "ALTER TYPE … ADD VALUE, RENAME VALUE, RENAME TO, SET SCHEMA, OWNER TO are.",
                ));
            }
        }
        Ok(())
    }

    /// What tables keep of a type that gets another name, or a label of it: defaults, and the values of rows
    /// that are older than a column. A default becomes the literal that it is.
    async fn settle_tables(
        &mut self,
        before: &UserType,
        after: &UserType,
        what: &str,
        says: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<()> {
        self.refuse_kept(before, what, &says)?;
        let catalog = self.catalog();
        let id = before.id();
        let style = Style::default();
        let mut tables: Vec<_> = catalog.columns_of_type(id).map(|(table, _)| table).collect();
        tables.dedup_by_key(|table| table.id);
        let is_concerned = |column: &Column| {
            let is_of_type = column.kind.element() == &before.kind;
            is_of_type && (column.missing.is_some() || column.default.iter().any(|text| says(text)))
        };
        for table in tables.into_iter().filter(|table| table.columns.iter().any(is_concerned)) {
            let table = self.lock_table(table).await?;
            let mut settled = Table::clone(&table);
            for column in settled.columns.iter_mut().filter(|column| is_concerned(column)) {
                let (old, new) = match &column.kind {
                    PgType::Array(_) => (before.kind.clone().array(), after.kind.clone().array()),
                    _ => (before.kind.clone(), after.kind.clone()),
                };
                let renamed = |text: &str| {
                    let value = cast::parse_text(&old, text, &style)?;
                    cast::text_of(&new, &value, 0, &style)
                };
                if let Some(text) = &column.missing {
                    column.missing = renamed(text)?;
                }
                let Some(default) = column.default.clone().filter(|text| says(text)) else {
                    continue;
                };
                if default.contains('(') {
                    return Err(refused(what, &format!("default of column \"{}\"", column.name)));
                }
                let name = self.catalog().type_text(&old);
                column.default = match self.value_of(&table, &default, (&old, &name)).await? {
                    Some(text) => renamed(&text)?.map(|text| names::quote_literal(&text)),
                    None => None,
                };
            }
            self.transaction.change([Change::Table(Arc::new(settled))]);
        }
        Ok(())
    }

    pub(super) async fn drop_type(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        let is_domain =
            self.domain_named(&TypeName::Named { name: name.clone(), is_array: false }).is_some();
        if is_domain {
            return self.drop_domain(name, statement).await;
        }
        let Some(made) = self.user_type(name).await? else {
            if let Some(kind) = PgType::from_name(&name.name) {
                let message = format!(
                    "cannot drop type {kind} because it is required by the database system"
                );
                return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
            }
            if statement.if_exists {
                self.skipping("type", &name.name);
                return Ok(());
            }
            return Err(no_type(&name.to_string()));
        };
        let (user, catalog) = (self.user(), self.catalog());
        let schema = catalog.schema(made.schema);
        if schema.is_none_or(|schema| !catalog.has_privileges_of(user, schema.owner)) {
            self.check_owner(made.owner, "type", &made.kind.to_string())?;
        }
        self.drop_user_type(&made, statement.cascade).await
    }

    /// Drops a type, and with CASCADE what is of it.
    pub(super) async fn drop_user_type(&mut self, made: &UserType, cascade: bool) -> Result<()> {
        let (catalog, id) = (self.catalog(), made.id());
        let columns: Vec<(Arc<Table>, String)> = catalog
            .columns_of_type(id)
            .map(|(table, column)| (Arc::clone(table), column.name.clone()))
            .collect();
        let mut views: Vec<_> = catalog.view_columns_of_type(id).map(|(view, _)| view).collect();
        views.sort_by_key(|view| view.id);
        views.dedup_by_key(|view| view.id);
        let of_it = |domain: &&Arc<Domain>| domain.base.element() == &made.kind;
        let domains: Vec<_> = catalog.domains().filter(of_it).cloned().collect();
        let shown = self.shown_type(id);
        let is_idle = columns.is_empty() && views.is_empty() && domains.is_empty();
        if !cascade && !is_idle {
            let columns = columns.iter().map(|(table, column)| {
                format!("column {column} of table {} depends on type {shown}", table.name)
            });
            let views =
                views.iter().map(|view| format!("view {} depends on type {shown}", view.name));
            let domains = domains
                .iter()
                .map(|domain| format!("type {} depends on type {shown}", domain.name));
            let message = format!("cannot drop type {shown} because other objects depend on it");
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(columns.chain(domains).chain(views).collect::<Vec<_>>().join("\n"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for view in &views {
            self.notice(format!("drop cascades to view {}", view.name));
        }
        let views: Vec<Change> = views.iter().map(|view| Change::DropView(view.id)).collect();
        self.transaction.change(views);
        for (table, column) in columns {
            self.notice(format!("drop cascades to column {column} of table {}", table.name));
            let mut table = Table::clone(&*self.lock_table(&table).await?);
            self.drop_column(&mut table, &column, true, true)?;
        }
        for domain in &domains {
            self.drop_found_domain(domain, true).await?;
        }
        self.refuse_named((made.schema, made.name()), &shown)?;
        self.transaction.change([Change::DropType(id)]);
        Ok(())
    }

    /// The name of a type as messages show it: with its schema, unless the search path finds it.
    pub(super) fn shown_type(&mut self, id: Oid) -> String {
        self.in_scope(|scope| scope.type_name(id, None)).unwrap_or_default()
    }

    pub(super) async fn comment_on_type(
        &mut self,
        name: &Name,
        comment: Option<String>,
    ) -> Result<Change> {
        let made = self.expect_type(name).await?;
        self.check_owner(made.owner, "type", &made.kind.to_string())?;
        Ok(Change::Type(Arc::new(UserType { comment, ..UserType::clone(&made) })))
    }
}

fn enumeration(made: &mut UserType) -> Result<&mut Enum> {
    match &mut made.kind {
        PgType::Enum(kind) => Ok(Arc::make_mut(kind)),
        other => Err(not_an_enum(other)),
    }
}

fn not_an_enum(kind: &PgType) -> Error {
    Error::new(SqlState::WRONG_OBJECT_TYPE, format!("{kind} is not an enum"))
}

fn taken(name: &str) -> Error {
    Error::new(SqlState::DUPLICATE_OBJECT, format!("type \"{name}\" already exists"))
}
