//! The text of a path as PostgreSQL writes it.

use super::{Argument, Expr, Method, Path, Sign, Step};
use std::fmt::{Display, Formatter, Result};

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.strict {
            f.write_str("strict ")?;
        }
        write(&self.expr, true, f)
    }
}

/// How close an operator holds its operands.
fn closeness(expr: &Expr) -> u8 {
    match expr {
        Expr::Or(..) => 0,
        Expr::And(..) => 1,
        Expr::Compare(..) | Expr::StartsWith(..) => 2,
        Expr::Arithmetic(super::Arithmetic::Add | super::Arithmetic::Subtract, ..) => 3,
        Expr::Arithmetic(..) => 4,
        Expr::Sign(..) => 5,
        _ => 6,
    }
}

fn text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn operand(expr: &Expr, of: &Expr, f: &mut Formatter<'_>) -> Result {
    write(expr, closeness(expr) <= closeness(of), f)
}

/// An expression; with parentheses around it where it is an operator that needs them.
fn write(expr: &Expr, parentheses: bool, f: &mut Formatter<'_>) -> Result {
    let infix = |f: &mut Formatter<'_>, left: &Expr, op: &str, right: &Expr| {
        operand(left, expr, f)?;
        write!(f, " {op} ")?;
        operand(right, expr, f)
    };
    let is_operator = closeness(expr) < 6 || matches!(expr, Expr::LikeRegex(..));
    if is_operator && parentheses {
        f.write_str("(")?;
    }
    match expr {
        Expr::Root => f.write_str("$")?,
        Expr::Current => f.write_str("@")?,
        Expr::Last => f.write_str("last")?,
        Expr::Variable(name) => write!(f, "${}", text(name))?,
        Expr::Null => f.write_str("null")?,
        Expr::Bool(value) => write!(f, "{value}")?,
        Expr::Number(digits) => f.write_str(&plain(digits))?,
        Expr::Text(value) => f.write_str(&text(value))?,
        Expr::Steps(base, steps) => {
            match base.as_ref() {
                Expr::Number(digits) => write!(f, "({})", plain(digits))?,
                base => write(base, true, f)?,
            }
            for step in steps {
                self::step(step, f)?;
            }
        }
        Expr::Sign(sign, inner) => {
            f.write_str(if *sign == Sign::Minus { "-" } else { "+" })?;
            operand(inner, expr, f)?;
        }
        Expr::Arithmetic(op, left, right) => infix(f, left, &op.symbol().to_string(), right)?,
        Expr::Compare(op, left, right) => infix(f, left, op.symbol(), right)?,
        Expr::And(left, right) => infix(f, left, "&&", right)?,
        Expr::Or(left, right) => infix(f, left, "||", right)?,
        Expr::StartsWith(left, right) => infix(f, left, "starts with", right)?,
        Expr::LikeRegex(inner, pattern, flags) => {
            operand(inner, expr, f)?;
            write!(f, " like_regex {}", text(pattern))?;
            if !flags.is_empty() {
                write!(f, " flag \"{flags}\"")?;
            }
        }
        Expr::Not(inner) => {
            f.write_str("!(")?;
            write(inner, false, f)?;
            f.write_str(")")?;
        }
        Expr::IsUnknown(inner) => {
            f.write_str("(")?;
            write(inner, false, f)?;
            f.write_str(") is unknown")?;
        }
        Expr::Exists(inner) => {
            f.write_str("exists (")?;
            write(inner, false, f)?;
            f.write_str(")")?;
        }
    }
    if is_operator && parentheses {
        f.write_str(")")?;
    }
    Ok(())
}

/// A number without its exponent, as `numeric` is written.
fn plain(digits: &str) -> String {
    let Some((mantissa, exponent)) = digits.split_once('e') else {
        let (sign, body) = digits.strip_prefix('-').map_or(("", digits), |body| ("-", body));
        let body = body.trim_start_matches('0');
        let zero = if body.is_empty() || body.starts_with('.') { "0" } else { "" };
        return format!("{sign}{zero}{body}");
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |body| ("-", body));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i64>().unwrap_or(0).clamp(-1000, 1000);
    let all = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).unwrap_or(0) + exponent;
    let length = i64::try_from(all.len()).unwrap_or(0);
    let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
    let text = if point <= 0 {
        format!("0.{}{all}", zeros(-point))
    } else if point >= length {
        format!("{all}{}", zeros(point - length))
    } else {
        let (whole, fraction) = all.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{fraction}")
    };
    plain(&format!("{sign}{text}"))
}

fn step(step: &Step, f: &mut Formatter<'_>) -> Result {
    match step {
        Step::Key(key) => write!(f, ".{}", text(key)),
        Step::AnyKey => f.write_str(".*"),
        Step::AnyElement => f.write_str("[*]"),
        Step::Elements(elements) => {
            f.write_str("[")?;
            for (at, (from, to)) in elements.iter().enumerate() {
                if at > 0 {
                    f.write_str(",")?;
                }
                write(from, false, f)?;
                if let Some(to) = to {
                    f.write_str(" to ")?;
                    write(to, false, f)?;
                }
            }
            f.write_str("]")
        }
        Step::Descend(from, to) => {
            let level = |level: &Option<u32>| level.map_or("last".to_owned(), |n| n.to_string());
            match (from, to) {
                (Some(0), None) => f.write_str(".**"),
                (from, to) if from == to => write!(f, ".**{{{}}}", level(from)),
                (from, to) => write!(f, ".**{{{} to {}}}", level(from), level(to)),
            }
        }
        Step::Filter(condition) => {
            f.write_str("?(")?;
            write(condition, false, f)?;
            f.write_str(")")
        }
        Step::Method(method) => {
            let arguments = match method {
                Method::Decimal(Some((precision, None))) => precision.clone(),
                Method::Decimal(Some((precision, Some(scale)))) => format!("{precision},{scale}"),
                Method::Moment(_, Some(Argument::Text(template))) => text(template),
                Method::Moment(_, Some(Argument::Number(digits))) => digits.clone(),
                _ => String::new(),
            };
            write!(f, ".{}({arguments})", method.name())
        }
    }
}
