//! What a statement wants to do with which relations, and as whom: gathered while names become tables
//! and columns, checked when it runs.
//!
//! Each mention of a relation is a need of its own, as each is a range table entry to PostgreSQL. A
//! column that is named is remembered with the mention that offers it, so that a grant on columns
//! suffices for a statement that names no others. What stands in a view is wanted by the view's owner.
//!
//! A bound statement serves one role and one version of the catalog, and so does the answer of
//! [`Needs::check`]: a statement that runs again asks nothing.

use crate::{
    catalog::{
        Catalog,
        privileges::{Object, Privileges, denied},
    },
    error::{Error, Result},
    ids::{ColumnId, Oid},
    sql::typed::ScopeColumn,
};
use datafusion::{
    common::{
        Column,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::Expr,
};
use std::collections::{BTreeSet, HashMap};

/// All that a statement needs.
#[derive(Debug, Default)]
pub struct Needs(Vec<Need>);

/// What it wants of one mention of a relation.
#[derive(Debug)]
struct Need {
    relation: Oid,
    /// Who wants it; `None`: whoever runs the statement.
    role: Option<Oid>,
    privileges: Privileges,
    selected: BTreeSet<ColumnId>,
    inserted: BTreeSet<ColumnId>,
    updated: BTreeSet<ColumnId>,
}

/// A relation with which a role may not do what a statement does.
#[derive(Debug)]
pub struct Refusal {
    word: &'static str,
    name: String,
}

/// The needs of a statement that is being bound.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    all: Vec<Need>,
    /// Which mention offers a column of the plan, and what the column is there.
    columns: HashMap<Column, (usize, ColumnId)>,
    /// The owner of the view that is being bound.
    pub(crate) role: Option<Oid>,
}

/// One mention of a relation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mention(usize);

impl Needs {
    /// Refuses a role that lacks something.
    ///
    /// # Errors
    /// 42501.
    pub fn check(&self, catalog: &Catalog, user: Oid) -> Result<()> {
        self.refusal(None, catalog, user).map_or(Ok(()), |refusal| Err(refusal.error()))
    }

    /// The same, where the rows of one relation are at hand already.
    ///
    /// # Errors
    /// 42501.
    pub fn check_but(&self, given: Oid, catalog: &Catalog, user: Oid) -> Result<()> {
        self.refusal(Some(given), catalog, user).map_or(Ok(()), |refusal| Err(refusal.error()))
    }

    /// The first relation of which a role lacks something.
    #[must_use]
    pub fn refusal(&self, given: Option<Oid>, catalog: &Catalog, user: Oid) -> Option<Refusal> {
        for need in self.0.iter().filter(|need| Some(need.relation) != given) {
            let role = need.role.unwrap_or(user);
            if catalog.is_superuser(role) {
                continue;
            }
            let Some(object) = catalog.object(need.relation) else { continue };
            let lacking = need.privileges.without(catalog.held(role, &object));
            let is_met = |privilege| need.is_met_by_columns(privilege, catalog, role, &object);
            if lacking.each().any(|(privilege, ..)| !is_met(privilege)) {
                return Some(Refusal { word: object.word, name: object.name.into_owned() });
            }
        }
        None
    }
}

impl Refusal {
    /// 42501.
    #[must_use]
    pub fn error(&self) -> Error {
        denied(self.word, &self.name)
    }
}

impl Need {
    /// Whether grants on columns make up for a privilege that is not held on the whole: on each column
    /// that is named, or on any where none is.
    fn is_met_by_columns(
        &self,
        privilege: Privileges,
        catalog: &Catalog,
        role: Oid,
        object: &Object<'_>,
    ) -> bool {
        let named = match privilege {
            Privileges::SELECT => &self.selected,
            Privileges::INSERT => &self.inserted,
            Privileges::UPDATE => &self.updated,
            _ => return false,
        };
        let holds = |column| catalog.held_on(role, object, column).contains(privilege);
        if named.is_empty() {
            return object.granted_columns().any(holds);
        }
        named.iter().copied().all(holds)
    }
}

impl Gathered {
    /// The statement mentions a relation.
    pub(crate) fn mention(&mut self, relation: Oid, privileges: Privileges) -> Mention {
        let (role, none) = (self.role, BTreeSet::new);
        let (selected, inserted, updated) = (none(), none(), none());
        self.all.push(Need { relation, role, privileges, selected, inserted, updated });
        Mention(self.all.len() - 1)
    }

    /// All that was gathered.
    pub(crate) fn all(self) -> Needs {
        Needs(self.all)
    }

    /// Columns of the plan are those of a mentioned relation, in order.
    pub(crate) fn offer<'c>(
        &mut self,
        mention: Mention,
        columns: impl IntoIterator<Item = &'c ScopeColumn>,
        ids: impl IntoIterator<Item = ColumnId>,
    ) {
        for (column, id) in columns.into_iter().zip(ids) {
            if let Expr::Column(place) = &column.expr {
                self.columns.insert(place.clone(), (mention.0, id));
            }
        }
    }

    /// A place of the plan is a column of a mentioned relation.
    pub(crate) fn offer_place(&mut self, mention: Mention, place: &Column, column: ColumnId) {
        self.columns.insert(place.clone(), (mention.0, column));
    }

    /// A column of the plan is the same as another.
    pub(crate) fn offer_again(&mut self, column: &Expr, again: &Expr) {
        if let (Expr::Column(column), Expr::Column(again)) = (column, again)
            && let Some(offered) = self.columns.get(column)
        {
            self.columns.insert(again.clone(), *offered);
        }
    }

    /// An expression names columns.
    pub(crate) fn read(&mut self, expr: &Expr) {
        let _ = expr.apply(|part| {
            if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = part
                && let Some((mention, id)) = self.columns.get(column)
            {
                let need = &mut self.all[*mention];
                need.privileges = need.privileges.and(Privileges::SELECT);
                need.selected.insert(*id);
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }

    /// Something more is done with a relation.
    pub(crate) fn want(&mut self, mention: Mention, privileges: Privileges) {
        let need = &mut self.all[mention.0];
        need.privileges = need.privileges.and(privileges);
    }

    /// Columns are selected.
    pub(crate) fn select(&mut self, mention: Mention, columns: impl IntoIterator<Item = ColumnId>) {
        let need = &mut self.all[mention.0];
        need.privileges = need.privileges.and(Privileges::SELECT);
        need.selected.extend(columns);
    }

    /// Columns are given values in new rows.
    pub(crate) fn insert(&mut self, mention: Mention, columns: impl IntoIterator<Item = ColumnId>) {
        self.all[mention.0].inserted.extend(columns);
    }

    /// Columns are given other values.
    pub(crate) fn update(&mut self, mention: Mention, columns: impl IntoIterator<Item = ColumnId>) {
        let need = &mut self.all[mention.0];
        need.privileges = need.privileges.and(Privileges::UPDATE);
        need.updated.extend(columns);
    }
}
