//! `to_char` of numbers; `datetime/template` has that of times.

use crate::{error::Result, sql::functions::call::Arguments};
use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType, Float64Type, Int64Type},
};

/// `to_char(number, template)`
pub(crate) fn number(args: &Arguments<'_>) -> Result<ArrayRef> {
    let style = args.context.style();
    let texts = match args.arrays[0].data_type() {
        DataType::Float64 => {
            let floats = args.arrays[0].as_primitive::<Float64Type>();
            floats.iter().map(|value| value.map(|value| format!("{value:.16}"))).collect()
        }
        DataType::Int64 => args.arrays[0]
            .as_primitive::<Int64Type>()
            .iter()
            .map(|value| value.map(|v| v.to_string()))
            .collect(),
        _ => {
            let texts = crate::pgtype::cast::to_text(&args.kinds[0], &args.arrays[0], &style)?;
            let texts = texts.as_string::<i32>();
            texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        }
    };
    args.texts(|row| Ok(texts[row].as_deref().map(|text| numeral(text, args.text(1).value(row)))))
}

fn numeral(text: &str, template: &str) -> String {
    let fill = !(template.starts_with("FM") || template.starts_with("fm"));
    let template = if fill { template } else { &template[2..] };
    let signs: Vec<char> = template.to_ascii_uppercase().chars().collect();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let point = signs.iter().position(|c| matches!(c, '.' | 'D'));
    let whole_places =
        signs[..point.unwrap_or(signs.len())].iter().filter(|c| matches!(c, '9' | '0')).count();
    let part_places =
        point.map_or(0, |at| signs[at..].iter().filter(|c| matches!(c, '9' | '0')).count());
    // Rounded half away from zero to the places that the template has.
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all: Vec<u8> = whole.bytes().map(|b| b - b'0').collect();
    let fraction: Vec<u8> = part.bytes().map(|b| b.saturating_sub(b'0')).collect();
    let kept: Vec<u8> = (0..part_places).map(|at| fraction.get(at).copied().unwrap_or(0)).collect();
    all.extend(kept);
    if fraction.get(part_places).is_some_and(|digit| *digit >= 5) {
        let mut at = all.len();
        loop {
            if at == 0 {
                all.insert(0, 1);
                break;
            }
            at -= 1;
            if all[at] < 9 {
                all[at] += 1;
                break;
            }
            all[at] = 0;
        }
    }
    let split = all.len() - part_places;
    let (whole, part) = all.split_at(split);
    let first = whole.iter().position(|digit| *digit != 0).unwrap_or(whole.len());
    let whole = &whole[first..];
    if whole.len() > whole_places {
        let hashes: String =
            signs.iter().map(|c| if matches!(c, '9' | '0') { '#' } else { *c }).collect();
        return format!("{}{hashes}", if negative { "-" } else { " " });
    }
    let lead = whole_places - whole.len();
    let (mut seen, mut started) = (0, false);
    let mut part_at = 0;
    let mut out = String::new();
    for c in &signs {
        match c {
            '9' | '0' if seen < whole_places => {
                if seen >= lead {
                    out.push(char::from(b'0' + whole[seen - lead]));
                    started = true;
                } else if *c == '0' || started {
                    out.push('0');
                    started = true;
                } else if fill {
                    out.push(' ');
                }
                seen += 1;
            }
            '9' | '0' => {
                if let Some(digit) = part.get(part_at) {
                    let rest_is_zero = part[part_at..].iter().all(|digit| *digit == 0);
                    if fill || *c == '0' || !rest_is_zero {
                        out.push(char::from(b'0' + digit));
                    }
                }
                part_at += 1;
            }
            '.' | 'D' => {
                if !started && part_places > 0 && whole.is_empty() && fill {
                    // `.5` where the template has no digit to spare.
                }
                out.push('.');
            }
            ',' | 'G' => {
                if started {
                    out.push(',');
                } else if fill {
                    out.push(' ');
                }
            }
            'S' | 'M' | 'I' | 'P' | 'R' | 'L' | 'V' | 'E' => {}
            other => out.push(*other),
        }
    }
    let sign = if negative {
        "-"
    } else if fill {
        " "
    } else {
        ""
    };
    // The sign stands before the first digit.
    let blanks = out.chars().take_while(|c| *c == ' ').count();
    let body = &out[blanks..];
    format!("{}{sign}{body}", " ".repeat(blanks))
}
