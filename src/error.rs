//! The one public error: a kind, sorted by what the caller can do about it, and the SQLSTATE by
//! which PostgreSQL's clients branch. It is set where the fault is detected; a transport only
//! writes it down.

use arrow::error::ArrowError;
use std::{error::Error as StdError, fmt};

/// What a fallible operation of Nearlake returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong. Mend it and send it again.
    Invalid,
    /// Something named does not exist. Create it, or mend the name.
    NotFound,
    /// Another writer was first. Try again.
    Conflict,
    /// The store or the network is away, or a limit was reached. Try again later.
    Unavailable,
    /// A newer process writes here. This one must stop.
    Fenced,
    /// Stored bytes are not what was written. Restore, then report.
    Corrupt,
    /// A fault of ours. Report it.
    Internal,
}

/// A five-character condition code, as in appendix A of PostgreSQL's manual.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// A code from its five characters.
    #[must_use]
    pub const fn new(code: &[u8; 5]) -> Self {
        Self(*code)
    }

    /// The five characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("codes are ASCII")
    }

    /// The class: the first two characters.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.as_str()[..2]
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! states {
    ($($name:ident $code:literal $kind:ident,)*) => {
        /// The conditions that Nearlake raises, by PostgreSQL's names.
        #[expect(missing_docs, reason = "PostgreSQL's manual, appendix A, explains each")]
        impl SqlState {
            $(pub const $name: Self = Self::new($code);)*
        }

        /// What the caller can do, where the code alone tells it.
        fn kind_of(state: SqlState) -> ErrorKind {
            match state {
                $(SqlState::$name => ErrorKind::$kind,)*
                _ => ErrorKind::Invalid,
            }
        }
    };
}

