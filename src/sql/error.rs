//! DataFusion's errors as ours: each with the SQLSTATE that PostgreSQL gives for the same fault, and its place
//! in the text.

use crate::error::{Error, SqlState};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// Our error for one of DataFusion's. One of ours that travelled inside comes out unchanged.
#[must_use]
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(inner) => from_datafusion(*inner),
                Err(other) => match other.downcast::<ArrowError>() {
                    Ok(inner) => from_arrow(*inner),
                    Err(other) if is_regex_fault(&other.to_string()) => {
                        invalid_regex(&other.to_string())
                    }
                    Err(other) => Error::internal(other.to_string()).source(other),
                },
            },
        },
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            from_datafusion(*inner)
        }
        DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
            Ok(inner) => from_datafusion(inner),
            Err(shared) => from_shared(&shared),
        },
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first),
            None => Error::internal("no error"),
        },
        DataFusionError::ResourcesExhausted(message) => {
            Error::new(SqlState::OUT_OF_MEMORY, "out of memory")
                .detail(message)
                .hint("Narrow the query, or raise memory_limit.")
        }
        DataFusionError::NotImplemented(message) => Error::unsupported(first_line(&message)),
        DataFusionError::Execution(message) => execution(&message),
        DataFusionError::Plan(message) => plan(&message),
        other => Error::internal(first_line(&other.to_string())).source(other),
    }
}

/// For an error that others hold too: what can be told of it without taking it.
fn from_shared(error: &DataFusionError) -> Error {
    let DataFusionError::External(inner) = error.find_root() else {
        return match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => {
                Error::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(message.clone())
            }
            DataFusionError::Execution(message) => execution(message),
            DataFusionError::ArrowError(inner, _) => arrow_fault(inner),
            other => Error::internal(first_line(&other.to_string())),
        };
    };
    match inner.downcast_ref::<Error>() {
        Some(ours) => copy(ours),
        None if is_regex_fault(&inner.to_string()) => invalid_regex(&inner.to_string()),
        None => Error::internal(inner.to_string()),
    }
}

/// The same error once more; its cause stays with the other.
fn copy(error: &Error) -> Error {
    let fields = error.fields();
    let mut copy = Error::new(error.state(), error.message());
    if let Some(detail) = &fields.detail {
        copy = copy.detail(detail);
    }
    if let Some(hint) = &fields.hint {
        copy = copy.hint(hint);
    }
    if let Some(position) = fields.position {
        copy = copy.at(position);
    }
    if let Some(context) = &fields.context {
        copy = copy.context(context);
    }
    if let (Some(schema), Some(table)) = (&fields.schema, &fields.table) {
        copy = copy.table(schema, table);
    }
    if let Some(column) = &fields.column {
        copy = copy.column(column);
    }
    if let Some(constraint) = &fields.constraint {
        copy = copy.constraint(constraint);
    }
    copy
}

/// Our error for one of Arrow's.
#[must_use]
pub fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(inner) => from_datafusion(*inner),
                Err(other) => Error::internal(other.to_string()).source(other),
            },
        },
        other => arrow_fault(&other),
    }
}

fn arrow_fault(error: &ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(message) => out_of_range(message),
        ArrowError::ComputeError(message) if message.contains("verflow") => out_of_range(message),
        ArrowError::InvalidArgumentError(message) if message.contains("too large to store") => {
            out_of_range(message)
        }
        ArrowError::CastError(message) if message.contains("Can't cast value") => {
            out_of_range(message)
        }
        ArrowError::CastError(message) if message.contains("Cannot cast string") => {
            Error::new(SqlState::INVALID_TEXT_REPRESENTATION, first_line(message))
        }
        ArrowError::ParseError(message) => {
            Error::new(SqlState::INVALID_TEXT_REPRESENTATION, first_line(message))
        }
        ArrowError::MemoryError(message) => {
            Error::new(SqlState::OUT_OF_MEMORY, "out of memory").detail(message.clone())
        }
        ArrowError::ComputeError(message) if message.contains("Regular expression") => {
            invalid_regex(message)
        }
        other => Error::internal(first_line(&other.to_string())),
    }
}

/// DataFusion's function into PostgreSQL's words, as far as they can be told from the text.
fn execution(message: &str) -> Error {
    let lower = message.to_ascii_lowercase();
    if lower.contains("regular expression") || is_regex_fault(&lower) {
        return invalid_regex(message);
    }
    if lower.contains("overflow") {
        return out_of_range(message);
    }
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Error::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    }
    Error::new(SqlState::DATA_EXCEPTION, first_line(message))
}

fn plan(message: &str) -> Error {
    if message.contains("No value found for placeholder") {
        return Error::new(SqlState::UNDEFINED_PARAMETER, "there is a parameter without a value");
    }
    if message.contains("must appear in the GROUP BY")
        || message.contains("not found in the GROUP BY")
    {
        return Error::new(SqlState::GROUPING_ERROR, first_line(message));
    }
    if message.contains("orrelated")
        || message.contains("not supported")
        || message.contains("upport")
    {
        return Error::unsupported(first_line(message));
    }
    Error::internal(first_line(message))
}

fn is_regex_fault(message: &str) -> bool {
    message.contains("regex parse error")
}

fn invalid_regex(message: &str) -> Error {
    Error::new(SqlState::INVALID_REGULAR_EXPRESSION, "invalid regular expression")
        .detail(message.to_owned())
}

fn out_of_range(message: &str) -> Error {
    let kind = if message.contains("Int16") || message.contains("i16") {
        "smallint"
    } else if message.contains("Int64") {
        "bigint"
    } else if message.contains("Decimal") || message.contains("128") {
        return Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
            .detail("A numeric holds 38 digits.");
    } else {
        "integer"
    };
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{kind} out of range"))
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The error at a place, if one is known and the error has none.
pub(crate) fn at(error: Error, position: Option<usize>) -> Error {
    match position {
        Some(position) if error.fields().position.is_none() => error.at(position),
        _ => error,
    }
}
