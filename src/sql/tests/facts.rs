//! Facts: a statement and what PostgreSQL answers. A line of `facts.tsv` is the statement, then
//! `ok`, the column's names and types and the rows, or `error`, the SQLSTATE and the message.

use super::world::{bound, rows};
use crate::sql::Bound;

#[test]
fn expressions_answer_as_in_postgres() {
    let facts = include_str!("facts.tsv");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in facts.lines().filter(|line| !line.is_empty()) {
        let cells: Vec<String> =
            line.split('\t').map(|cell| cell.replace("\\n", "\n").replace("\\t", "\t")).collect();
        let sql = cells[0].as_str();
        count += 1;
        let found =
            std::panic::catch_unwind(|| answer(sql)).unwrap_or_else(|_| vec!["panic".into()]);
        // A place is told where both tell one.
        let mut found = found;
        if cells[1] == "error" && found.last().is_some_and(String::is_empty) {
            *found.last_mut().unwrap() = cells[cells.len() - 1].clone();
        }
        if found != cells[1..] {
            wrong.push(format!("{sql}\n   postgres {:?}\n   nearlake {found:?}", &cells[1..]));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn answer(sql: &str) -> Vec<String> {
    let made = bound(sql).and_then(|bound| {
        let Bound::Query(query) = bound else { return Ok(vec!["no query".to_owned()]) };
        let mut out = vec!["ok".to_owned()];
        let names: Vec<String> =
            query.columns.iter().map(|c| format!("{}:{}", c.name, plain(&c.kind))).collect();
        out.push(names.join("|"));
        out.extend(rows(sql)?);
        Ok(out)
    });
    made.unwrap_or_else(|error| {
        let position = error.fields().position.map_or(String::new(), |p| p.to_string());
        vec!["error".into(), error.state().as_str().into(), error.message().to_owned(), position]
    })
}

/// The type without its modifier, as the facts have it.
pub(super) fn plain(kind: &crate::pgtype::PgType) -> String {
    crate::pgtype::PgType::from_oid(kind.oid(), -1).map_or("?".into(), |kind| kind.to_string())
}
