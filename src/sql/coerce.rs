//! Which type becomes which, and when: PostgreSQL's casts by context, and the common type of
//! several expressions.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::{PgType, RegKind, input::ColumnBuilder, string::TooLong, style::Style},
    sql::{
        binder::Binder,
        error::at,
        functions::{
            call::{Call, call},
            cast,
        },
        typed::{Typed, bare, same, unmodified},
    },
};
use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::ScalarValue,
    logical_expr::{
        Expr, Volatility,
        expr::{Cast, Placeholder},
    },
};
use std::sync::Arc;

/// Why a value becomes another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// An operator or a function wants it.
    Implicit,
    /// A column is to hold it.
    Assignment,
    /// The user asked for it.
    Explicit,
}

/// The scale of a numeric.
pub(crate) fn scale(kind: &PgType) -> i8 {
    match kind {
        PgType::Numeric(Some((_, scale))) => *scale,
        PgType::Numeric(None) => crate::pgtype::NUMERIC_ANY.1,
        _ => 0,
    }
}

/// A numeric of as many digits as there can be, of a scale.
pub(crate) fn numeric(scale: i8) -> PgType {
    let scale = scale.clamp(0, crate::pgtype::NUMERIC_ANY.1);
    if scale == crate::pgtype::NUMERIC_ANY.1 {
        PgType::Numeric(None)
    } else {
        PgType::Numeric(Some((38, scale)))
    }
}

fn rank(kind: &PgType) -> Option<u8> {
    Some(match kind {
        PgType::Int2 => 0,
        PgType::Int4 => 1,
        PgType::Int8 => 2,
        PgType::Numeric(_) => 3,
        PgType::Float4 => 4,
        PgType::Float8 => 5,
        _ => return None,
    })
}

/// The least reason for which `from` becomes `to`; `None`: never.
pub(crate) fn castable(from: &PgType, to: &PgType) -> Option<Reason> {
    use PgType as T;
    use Reason::{Assignment, Explicit, Implicit};
    if same(from, to) || matches!(from, T::Unknown) {
        return Some(Implicit);
    }
    if let (Some(a), Some(b)) = (rank(from), rank(to)) {
        return Some(if a < b { Implicit } else { Assignment });
    }
    Some(match (from, to) {
        (_, T::Unknown | T::Void) | (T::Void, _) => return None,
        (T::Array(a), T::Array(b)) => return castable(a, b),
        (T::Int2vector, T::Array(b)) => return castable(&T::Int2, b),
        (T::Oidvector, T::Array(b)) => return castable(&T::Oid, b),
        (T::Array(a), T::Vector(_) | T::Halfvec(_) | T::Sparsevec(_))
            if rank(a).is_some_and(|r| r != 0 && r != 2) =>
        {
            Assignment
        }
        (T::Vector(_), T::Array(b)) if matches!(**b, T::Float4) => Implicit,
        (T::Halfvec(_), T::Array(b)) if matches!(**b, T::Float4) => Assignment,
        (T::Vector(_), T::Halfvec(_) | T::Sparsevec(_)) => Implicit,
        (T::Halfvec(_), T::Sparsevec(_)) => Implicit,
        (T::Halfvec(_) | T::Sparsevec(_), T::Vector(_)) => Assignment,
        (T::Sparsevec(_), T::Halfvec(_)) => Assignment,
        (T::Bit(_) | T::Varbit(_), T::Bit(_) | T::Varbit(_)) => Implicit,
        (T::Bit(_), T::Int4 | T::Int8) | (T::Int4 | T::Int8, T::Bit(_)) => Explicit,
        (T::Text | T::Varchar(_), T::Reg(RegKind::Class)) => Implicit,
        (
            T::Text | T::Varchar(_) | T::Bpchar(_) | T::Name | T::Char,
            T::Text | T::Varchar(_) | T::Bpchar(_),
        ) => Implicit,
        (T::Text | T::Varchar(_) | T::Bpchar(_), T::Name) => Implicit,
        (T::Text | T::Varchar(_) | T::Bpchar(_), T::Char) => Assignment,
        (T::Char, T::Int4) | (T::Int4, T::Char) => Explicit,
        (T::Bool, T::Int4) | (T::Int4, T::Bool) => Explicit,
        (T::Int2 | T::Int4 | T::Int8, T::Oid | T::Reg(_)) => Implicit,
        (T::Oid | T::Reg(_), T::Int4 | T::Int8) => Assignment,
        (T::Oid, T::Reg(_)) | (T::Reg(_), T::Oid) => Implicit,
        (T::Date, T::Timestamp(_) | T::Timestamptz(_)) | (T::Timestamp(_), T::Timestamptz(_)) => {
            Implicit
        }
        (T::Timestamp(_) | T::Timestamptz(_), T::Date | T::Time(_)) => Assignment,
        (T::Timestamptz(_), T::Timestamp(_) | T::Timetz(_)) => Assignment,
        (T::Time(_), T::Interval(_) | T::Timetz(_)) => Implicit,
        (T::Timetz(_), T::Time(_)) => Assignment,
        (T::Interval(_), T::Time(_)) => Assignment,
        (T::Json, T::Jsonb) | (T::Jsonb, T::Json) => Assignment,
        (T::Jsonb, T::Bool) => Explicit,
        (T::Jsonb, number) if rank(number).is_some() => Explicit,
        (T::Bytea, T::Int2 | T::Int4 | T::Int8) | (T::Int2 | T::Int4 | T::Int8, T::Bytea) => {
            return None;
        }
        (_, to) if to.is_textual() => {
            if matches!(to, T::Name) {
                Explicit
            } else {
                Assignment
            }
        }
        (from, _) if from.is_textual() => Explicit,
        _ => return None,
    })
}

