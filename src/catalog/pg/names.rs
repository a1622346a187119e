//! Names of relations, types, functions, operators, schemas and roles: from text to an oid and
//! back, as the `reg…` types read and write them.
//!
//! A [`Scope`] knows the search path: a name that it would find stands alone, another is
//! qualified.

mod find;
mod written;

pub use written::{Keyword, keywords, parts, quote_ident, quote_literal};

use super::{VECTOR_SCHEMA, functions, relation, types};
use crate::{
    catalog::{Catalog, Domain},
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::{PgType, RegKind, style::Names},
    text::Configuration,
};
use std::sync::Arc;

use find::find_in;
use written::invalid_name;

/// How names are resolved: the picture, the database, the search path.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'c> {
    /// The picture of names.
    pub catalog: &'c Catalog,
    /// The database of the session.
    pub database: Oid,
    /// The schemas in which unqualified names are looked for, in order.
    pub path: &'c [Oid],
}

impl functions::KnownFunction {
    /// The schema in which it lies here.
    #[must_use]
    pub fn schema(&self, scope: &Scope<'_>) -> Oid {
        scope.placed(self.schema)
    }
}

/// A [`Scope`] that lives by itself: what writes and reads values of the `reg…` types.
#[derive(Debug, Clone)]
pub struct SessionNames {
    /// The picture of names.
    pub catalog: Arc<Catalog>,
    /// The database of the session.
    pub database: Oid,
    /// The schemas in which unqualified names are looked for, in order.
    pub path: Vec<Oid>,
}

impl SessionNames {
    /// The same, borrowed.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        Scope { catalog: &self.catalog, database: self.database, path: &self.path }
    }
}

impl Names for SessionNames {
    fn name(&self, kind: RegKind, oid: u32) -> Option<String> {
        Some(self.scope().text(kind, Oid(oid)))
    }

    fn oid(&self, kind: RegKind, name: &str) -> Option<u32> {
        self.scope().find(kind, name).ok().flatten().map(|oid| oid.0)
    }
}

/// What is known of any relation, the system's and indexes among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName {
    /// Its schema.
    pub schema: Oid,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: Oid,
}

impl<'c> Scope<'c> {
    /// The oid that a text names, in the way of `'text'::regclass`: a name, qualified or not, or a
    /// number. `None` when there is no such thing.
    ///
    /// # Errors
    /// 42602 when the text is not a name.
    pub fn find(&self, kind: RegKind, text: &str) -> Result<Option<Oid>> {
        let text = text.trim();
        if text == "-" {
            return Ok(Some(Oid(0)));
        }
        if let Ok(oid) = text.parse() {
            return Ok(Some(Oid(oid)));
        }
        match kind {
            RegKind::Type => self.find_type(text),
            RegKind::Class => self.find_class(&parts(text)?),
            RegKind::Proc => self.find_function(text),
            RegKind::Operator => self.find_operator(text),
            RegKind::Namespace => match parts(text)?.as_slice() {
                [name] => Ok(self.schema(name)),
                _ => Err(invalid_name(text)),
            },
            RegKind::Role => match parts(text)?.as_slice() {
                [name] => Ok(self.catalog.role_named(name).map(|role| role.id)),
                _ => Err(invalid_name(text)),
            },
            RegKind::Config => {
                let parts = parts(text)?;
                let name = match parts.as_slice() {
                    [name] => Some(name),
                    [schema, name] if schema == "pg_catalog" => Some(name),
                    _ => None,
                };
                let found = name.and_then(|name| Configuration::named(name.as_str()));
                Ok(found.map(|found| Oid(found.oid())))
            }
        }
    }

