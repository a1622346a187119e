//! PostgreSQL's own answers, and whether ours are the same.
//!
//! Each line of `testdata/*.tsv` is a type, an input, and what PostgreSQL 18 with pgvector 0.8
//! made of it: `ok`, the output text and the hex of the binary form; or `error`, SQLSTATE,
//! message, detail and hint. `testdata/differences.tsv` holds the inputs where we differ on
//! purpose, with the reason and what we say instead.

use super::{
    PgType,
    datestyle::DateOrder,
    input::ColumnBuilder,
    output::Encoder,
    style::{IntervalStyle, Style},
};
use crate::error::Result;
use std::{collections::HashMap, fmt::Write as _};

/// Text with the escapes of the files undone.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    out
}

pub(super) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn show(
    kind: &PgType,
    style: &Style,
    push: impl FnOnce(&mut ColumnBuilder) -> Result<()>,
) -> String {
    let answer = || -> Result<(String, Vec<u8>)> {
        let mut builder = ColumnBuilder::new(kind, style);
        push(&mut builder)?;
        let array = builder.finish();
        let encoder = Encoder::new(kind, &array, style)?;
        let (mut text, mut binary) = (Vec::new(), Vec::new());
        encoder.text(0, &mut text)?;
        encoder.binary(0, &mut binary)?;
        Ok((String::from_utf8(text).unwrap(), binary))
    };
    match answer() {
        Ok((text, binary)) => {
            let mut hex = String::new();
            for byte in binary {
                write!(hex, "{byte:02x}").unwrap();
            }
            format!("ok\t{}\t{hex}", escape(&text))
        }
        Err(error) => {
            let fields = error.fields();
            let field = |field: &Option<String>| escape(field.as_deref().unwrap_or(""));
            let message = escape(error.message());
            let (detail, hint) = (field(&fields.detail), field(&fields.hint));
            format!("error\t{}\t{message}\t{detail}\t{hint}", error.state())
        }
    }
}

/// The settings under which the facts were collected; nothing in them depends on the time.
fn style() -> Style {
    Style { now: Some(1_795_000_000_000_000), ..Style::default() }
}

/// Compares every line of a file; what reads as `ok` must read the same from its binary form.
#[track_caller]
fn check(facts: &str, style: &Style) {
    let differences: HashMap<(&str, &str), &str> = include_str!("testdata/differences.tsv")
        .lines()
        .filter_map(|line| {
            let (kind, rest) = line.split_once('\t')?;
            let (input, answer) = rest.split_once('\t')?;
            Some(((kind, input), answer))
        })
        .collect();
    let mut failures = String::new();
    for line in facts.lines() {
        let mut parts = line.splitn(3, '\t');
        let (kind_name, input) = (parts.next().unwrap(), parts.next().unwrap());
        let fact = parts.next().unwrap();
        let expected = differences.get(&(kind_name, input)).copied().unwrap_or(fact);
        let kind = PgType::parse(kind_name).unwrap();
        let text = unescape(input);
        let answer = show(&kind, style, |builder| builder.push_text(&text));
        if answer != expected {
            writeln!(failures, "{kind_name}\t{input}\n  theirs {expected}\n  ours   {answer}")
                .unwrap();
            continue;
        }
        if let Some(hex) = answer.strip_prefix("ok\t").and_then(|rest| rest.split('\t').nth(1)) {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let binary: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            let again = show(&kind, style, |builder| builder.push_binary(&binary));
            if again != answer {
                writeln!(failures, "{kind_name}\t{input}\n  text   {answer}\n  binary {again}")
                    .unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn scalars_read_and_print_as_in_postgres() {
    check(include_str!("testdata/scalar.tsv"), &style());
}

#[test]
fn numerics_read_and_print_as_in_postgres() {
    check(include_str!("testdata/numeric.tsv"), &style());
}

#[test]
fn vectors_read_and_print_as_in_pgvector() {
    check(include_str!("testdata/vector.tsv"), &style());
}

#[test]
fn half_and_sparse_vectors_read_and_print_as_in_pgvector() {
    check(include_str!("testdata/pgvector.tsv"), &style());
}

#[test]
fn bit_strings_read_and_print_as_in_postgres() {
    check(include_str!("testdata/bit.tsv"), &style());
}

#[test]
fn arrays_read_and_print_as_in_postgres() {
    check(include_str!("testdata/array.tsv"), &style());
}

#[test]
fn json_reads_and_prints_as_in_postgres() {
    check(include_str!("testdata/json.tsv"), &style());
}

#[test]
fn times_read_and_print_as_in_postgres() {
    check(include_str!("testdata/datetime_utc.tsv"), &style());
}

#[test]
fn times_follow_the_sessions_zone() {
    let time_zone = chrono_tz::America::New_York;
    check(include_str!("testdata/datetime_newyork.tsv"), &Style { time_zone, ..style() });
}

#[test]
fn dates_follow_the_sessions_order() {
    let with = |date_order| Style { date_order, ..style() };
    check(include_str!("testdata/date_dmy.tsv"), &with(DateOrder::Dmy));
    check(include_str!("testdata/date_ymd.tsv"), &with(DateOrder::Ymd));
}

#[test]
fn intervals_follow_the_sessions_style() {
    let with = |interval_style| Style { interval_style, ..style() };
    let verbose = with(IntervalStyle::PostgresVerbose);
    check(include_str!("testdata/interval_postgres_verbose.tsv"), &verbose);
    check(include_str!("testdata/interval_sql_standard.tsv"), &with(IntervalStyle::SqlStandard));
    check(include_str!("testdata/interval_iso_8601.tsv"), &with(IntervalStyle::Iso8601));
}

#[test]
fn floats_show_as_many_digits_as_asked_for() {
    let with = |extra_float_digits| Style { extra_float_digits, ..style() };
    check(include_str!("testdata/float_digits_0.tsv"), &with(0));
    check(include_str!("testdata/float_digits_-3.tsv"), &with(-3));
    check(include_str!("testdata/float_digits_-15.tsv"), &with(-15));
}

#[test]
fn bytea_shows_escapes_where_asked_for() {
    let style = Style { bytea_escape: true, ..style() };
    check(include_str!("testdata/bytea_escape.tsv"), &style);
}
