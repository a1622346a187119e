//! Values as they are written, and what settings take of them.

use super::{
    LOG_FILTER,
    declared::{Kind, Who},
    display_name, find, time_zone, unknown,
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::datestyle::DateStyle,
};
use std::borrow::Cow;

/// A name and a value, checked and in their canonical spelling.
/// `date_style` is what that setting is now: a new one may tell one half of it.
pub(super) fn check(
    name: &str,
    value: &str,
    date_style: &str,
) -> Result<(Cow<'static, str>, String)> {
    let Some(setting) = find(name) else {
        // A class of one's own is free to use, as in PostgreSQL; ours are not.
        let class = name.split_once('.').map(|(class, _)| class.to_ascii_lowercase());
        return match class.as_deref() {
            Some("nearlake" | "hnsw" | "ivfflat") | None => Err(unknown(name)),
            Some(_) => Ok((Cow::Owned(name.to_ascii_lowercase()), value.to_owned())),
        };
    };
    let shown = display_name(setting.name);
    if setting.name == LOG_FILTER {
        return Err(Error::unsupported(format!("{LOG_FILTER} cannot be set for a session"))
            .hint("It is the whole node's: SET it as a superuser, or configure log_filter."));
    }
    if !matches!(setting.who, Who::User | Who::Superuser) {
        return Err(Error::new(
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
            format!("parameter \"{shown}\" cannot be changed"),
        ));
    }
    let invalid = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{shown}\": \"{value}\""),
        )
    };
    let canonical = match setting.kind {
        Kind::Bool => if truth(value).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("parameter \"{shown}\" requires a Boolean value"),
            )
        })? {
            "on"
        } else {
            "off"
        }
        .to_owned(),
        Kind::Int(unit, min, max) => {
            let number = quantity(value, unit).ok_or_else(invalid)?;
            if i32::try_from(number).is_err() {
                return Err(invalid().hint("Value exceeds integer range."));
            }
            bounded(shown, number, (min, max), unit)?.to_string()
        }
        Kind::Real(min, max) => {
            let number: f64 = value.trim().parse().map_err(|_| invalid())?;
            if !(min..=max).contains(&number) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!(
                        "{number} is outside the valid range for parameter \"{shown}\" ({min} .. {max})"
                    ),
                ));
            }
            number.to_string()
        }
        Kind::Enum(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
            Some(word) => (*word).to_owned(),
            None => {
                let hint = format!("Available values: {}.", words.join(", "));
                return Err(invalid().hint(hint));
            }
        },
        Kind::Text => value.to_owned(),
        Kind::TimeZone => time_zone(value).map(|zone| zone.name().to_owned()).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid value for parameter \"TimeZone\": \"{value}\""),
            )
        })?,
        Kind::DateStyle => {
            let now = DateStyle::default().with(date_style).unwrap_or_default();
            now.with(value).ok_or_else(invalid)?.to_string()
        }
        Kind::Only(words) => {
            let plain = value.trim().trim_matches(['\'', '"']);
            let same = |word: &&&str| {
                word.eq_ignore_ascii_case(plain)
                    || (**word == "on" && truth(plain) == Some(true))
                    || (**word == "off" && truth(plain) == Some(false))
            };
            if !words.iter().any(|word| same(&word)) {
                return Err(Error::unsupported(format!(
                    "parameter \"{shown}\" cannot be set to \"{value}\""
                ))
                .hint(format!("{} The value is \"{}\".", setting.about, setting.default)));
            }
            setting.default.to_owned()
        }
    };
    Ok((Cow::Borrowed(setting.name), canonical))
}

fn bounded(shown: &str, number: i64, (min, max): (i64, i64), unit: &str) -> Result<i64> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    let with_unit = |number: i64| match unit {
        "" => number.to_string(),
        unit => format!("{number} {unit}"),
    };
    Err(Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "{} is outside the valid range for parameter \"{shown}\" ({} .. {})",
            with_unit(number),
            with_unit(min),
            with_unit(max)
        ),
    ))
}

pub(super) fn digits(value: &str) -> Option<i64> {
    value.parse().ok()
}

/// A number with or without a unit, in the setting's unit.
fn quantity(value: &str, unit: &str) -> Option<i64> {
    let value = value.trim();
    let end = value.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(value.len());
    let (number, suffix) = value.split_at(end);
    let number: f64 = number.trim().parse().ok()?;
    let sizes: &[(&str, f64)] = match unit {
        "ms" => {
            &[("us", 0.001), ("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6), ("d", 8.64e7)]
        }
        "B" => &[("B", 1.0), ("kB", 1024.0), ("MB", 1_048_576.0), ("GB", 1_073_741_824.0)],
        "kB" => &[
            ("B", 1.0 / 1024.0),
            ("kB", 1.0),
            ("MB", 1024.0),
            ("GB", 1_048_576.0),
            ("TB", 1_073_741_824.0),
        ],
        "8kB" => &[("kB", 0.125), ("MB", 128.0), ("GB", 131_072.0)],
        _ => &[],
    };
    let factor =
        if suffix.is_empty() { 1.0 } else { sizes.iter().find(|(name, _)| *name == suffix)?.1 };
    let scaled = (number * factor).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked against the bounds of i64")]
    (scaled.abs() < 9e18).then_some(scaled as i64)
}

fn truth(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Some(true),
        "off" | "false" | "no" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}
