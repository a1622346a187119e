//! What psql, drivers and ORMs send when they look around: each runs (`clients.sql`).

use super::world::rows;

#[test]
fn what_clients_ask_of_the_catalog_runs() {
    let mut failed = Vec::new();
    let all: Vec<&str> = include_str!("clients.sql").split("\n;;\n").collect();
    for sql in &all {
        match std::panic::catch_unwind(|| rows(sql)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                failed.push(format!("{error:?} at {:?}\n{sql}", error.fields().position))
            }
            Err(_) => failed.push(format!("panic\n{sql}")),
        }
    }
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), all.len(), failed.join("\n\n"));
}