    /// The oid that a text names, or the error that the `reg…` type gives.
    ///
    /// # Errors
    /// 42P01, 42704, 42883 or 3F000 when there is no such thing; 42602 for what is not a name.
    pub fn expect(&self, kind: RegKind, text: &str) -> Result<Oid> {
        if let Some(oid) = self.find(kind, text)? {
            return Ok(oid);
        }
        let shown = text.trim();
        let (state, message) = match kind {
            RegKind::Class => {
                let names = parts(shown)?;
                let name = names.last().map_or("", String::as_str);
                return Err(self.catalog.no_relation(self.path, name, &names.join(".")));
            }
            RegKind::Type => {
                (SqlState::UNDEFINED_OBJECT, format!("type \"{shown}\" does not exist"))
            }
            RegKind::Proc => {
                (SqlState::UNDEFINED_FUNCTION, format!("function \"{shown}\" does not exist"))
            }
            RegKind::Operator => {
                (SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {shown}"))
            }
            RegKind::Namespace => {
                (SqlState::INVALID_SCHEMA_NAME, format!("schema \"{shown}\" does not exist"))
            }
            RegKind::Config => {
                let message = format!("text search configuration \"{shown}\" does not exist");
                (SqlState::UNDEFINED_OBJECT, message)
            }
            RegKind::Role => {
                (SqlState::UNDEFINED_OBJECT, format!("role \"{shown}\" does not exist"))
            }
        };
        Err(Error::new(state, message))
    }

    /// The text of an oid, in the way of `oid::regclass::text`: its name, `-` for 0, the number
    /// where there is nothing of that oid.
    #[must_use]
    pub fn text(&self, kind: RegKind, oid: Oid) -> String {
        if oid == Oid(0) {
            return "-".to_owned();
        }
        let known = match kind {
            RegKind::Class => self.class(oid),
            RegKind::Type => self.type_name(oid, None),
            RegKind::Proc => functions::known(oid).map(|function| {
                let alone = functions::named(function.name).len() == 1;
                self.qualified(function.schema(self), function.name, alone)
            }),
            RegKind::Operator => types::operator(oid).map(|operator| {
                let operand = |oid: Oid| match oid {
                    Oid(0) => "NONE".to_owned(),
                    oid => self.type_name(oid, None).unwrap_or_else(|| oid.to_string()),
                };
                let name = format!(
                    "{}({},{})",
                    operator.name,
                    operand(operator.left),
                    operand(operator.right)
                );
                let schema = self.placed(operator.schema);
                if self.path.contains(&schema) {
                    return name;
                }
                format!("{}.{name}", quote_ident(self.schema_name(schema)))
            }),
            RegKind::Namespace => {
                self.catalog.schema(oid).map(|schema| quote_ident(&schema.name).into_owned())
            }
            RegKind::Config => {
                Configuration::of_oid(oid.0).map(|configuration| configuration.name().to_owned())
            }
            RegKind::Role => {
                self.catalog.role(oid).map(|role| quote_ident(&role.name).into_owned())
            }
        };
        known.unwrap_or_else(|| oid.to_string())
    }

    /// The name of a relation, qualified unless the search path finds it.
    #[must_use]
    pub fn class(&self, oid: Oid) -> Option<String> {
        let relation = relation_name(self.catalog, oid)?;
        let visible = self.is_class_visible(oid, &relation);
        Some(self.qualified(relation.schema, &relation.name, visible))
    }

    /// Whether the search path finds a relation under its name alone.
    #[must_use]
    pub fn is_class_visible(&self, oid: Oid, relation: &RelationName) -> bool {
        // A schema has a name once: only those before it on the path can hide a relation.
        let earlier = self.path.iter().take_while(|&&schema| schema != relation.schema);
        self.path.contains(&relation.schema)
            && earlier.into_iter().all(|&schema| {
                find_in(self.catalog, schema, &relation.name).is_none_or(|other| other == oid)
            })
    }

    /// Whether the search path finds a schema's objects; none of theirs share a name.
    #[must_use]
    pub fn is_schema_visible(&self, schema: Oid) -> bool {
        self.path.contains(&self.placed(schema))
    }

    /// The type of a name, in a schema or along the search path, if a user made it.
    #[must_use]
    pub fn user_type(&self, schema: Option<&str>, name: &str) -> Option<PgType> {
        match schema {
            Some(schema) => self.catalog.type_named(self.schema(schema)?, name),
            None => self.first(|schema| self.catalog.type_named(schema, name)),
        }
    }

    /// The domain of a name, in a schema or along the search path.
    #[must_use]
    pub fn domain(&self, schema: Option<&str>, name: &str) -> Option<Arc<Domain>> {
        let found = match schema {
            Some(schema) => self.catalog.domain_named(self.schema(schema)?, name),
            // A type of that name that comes first hides it.
            None => self.path.iter().find_map(|&schema| {
                let domain = self.catalog.domain_named(schema, name);
                let is_hidden = domain.is_none() && self.catalog.type_named(schema, name).is_some();
                (domain.is_some() || is_hidden).then_some(domain)
            })?,
        };
        found.cloned()
    }

    /// Whether the search path finds a type under its name alone; `None` where there is none of that oid.
    #[must_use]
    pub fn is_type_visible(&self, oid: Oid) -> Option<bool> {
        if let Some(kind) = self.catalog.type_of_oid(oid.0) {
            let made = self.catalog.type_(Oid(kind.element().oid()))?;
            return Some(self.user_type(None, made.name()).is_some_and(|found| found == made.kind));
        }
        if let Some(domain) = self.catalog.domain_of_oid(oid) {
            return Some(
                self.domain(None, &domain.name).is_some_and(|found| found.id == domain.id),
            );
        }
        self.type_name(oid, None)?;
        let schema = vector_schema(self.catalog, self.database);
        Some(!crate::pgtype::is_of_extension(oid.0) || self.path.contains(&schema))
    }

    /// The name of a type that a user made, qualified unless the search path finds it.
    fn user_type_name(&self, oid: u32) -> Option<String> {
        if let Some(domain) = self.catalog.domain_of_oid(Oid(oid)) {
            let visible = self.is_type_visible(domain.id)?;
            let name = self.qualified(domain.schema, &domain.name, visible);
            return Some(if domain.id == Oid(oid) { name } else { format!("{name}[]") });
        }
        let kind = self.catalog.type_of_oid(oid)?;
        let made = self.catalog.type_(Oid(kind.element().oid()))?;
        let visible = self.is_type_visible(made.id())?;
        let name = self.qualified(made.schema, made.name(), visible);
        Some(if matches!(kind, PgType::Array(_)) { format!("{name}[]") } else { name })
    }

    /// The name of a type as `format_type` gives it: the standard's where it has one.
    #[must_use]
    pub fn type_name(&self, oid: Oid, typmod: Option<i32>) -> Option<String> {
        if let Some(kind) = PgType::from_oid(oid.0, typmod.unwrap_or(-1)) {
            let schema = vector_schema(self.catalog, self.database);
            let name = match (&kind, typmod) {
                // Without a modifier at all, char is bpchar: `character` would mean one character.
                (PgType::Bpchar(None), Some(_)) => "bpchar".to_owned(),
                (PgType::Array(element), Some(_)) if **element == PgType::Bpchar(None) => {
                    "bpchar[]".to_owned()
                }
                (PgType::Bit(None), Some(_)) => "\"bit\"".to_owned(),
                (PgType::Array(element), Some(_)) if **element == PgType::Bit(None) => {
                    "\"bit\"[]".to_owned()
                }
                _ => kind.to_string(),
            };
            return Some(
                if crate::pgtype::is_of_extension(kind.oid()) && !self.path.contains(&schema) {
                    format!("{}.{name}", quote_ident(self.schema_name(schema)))
                } else {
                    name
                },
            );
        }
        let own = self.user_type_name(oid.0);
        own.or_else(|| {
            types::known(oid).map(|known| {
                let element = known.name.strip_prefix('_').filter(|_| known.element != Oid(0));
                match element {
                    Some(element) => format!("{}[]", quote_ident(element)),
                    None => quote_ident(known.name).into_owned(),
                }
            })
        })
    }

    /// The schema of a name in this database.
    #[must_use]
    pub fn schema(&self, name: &str) -> Option<Oid> {
        self.catalog.schema_named(self.database, name).map(|schema| schema.id)
    }

    /// The schema in which a fact's object lies here.
    pub(super) fn placed(&self, schema: Oid) -> Oid {
        if schema == VECTOR_SCHEMA { vector_schema(self.catalog, self.database) } else { schema }
    }

    fn schema_name(&self, schema: Oid) -> &'c str {
        self.catalog.schema(schema).map_or("", |schema| &schema.name)
    }

