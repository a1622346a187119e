//! What a name means: the oid of a relation, type, function or operator.

use super::super::{functions, lookup, types};
use super::{Scope, invalid_name, parts};
use crate::{
    catalog::{Catalog, INFORMATION_SCHEMA, PG_CATALOG},
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::{PgType, RegKind},
};

impl Scope<'_> {
    pub(super) fn find_class(&self, names: &[String]) -> Result<Option<Oid>> {
        match names {
            [name] => Ok(self.first(|schema| find_in(self.catalog, schema, name))),
            [schema, name] => {
                Ok(self.schema(schema).and_then(|schema| find_in(self.catalog, schema, name)))
            }
            [database, schema, name] => {
                let here = self.catalog.database(self.database);
                if here.is_none_or(|here| here.name != *database) {
                    return Err(Error::unsupported(format!(
                        "cross-database references are not implemented: \"{}\"",
                        names.join(".")
                    )));
                }
                Ok(self.schema(schema).and_then(|schema| find_in(self.catalog, schema, name)))
            }
            _ => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("improper relation name (too many dotted names): {}", names.join(".")),
            )),
        }
    }

    pub(super) fn find_type(&self, text: &str) -> Result<Option<Oid>> {
        // A schema may stand before the name, and brackets behind it: pg_catalog.int4[].
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) if !schema.contains('(') => {
                (Some(parts(schema)?.concat()), name.trim())
            }
            _ => (None, text),
        };
        let quoted = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let found = match quoted {
            // A quoted name is the one in pg_type: "char", "int4".
            Some(name) => types::named(name),
            None => PgType::parse(name).ok().map(|kind| Oid(kind.oid())).or_else(|| {
                let lower = name.to_lowercase();
                match lower.strip_suffix("[]") {
                    Some(element) => types::named(&format!("_{element}")),
                    None => types::named(&lower),
                }
            }),
        };
        let found = found.filter(|&oid| {
            let lies = types::known(oid).map(|known| self.placed(known.schema));
            match &schema {
                Some(schema) => lies.is_some() && lies == self.schema(schema),
                None => lies.is_some_and(|lies| self.path.contains(&lies)),
            }
        });
        match found {
            Some(oid) => Ok(Some(oid)),
            None => self.find_user_type(text),
        }
    }

    pub(super) fn find_user_type(&self, text: &str) -> Result<Option<Oid>> {
        let (bare, is_array) = match text.strip_suffix("[]") {
            Some(bare) => (bare, true),
            None => (text, false),
        };
        let names = parts(bare)?;
        let domain = match names.as_slice() {
            [name] => self.domain(None, name),
            [schema, name] => self.domain(Some(schema), name),
            _ => None,
        };
        if let Some(domain) = domain {
            return Ok(Some(if is_array { domain.array } else { domain.id }));
        }
        let found = match names.as_slice() {
            [name] => self.user_type(None, name),
            [schema, name] => self.user_type(Some(schema), name),
            _ => None,
        };
        Ok(found.map(|kind| Oid(if is_array { kind.array_oid() } else { kind.oid() })))
    }

    pub(super) fn find_function(&self, text: &str) -> Result<Option<Oid>> {
        let (name, arguments) = signature(text);
        let names = parts(name)?;
        let (schema, name) = match names.as_slice() {
            [name] => (None, name),
            [schema, name] => (self.schema(schema), name),
            _ => return Err(invalid_name(text)),
        };
        let found: Vec<_> = functions::named(name)
            .iter()
            .filter_map(|&oid| functions::known(oid))
            .filter(|function| match names.len() {
                1 => self.path.contains(&function.schema(self)),
                _ => schema == Some(function.schema(self)),
            })
            .collect();
        let Some(arguments) = arguments else {
            let oids: Vec<Oid> = found.iter().map(|function| function.oid).collect();
            return only(&oids, || format!("more than one function named \"{text}\""));
        };
        let wanted = arguments
            .split(',')
            .filter(|argument| !argument.trim().is_empty())
            .map(|argument| self.expect(RegKind::Type, argument))
            .collect::<Result<Vec<_>>>()?;
        Ok(found.iter().find(|function| function.arguments == wanted).map(|function| function.oid))
    }

    pub(super) fn find_operator(&self, text: &str) -> Result<Option<Oid>> {
        let (name, arguments) = signature(text);
        let name = name.rsplit('.').next().unwrap_or(name).trim();
        let found = types::operators_named(name);
        let Some(arguments) = arguments else {
            let oids: Vec<Oid> = found.iter().map(|operator| operator.oid).collect();
            return only(&oids, || format!("more than one operator named {text}"));
        };
        let wanted = arguments
            .split(',')
            .map(|argument| match argument.trim() {
                none if none.eq_ignore_ascii_case("none") => Ok(Oid(0)),
                argument => self.expect(RegKind::Type, argument),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(found.iter().find(|o| wanted == [o.left, o.right]).map(|operator| operator.oid))
    }
}

/// A name, and the types that stand in parentheses behind it.
fn signature(text: &str) -> (&str, Option<&str>) {
    match text.split_once('(') {
        Some((name, arguments)) => (name, Some(arguments.trim_end().trim_end_matches(')'))),
        None => (text, None),
    }
}

/// The one that was found, if any; several are a fault.
fn only(found: &[Oid], several: impl FnOnce() -> String) -> Result<Option<Oid>> {
    match found {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(Error::new(SqlState::AMBIGUOUS_FUNCTION, several())),
    }
}

/// The relation of a name in a schema.
pub(super) fn find_in(catalog: &Catalog, schema: Oid, name: &str) -> Option<Oid> {
    let system = match schema {
        PG_CATALOG => lookup("pg_catalog", name),
        INFORMATION_SCHEMA => lookup("information_schema", name),
        _ => return catalog.relation_named(schema, name).map(|relation| relation.id()),
    };
    system.map(|system| system.oid)
}
