//! CREATE, ALTER and DROP DOMAIN.

use super::{Ddl, joined_name, kept::refused};
use crate::{
    catalog::{Change, Domain, DomainCheck, Table, no_type, privileges::Class},
    error::{Error, Result, SqlState},
    exec::{relations::Sources, write::quote},
    ids::Oid,
    pgtype::PgType,
    sql::{
        self,
        utility::{AlterDomain, AlterRelation, CreateDomain, Drop, Name, TypeName},
    },
};
use std::sync::Arc;

impl Ddl<'_> {
    pub(super) async fn create_domain(&mut self, create: &CreateDomain) -> Result<&'static str> {
        self.transaction.check_writable("CREATE DOMAIN")?;
        let name = &create.name.name;
        let schema = self.schema_for(&create.name).await?.id;
        self.lock_name(schema, name).await?;
        self.refuse_type_name(schema, name)?;
        let base = self.kind_of(&create.base).await?;
        if matches!(base, PgType::Record | PgType::Composite(_) | PgType::Void | PgType::Unknown) {
            let message = format!("\"{base}\" is not a valid base type for a domain");
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message));
        }
        let parent = self.domain_named(&create.base).map(|parent| parent.id);
        let mut domain = Domain {
            id: self.fresh_oid(),
            array: self.fresh_oid(),
            schema,
            name: name.clone(),
            owner: self.user(),
            base,
            parent,
            not_null: create.not_null,
            default: create.default.clone(),
            checks: Vec::new(),
            comment: None,
        };
        for (name, expression) in &create.checks {
            self.add_check(&mut domain, name.as_deref(), expression)?;
        }
        self.check_domain(&domain)?;
        let granted = self.grants_of_new(domain.id, Class::Type, domain.owner, Some(schema));
        self.transaction.change([Change::Domain(Arc::new(domain))]);
        self.transaction.change(granted);
        Ok("CREATE DOMAIN")
    }

    fn add_check(
        &mut self,
        domain: &mut Domain,
        name: Option<&str>,
        expression: &str,
    ) -> Result<()> {
        let is_taken = |name: &str| domain.checks.iter().any(|check| check.name == name);
        let name = match name {
            Some(name) if is_taken(name) => {
                let message =
                    format!("constraint \"{name}\" for domain \"{}\" already exists", domain.name);
                return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
            }
            Some(name) => name.to_owned(),
            None => {
                let base = joined_name(&domain.name, "", "check");
                let numbered = (1..).map(|number| format!("{base}{number}"));
                let mut names = std::iter::once(base.clone()).chain(numbered);
                names.find(|name| !is_taken(name)).unwrap_or(base)
            }
        };
        let id = self.fresh_oid();
        domain.checks.push(DomainCheck { id, name, expression: expression.to_owned() });
        Ok(())
    }

    /// Rules and default must bind from the beginning.
    fn check_domain(&mut self, domain: &Domain) -> Result<()> {
        self.see_own_names();
        let context = Arc::clone(&self.env.context);
        let rules = domain.checks.iter().map(|check| check.expression.as_str());
        sql::check_domain(&domain.base, rules, domain.default.as_deref(), &context, &Sources)
    }

    /// A domain by its name, held against others who would change it.
    async fn expect_domain(&mut self, name: &Name) -> Result<Arc<Domain>> {
        let wanted = TypeName::Named { name: name.clone(), is_array: false };
        if let Some(found) = self.domain_named(&wanted) {
            self.lock_name(found.schema, &found.name).await?;
            if let Some(found) = self.domain_named(&wanted) {
                return Ok(found);
            }
        }
        let known = PgType::from_name(&name.name);
        let other = self.in_scope(|scope| scope.user_type(name.schema.as_deref(), &name.name));
        Err(match known.or(other) {
            Some(kind) => {
                Error::new(SqlState::WRONG_OBJECT_TYPE, format!("{kind} is not a domain"))
            }
            None => no_type(&name.to_string()),
        })
    }

    pub(super) async fn alter_domain(
        &mut self,
        name: &Name,
        action: &AlterDomain,
    ) -> Result<&'static str> {
        self.transaction.check_writable("ALTER DOMAIN")?;
        let found = self.expect_domain(name).await?;
        self.check_owner(found.owner, "type", &found.name)?;
        let mut domain = Domain::clone(&found);
        match action {
            AlterDomain::Placed(action) => self.place_domain(&mut domain, action).await?,
            AlterDomain::SetDefault(default) => {
                domain.default = Some(default.clone());
                self.check_domain(&domain)?;
            }
            AlterDomain::DropDefault => domain.default = None,
            AlterDomain::DropNotNull => domain.not_null = false,
            AlterDomain::SetNotNull => {
                domain.not_null = true;
                self.check_columns(&domain).await?;
            }
            AlterDomain::AddCheck { name, expression } => {
                self.add_check(&mut domain, name.as_deref(), expression)?;
                self.check_domain(&domain)?;
                self.check_columns(&domain).await?;
            }
            AlterDomain::DropConstraint { name, if_exists } => {
                match domain.checks.iter().position(|check| check.name == *name) {
                    Some(at) => drop(domain.checks.remove(at)),
                    None if *if_exists => {
                        self.notice(format!(
                            "constraint \"{name}\" of domain \"{}\" does not exist, skipping",
                            domain.name
                        ));
                    }
                    None => return Err(no_constraint(name, &domain)),
                }
            }
            AlterDomain::RenameConstraint { from, to } => {
                if domain.checks.iter().any(|check| check.name == *to) {
                    let message =
                        format!("constraint \"{to}\" for domain {} already exists", domain.name);
                    return Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
                }
                let check = domain.checks.iter_mut().find(|check| check.name == *from);
                match check {
                    Some(check) => check.name.clone_from(to),
                    None => return Err(no_constraint(from, &domain)),
                }
            }
        }
        self.transaction.change([Change::Domain(Arc::new(domain))]);
        Ok("ALTER DOMAIN")
    }

    async fn place_domain(&mut self, domain: &mut Domain, action: &AlterRelation) -> Result<()> {
        if let AlterRelation::Owner(to) = action {
            let owner = self.new_owner(to, Some(domain.schema))?.id;
            self.hand_over_grants(domain.id, domain.owner, owner);
            domain.owner = owner;
            return Ok(());
        }
        if let Some(what) = self.kept_naming(domain.schema, &domain.name) {
            return Err(refused(&format!("domain {}", domain.name), &what));
        }
        match action {
            AlterRelation::Rename(to) => {
                self.check_creates_in(domain.schema)?;
                self.lock_name(domain.schema, to).await?;
                self.refuse_type_name(domain.schema, to)?;
                domain.name.clone_from(to);
            }
            AlterRelation::SetSchema(to) => {
                let to = self.schema_named(to)?.id;
                self.check_creates_in(to)?;
                if to != domain.schema {
                    self.lock_name(to, &domain.name).await?;
                    self.refuse_type_name(to, &domain.name)?;
                }
                domain.schema = to;
            }
            _ => return Err(Error::unsupported("options of a domain are not supported")),
        }
        Ok(())
    }

    /// The values that columns of a domain have obey its new rules.
    async fn check_columns(&mut self, domain: &Domain) -> Result<()> {
        let catalog = self.catalog();
        let columns: Vec<(Arc<Table>, String)> = catalog
            .columns_of_domain(domain.id)
            .map(|(table, column)| (Arc::clone(table), column.name.clone()))
            .collect();
        self.transaction.change([Change::Domain(Arc::new(domain.clone()))]);
        self.see_own_names();
        let name = catalog.domain_text(domain);
        for (table, column) in columns {
            let table = self.lock_table(&table).await?;
            // The cast refuses what does not obey; the rest makes a question of it.
            let own = quote(&column);
            let test = format!("({own}::{name})::text IS NOT DISTINCT FROM {own}::text");
            let violated = || {
                let message = format!(
                    "column \"{column}\" of table \"{}\" contains values that violate the new constraint",
                    table.name
                );
                Error::new(SqlState::CHECK_VIOLATION, message).column(&column)
            };
            self.check_rows(&table, &test, violated).await.map_err(|error| {
                match error.state() {
                    SqlState::CHECK_VIOLATION => violated(),
                    SqlState::NOT_NULL_VIOLATION => {
                        let message = format!(
                            "column \"{column}\" of table \"{}\" contains null values",
                            table.name
                        );
                        Error::new(SqlState::NOT_NULL_VIOLATION, message).column(&column)
                    }
                    _ => error,
                }
            })?;
        }
        Ok(())
    }

    pub(super) async fn drop_domain(&mut self, name: &Name, statement: &Drop) -> Result<()> {
        let wanted = TypeName::Named { name: name.clone(), is_array: false };
        if statement.if_exists && self.domain_named(&wanted).is_none() {
            let is_type = self.in_scope(|scope| wanted.resolve(scope).is_ok());
            if !is_type {
                self.skipping("type", &name.name);
                return Ok(());
            }
        }
        let domain = self.expect_domain(name).await.map_err(|error| match error.state() {
            SqlState::WRONG_OBJECT_TYPE => {
                Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a domain"))
            }
            _ => error,
        })?;
        let (user, catalog) = (self.user(), self.catalog());
        let schema = catalog.schema(domain.schema);
        if schema.is_none_or(|schema| !catalog.has_privileges_of(user, schema.owner)) {
            self.check_owner(domain.owner, "type", &domain.name)?;
        }
        self.drop_found_domain(&domain, statement.cascade).await
    }

    /// Drops a domain, and with CASCADE what is of it.
    pub(super) async fn drop_found_domain(
        &mut self,
        domain: &Arc<Domain>,
        cascade: bool,
    ) -> Result<()> {
        let (catalog, id) = (self.catalog(), domain.id);
        let shown = self.shown_type(id);
        let columns: Vec<(Arc<Table>, String)> = catalog
            .columns_of_domain(id)
            .map(|(table, column)| (Arc::clone(table), column.name.clone()))
            .collect();
        let is_below = |other: &&Arc<Domain>| {
            other.id != id && catalog.lineage(other).iter().any(|above| above.id == id)
        };
        let below: Vec<Arc<Domain>> = catalog.domains().filter(is_below).cloned().collect();
        let is_idle = columns.is_empty() && below.is_empty();
        if !cascade && !is_idle {
            let columns = columns.iter().map(|(table, column)| {
                format!("column {column} of table {} depends on type {shown}", table.name)
            });
            let below = below.iter().map(|d| format!("type {} depends on type {shown}", d.name));
            let message = format!("cannot drop type {shown} because other objects depend on it");
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(columns.chain(below).collect::<Vec<_>>().join("\n"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (table, column) in columns {
            self.notice(format!("drop cascades to column {column} of table {}", table.name));
            let mut table = Table::clone(&*self.lock_table(&table).await?);
            self.drop_column(&mut table, &column, true, true)?;
        }
        self.transaction.change(below.iter().map(|domain| Change::DropDomain(domain.id)));
        self.refuse_named((domain.schema, &domain.name), &shown)?;
        self.transaction.change([Change::DropDomain(id)]);
        Ok(())
    }

    pub(super) async fn comment_on_domain(
        &mut self,
        name: &Name,
        comment: Option<String>,
    ) -> Result<Change> {
        let domain = self.expect_domain(name).await?;
        self.check_owner(domain.owner, "type", &domain.name)?;
        Ok(Change::Domain(Arc::new(Domain { comment, ..Domain::clone(&domain) })))
    }

    /// A column's type as another table's column may have it.
    pub(super) fn type_of_column(&mut self, kind: &PgType, domain: Option<Oid>) -> TypeName {
        let catalog = self.catalog();
        let Some(domain) = domain.and_then(|id| catalog.domain(id)) else {
            return kind.clone().into();
        };
        let schema = catalog.schema(domain.schema).map(|schema| schema.name.clone());
        let name = Name { schema, name: domain.name.clone(), position: 0 };
        TypeName::Named { name, is_array: false }
    }
}

fn no_constraint(name: &str, domain: &Domain) -> Error {
    let message = format!("constraint \"{name}\" of domain \"{}\" does not exist", domain.name);
    Error::new(SqlState::UNDEFINED_OBJECT, message)
}
