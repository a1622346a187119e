//! Unicode's normal forms, and whether code points have a character.

use crate::{
    error::{Error, Result, SqlState},
    sql::functions::call::Arguments,
};
use arrow::array::{ArrayRef, BooleanArray, StringArray};
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

fn normal(text: &str, form: &str) -> Result<String> {
    Ok(match form.to_ascii_uppercase().as_str() {
        "NFC" => text.nfc().collect(),
        "NFD" => text.nfd().collect(),
        "NFKC" => text.nfkc().collect(),
        "NFKD" => text.nfkd().collect(),
        _ => {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid normalization form: {form}"),
            ));
        }
    })
}

fn form<'a>(args: &'a Arguments<'_>, row: usize) -> &'a str {
    if args.arrays.len() > 1 { args.text(1).value(row) } else { "NFC" }
}

/// `normalize(text, [form])`
pub(crate) fn normalize(args: &Arguments<'_>) -> Result<ArrayRef> {
    args.texts(|row| normal(args.text(0).value(row), form(args, row)).map(Some))
}

/// `is_normalized(text, [form])`
pub(crate) fn is_normalized(args: &Arguments<'_>) -> Result<ArrayRef> {
    each(args, |row, text| Ok(normal(text, form(args, row))? == text))
}

/// `unicode_assigned(text)`
pub(crate) fn is_assigned(args: &Arguments<'_>) -> Result<ArrayRef> {
    let is_assigned = |c: char| c.general_category() != GeneralCategory::Unassigned;
    each(args, |_, text| Ok(text.chars().all(is_assigned)))
}

/// `unicode_version()`
pub(crate) fn version(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (major, minor, _) = unicode_properties::UNICODE_VERSION;
    let version = format!("{major}.{minor}");
    Ok(Arc::new(StringArray::from_iter_values((0..args.rows).map(|_| &version))))
}

fn each(args: &Arguments<'_>, one: impl Fn(usize, &str) -> Result<bool>) -> Result<ArrayRef> {
    let row = |row: usize| match args.is_null(row) {
        true => Ok(None),
        false => one(row, args.text(0).value(row)).map(Some),
    };
    let rows = (0..args.rows).map(row).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(BooleanArray::from(rows)))
}
