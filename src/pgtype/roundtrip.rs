//! For every type: what is written as text or in binary reads back as the same values.

use super::{
    PgType, RegKind,
    bit::Bits,
    cast,
    datestyle::DateOrder,
    datetime::timetz::Timetz,
    input::ColumnBuilder,
    output::Encoder,
    string::TooLong,
    style::{IntervalStyle, Names, Style},
    text_of_bytes,
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
        FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
        IntervalMonthDayNanoArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
        UInt32Array,
    },
    datatypes::{Float32Type, IntervalMonthDayNano},
};
use half::f16;
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::sync::Arc;

/// Writes and reads a column both ways.
fn check(kind: &PgType, array: &ArrayRef, style: &Style) {
    assert_eq!(array.data_type(), &kind.arrow(), "{kind}");
    let encoder = Encoder::new(kind, array, style).unwrap();
    let mut texts = ColumnBuilder::new(kind, style);
    let mut binaries = ColumnBuilder::new(kind, style);
    for row in 0..array.len() {
        if encoder.is_null(row) {
            texts.push_null().unwrap();
            binaries.push_null().unwrap();
            continue;
        }
        let (mut text, mut binary) = (Vec::new(), Vec::new());
        encoder.text(row, &mut text).unwrap();
        encoder.binary(row, &mut binary).unwrap();
        texts.push_text(text_of_bytes(&text).unwrap()).unwrap();
        binaries.push_binary(&binary).unwrap();
    }
    assert_eq!(texts.len(), array.len());
    assert_eq!(&texts.finish(), array, "{kind} as text");
    assert_eq!(&binaries.finish(), array, "{kind} in binary");
}

/// The same column as an array in one row, with one NULL row behind it.
fn check_array(element: &PgType, values: &ArrayRef, style: &Style) {
    let kind = element.clone().array();
    let encoder = Encoder::new(element, values, style).unwrap();
    let mut elements = ColumnBuilder::new(element, style);
    let mut list = ColumnBuilder::new(&kind, style);
    let mut text = b"{".to_vec();
    for row in 0..values.len() {
        if row > 0 {
            text.push(b',');
        }
        if encoder.is_null(row) {
            elements.push_null().unwrap();
            text.extend_from_slice(b"NULL");
        } else {
            let mut value = Vec::new();
            encoder.text(row, &mut value).unwrap();
            elements.push_text(text_of_bytes(&value).unwrap()).unwrap();
            let quoted = text_of_bytes(&value).unwrap().replace('\\', "\\\\").replace('"', "\\\"");
            text.extend(format!("\"{quoted}\"").into_bytes());
        }
    }
    text.push(b'}');
    list.push_text(text_of_bytes(&text).unwrap()).unwrap();
    list.push_null().unwrap();
    let list = list.finish();
    assert_eq!(&list.as_list::<i32>().value(0), &elements.finish());
    check(&kind, &list, style);
}

fn both(kind: &PgType, array: ArrayRef, style: &Style) {
    check(kind, &array, style);
    check_array(kind, &array, style);
}

fn style() -> impl Strategy<Value = Style> {
    let zones = select(vec!["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]);
    let intervals = select(vec![
        IntervalStyle::Postgres,
        IntervalStyle::PostgresVerbose,
        IntervalStyle::SqlStandard,
        IntervalStyle::Iso8601,
    ]);
    let orders = select(vec![DateOrder::Mdy, DateOrder::Dmy, DateOrder::Ymd]);
    (zones, intervals, any::<bool>(), orders).prop_map(
        |(zone, interval_style, bytea_escape, order)| Style {
            time_zone: super::datetime::zone::named(zone).unwrap(),
            interval_style,
            bytea_escape,
            date_order: order,
            ..Style::default()
        },
    )
}

/// Text that PostgreSQL can hold.
fn text() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "a", "é", "😀", " ", "\\", "\"", ",", "{", "}", "\t", "\n", "NULL", "'", "\u{7f}", "",
    ]);
    vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}

