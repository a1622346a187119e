//! `tests/plan/*.txt`: statements, and the plans that they must and must not become.
//! `NEARLAKE_TEST_UPDATE` draws the plans anew.

use super::world::{bound, optimised};
use crate::sql::{Bound, utility::Utility};
use std::{fmt::Write, fs, path::Path};

fn check(name: &str, is_pushed: Option<bool>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/plan/{name}.txt"));
    let expected = fs::read_to_string(&path).unwrap();
    let mut drawn = String::new();
    for block in expected.split("\n\n") {
        let (head, _) = block.split_once("----").unwrap();
        let sql = head.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let query = match bound(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}")) {
            Bound::Query(query) => query,
            Bound::Utility(Utility::Declare(declare)) => *declare.query,
            other => panic!("{sql} is no query: {other:?}"),
        };
        let plan =
            optimised(query.plan.logical()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let plan = plan.display_indent().to_string();
        if let Some(is_pushed) = is_pushed {
            assert_eq!(plan.contains("Nearest: items.embedding"), is_pushed, "{sql}\n{plan}");
        }
        if !drawn.is_empty() {
            drawn.push('\n');
        }
        writeln!(drawn, "{}\n----\n{plan}", head.trim()).unwrap();
    }
    if std::env::var_os("NEARLAKE_TEST_UPDATE").is_some() {
        fs::write(&path, &drawn).unwrap();
        return;
    }
    assert!(drawn.trim() == expected.trim(), "{name}.txt is drawn\n{drawn}");
}

#[test]
fn nearest_rows_are_searched_for() {
    check("nearest", Some(true));
}

#[test]
fn filters_travel_with_the_search() {
    check("filter", Some(true));
}

#[test]
fn a_cursor_searches_as_far_as_it_is_fetched() {
    check("cursor", None);
}

#[test]
fn near_misses_are_sorted() {
    check("not_pushed_down", Some(false));
}

#[test]
fn subqueries_become_joins() {
    check("subquery", None);
}

#[test]
fn nearest_rows_are_searched_for_each_outer_row() {
    check("nearest_join", None);
}
