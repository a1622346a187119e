//! The tables whose rows a statement changes or locks. They are held from before it runs to the end
//! of its transaction; and since a statement was bound before it held them, they are compared with
//! what it was bound to.

use super::{
    insert::concurrent_update,
    locks::{Granted, Mode, Target},
    transaction::{Isolation, Transaction},
    write::Env,
};
use crate::{
    catalog::{Catalog, Table},
    error::{Error, Result, SqlState},
    sql::{Bound, CopyDirection},
};
use std::sync::Arc;

/// Locks the targets of a statement. False: the statement must be bound again, to the names and on
/// the snapshot of now, because it waited or because another changed a table before it came.
///
/// # Errors
/// 40P01, 55P03, 57014. Under REPEATABLE READ names are as old as the snapshot: a table that was
/// changed since is 40001, one that is gone 42P01.
pub async fn hold(bound: &Bound, env: &Env, transaction: &Transaction) -> Result<bool> {
    let keeps_snapshot = transaction.isolation() == Isolation::RepeatableRead;
    let mut waited = false;
    for table in targets(bound) {
        let granted = env.lock(Target::Table(table.id), Mode::Shared, transaction).await?;
        waited |= granted == Granted::AfterWait;
        let newest = transaction.newest_catalog();
        match newest.table(table.id) {
            Some(now)
                if (Arc::ptr_eq(now, table) || now == table)
                    && have_same_rules(table, transaction.glance().catalog(), &newest) => {}
            _ if !keeps_snapshot => return Ok(false),
            Some(_) => return Err(concurrent_update()),
            None => {
                let message = format!("relation \"{}\" does not exist", table.name);
                return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
            }
        }
    }
    Ok(keeps_snapshot || !waited)
}

/// Whether the domains of a table's columns are in one catalog what they are in the other.
fn have_same_rules(table: &Table, seen: &Catalog, newest: &Catalog) -> bool {
    let lineage =
        |catalog: &Catalog, domain| catalog.domain(domain).map(|own| catalog.lineage(own));
    let mut domains = table.columns.iter().filter_map(|column| column.domain);
    domains.all(|domain| lineage(seen, domain) == lineage(newest, domain))
}

fn targets(bound: &Bound) -> Vec<&Arc<Table>> {
    match bound {
        Bound::Insert(insert) => vec![&insert.table],
        Bound::Update(update) => vec![&update.table],
        Bound::Delete(delete) => vec![&delete.table],
        Bound::Merge(merge) => vec![&merge.table],
        Bound::With(with) => {
            let parts = with.parts.iter().map(|part| &part.change).chain([with.main.as_ref()]);
            parts.flat_map(targets).collect()
        }
        Bound::Copy(copy) => match &copy.direction {
            CopyDirection::In { table, .. } => vec![table],
            CopyDirection::Out { .. } => Vec::new(),
        },
        Bound::Query(query) => query.locking.iter().map(|locking| &locking.table).collect(),
        Bound::Explain { .. } | Bound::Utility(_) => Vec::new(),
    }
}