fn column<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Option<T>>> {
    vec(option::weighted(0.8, value), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whole_numbers_and_booleans(
        bools in column(any::<bool>()),
        shorts in column(any::<i16>()),
        ints in column(any::<i32>()),
        longs in column(any::<i64>()),
        oids in column(any::<u32>()),
        style in style(),
    ) {
        both(&PgType::Bool, Arc::new(BooleanArray::from(bools)), &style);
        both(&PgType::Int2, Arc::new(Int16Array::from(shorts)), &style);
        both(&PgType::Int4, Arc::new(Int32Array::from(ints)), &style);
        both(&PgType::Int8, Arc::new(Int64Array::from(longs)), &style);
        both(&PgType::Oid, Arc::new(UInt32Array::from(oids.clone())), &style);
        both(&PgType::Xid, Arc::new(UInt32Array::from(oids.clone())), &style);
        let classes = oids.into_iter().map(|oid| oid.map(|oid| oid.max(1)));
        both(&PgType::Reg(RegKind::Class), Arc::new(UInt32Array::from_iter(classes)), &style);
    }

    #[test]
    fn fractions(
        floats in column(any::<u32>().prop_map(f32::from_bits)),
        doubles in column(any::<u64>().prop_map(f64::from_bits)),
        numbers in column(-10_i128.pow(37)..10_i128.pow(37)),
        prices in column(-9_999_999_999_i128..10_000_000_000),
        style in style(),
    ) {
        // Of the many that are no number one is as good as another.
        let one_nan = |value: f64| if value.is_nan() { f64::NAN } else { value };
        #[expect(clippy::cast_possible_truncation, reason = "it was one before")]
        let floats = floats.into_iter().map(|f| f.map(|f| one_nan(f64::from(f)) as f32));
        let doubles = doubles.into_iter().map(|f| f.map(one_nan));
        both(&PgType::Float4, Arc::new(Float32Array::from_iter(floats)), &style);
        both(&PgType::Float8, Arc::new(Float64Array::from_iter(doubles)), &style);
        let decimal = |values, precision, scale| {
            Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
        };
        both(&PgType::Numeric(None), Arc::new(decimal(numbers, 38, 16)), &style);
        let places = Some((10, 2));
        both(&PgType::Numeric(places), Arc::new(decimal(prices, 10, 2)), &style);
    }

    #[test]
    fn texts_and_bytes(
        texts in column(text()),
        bytes in column(vec(any::<u8>(), 0..9)),
        uuids in column(any::<[u8; 16]>()),
        style in style(),
    ) {
        both(&PgType::Text, Arc::new(StringArray::from(texts.clone())), &style);
        both(&PgType::Varchar(Some(99)), Arc::new(StringArray::from(texts.clone())), &style);
        both(&PgType::Name, Arc::new(StringArray::from(texts)), &style);
        let bytes = BinaryArray::from_iter(bytes.iter().map(Option::as_ref));
        both(&PgType::Bytea, Arc::new(bytes), &style);
        let uuids = uuids.into_iter();
        let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids, 16).unwrap();
        both(&PgType::Uuid, Arc::new(uuids), &style);
    }

    #[test]
    fn dates_and_times(
        days in column(prop_oneof![-2_440_588..2_145_042_906_i32, -100_000..100_000_i32]),
        times in column(0..=86_400_000_000_i64),
        zoned_times in column((0..=86_400_000_000_i64, -57_599..=57_599_i32)),
        micros in column(prop_oneof![
            -210_866_803_200_000_000..i64::MAX,
            -4_000_000_000_000_000..4_000_000_000_000_000_i64,
        ]),
        style in style(),
    ) {
        both(&PgType::Date, Arc::new(Date32Array::from(days)), &style);
        both(&PgType::Time(None), Arc::new(Time64MicrosecondArray::from(times)), &style);
        let zoned_times = zoned_times.into_iter();
        let zoned_times = zoned_times
            .map(|time| time.map(|(micros, offset)| Timetz { micros, offset }.carried()));
        both(&PgType::Timetz(None), Arc::new(BinaryArray::from_iter(zoned_times)), &style);
        let plain = TimestampMicrosecondArray::from(micros.clone());
        both(&PgType::Timestamp(None), Arc::new(plain), &style);
        // Where clocks go back an hour comes twice, but its offset tells which; before 4713 BC
        // begins, no zone's clock can be read back.
        let micros = micros.into_iter().map(|m| m.map(|m| m.max(-210_866_000_000_000_000)));
        let zoned = TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC");
        both(&PgType::Timestamptz(None), Arc::new(zoned), &style);
    }

    #[test]
    fn intervals(
        parts in column((-99_999..99_999_i32, -99_999..99_999_i32, -86_400_000_000..86_400_000_000_i64)),
        style in style(),
    ) {
        let intervals = parts.into_iter().map(|parts| {
            parts.map(|(months, days, micros)| {
                // SQL has one sign for all; the others do not mind.
                IntervalMonthDayNano::new(months, days, micros * 1000)
            })
        });
        both(&PgType::Interval(None), Arc::new(IntervalMonthDayNanoArray::from_iter(intervals)), &style);
    }

    #[test]
    fn vectors(rows in column(vec(any::<u32>(), 3)), style in style()) {
        let rows: Vec<Option<Vec<f32>>> = rows
            .into_iter()
            .map(|row| {
                row.map(|bits| {
                    let value = |bits| Some(f32::from_bits(bits)).filter(|f| f.is_finite());
                    bits.into_iter().map(|bits| value(bits).unwrap_or(0.5)).collect()
                })
            })
            .collect();
        let halves = rows.iter().map(|row| {
            row.as_ref().map(|row| row.iter().map(|x| f16::from_f32(*x % 60_000.0).to_f32()).collect())
        });
        let halves: Vec<Option<Vec<f32>>> = halves.collect();
        for kind in [PgType::Vector(Some(3)), PgType::Vector(None), PgType::Halfvec(Some(3)), PgType::Halfvec(None)] {
            let rows = if matches!(kind, PgType::Halfvec(_)) { &halves } else { &rows };
            let mut builder = ColumnBuilder::new(&kind, &style);
            for row in rows {
                match row {
                    None => builder.push_null().unwrap(),
                    Some(values) => {
                        let texts: Vec<String> = values.iter().map(f32::to_string).collect();
                        builder.push_text(&format!("[{}]", texts.join(","))).unwrap();
                    }
                }
            }
            let array = builder.finish();
            let first = rows.iter().position(Option::is_some);
            if let (Some(row), PgType::Vector(Some(_))) = (first, &kind) {
                let values = array.as_fixed_size_list().value(row);
                prop_assert_eq!(values.as_primitive::<Float32Type>().values(), rows[row].as_ref().unwrap());
            }
            both(&kind, array, &style);
        }
    }

    #[test]
    fn sparse_vectors(rows in column(vec((0..4000_u32, any::<i16>()), 0..20)), style in style()) {
        for kind in [PgType::Sparsevec(Some(4000)), PgType::Sparsevec(None)] {
            let mut builder = ColumnBuilder::new(&kind, &style);
            for row in &rows {
                let Some(elements) = row else {
                    builder.push_null().unwrap();
                    continue;
                };
                let elements: std::collections::BTreeMap<_, _> = elements.iter().copied().collect();
                let elements: Vec<String> = elements
                    .into_iter()
                    .map(|(index, value)| format!("{}:{}", index + 1, f32::from(value) / 8.0))
                    .collect();
                builder.push_text(&format!("{{{}}}/4000", elements.join(","))).unwrap();
            }
            both(&kind, builder.finish(), &style);
        }
    }

    #[test]
    fn bit_strings(rows in column(vec(any::<bool>(), 0..300)), length in 1..300_usize, style in style()) {
        for kind in [PgType::Bit(u32::try_from(length).ok()), PgType::Varbit(None)] {
            let carried = |bits: Vec<bool>| {
                let bits = Bits::collect(bits.into_iter());
                if kind == PgType::Varbit(None) { bits } else { bits.resized(length) }.carried()
            };
            let array = BinaryArray::from_iter(rows.iter().cloned().map(|row| row.map(carried)));
            both(&kind, Arc::new(array), &style);
        }
    }

    #[test]
    fn jsonb_is_stable(texts in vec(text(), 0..4), numbers in vec(any::<i64>(), 0..4)) {
        let json = serde_json::json!({ "texts": texts, "numbers": numbers, "deep": { "a": [null, true] } });
        let once = super::json::normalise(&json.to_string()).unwrap();
        prop_assert_eq!(super::json::normalise(&once).unwrap(), once.clone());
        let again: serde_json::Value = serde_json::from_str(&once).unwrap();
        prop_assert_eq!(again, json);
        let array: ArrayRef = Arc::new(StringArray::from(vec![Some(once), None]));
        both(&PgType::Jsonb, array, &Style::default());
    }

    #[test]
    fn no_text_and_no_bytes_bring_a_reader_down(
        text in "\\PC{0,20}",
        bytes in vec(any::<u8>(), 0..40),
    ) {
        let style = Style::default();
        for kind in PgType::SCALARS.iter().cloned().chain([PgType::Text.array()]) {
            let _ = ColumnBuilder::new(&kind, &style).push_text(&text);
            let _ = ColumnBuilder::new(&kind, &style).push_binary(&bytes);
        }
    }
}

