//! What a caller may know of namespaces. What a caller does with documents is SQL of a session of its
//! role, which checks by itself; here is asked what is answered from the catalog alone.

use super::{
    Caller,
    fault::{Answer, Fault},
    shape::Shape,
};
use crate::{
    catalog::{Catalog, Table},
    ids::Oid,
};

impl Caller {
    /// A namespace that must be there, and that the caller may see.
    pub(super) fn existing(&self, catalog: &Catalog, name: &str) -> Answer<Shape> {
        let shape = Shape::existing(catalog, name)?;
        match &shape.table {
            Some(table) if !self.sees(catalog)(table) => {
                Err(Fault::about(&catalog.denied(table.id)))
            }
            _ => Ok(shape),
        }
    }

    /// Which tables the caller may see: those with which it may do something, in schemas that it may
    /// look into.
    pub(super) fn sees<'c>(&self, catalog: &'c Catalog) -> impl Fn(&Table) -> bool + 'c {
        let role = catalog.role_named(&self.role).map_or(Oid(u32::MAX), |role| role.id);
        move |table| catalog.sees(role, table.id)
    }
}
