//! Names of relations and types as statements write them.

use super::tokens::fold;
use crate::{
    catalog::{Domain, no_type, pg::names::Scope},
    error::{Error, Result, SqlState},
    pgtype::PgType,
};
use datafusion::sql::sqlparser::ast;
use std::{fmt, sync::Arc};

/// A name with its schema, if one was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The schema.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// The character of the message at which it stands, from 1; 0 where that is unknown.
    pub position: usize,
}

/// As PostgreSQL's messages write it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// A type as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeName {
    /// One that is known already: those of PostgreSQL and pgvector are, wherever they are named.
    Known(PgType),
    /// One that a user may have made.
    Named {
        /// Its name.
        name: Name,
        /// Whether an array of it is meant.
        is_array: bool,
    },
}

impl From<PgType> for TypeName {
    fn from(kind: PgType) -> Self {
        Self::Known(kind)
    }
}

impl TypeName {
    /// `type[]`; of an array there is no other.
    #[must_use]
    pub fn array(self) -> Self {
        match self {
            Self::Known(array @ PgType::Array(_)) => Self::Known(array),
            Self::Known(scalar) => Self::Known(scalar.array()),
            Self::Named { name, .. } => Self::Named { name, is_array: true },
        }
    }

    /// The domain that it is the name of.
    #[must_use]
    pub fn domain(&self, scope: &Scope<'_>) -> Option<Arc<Domain>> {
        match self {
            Self::Named { name, is_array: false } => {
                scope.domain(name.schema.as_deref(), &name.name)
            }
            _ => None,
        }
    }

    /// The type, as a session finds it; of a domain that of its values, of which its rules say no more.
    ///
    /// # Errors
    /// 42704 where there is none of that name, 0A000 for an array of a domain.
    pub fn resolve(&self, scope: &Scope<'_>) -> Result<PgType> {
        match self {
            Self::Known(kind) => Ok(kind.clone()),
            Self::Named { name, is_array } => {
                if let Some(domain) = scope.domain(name.schema.as_deref(), &name.name) {
                    if *is_array {
                        let message = format!("an array of domain {name} is not supported");
                        return Err(Error::unsupported(message)
                            .hint("Use an array of its base type, with a CHECK constraint."));
                    }
                    return Ok(domain.base.clone());
                }
                let found = scope.user_type(name.schema.as_deref(), &name.name);
                let kind = found.ok_or_else(|| {
                    let error = no_type(&name.to_string());
                    if name.position > 0 { error.at(name.position) } else { error }
                })?;
                Ok(if *is_array && !matches!(kind, PgType::Array(_)) { kind.array() } else { kind })
            }
        }
    }
}

/// The name of a type that sqlparser read: one of those that are always there, or one for the catalog.
pub(crate) fn type_name(parsed: &ast::DataType) -> Result<TypeName> {
    use ast::{ArrayElemTypeDef, DataType};
    match parsed {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => Ok(type_name(element)?.array()),
        DataType::Char(None) | DataType::Character(None) => Ok(PgType::Bpchar(Some(1)).into()),
        DataType::Bit(None) => Ok(PgType::Bit(Some(1)).into()),
        DataType::Custom(name, modifiers) => custom_type(name, modifiers),
        other => {
            let text = other.to_string();
            match PgType::parse(&text) {
                Ok(kind) => Ok(kind.into()),
                // A word that is a type elsewhere may be one of a user's here.
                Err(_) if text.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                    let name = Name { schema: None, name: text.to_lowercase(), position: 0 };
                    Ok(TypeName::Named { name, is_array: false })
                }
                Err(error) => Err(error),
            }
        }
    }
}

fn custom_type(written: &ast::ObjectName, modifiers: &[String]) -> Result<TypeName> {
    let parts: Vec<&ast::Ident> = written.0.iter().filter_map(|p| p.as_ident()).collect();
    let Some((last, schema)) = parts.split_last() else {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "a type needs a name"));
    };
    let own = || {
        if let Some(schema) = schema.last().map(|schema| fold(schema))
            && schema == "pg_catalog"
        {
            return Err(no_type(&format!("{schema}.{}", fold(last))));
        }
        if !modifiers.is_empty() {
            let message = format!("type modifier is not allowed for type \"{}\"", fold(last));
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        let schema = schema.last().map(|schema| fold(schema));
        let name = Name { schema, name: fold(last), position: 0 };
        Ok(TypeName::Named { name, is_array: false })
    };
    if schema.last().is_some_and(|s| !["pg_catalog", "public"].contains(&fold(s).as_str())) {
        return own();
    }
    let quoted = last.quote_style.is_some() || !schema.is_empty();
    let name = match fold(last).as_str() {
        "char" if quoted => "\"char\"".to_owned(),
        // PostgreSQL's grammar alone knows these; quoted they are no type.
        "int" | "integer" | "bigint" | "smallint" if last.quote_style.is_some() => return own(),
        other => other.to_owned(),
    };
    let known = PgType::from_name(&name);
    // A quoted name is looked up as it stands: "Text" is not text.
    let known = known.filter(|_| last.quote_style.is_none() || name == name.to_lowercase());
    let Some(kind) = known else { return own() };
    let modifiers = modifiers
        .iter()
        .map(|modifier| crate::pgtype::name::modifier(modifier))
        .collect::<Result<Vec<i64>>>()?;
    kind.with_modifiers(&modifiers).map(TypeName::from)
}