#[test]
fn numbers_in_rows_count_from_nought() {
    let style = Style::default();
    for (kind, text) in [(PgType::Int2vector, "1 -2 3"), (PgType::Oidvector, "4294967295 0")] {
        let array = cast::parse_text(&kind, text, &style).unwrap();
        check(&kind, &array, &style);
        assert_eq!(cast::text_of(&kind, &array, 0, &style).unwrap().unwrap(), text);
    }
}

#[test]
fn infinity_stays_infinite() {
    let style = Style::default();
    for kind in
        [PgType::Date, PgType::Timestamp(None), PgType::Timestamptz(None), PgType::Interval(None)]
    {
        for word in ["infinity", "-infinity"] {
            let array = cast::parse_text(&kind, word, &style).unwrap();
            check(&kind, &array, &style);
            assert_eq!(cast::text_of(&kind, &array, 0, &style).unwrap().unwrap(), word);
        }
    }
}

#[test]
fn a_cast_cuts_what_an_assignment_refuses() {
    let style = Style::default();
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("abcdef"), None]));
    let kind = PgType::Varchar(Some(3));
    let cut = cast::from_text(&kind, &texts, &style, TooLong::Cut).unwrap();
    assert_eq!(cut.as_string::<i32>().value(0), "abc");
    assert!(cut.is_null(1));
    let error = cast::from_text(&kind, &texts, &style, TooLong::Refuse).unwrap_err();
    assert_eq!(error.state().as_str(), "22001");

    let bools: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let texts = cast::to_text(&PgType::Bool, &bools, &style).unwrap();
    assert_eq!(texts.as_string::<i32>().value(0), "true");
    let padded: ArrayRef = Arc::new(StringArray::from(vec!["a  "]));
    let texts = cast::to_text(&PgType::Bpchar(Some(3)), &padded, &style).unwrap();
    assert_eq!(texts.as_string::<i32>().value(0), "a");
}