states! {
    CONNECTION_EXCEPTION b"08000" Unavailable,
    CONNECTION_FAILURE b"08006" Unavailable,
    TRANSACTION_RESOLUTION_UNKNOWN b"08007" Unavailable,
    PROTOCOL_VIOLATION b"08P01" Invalid,
    FEATURE_NOT_SUPPORTED b"0A000" Invalid,
    CARDINALITY_VIOLATION b"21000" Invalid,
    DATA_EXCEPTION b"22000" Invalid,
    STRING_DATA_RIGHT_TRUNCATION b"22001" Invalid,
    NUMERIC_VALUE_OUT_OF_RANGE b"22003" Invalid,
    NULL_VALUE_NOT_ALLOWED b"22004" Invalid,
    INVALID_DATETIME_FORMAT b"22007" Invalid,
    DATETIME_FIELD_OVERFLOW b"22008" Invalid,
    INVALID_TIME_ZONE_DISPLACEMENT b"22009" Invalid,
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE b"2201W" Invalid,
    INVALID_ROW_COUNT_IN_OFFSET_CLAUSE b"2201X" Invalid,
    SUBSTRING_ERROR b"22011" Invalid,
    DIVISION_BY_ZERO b"22012" Invalid,
    INVALID_REGULAR_EXPRESSION b"2201B" Invalid,
    CHARACTER_NOT_IN_REPERTOIRE b"22021" Invalid,
    INVALID_PARAMETER_VALUE b"22023" Invalid,
    INVALID_ESCAPE_SEQUENCE b"22025" Invalid,
    ARRAY_SUBSCRIPT_ERROR b"2202E" Invalid,
    INVALID_TEXT_REPRESENTATION b"22P02" Invalid,
    INVALID_BINARY_REPRESENTATION b"22P03" Invalid,
    BAD_COPY_FILE_FORMAT b"22P04" Invalid,
    UNTRANSLATABLE_CHARACTER b"22P05" Invalid,
    INTEGRITY_CONSTRAINT_VIOLATION b"23000" Invalid,
    NOT_NULL_VIOLATION b"23502" Invalid,
    FOREIGN_KEY_VIOLATION b"23503" Invalid,
    UNIQUE_VIOLATION b"23505" Invalid,
    CHECK_VIOLATION b"23514" Invalid,
    INVALID_CURSOR_STATE b"24000" Invalid,
    INVALID_TRANSACTION_STATE b"25000" Invalid,
    ACTIVE_SQL_TRANSACTION b"25001" Invalid,
    READ_ONLY_SQL_TRANSACTION b"25006" Invalid,
    NO_ACTIVE_SQL_TRANSACTION b"25P01" Invalid,
    IN_FAILED_SQL_TRANSACTION b"25P02" Invalid,
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT b"25P03" Unavailable,
    INVALID_SQL_STATEMENT_NAME b"26000" NotFound,
    INVALID_AUTHORIZATION_SPECIFICATION b"28000" Invalid,
    INVALID_PASSWORD b"28P01" Invalid,
    INVALID_CURSOR_NAME b"34000" NotFound,
    SAVEPOINT_EXCEPTION b"3B001" NotFound,
    INVALID_CATALOG_NAME b"3D000" NotFound,
    INVALID_SCHEMA_NAME b"3F000" NotFound,
    SERIALIZATION_FAILURE b"40001" Conflict,
    DEADLOCK_DETECTED b"40P01" Conflict,
    SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION b"42000" Invalid,
    INSUFFICIENT_PRIVILEGE b"42501" Invalid,
    SYNTAX_ERROR b"42601" Invalid,
    INVALID_NAME b"42602" Invalid,
    DUPLICATE_COLUMN b"42701" Invalid,
    AMBIGUOUS_COLUMN b"42702" Invalid,
    UNDEFINED_COLUMN b"42703" NotFound,
    UNDEFINED_OBJECT b"42704" NotFound,
    DUPLICATE_OBJECT b"42710" Invalid,
    DUPLICATE_ALIAS b"42712" Invalid,
    DUPLICATE_FUNCTION b"42723" Invalid,
    AMBIGUOUS_FUNCTION b"42725" Invalid,
    GROUPING_ERROR b"42803" Invalid,
    DATATYPE_MISMATCH b"42804" Invalid,
    WRONG_OBJECT_TYPE b"42809" Invalid,
    CANNOT_COERCE b"42846" Invalid,
    UNDEFINED_FUNCTION b"42883" NotFound,
    RESERVED_NAME b"42939" Invalid,
    UNDEFINED_TABLE b"42P01" NotFound,
    UNDEFINED_PARAMETER b"42P02" NotFound,
    DUPLICATE_CURSOR b"42P03" Invalid,
    DUPLICATE_DATABASE b"42P04" Invalid,
    DUPLICATE_PREPARED_STATEMENT b"42P05" Invalid,
    DUPLICATE_SCHEMA b"42P06" Invalid,
    DUPLICATE_TABLE b"42P07" Invalid,
    AMBIGUOUS_PARAMETER b"42P08" Invalid,
    INVALID_COLUMN_REFERENCE b"42P10" Invalid,
    INVALID_TABLE_DEFINITION b"42P16" Invalid,
    INDETERMINATE_DATATYPE b"42P18" Invalid,
    OUT_OF_MEMORY b"53200" Unavailable,
    DISK_FULL b"53100" Unavailable,
    TOO_MANY_CONNECTIONS b"53300" Unavailable,
    CONFIGURATION_LIMIT_EXCEEDED b"53400" Unavailable,
    PROGRAM_LIMIT_EXCEEDED b"54000" Invalid,
    STATEMENT_TOO_COMPLEX b"54001" Invalid,
    OBJECT_NOT_IN_PREREQUISITE_STATE b"55000" Invalid,
    OBJECT_IN_USE b"55006" Conflict,
    CANT_CHANGE_RUNTIME_PARAM b"55P02" Invalid,
    LOCK_NOT_AVAILABLE b"55P03" Conflict,
    QUERY_CANCELED b"57014" Unavailable,
    ADMIN_SHUTDOWN b"57P01" Unavailable,
    CANNOT_CONNECT_NOW b"57P03" Unavailable,
    IO_ERROR b"58030" Unavailable,
    UNDEFINED_FILE b"58P01" NotFound,
    SNAPSHOT_TOO_OLD b"72000" Conflict,
    CONFIG_FILE_ERROR b"F0000" Invalid,
    LOCK_FILE_EXISTS b"F0001" Conflict,
    DEPENDENT_OBJECTS_STILL_EXIST b"2BP01" Invalid,
    INTERNAL_ERROR b"XX000" Internal,
    DATA_CORRUPTED b"XX001" Corrupt,
}

