//! Numbers by a template: `to_char(1234.5, '9G999D99')` and `to_number('1,234.5', '9G999D9')`.

mod read;
mod roman;
mod template;
mod write;

use self::template::Template;
use crate::{
    error::{Error, Result},
    pgtype::cast::{from_text, to_text},
    pgtype::string::TooLong,
    sql::functions::call::Arguments,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{DataType, Float32Type, Float64Type},
};
use std::sync::Arc;

/// How many digits of a number of such a type are worth writing.
const DOUBLE_DIGITS: usize = 15;
const REAL_DIGITS: usize = 6;

/// A number before it is laid out by a template.
#[derive(Debug, Clone)]
enum Number {
    /// Its decimal digits.
    Decimal(String),
    /// A float with as many digits.
    Float(f64, usize),
}

/// The template that was read last: mostly it is the same for all rows.
#[derive(Default)]
struct Templates {
    known: Option<(String, Template)>,
}

impl Templates {
    fn read(&mut self, text: &str) -> Result<&Template> {
        if self.known.as_ref().is_none_or(|(known, _)| known != text) {
            self.known = Some((text.to_owned(), Template::read(text)?));
        }
        let known = self.known.as_ref();
        known.map(|(_, template)| template).ok_or_else(|| Error::internal("a template was read"))
    }
}

/// `to_char(number, template)`
pub(crate) fn to_char(args: &Arguments<'_>) -> Result<ArrayRef> {
    let style = args.context.style();
    let decimals = match args.arrays[0].data_type() {
        DataType::Float64 | DataType::Float32 => None,
        _ => Some(to_text(&args.kinds[0], &args.arrays[0], &style)?),
    };
    let number = |row: usize| match (&decimals, args.arrays[0].data_type()) {
        (Some(texts), _) => Number::Decimal(texts.as_string::<i32>().value(row).to_owned()),
        (None, DataType::Float32) => {
            let value = args.arrays[0].as_primitive::<Float32Type>().value(row);
            Number::Float(f64::from(value), REAL_DIGITS)
        }
        _ => Number::Float(args.arrays[0].as_primitive::<Float64Type>().value(row), DOUBLE_DIGITS),
    };
    let mut templates = Templates::default();
    args.texts(|row| {
        let template = args.text(1).value(row);
        // An empty template has nothing to say.
        if template.is_empty() {
            return Ok(Some(String::new()));
        }
        let template = templates.read(template)?;
        Ok(Some(write::written(&number(row), template)))
    })
}

/// `to_number(text, template)`
pub(crate) fn to_number(args: &Arguments<'_>) -> Result<ArrayRef> {
    let mut templates = Templates::default();
    let mut texts = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let template = if args.is_null(row) { "" } else { args.text(1).value(row) };
        texts.push(match template {
            "" => None,
            template => Some(read::number(args.text(0).value(row), templates.read(template)?)?),
        });
    }
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    from_text(args.result, &texts, &args.context.style(), TooLong::Refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: &str, template: &str) -> String {
        let template = Template::read(template).unwrap();
        write::written(&Number::Decimal(number.to_owned()), &template)
    }

    #[test]
    fn templates_lay_numbers_out() {
        for (number, template, wanted) in [
            ("-0.1", "99.99", "  -.10"),
            ("-0.1", "FM9.99", "-.1"),
            ("0.1", "0.9", " 0.1"),
            ("12", "9990999.9", "    0012.0"),
            ("12", "FM9990999.9", "0012."),
            ("485", "999", " 485"),
            ("-485", "999", "-485"),
            ("485", "9 9 9", " 4 8 5"),
            ("1485", "9,999", " 1,485"),
            ("148.5", "999.999", " 148.500"),
            ("148.5", "FM999.999", "148.5"),
            ("148.5", "FM999.990", "148.500"),
            ("3148.5", "9G999D999", " 3,148.500"),
            ("-485", "999S", "485-"),
            ("-485", "999MI", "485-"),
            ("485", "FM999MI", "485"),
            ("485", "PL999", "+ 485"),
            ("-485", "SG999", "-485"),
            ("-485", "9SG99", "4-85"),
            ("-485", "999PR", "<485>"),
            ("485", "RN", "        CDLXXXV"),
            ("5.2", "FMRN", "V"),
            ("482", "999th", " 482nd"),
            ("485", "\"Good number:\"999", "Good number: 485"),
            ("12", "99V999", " 12000"),
            ("12.45", "99V9", " 125"),
            ("0.0004859", "9.99EEEE", " 4.86e-04"),
            ("12345", "999", " ###"),
        ] {
            assert_eq!(shown(number, template), wanted, "{number} by {template}");
        }
    }

    #[test]
    fn numbers_are_read_by_templates() {
        for (text, template, wanted) in [
            ("12,454.8-", "99G999D9S", "-12454.8"),
            ("<564646.654564>", "999999.999999PR", "-564646.654564"),
            ("0.00001-", "9.999999S", "-0.00001"),
            (".01-", "99.99S", "-.01"),
            ("34,50", "999,99", "3450"),
            ("$1234.56", "L9999.99", "1234.56"),
            ("42nd", "99th", "42"),
            ("CXXIII", "RN", "123"),
        ] {
            let template = Template::read(template).unwrap();
            assert_eq!(read::number(text, &template).unwrap(), wanted, "{text}");
        }
        assert!(Template::read("9.9.9").is_err());
    }
}