#[test]
fn names_stand_for_oids_where_somebody_knows_them() {
    #[derive(Debug)]
    struct Items;
    impl Names for Items {
        fn name(&self, kind: RegKind, oid: u32) -> Option<String> {
            (kind == RegKind::Class && oid == 17_000).then(|| "items".to_owned())
        }
        fn oid(&self, kind: RegKind, name: &str) -> Option<u32> {
            (kind == RegKind::Class && name == "items").then_some(17_000)
        }
    }
    let class = PgType::Reg(RegKind::Class);
    let style = Style { names: Some(Arc::new(Items)), ..Style::default() };
    let oids: ArrayRef = Arc::new(UInt32Array::from(vec![17_000, 17_001, 0]));
    let text = |row| cast::text_of(&class, &oids, row, &style).unwrap().unwrap();
    assert_eq!([text(0), text(1), text(2)], ["items", "17001", "-"]);
    let read = |text| cast::parse_text(&class, text, &style);
    assert_eq!(
        read("items").unwrap().as_primitive::<arrow::datatypes::UInt32Type>().value(0),
        17_000
    );
    let error = read("nothing").unwrap_err();
    assert_eq!(
        format!("{} {}", error.state(), error.message()),
        "42P01 relation \"nothing\" does not exist"
    );

    let types = PgType::Reg(RegKind::Type);
    let array = cast::parse_text(&types, "int4", &style).unwrap();
    assert_eq!(cast::text_of(&types, &array, 0, &style).unwrap().unwrap(), "integer");
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let message = |bytes: &[u8]| text_of_bytes(bytes).unwrap_err().message().to_owned();
    let invalid = "invalid byte sequence for encoding \"UTF8\": ";
    assert_eq!(message(b"a\0b"), format!("{invalid}0x00"));
    assert_eq!(message(b"a\xff"), format!("{invalid}0xff"));
    assert_eq!(message(b"\xc3("), format!("{invalid}0xc3 0x28"));
    assert_eq!(message(b"\xe2\x82"), format!("{invalid}0xe2 0x82"));
}
