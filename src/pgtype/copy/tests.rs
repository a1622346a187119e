//! COPY against PostgreSQL's own answers, and against itself.
//!
//! `testdata/copy_in.tsv`: types, options as JSON, data, and what PostgreSQL 18 made of it: `ok`
//! and the rows as text, or `error`, SQLSTATE, message, hint and context. `copy_out.tsv`:
//! options, and the data that they gave for [`rows`].

use super::{CopyArgument, CopyDecoder, CopyDirection, CopyEncoder, CopyOptions};
use crate::{
    error::{Error, Result},
    pgtype::{PgType, facts, input::ColumnBuilder, style::Style},
};
use arrow::array::RecordBatch;
use serde_json::Value;
use std::fmt::Write as _;

fn options(json: &str) -> Vec<(String, CopyArgument)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let argument = |value: &Value| match value {
        Value::Null => CopyArgument::None,
        Value::String(text) => CopyArgument::Text(text.clone()),
        Value::Array(items) => CopyArgument::List(items.iter().map(text).collect()),
        _ => CopyArgument::All,
    };
    let json: Value = serde_json::from_str(json).unwrap();
    let items = json.as_array().unwrap();
    items.iter().map(|item| (text(&item[0]), argument(&item[1]))).collect()
}

fn names(count: usize) -> Vec<String> {
    ["id", "v", "w"][..count].iter().map(|name| (*name).to_owned()).collect()
}

fn decode(
    options: &CopyOptions,
    kinds: &[PgType],
    data: &[u8],
    cut: usize,
) -> Result<Vec<RecordBatch>> {
    let style = Style::default();
    let mut decoder = CopyDecoder::new(options, kinds, &names(kinds.len()), "items", &style)?;
    let mut batches = Vec::new();
    for piece in data.chunks(cut) {
        decoder.push(piece)?;
        while let Some(batch) = decoder.take_batch(2)? {
            batches.push(batch);
        }
    }
    decoder.finish()?;
    while let Some(batch) = decoder.take_batch(2)? {
        batches.push(batch);
    }
    Ok(batches)
}

fn encode(options: &CopyOptions, kinds: &[PgType], batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let style = Style::default();
    let mut encoder = CopyEncoder::new(options, kinds, &names(kinds.len()), &style)?;
    let (mut out, mut chunks) = (Vec::new(), Vec::new());
    encoder.header(&mut out);
    for batch in batches {
        encoder.batch(batch, &mut chunks)?;
    }
    out.extend(chunks.concat());
    encoder.trailer(&mut out);
    Ok(out)
}

fn refusal(error: &Error) -> String {
    let fields = error.fields();
    let field = |field: &Option<String>| facts::escape(field.as_deref().unwrap_or(""));
    let (hint, context) = (field(&fields.hint), field(&fields.context));
    format!("error\t{}\t{}\t{hint}\t{context}", error.state(), facts::escape(error.message()))
}

