//! `to_char` of moments and `to_date`, `to_timestamp` with a template.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::functions::{
        call::Arguments,
        cast::date_micros,
        datetime::{DAY, naive},
        zone::{to_local, to_utc},
    },
};
use arrow::{
    array::{ArrayRef, AsArray, PrimitiveArray},
    datatypes::{Date32Type, TimestampMicrosecondType},
};
use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use std::sync::Arc;

/// `to_char(timestamp, template)`
pub(crate) fn time(args: &Arguments<'_>) -> Result<ArrayRef> {
    let zone = args.context.time_zone();
    args.texts(|row| {
        let (local, offset) = match &args.kinds[0] {
            PgType::Timestamptz => {
                let utc = args.arrays[0].as_primitive::<TimestampMicrosecondType>().value(row);
                let local = to_local(zone, utc);
                (local, local - utc)
            }
            PgType::Date => {
                (date_micros(args.arrays[0].as_primitive::<Date32Type>().value(row)), 0)
            }
            _ => (args.arrays[0].as_primitive::<TimestampMicrosecondType>().value(row), 0),
        };
        let Some(at) = naive(local) else { return Ok(None) };
        let name = if args.kinds[0] == PgType::Timestamptz { zone.name() } else { "" };
        Ok(Some(written(at, args.text(1).value(row), offset / 1_000_000, name)))
    })
}

/// The words of templates, the longest first where one begins another.
const WORDS: [&str; 43] = [
    "YYYY", "Y,YYY", "IYYY", "YYY", "YY", "IY", "MONTH", "Month", "month", "MON", "Mon", "mon",
    "MM", "MI", "MS", "DAY", "Day", "day", "DDD", "DD", "DY", "Dy", "dy", "D", "HH24", "HH12",
    "HH", "SSSSS", "SSSS", "SS", "US", "AM", "PM", "am", "pm", "WW", "IW", "W", "CC", "Q", "TZ",
    "OF", "J",
];

