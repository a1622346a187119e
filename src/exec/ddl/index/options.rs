//! What `CREATE INDEX … WITH (…)` and `ALTER INDEX … SET (…)` take: our options, and pgvector's.

use crate::{
    catalog::{CODE_BITS_OPTION, RECALL_TARGET_OPTION, SPILL_OPTION},
    error::{Error, Result, SqlState},
    index::Spill,
};
use std::{collections::BTreeMap, fmt::Display};

/// Checks the options of an index of a method: ours, and pgvector's for the one asked for.
///
/// # Errors
/// 22023 for a name that the method does not know, and for a value out of bounds.
pub(in crate::exec::ddl) fn checked(
    method: &str,
    options: &[(String, String)],
) -> Result<BTreeMap<String, String>> {
    let mut checked = BTreeMap::new();
    for (name, value) in options {
        let name = name.to_ascii_lowercase();
        let value = match (method, name.as_str()) {
            (_, RECALL_TARGET_OPTION) => recall_target(value)?,
            (_, SPILL_OPTION) => one_of(&name, value, Spill::ALL.map(|(name, _)| name))?,
            (_, CODE_BITS_OPTION) => one_of(&name, value, ["4", "8"])?,
            ("hnsw", "m") => whole(&name, value, 2, 100)?,
            ("hnsw", "ef_construction") => whole(&name, value, 4, 1000)?,
            ("ivfflat", "lists") => whole(&name, value, 1, 32768)?,
            _ => return Err(invalid(format!("unrecognized parameter \"{name}\""))),
        };
        checked.insert(name, value);
    }
    let of = |name: &str, default: i64| {
        checked.get(name).and_then(|text: &String| text.parse().ok()).unwrap_or(default)
    };
    if method == "hnsw" && of("ef_construction", 64) < 2 * of("m", 16) {
        return Err(invalid("ef_construction must be greater than or equal to 2 * m"));
    }
    Ok(checked)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn out_of_bounds(name: &str, value: &str, min: impl Display, max: impl Display) -> Error {
    invalid(format!("value {value} out of bounds for option \"{name}\""))
        .detail(format!("Valid values are between \"{min}\" and \"{max}\"."))
}

fn one_of<const N: usize>(name: &str, value: &str, names: [&str; N]) -> Result<String> {
    if let Some(found) = names.iter().find(|name| name.eq_ignore_ascii_case(value)) {
        return Ok((*found).to_owned());
    }
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let (last, others) = names.split_last().expect("some are valid");
    Err(invalid(format!("invalid value for enum option \"{name}\": {value}"))
        .detail(format!("Valid values are {} and {last}.", others.join(", "))))
}

fn whole(name: &str, value: &str, min: i64, max: i64) -> Result<String> {
    let number: i64 = value
        .parse()
        .map_err(|_| invalid(format!("invalid value for integer option \"{name}\": {value}")))?;
    if !(min..=max).contains(&number) {
        return Err(out_of_bounds(name, value, min, max));
    }
    Ok(number.to_string())
}

/// The share of the nearest rows that an index's searches are to find.
fn recall_target(value: &str) -> Result<String> {
    let name = RECALL_TARGET_OPTION;
    let share: f64 = value.trim().parse().map_err(|_| {
        invalid(format!("invalid value for floating point option \"{name}\": {value}"))
    })?;
    if !(0.5..=1.0).contains(&share) {
        return Err(out_of_bounds(name, value, "0.500000", "1.000000"));
    }
    Ok(share.to_string())
}