/// Whether a column of one type takes values of another unasked.
#[must_use]
pub fn is_assignable(from: &PgType, to: &PgType) -> bool {
    castable(from, to).is_some_and(|reason| reason <= Reason::Assignment)
}

impl Binder<'_> {
    /// The expression as another type.
    ///
    /// # Errors
    /// 42846 or 42804 where there is no such cast, 22P02 and kin where a literal does not read.
    pub(crate) fn coerce(&mut self, typed: Typed, to: &PgType, reason: Reason) -> Result<Typed> {
        if typed.kind == PgType::Unknown {
            return self.resolve(typed, to, reason);
        }
        let Typed { expr, kind, position, digits } = typed;
        // A float is what the number's text reads as.
        if let (Some(digits), PgType::Float4 | PgType::Float8) = (&digits, to) {
            let value = self.literal(digits, to, reason).map_err(|error| at(error, position))?;
            let digits = Some(Arc::clone(digits));
            return Ok(Typed { position, digits, ..Typed::literal(value, to.clone()) });
        }
        let done = |expr, kind| Ok(Typed { position, ..Typed::new(expr, kind) });
        if kind == *to {
            return done(expr, kind);
        }
        // A type without a modifier holds what one with a modifier holds, if it is laid out alike.
        if same(&kind, to) && reason == Reason::Implicit {
            return done(expr, kind);
        }
        if same(&kind, to) && *to == bare(to) && kind.arrow() == to.arrow() {
            return done(expr, to.clone());
        }
        let (kind, to) = (kind, to.clone());
        match castable(&kind, &to) {
            Some(needed) if needed <= reason => {}
            _ if reason == Reason::Explicit || reason == Reason::Implicit => {
                let error = Error::new(
                    SqlState::CANNOT_COERCE,
                    format!("cannot cast type {} to {}", bare(&kind), bare(&to)),
                );
                return Err(at(error, position));
            }
            _ => {
                let error = Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!("expression is of type {} but {} is wanted", bare(&kind), bare(&to)),
                )
                .hint("You will need to rewrite or cast the expression.");
                return Err(at(error, position));
            }
        }
        // What an implicit cast asks for is a type, not a modifier.
        let to = match (&kind, &to) {
            (PgType::Int2 | PgType::Int4 | PgType::Int8, PgType::Numeric(None)) => numeric(0),
            _ => to,
        };
        if let (Expr::Literal(value, _), true) = (&expr, is_native(&kind, &to))
            && let Ok(value) = value.cast_to(&to.arrow())
        {
            return done(Expr::Literal(value, None), to);
        }
        // Conditions that compare with a constant are looked into before they run.
        if let Expr::Literal(value, _) = &expr
            && matches!(to.category(), 'D' | 'T')
            && cast::volatility(&kind, &to) == Volatility::Immutable
        {
            let value = self.converted(value, &kind, &to).map_err(|error| at(error, position))?;
            return done(Expr::Literal(value, None), to);
        }
        let expr = if kind.arrow() == to.arrow() && is_relabel(&kind, &to) {
            expr
        } else if is_native(&kind, &to) {
            Expr::Cast(Cast::new(Box::new(expr), to.arrow()))
        } else {
            let (name, body): (_, crate::sql::functions::call::Body) = match reason {
                Reason::Explicit => ("cast", cast::explicit),
                _ => ("assign", cast::assignment),
            };
            let volatility = cast::volatility(&kind, &to);
            let function = Call::udf(name, vec![kind], to.clone(), volatility, body, self.context);
            call(function, vec![expr])
        };
        done(expr, to)
    }

    /// A literal without a type, or a parameter, as the type that its place gives it.
    fn resolve(&mut self, typed: Typed, to: &PgType, reason: Reason) -> Result<Typed> {
        let Typed { expr, kind, position, .. } = typed;
        let done = |expr, kind| Ok(Typed { position, ..Typed::new(expr, kind) });
        match expr {
            Expr::Literal(ScalarValue::Utf8(None), _) | Expr::Literal(ScalarValue::Null, _) => {
                let null = ScalarValue::try_from(&to.arrow())
                    .map_err(crate::sql::error::from_datafusion)?;
                done(Expr::Literal(null, None), to.clone())
            }
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) if *to != PgType::Unknown => {
                let literal = self.literal(&text, to, reason);
                // `now` and `today`: what they mean is known when the plan runs.
                if to.category() == 'D'
                    && literal.as_ref().is_err_and(|e| e.state() == SqlState::FEATURE_NOT_SUPPORTED)
                {
                    let text = Expr::Literal(ScalarValue::Utf8(Some(text)), None);
                    return done(self.cast_when_run(text, PgType::Text, to), to.clone());
                }
                let value = literal.map_err(|error| {
                    // What reads, but not as the modifier wants, is no fault of the text.
                    let reads = *to != bare(to) && self.literal(&text, &bare(to), reason).is_ok();
                    if reads { error } else { at(error, position) }
                })?;
                done(Expr::Literal(value, None), to.clone())
            }
            Expr::Placeholder(Placeholder { id, .. }) => self.parameter(&id, to, position, reason),
            expr if *to == PgType::Unknown || to.is_textual() => done(expr, to.clone()),
            // A column of untyped literals, such as those of a subquery.
            expr => done(self.cast_when_run(expr, kind, to), to.clone()),
        }
    }

    /// A cast that depends on the session, or on the time.
    fn cast_when_run(&self, expr: Expr, from: PgType, to: &PgType) -> Expr {
        let (kinds, volatility) = (vec![from], Volatility::Stable);
        let function =
            Call::udf("cast", kinds, to.clone(), volatility, cast::explicit, self.context);
        call(function, vec![expr])
    }

    /// The value that a text means in a type.
    fn literal(&self, text: &str, to: &PgType, reason: Reason) -> Result<ScalarValue> {
        if let PgType::Text | PgType::Varchar(None) | PgType::Bpchar(None) = to {
            return Ok(ScalarValue::Utf8(Some(text.to_owned())));
        }
        if let PgType::Reg(kind) = to {
            let oid = self.names().expect(*kind, text)?;
            return Ok(ScalarValue::UInt32(Some(oid.0)));
        }
        if let PgType::Array(element) = to
            && let PgType::Reg(kind) = **element
        {
            let names = self.literal(text, &PgType::Text.array(), reason)?;
            let array = names.to_array().map_err(crate::sql::error::from_datafusion)?;
            let made = cast::names_to_oids(&array, kind, &self.names())?;
            return ScalarValue::try_from_array(&made, 0)
                .map_err(crate::sql::error::from_datafusion);
        }
        let too_long = if reason == Reason::Explicit { TooLong::Cut } else { TooLong::Refuse };
        // A plan holds no time of day.
        let style = Style { now: None, ..self.context.style() };
        let mut builder = ColumnBuilder::new(to, &style).too_long(too_long);
        builder.push_text(text)?;
        ScalarValue::try_from_array(&builder.finish(), 0)
            .map_err(crate::sql::error::from_datafusion)
    }

    /// A constant as another type.
    fn converted(&self, value: &ScalarValue, from: &PgType, to: &PgType) -> Result<ScalarValue> {
        let array = value.to_array().map_err(crate::sql::error::from_datafusion)?;
        let made = cast::convert(&array, from, to, &self.context.style(), TooLong::Cut)?;
        ScalarValue::try_from_array(&made, 0).map_err(crate::sql::error::from_datafusion)
    }

    /// A parameter in a place that wants a type.
    fn parameter(
        &mut self,
        id: &str,
        to: &PgType,
        position: Option<usize>,
        reason: Reason,
    ) -> Result<Typed> {
        let number: usize = id.trim_start_matches('$').parse().map_err(|_| {
            Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {id}"))
        })?;
        let known = self.parameters.get(number - 1).cloned().flatten();
        match known {
            Some(known) => {
                let expr = placeholder(id, &known);
                let typed = Typed { position, ..Typed::new(expr, known) };
                self.coerce(typed, to, reason)
            }
            None => {
                // Modifiers are for casts: a parameter is of a type alone.
                let kind = match to {
                    PgType::Numeric(_) => PgType::Numeric(None),
                    PgType::Unknown => PgType::Text,
                    other => bare(other),
                };
                if self.parameters.len() < number {
                    self.parameters.resize(number, None);
                }
                self.parameters[number - 1] = Some(kind.clone());
                let typed = Typed { position, ..Typed::new(placeholder(id, &kind), kind) };
                self.coerce(typed, to, reason)
            }
        }
    }

    /// What is still untyped at the end is text.
    pub(crate) fn settle(&mut self, typed: Typed) -> Result<Typed> {
        if typed.is_unknown() {
            self.coerce(typed, &PgType::Text, Reason::Implicit)
        } else {
            Ok(typed)
        }
    }

    /// The type that all of some expressions can take: of CASE, UNION, VALUES, IN, ARRAY.
    ///
    /// # Errors
    /// 42804.
    pub(crate) fn common_type(&self, what: &str, all: &[Typed]) -> Result<PgType> {
        let mut common: Option<PgType> = None;
        for typed in all.iter().filter(|typed| !typed.is_unknown()) {
            let kind = &typed.kind;
            common = Some(match common {
                None => kind.clone(),
                Some(found) => match merge(&found, kind) {
                    Some(kind) => kind,
                    None => {
                        let error = Error::new(
                            SqlState::DATATYPE_MISMATCH,
                            format!(
                                "{what} types {} and {} cannot be matched",
                                bare(&found),
                                bare(kind)
                            ),
                        );
                        return Err(at(error, typed.position));
                    }
                },
            });
        }
        // A literal without a type has no modifier either.
        Ok(match common {
            Some(kind) if all.iter().any(Typed::is_unknown) => unmodified(&kind),
            known => known.unwrap_or(PgType::Text),
        })
    }
}