/// The error of every floor. Small on the stack; made with a builder:
///
/// ```
/// use nearlake::error::{Error, SqlState};
/// let error = Error::new(SqlState::UNDEFINED_COLUMN, "column \"embeding\" does not exist")
///     .hint("Perhaps you meant to reference the column \"items.embedding\".")
///     .at(8);
/// assert_eq!(error.state().as_str(), "42703");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    state: SqlState,
    message: String,
    fields: Fields,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What an [`Error`] says beside its message; each is told to the client where it is known.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Fields {
    /// More about the fault.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The character of the statement, counted from 1, at which the fault lies.
    pub position: Option<usize>,
    /// Where it happened: `COPY items, line 3`.
    pub context: Option<String>,
    /// The schema of the table.
    pub schema: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The constraint.
    pub constraint: Option<String>,
}

impl Error {
    /// An error of this condition, with a message: lower case, no full stop.
    #[must_use]
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind: kind_of(state),
            state,
            message: message.into(),
            fields: Fields::default(),
            source: None,
        }))
    }

    /// A fault of ours.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::INTERNAL_ERROR, message)
    }

    /// Stored bytes are not what was written; `object` names them.
    #[must_use]
    pub fn corrupt(object: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(SqlState::DATA_CORRUPTED, format!("{object} is damaged: {message}"))
    }

    /// A thing that Nearlake does not do.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// A newer process writes here.
    #[must_use]
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(SqlState::ADMIN_SHUTDOWN, message).of_kind(ErrorKind::Fenced)
    }

    /// Sorts it in with others than its condition's.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Says more about the fault.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.fields.detail = Some(detail.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.fields.hint = Some(hint.into());
        self
    }

    /// Says where in the statement: a character, counted from 1.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.0.fields.position = Some(position);
        self
    }

    /// Says during what it happened.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.0.fields.context = Some(context.into());
        self
    }

    /// Names the table.
    #[must_use]
    pub fn table(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.0.fields.schema = Some(schema.into());
        self.0.fields.table = Some(table.into());
        self
    }

    /// Names the column.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.0.fields.column = Some(column.into());
        self
    }

    /// Names the constraint.
    #[must_use]
    pub fn constraint(mut self, constraint: impl Into<String>) -> Self {
        self.0.fields.constraint = Some(constraint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The condition code.
    #[must_use]
    pub fn state(&self) -> SqlState {
        self.0.state
    }

    /// The message alone.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Everything beside the message.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.0.kind, self.0.state, self.0.message)?;
        if let Some(detail) = &self.0.fields.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, "; caused by: {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// What a kernel of Arrow fails with: the user's fault where SQL knows the case, else ours.
impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        let state = match &error {
            ArrowError::DivideByZero => SqlState::DIVISION_BY_ZERO,
            ArrowError::ArithmeticOverflow(_) => SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            ArrowError::MemoryError(_) => SqlState::OUT_OF_MEMORY,
            _ => SqlState::INTERNAL_ERROR,
        };
        Self::new(state, error.to_string()).source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_tells_the_remedy() {
        assert_eq!(Error::new(SqlState::UNIQUE_VIOLATION, "").kind(), ErrorKind::Invalid);
        assert_eq!(Error::new(SqlState::SERIALIZATION_FAILURE, "").kind(), ErrorKind::Conflict);
        assert_eq!(Error::corrupt("x", "y").kind(), ErrorKind::Corrupt);
        assert_eq!(Error::fenced("z").kind(), ErrorKind::Fenced);
        assert_eq!(SqlState::UNIQUE_VIOLATION.class(), "23");
    }
}