#[test]
fn data_is_read_as_in_postgres_however_it_is_cut() {
    let mut failures = String::new();
    let to_text = CopyOptions::parse(CopyDirection::To, &[]).unwrap();
    for line in include_str!("../testdata/copy_in.tsv").lines() {
        let parts: Vec<&str> = line.splitn(4, '\t').collect();
        let kinds: Vec<PgType> =
            parts[0].split(' ').map(|name| PgType::parse(name).unwrap()).collect();
        let data = facts::unescape(parts[2]);
        for cut in [1, 2, 3, 1000] {
            let answer = || {
                let options = options(&facts::unescape(parts[1]));
                let options = CopyOptions::parse(CopyDirection::From, &options)?;
                let batches = decode(&options, &kinds, data.as_bytes(), cut)?;
                encode(&to_text, &kinds, &batches)
            };
            let answer = match answer() {
                Ok(text) => format!("ok\t{}", facts::escape(&String::from_utf8(text).unwrap())),
                Err(error) => refusal(&error),
            };
            if answer != parts[3] {
                let input = &parts[..3].join("  ");
                writeln!(failures, "{cut}: {input}\n  theirs {}\n  ours   {answer}", parts[3])
                    .unwrap();
                break;
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// The rows of `copy_out.tsv`.
fn rows() -> Vec<(&'static str, Option<&'static str>)> {
    vec![
        ("1", Some("a")),
        ("2", None),
        ("3", Some("")),
        ("4", Some("a\tb\nc\rd\\e\u{8}f\u{c}g\u{b}h")),
        ("5", Some("x,y|\"z\"")),
        ("6", Some("\\N")),
        ("7", Some("\\.")),
        ("8", Some("NULL")),
        ("9", Some(" é '")),
        ("10", Some("a\\\"")),
    ]
}

fn batch(rows: &[(&str, Option<&str>)]) -> RecordBatch {
    let style = Style::default();
    let mut ids = ColumnBuilder::new(&PgType::Int4, &style);
    let mut texts = ColumnBuilder::new(&PgType::Text, &style);
    for (id, text) in rows {
        ids.push_text(id).unwrap();
        match text {
            Some(text) => texts.push_text(text).unwrap(),
            None => texts.push_null().unwrap(),
        }
    }
    let (ids, texts) = (ids.finish(), texts.finish());
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("v", texts, true)]).unwrap()
}

#[test]
fn data_is_written_as_in_postgres() {
    let kinds = [PgType::Int4, PgType::Text];
    for line in include_str!("../testdata/copy_out.tsv").lines() {
        let (given, expected) = line.split_once('\t').unwrap();
        let parsed = options(&facts::unescape(given));
        let batch = batch(&rows());
        let answer = CopyOptions::parse(CopyDirection::To, &parsed)
            .and_then(|options| encode(&options, &kinds, &[batch]));
        let answer = match answer {
            Ok(bytes) if given.contains("binary") => {
                let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
                format!("ok\t{hex}")
            }
            Ok(bytes) => format!("ok\t{}", facts::escape(&String::from_utf8(bytes).unwrap())),
            Err(error) => refusal(&error),
        };
        assert_eq!(answer, expected, "{given}");
    }
}

#[test]
fn an_end_marker_alone_on_its_line_is_quoted_in_csv() {
    let csv = CopyOptions::parse(CopyDirection::To, &options(r#"[["format", "csv"]]"#)).unwrap();
    let rows = batch(&[("1", Some("\\."))]).project(&[1]).unwrap();
    assert_eq!(encode(&csv, &[PgType::Text], &[rows]).unwrap(), b"\"\\.\"\n");
}

#[test]
fn every_format_leads_back_to_the_rows() {
    let kinds = [PgType::Int4, PgType::Text];
    let formats: [&str; 6] = [
        "[]",
        r#"[["delimiter", "|"], ["null", "x"]]"#,
        r#"[["format", "csv"]]"#,
        r#"[["format", "csv"], ["quote", "'"], ["escape", "\\"], ["delimiter", "\t"], ["null", "NULL"]]"#,
        r#"[["format", "csv"], ["header", "true"]]"#,
        r#"[["format", "binary"]]"#,
    ];
    let rows = batch(&rows());
    for format in formats {
        let given = options(format);
        let to = CopyOptions::parse(CopyDirection::To, &given).unwrap();
        let from = CopyOptions::parse(CopyDirection::From, &given).unwrap();
        let bytes = encode(&to, &kinds, std::slice::from_ref(&rows)).unwrap();
        for cut in [1, 7, 4096] {
            let batches = decode(&from, &kinds, &bytes, cut).unwrap();
            assert!(batches.iter().all(|batch| batch.num_rows() <= 2));
            let columns = |at: usize| {
                let arrays: Vec<_> =
                    batches.iter().map(|batch| batch.column(at).as_ref()).collect();
                arrow::compute::concat(&arrays).unwrap()
            };
            let whole = RecordBatch::try_new(rows.schema(), vec![columns(0), columns(1)]).unwrap();
            assert_eq!(whole, rows, "{format}");
        }
    }
}

#[test]
fn damaged_binary_data_is_refused_where_the_damage_lies() {
    let kinds = [PgType::Int4, PgType::Text];
    let given = options(r#"[["format", "binary"]]"#);
    let to = CopyOptions::parse(CopyDirection::To, &given).unwrap();
    let from = CopyOptions::parse(CopyDirection::From, &given).unwrap();
    let good = encode(&to, &kinds, &[batch(&rows())]).unwrap();
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let error = decode(&from, &kinds, &bytes, 5).unwrap_err();
        let context = error.fields().context.clone().unwrap_or_default();
        assert_eq!(format!("{} {}; {context}", error.state(), error.message()), expected);
    };

    check(&|bytes| bytes[0] = b'X', "22P04 COPY file signature not recognized; COPY items, line 0");
    check(
        &|bytes| bytes[11] = 1,
        "22P04 unrecognized critical flags in COPY file header; COPY items, line 0",
    );
    check(&|bytes| bytes[20] = 3, "22P04 row field count is 3, expected 2; COPY items, line 1");
    check(
        &|bytes| {
            bytes[24] = 5;
            bytes.insert(25, 0);
        },
        "22P03 incorrect binary data format; COPY items, line 1, column id",
    );
    check(
        &|bytes| {
            bytes[24] = 3;
            bytes.remove(25);
        },
        "08P01 insufficient data left in message; COPY items, line 1, column id",
    );
    check(&|bytes| bytes[21] = 0x80, "22P04 invalid field size; COPY items, line 1");
    check(
        &|bytes| bytes.truncate(bytes.len() - 4),
        "22P04 unexpected EOF in COPY data; COPY items, line 10",
    );
    check(&|bytes| bytes.push(0), "22P04 received copy data after EOF marker; COPY items, line 11");
}

#[test]
fn rows_left_out_are_told_of() {
    let given = options(r#"[["on_error", "ignore"], ["log_verbosity", "verbose"]]"#);
    let options = CopyOptions::parse(CopyDirection::From, &given).unwrap();
    let kinds = [PgType::Int4, PgType::Text.array()];
    let style = Style::default();
    let mut decoder = CopyDecoder::new(&options, &kinds, &names(2), "items", &style).unwrap();
    decoder.push(b"1\t{a,b}\nx\t{c}\n3\t{d,{\n4\t{e}\n").unwrap();
    decoder.finish().unwrap();

    let mut rows = 0;
    while let Some(batch) = decoder.take_batch(100).unwrap() {
        rows += batch.num_rows();
    }
    assert_eq!((rows, decoder.skipped()), (2, 2));
    let notices = decoder.take_notices();
    assert_eq!(
        notices,
        [
            "skipping row due to data type incompatibility at line 2 for column \"id\": \"x\"",
            "skipping row due to data type incompatibility at line 3 for column \"v\": \"{d,{\"",
            "2 rows were skipped due to data type incompatibility",
        ]
    );
}