/// The type that two types can both become without being asked.
fn merge(a: &PgType, b: &PgType) -> Option<PgType> {
    use PgType as T;
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        // Values of several scales are of none: each is shown without zeros at its end.
        (T::Numeric(_), T::Numeric(_) | T::Int2 | T::Int4 | T::Int8)
        | (T::Int2 | T::Int4 | T::Int8, T::Numeric(_)) => {
            let same = scale(a) == scale(b);
            return Some(if same { numeric(scale(a)) } else { T::Numeric(None) });
        }
        (T::Array(a), T::Array(b)) => return merge(a, b).map(PgType::array),
        // Each becomes the other unasked: the first stays.
        (T::Bit(_), T::Varbit(_)) | (T::Varbit(_), T::Bit(_)) => return Some(bare(a)),
        _ => {}
    }
    if same(a, b) {
        return Some(bare(a));
    }
    if a.category() != b.category() {
        return None;
    }
    // The preferred type of the category wins.
    if matches!(a, T::Text) && castable(b, a) == Some(Reason::Implicit) {
        return Some(a.clone());
    }
    if matches!(b, T::Text) && castable(a, b) == Some(Reason::Implicit) {
        return Some(b.clone());
    }
    match (castable(a, b), castable(b, a)) {
        (Some(Reason::Implicit), _) => Some(bare(b)),
        (_, Some(Reason::Implicit)) => Some(bare(a)),
        _ => None,
    }
}