    fn qualified(&self, schema: Oid, name: &str, visible: bool) -> String {
        if visible && self.path.contains(&schema) {
            return quote_ident(name).into_owned();
        }
        format!("{}.{}", quote_ident(self.schema_name(schema)), quote_ident(name))
    }

    fn first<T>(&self, find: impl Fn(Oid) -> Option<T>) -> Option<T> {
        self.path.iter().find_map(|&schema| find(schema))
    }
}

/// The schema in which the vector type of a database lies: that of its extension, else `public`.
#[must_use]
pub fn vector_schema(catalog: &Catalog, database: Oid) -> Oid {
    let created = || catalog.database(database)?.extensions.get("vector").copied();
    let public = || catalog.schema_named(database, "public").map(|schema| schema.id);
    created().or_else(public).unwrap_or(VECTOR_SCHEMA)
}

/// The name and the owner of a relation of any kind.
#[must_use]
pub fn relation_name(catalog: &Catalog, oid: Oid) -> Option<RelationName> {
    use crate::catalog::Relation;
    if let Some(system) = relation(oid) {
        let owner = crate::catalog::POSTGRES_ROLE;
        return Some(RelationName { schema: system.schema_oid(), name: system.name.into(), owner });
    }
    let found = catalog.relation(oid)?;
    let name = found.name().to_owned();
    let (schema, owner) = match &found {
        Relation::Table(table) | Relation::Key(table, _) => (table.schema, table.owner),
        Relation::View(view) => (view.schema, view.owner),
        Relation::Sequence(sequence) => (sequence.schema, sequence.owner),
        Relation::Index(index) => {
            (index.schema, catalog.table(index.table).map_or(Oid(0), |table| table.owner))
        }
    };
    Some(RelationName { schema, name, owner })
}
