//! What a step of a plan computes of expressions, and the columns by which later steps have it.

use crate::{
    error::Result,
    sql::{error::from_datafusion, typed::unique},
};
use datafusion::{
    common::{
        Column,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::Expr,
};
use std::collections::{HashMap, HashSet};

/// The outermost parts of expressions that are of a kind, each once.
pub(super) fn collect(all: &[Expr], wanted: impl Fn(&Expr) -> bool) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in all {
        expr.apply(|part| {
            if wanted(part) {
                if !found.contains(part) {
                    found.push(part.clone());
                }
                return Ok(TreeNodeRecursion::Jump);
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(from_datafusion)?;
    }
    Ok(found)
}

/// Parts of expressions by the columns that hold them now.
pub(super) fn replace(all: &mut [Expr], columns: &HashMap<Expr, Expr>) -> Result<()> {
    for expr in all {
        let replaced = expr.clone().transform_down(|part| {
            Ok(match columns.get(&part) {
                Some(column) => Transformed::new(column.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        });
        *expr = replaced.map_err(from_datafusion)?.data;
    }
    Ok(())
}

/// Computed expressions under names of their own: those of one name (two casts of one column
/// inside) get numbers.
pub(super) fn renamed(
    exprs: Vec<Expr>,
    taken: &mut HashSet<String>,
    columns: &mut HashMap<Expr, Expr>,
) -> Vec<Expr> {
    exprs
        .into_iter()
        .map(|expr| {
            let own = expr.schema_name().to_string();
            let name = unique(taken, &own);
            let column = Expr::Column(Column::new_unqualified(name.clone()));
            columns.insert(expr.clone(), column);
            if name == own { expr } else { expr.alias(name) }
        })
        .collect()
}