fn word(rest: &str) -> Option<&'static str> {
    WORDS.iter().copied().find(|word| rest.starts_with(word)).or_else(|| {
        // Numbers may be written in lower case too.
        let upper: String = rest.chars().take(5).collect::<String>().to_ascii_uppercase();
        WORDS.iter().copied().filter(|w| w.chars().all(|c| !c.is_ascii_lowercase())).find(|word| {
            !matches!(*word, "MONTH" | "MON" | "DAY" | "DY" | "AM" | "PM")
                && upper.starts_with(word)
        })
    })
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn written(at: NaiveDateTime, template: &str, offset: i64, zone: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    let mut fill = true;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
            continue;
        }
        let Some(found) = word(rest) else {
            let mut chars = rest.chars();
            out.extend(chars.next());
            rest = chars.as_str();
            continue;
        };
        rest = &rest[found.len()..];
        let number = |value: i64, width: usize| {
            if fill { format!("{value:0width$}") } else { value.to_string() }
        };
        let name = |name: &str, width: usize| {
            if fill { format!("{name:width$}") } else { name.to_owned() }
        };
        let month = MONTHS[usize::try_from(at.month0()).unwrap_or(0)];
        let day = DAYS[usize::try_from(at.weekday().num_days_from_sunday()).unwrap_or(0)];
        let year = i64::from(at.year());
        let piece = match found {
            "YYYY" => number(year, 4),
            "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
            "YYY" => number(year.rem_euclid(1000), 3),
            "YY" => number(year.rem_euclid(100), 2),
            "IYYY" => number(i64::from(at.iso_week().year()), 4),
            "IY" => number(i64::from(at.iso_week().year()).rem_euclid(100), 2),
            "MONTH" => name(&month.to_uppercase(), 9),
            "Month" => name(month, 9),
            "month" => name(&month.to_lowercase(), 9),
            "MON" => month[..3].to_uppercase(),
            "Mon" => month[..3].to_owned(),
            "mon" => month[..3].to_lowercase(),
            "MM" => number(i64::from(at.month()), 2),
            "DAY" => name(&day.to_uppercase(), 9),
            "Day" => name(day, 9),
            "day" => name(&day.to_lowercase(), 9),
            "DY" => day[..3].to_uppercase(),
            "Dy" => day[..3].to_owned(),
            "dy" => day[..3].to_lowercase(),
            "DDD" => number(i64::from(at.ordinal()), 3),
            "DD" => number(i64::from(at.day()), 2),
            "D" => (at.weekday().num_days_from_sunday() + 1).to_string(),
            "HH24" => number(i64::from(at.hour()), 2),
            "HH12" | "HH" => number(i64::from(at.hour12().1), 2),
            "MI" => number(i64::from(at.minute()), 2),
            "SS" => number(i64::from(at.second()), 2),
            "SSSSS" | "SSSS" => at.num_seconds_from_midnight().to_string(),
            "MS" => number(i64::from(at.nanosecond() / 1_000_000), 3),
            "US" => number(i64::from(at.nanosecond() / 1000), 6),
            "AM" | "PM" => {
                if at.hour() < 12 {
                    "AM".into()
                } else {
                    "PM".into()
                }
            }
            "am" | "pm" => {
                if at.hour() < 12 {
                    "am".into()
                } else {
                    "pm".into()
                }
            }
            "WW" => number(i64::from((at.ordinal() - 1) / 7 + 1), 2),
            "W" => ((at.day() - 1) / 7 + 1).to_string(),
            "IW" => number(i64::from(at.iso_week().week()), 2),
            "CC" => number((year + 99).div_euclid(100), 2),
            "Q" => ((at.month() - 1) / 3 + 1).to_string(),
            "J" => (i64::from(at.num_days_from_ce()) + 1_721_425).to_string(),
            "OF" => {
                let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
                let sign = if offset < 0 { '-' } else { '+' };
                if minutes == 0 {
                    format!("{sign}{hours:02}")
                } else {
                    format!("{sign}{hours:02}:{minutes:02}")
                }
            }
            _ => zone.to_owned(),
        };
        out.push_str(&piece);
        fill = true;
        for suffix in ["TH", "th"] {
            if let Some(after) = rest.strip_prefix(suffix) {
                let ending = ordinal(&piece);
                out.push_str(&if suffix == "TH" {
                    ending.to_uppercase()
                } else {
                    ending.to_owned()
                });
                rest = after;
                break;
            }
        }
    }
    out
}

fn ordinal(number: &str) -> &'static str {
    match (
        number.ends_with("11") || number.ends_with("12") || number.ends_with("13"),
        number.chars().last(),
    ) {
        (false, Some('1')) => "st",
        (false, Some('2')) => "nd",
        (false, Some('3')) => "rd",
        _ => "th",
    }
}

/// `to_date(text, template)` and `to_timestamp(text, template)`
pub(crate) fn parse(args: &Arguments<'_>) -> Result<ArrayRef> {
    let zone = args.context.time_zone();
    let local = (0..args.rows)
        .map(|row| {
            if args.is_null(row) {
                Ok(None)
            } else {
                read(args.text(0).value(row), args.text(1).value(row)).map(Some)
            }
        })
        .collect::<Result<Vec<Option<i64>>>>()?;
    Ok(match args.result {
        PgType::Date => Arc::new(
            local
                .into_iter()
                .map(|micros| micros.map(super::cast::micros_date))
                .collect::<PrimitiveArray<Date32Type>>(),
        ),
        _ => {
            let utc: PrimitiveArray<TimestampMicrosecondType> =
                local.into_iter().map(|micros| micros.map(|micros| to_utc(zone, micros))).collect();
            Arc::new(utc.with_data_type(args.result.arrow()))
        }
    })
}