/// A parameter of a type.
pub(crate) fn placeholder(id: &str, kind: &PgType) -> Expr {
    // Without the type's name: rows of VALUES are to have equal fields, whatever they come from.
    let field = Arc::new(Field::new(id, kind.arrow(), true));
    Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(field)))
}

/// Casts that Arrow does as PostgreSQL does: those that lose nothing. The optimiser knows them.
fn is_native(from: &PgType, to: &PgType) -> bool {
    use PgType as T;
    match (rank(from), rank(to)) {
        (Some(a), Some(b)) if a < b => {
            // A numeric's float is what its text reads as; Arrow divides.
            return !matches!(to, T::Numeric(Some((p, _))) if *p < 38)
                && !matches!(from, T::Numeric(_));
        }
        _ => {}
    }
    match (from, to) {
        (T::Numeric(_), T::Numeric(_)) => {
            let whole = |kind: &PgType| match kind.arrow() {
                DataType::Decimal128(p, s) => i16::from(p) - i16::from(s),
                _ => 0,
            };
            scale(to) >= scale(from) && whole(to) >= whole(from)
        }
        _ => false,
    }
}

/// Types whose values are the same but for the name.
fn is_relabel(from: &PgType, to: &PgType) -> bool {
    use PgType as T;
    match (from, to) {
        (T::Oid | T::Reg(_) | T::Xid, T::Oid | T::Reg(_) | T::Xid) => true,
        (T::Text | T::Varchar(_) | T::Name, T::Text | T::Varchar(None)) => true,
        (T::Text | T::Varchar(_) | T::Name, T::Bpchar(None)) => true,
        (T::Char, T::Text | T::Varchar(None)) => true,
        (T::Jsonb, T::Json) | (T::Jsonb | T::Json, T::Text | T::Varchar(None)) => true,
        (T::Int2vector, T::Array(element)) => **element == T::Int2,
        (T::Oidvector, T::Array(element)) => matches!(**element, T::Oid | T::Reg(_)),
        (T::Bit(_) | T::Varbit(_), T::Bit(None) | T::Varbit(None)) => true,
        (T::Array(a), T::Array(b)) => is_relabel(a, b) || (same(a, b) && **b == bare(b)),
        _ => false,
    }
}
