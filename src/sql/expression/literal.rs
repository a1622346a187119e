//! Literals: numbers, strings, bit strings, intervals.

use super::text_literal;
use crate::{
    error::{Error, Result, SqlState},
    pgtype::{
        PgType,
        interval::{Fields, Qualifier},
    },
    sql::{
        binder::Binder,
        coerce::{Reason, numeric},
        typed::Typed,
    },
};
use datafusion::{
    common::ScalarValue,
    sql::sqlparser::ast::{self, Value},
};

impl Binder<'_> {
    /// A literal.
    pub(crate) fn value(&mut self, value: &Value) -> Result<Typed> {
        let text = |text: &str| Ok(text_literal(text));
        match value {
            Value::Number(digits, _) => number(digits, false),
            Value::SingleQuotedString(s)
            | Value::EscapedStringLiteral(s)
            | Value::UnicodeStringLiteral(s)
            | Value::NationalStringLiteral(s) => text(s),
            Value::DollarQuotedString(s) => text(&s.value),
            Value::SingleQuotedByteStringLiteral(digits) => self.bit_string('b', digits),
            Value::HexStringLiteral(digits) => self.bit_string('x', digits),
            Value::Boolean(value) => {
                Ok(Typed::literal(ScalarValue::Boolean(Some(*value)), PgType::Bool))
            }
            Value::Null => Ok(Typed::literal(ScalarValue::Utf8(None), PgType::Unknown)),
            Value::Placeholder(id) => self.placeholder(id),
            other => Err(Error::unsupported(format!("literal {other} is not supported"))),
        }
    }

    /// `B'101'`, `X'1F'`.
    pub(super) fn bit_string(&mut self, base: char, digits: &str) -> Result<Typed> {
        let text = text_literal(&format!("{base}{digits}"));
        self.coerce(text, &PgType::Bit(None), Reason::Explicit)
    }

    /// `INTERVAL '1 day'`, `INTERVAL '1' DAY`, `INTERVAL '1' DAY TO SECOND(3)`.
    pub(super) fn interval(&mut self, interval: &ast::Interval) -> Result<Typed> {
        let kind = qualified(interval)?;
        let typed = self.expr(&interval.value)?;
        self.coerce(typed, &kind, Reason::Explicit)
    }
}

/// The type that is named around the text of an interval.
fn qualified(interval: &ast::Interval) -> Result<PgType> {
    let Some(leading) = &interval.leading_field else { return Ok(PgType::Interval(None)) };
    let digits = match interval.last_field {
        None => interval.leading_precision,
        Some(_) => interval.fractional_seconds_precision,
    };
    let fields = match &interval.last_field {
        None => leading.to_string(),
        Some(last) => format!("{leading} to {last}"),
    };
    let fields = fields.to_lowercase();
    let misplaced = interval.last_field.is_some() && interval.leading_precision.is_some()
        || interval.last_field.is_none() && interval.fractional_seconds_precision.is_some();
    let Some(fields) = Fields::named(&fields).filter(|_| !misplaced) else {
        let error = Error::unsupported(format!("an interval of {fields} is not supported"));
        return Err(error.hint("Write the unit behind the number, within the quotes."));
    };
    let kind = PgType::Interval(Some(Qualifier { fields: Some(fields), precision: None }));
    match digits {
        Some(digits) => kind.with_modifiers(&[i64::try_from(digits).unwrap_or(i64::MAX)]),
        None => Ok(kind),
    }
}

/// A number: the least of integer, bigint and numeric that holds it; a float where none does.
pub(super) fn number(digits: &str, negative: bool) -> Result<Typed> {
    let text = format!("{}{}", if negative { "-" } else { "" }, digits.replace('_', ""));
    let float = || {
        let value: f64 = text.parse().ok()?;
        let typed = Typed::literal(ScalarValue::Float64(Some(value)), PgType::Float8);
        value.is_finite().then(|| Typed { digits: Some(text.as_str().into()), ..typed })
    };
    match decimal(digits, negative) {
        Ok((typed, true)) => Ok(typed),
        Ok((typed, false)) => Ok(Typed { digits: Some(text.as_str().into()), ..typed }),
        Err(error) => float().ok_or(error),
    }
}

/// A number, and whether it is all there.
pub(super) fn decimal(digits: &str, negative: bool) -> Result<(Typed, bool)> {
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let sign = if negative { "-" } else { "" };
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let body = if radix == 10 { digits.as_str() } else { &digits[2..] };
    if let Ok(value) = i64::from_str_radix(&format!("{sign}{body}"), radix) {
        let typed = match i32::try_from(value) {
            Ok(value) => Typed::literal(ScalarValue::Int32(Some(value)), PgType::Int4),
            Err(_) => Typed::literal(ScalarValue::Int64(Some(value)), PgType::Int8),
        };
        return Ok((typed, true));
    }
    let large = u128::from_str_radix(body, radix).ok().filter(|_| radix != 10);
    let large = large.map(|value| value.to_string());
    let body = large.as_deref().unwrap_or(body);
    let (mantissa, exponent) = match body.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(i32::MAX)),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let too_long = || {
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
            .detail("A numeric holds 38 digits.")
    };
    let mut scale = i32::try_from(fraction.len()).map_err(|_| too_long())?.saturating_sub(exponent);
    let mut all = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
    if scale < 0 {
        if scale < -40 {
            return Err(too_long());
        }
        all.push_str(&"0".repeat(usize::try_from(-scale).unwrap_or(0)));
        scale = 0;
    }
    // More digits behind the point than a numeric keeps: rounded half away from zero.
    let most = i32::from(crate::pgtype::NUMERIC_ANY.1);
    let is_whole = scale <= most;
    if !is_whole {
        let cut = usize::try_from(scale - most).unwrap_or(0);
        let kept = all.len().saturating_sub(cut);
        let up = all.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5') && all.len() >= cut;
        let value: i128 =
            if kept == 0 { 0 } else { all[..kept].parse().map_err(|_| too_long())? };
        all = (value + i128::from(up)).to_string();
        scale = most;
    }
    let value: i128 =
        if all.is_empty() { 0 } else { format!("{sign}{all}").parse().map_err(|_| too_long())? };
    if value.unsigned_abs() >= 10_u128.pow(38) {
        return Err(too_long());
    }
    let value = if negative && value > 0 { -value } else { value };
    let scale = i8::try_from(scale).map_err(|_| too_long())?;
    let typed = Typed::literal(ScalarValue::Decimal128(Some(value), 38, scale), numeric(scale));
    Ok((typed, is_whole))
}
