use super::normalise;

#[test]
fn paths_are_written_as_postgres_writes_them() {
    let facts = include_str!("../testdata/jsonpath.tsv");
    for line in facts.lines() {
        let (input, expected) = line.split_once('\t').unwrap();
        let made = match normalise(input) {
            Ok(text) => text,
            Err(error) => format!("error {}", error.state()),
        };
        assert_eq!(made, expected, "{input}");
    }
}