fn read(text: &str, template: &str) -> Result<i64> {
    let invalid = |value: &str, word: &str| {
        Error::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid value \"{value}\" for \"{word}\""),
        )
    };
    let (mut year, mut month, mut day) = (1, 1_u32, 1_u32);
    let (mut hour, mut minute, mut second, mut micros) = (0_i64, 0_i64, 0_i64, 0_i64);
    let (mut afternoon, mut ordinal) = (None, None);
    let (mut rest, mut template) = (text.trim_start(), template);
    while !template.is_empty() {
        let Some(found) = word(template) else {
            let mut chars = template.chars();
            let sign = chars.next().unwrap_or(' ');
            template = chars.as_str();
            // Whatever stands between fields stands for whatever is between them.
            if let Some(next) = rest.chars().next()
                && !next.is_alphanumeric()
                && !sign.is_alphanumeric()
            {
                rest = &rest[next.len_utf8()..];
            }
            continue;
        };
        template = &template[found.len()..];
        rest = rest.trim_start();
        let before = rest;
        let mut digits = |most: usize| -> Result<i64> {
            let end = before.bytes().take(most).take_while(u8::is_ascii_digit).count();
            let value = before[..end]
                .parse()
                .map_err(|_| invalid(&before.chars().take(most).collect::<String>(), found))?;
            rest = &before[end..];
            Ok(value)
        };
        let small = |value: i64| u32::try_from(value).unwrap_or(0);
        match found {
            "YYYY" | "IYYY" => year = i32::try_from(digits(4)?).unwrap_or(0),
            "YY" => {
                let short = i32::try_from(digits(2)?).unwrap_or(0);
                year = if short < 70 { 2000 + short } else { 1900 + short };
            }
            "MM" => month = small(digits(2)?),
            "DD" => day = small(digits(2)?),
            "DDD" => ordinal = Some(small(digits(3)?)),
            "HH24" => hour = digits(2)?,
            "HH12" | "HH" => hour = digits(2)?,
            "MI" => minute = digits(2)?,
            "SS" => second = digits(2)?,
            "MS" => {
                let value = digits(3)?;
                let width = u32::try_from(before.len() - rest.len()).unwrap_or(3);
                micros = value * 10_i64.pow(6 - width);
            }
            "US" => {
                let value = digits(6)?;
                let width = u32::try_from(before.len() - rest.len()).unwrap_or(6);
                micros = value * 10_i64.pow(6 - width);
            }
            "AM" | "PM" | "am" | "pm" => {
                let half: String = rest.chars().take(2).collect::<String>().to_ascii_lowercase();
                afternoon = match half.as_str() {
                    "am" => Some(false),
                    "pm" => Some(true),
                    _ => return Err(invalid(&half, found)),
                };
                rest = &rest[2..];
            }
            "MONTH" | "Month" | "month" | "MON" | "Mon" | "mon" => {
                let lower = rest.to_lowercase();
                let whole = found.len() > 3;
                let found_month = MONTHS.iter().position(|name| {
                    let name = if whole { name.to_lowercase() } else { name[..3].to_lowercase() };
                    lower.starts_with(&name)
                });
                let Some(at) = found_month else { return Err(invalid(rest, found)) };
                rest = &rest[if whole { MONTHS[at].len() } else { 3 }..];
                month = small(i64::try_from(at).unwrap_or(0) + 1);
            }
            "DAY" | "Day" | "day" | "DY" | "Dy" | "dy" => {
                rest = rest.trim_start_matches(char::is_alphabetic);
            }
            _ => {}
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let date = match ordinal {
        Some(ordinal) => NaiveDate::from_yo_opt(year, ordinal),
        None => NaiveDate::from_ymd_opt(year, month, day),
    };
    let fault = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        )
    };
    let date = date.ok_or_else(fault)?;
    if hour > 24 || minute > 59 || second > 60 {
        return Err(fault());
    }
    let days = i64::from(date.num_days_from_ce() - 719_163);
    Ok(days * DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}
