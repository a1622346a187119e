//! What stands in parentheses behind COPY, checked as PostgreSQL checks it.

use crate::error::{Error, Result, SqlState};

/// Which way the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    /// `COPY … FROM STDIN`
    From,
    /// `COPY … TO STDOUT`
    To,
}

/// What stands behind the name of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyArgument {
    /// Nothing.
    None,
    /// A word, a number or a string.
    Text(String),
    /// `*`
    All,
    /// Names in parentheses.
    List(Vec<String>),
}

/// How rows are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// A line a row, with backslashes.
    #[default]
    Text,
    /// A line a row, with quotes.
    Csv,
    /// The binary forms with their lengths.
    Binary,
}

/// What is done with the first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It is a row.
    #[default]
    None,
    /// It holds names, which are passed over or written.
    Names,
    /// It holds names, which must be those of the columns.
    Match,
}

/// The columns that a `FORCE_…` option is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ForcedColumns {
    /// None of them.
    #[default]
    None,
    /// All of them.
    All,
    /// Those named.
    Named(Vec<String>),
}

/// What becomes of a COPY when a value does not fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It fails.
    #[default]
    Stop,
    /// The row is left out, as long as not more than so many are.
    Ignore(Option<u64>),
}

/// How much is said of rows that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Nothing.
    Silent,
    /// How many they are.
    #[default]
    Default,
    /// Each of them too.
    Verbose,
}

/// The options of one COPY, complete and free of contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// `FORMAT`
    pub format: CopyFormat,
    /// `DELIMITER`: one byte.
    pub delimiter: u8,
    /// `NULL`: what stands for NULL.
    pub null: String,
    /// `HEADER`
    pub header: Header,
    /// `QUOTE`: one byte.
    pub quote: u8,
    /// `ESCAPE`: one byte.
    pub escape: u8,
    /// `FORCE_QUOTE`
    pub force_quote: ForcedColumns,
    /// `FORCE_NOT_NULL`
    pub force_not_null: ForcedColumns,
    /// `FORCE_NULL`
    pub force_null: ForcedColumns,
    /// `ON_ERROR` with `REJECT_LIMIT`
    pub on_error: OnError,
    /// `LOG_VERBOSITY`
    pub verbosity: Verbosity,
}

impl CopyOptions {
    /// Reads the options of a statement, by their names in lower case.
    ///
    /// # Errors
    /// 42601, 22023 and 0A000 as PostgreSQL raises them for unknown options, for arguments that
    /// do not fit, and for options that do not go together.
    pub fn parse(direction: CopyDirection, options: &[(String, CopyArgument)]) -> Result<Self> {
        let mut given = Given::default();
        for (at, (name, argument)) in options.iter().enumerate() {
            if options[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(syntax("conflicting or redundant options"));
            }
            given.take(direction, name, argument)?;
        }
        given.check(direction)
    }
}

/// The options as they were given.
#[derive(Default)]
struct Given {
    format: CopyFormat,
    delimiter: Option<String>,
    null: Option<String>,
    header: Header,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: ForcedColumns,
    force_not_null: ForcedColumns,
    force_null: ForcedColumns,
    ignore: bool,
    reject_limit: Option<u64>,
    verbosity: Verbosity,
    freeze: bool,
    default: bool,
}

impl Given {
    fn take(
        &mut self,
        direction: CopyDirection,
        name: &str,
        argument: &CopyArgument,
    ) -> Result<()> {
        match name {
            "format" => {
                self.format = match text(name, argument)?.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    other => {
                        return Err(invalid(format!("COPY format \"{other}\" not recognized")));
                    }
                }
            }
            "freeze" => self.freeze = boolean(name, argument)?,
            "delimiter" => self.delimiter = Some(text(name, argument)?),
            "null" => self.null = Some(text(name, argument)?),
            "default" => {
                text(name, argument)?;
                self.default = true;
            }
            "header" => self.header = header(direction, argument)?,
            "quote" => self.quote = Some(text(name, argument)?),
            "escape" => self.escape = Some(text(name, argument)?),
            "force_quote" => self.force_quote = columns(name, argument)?,
            "force_not_null" => self.force_not_null = columns(name, argument)?,
            "force_null" => self.force_null = columns(name, argument)?,
            "encoding" => encoding(argument)?,
            "on_error" => {
                if direction == CopyDirection::To {
                    return Err(invalid("COPY ON_ERROR cannot be used with COPY TO"));
                }
                self.ignore = match text(name, argument)?.to_ascii_lowercase().as_str() {
                    "stop" => false,
                    "ignore" => true,
                    _ => {
                        let word = text(name, argument)?;
                        return Err(invalid(format!("COPY ON_ERROR \"{word}\" not recognized")));
                    }
                }
            }
            "log_verbosity" => {
                self.verbosity = match text(name, argument)?.to_ascii_lowercase().as_str() {
                    "silent" => Verbosity::Silent,
                    "default" => Verbosity::Default,
                    "verbose" => Verbosity::Verbose,
                    _ => {
                        let word = text(name, argument)?;
                        return Err(invalid(format!(
                            "COPY LOG_VERBOSITY \"{word}\" not recognized"
                        )));
                    }
                }
            }
            "reject_limit" => self.reject_limit = Some(reject_limit(argument)?),
            other => return Err(syntax(format!("option \"{other}\" not recognized"))),
        }
        Ok(())
    }

    fn check(self, direction: CopyDirection) -> Result<CopyOptions> {
        let csv = self.format == CopyFormat::Csv;
        let binary = self.format == CopyFormat::Binary;
        let unfit = |name: &str| syntax(format!("cannot specify {name} in BINARY mode"));
        if binary && self.delimiter.is_some() {
            return Err(unfit("DELIMITER"));
        }
        if binary && self.null.is_some() {
            return Err(unfit("NULL"));
        }
        if binary && self.default {
            return Err(unfit("DEFAULT"));
        }
        let delimiter = self.delimiter.unwrap_or_else(|| if csv { "," } else { "\t" }.into());
        let null = self.null.unwrap_or_else(|| if csv { "" } else { "\\N" }.into());
        let delimiter = one_byte("delimiter", &delimiter)?;
        if matches!(delimiter, b'\r' | b'\n') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if null.contains(['\r', '\n']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        // Letters and digits follow backslashes.
        let unsafe_in_text = matches!(delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9');
        if !csv && !binary && unsafe_in_text {
            let shown = char::from(delimiter);
            return Err(invalid(format!("COPY delimiter cannot be \"{shown}\"")));
        }
        if binary && self.header != Header::None {
            return Err(Error::unsupported("cannot specify HEADER in BINARY mode"));
        }
        let needs_csv = |name: &str| Error::unsupported(format!("COPY {name} requires CSV mode"));
        if !csv && self.quote.is_some() {
            return Err(needs_csv("QUOTE"));
        }
        let quote = one_byte("quote", self.quote.as_deref().unwrap_or("\""))?;
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        if !csv && self.escape.is_some() {
            return Err(needs_csv("ESCAPE"));
        }
        let escape = match self.escape.as_deref() {
            Some(escape) => one_byte("escape", escape)?,
            None => quote,
        };
        let forced = [
            ("FORCE_QUOTE", &self.force_quote, CopyDirection::To, "COPY FROM"),
            ("FORCE_NOT_NULL", &self.force_not_null, CopyDirection::From, "COPY TO"),
            ("FORCE_NULL", &self.force_null, CopyDirection::From, "COPY TO"),
        ];
        for (name, columns, wanted, other) in forced {
            if *columns == ForcedColumns::None {
                continue;
            }
            if !csv {
                return Err(needs_csv(name));
            }
            if direction != wanted {
                let message = format!("COPY {name} cannot be used with {other}");
                // PostgreSQL has two codes for it.
                return Err(match wanted {
                    CopyDirection::To => Error::unsupported(message),
                    CopyDirection::From => invalid(message),
                });
            }
        }
        if !binary && null.as_bytes().contains(&delimiter) {
            return Err(invalid(
                "COPY delimiter character must not appear in the NULL specification",
            ));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(invalid("CSV quote character must not appear in the NULL specification"));
        }
        if self.freeze {
            return Err(match direction {
                CopyDirection::To => invalid("COPY FREEZE cannot be used with COPY TO"),
                CopyDirection::From => Error::unsupported("COPY FREEZE is not supported")
                    .hint("Leave it out: rows need no freezing here."),
            });
        }
        if self.default {
            return Err(match direction {
                CopyDirection::To => Error::unsupported("COPY DEFAULT cannot be used with COPY TO"),
                CopyDirection::From => Error::unsupported("COPY DEFAULT is not supported")
                    .hint("Leave the column out of the column list to give it its default."),
            });
        }
        if binary && self.ignore {
            return Err(syntax("only ON_ERROR STOP is allowed in BINARY mode"));
        }
        if self.reject_limit.is_some() && !self.ignore {
            return Err(invalid("COPY REJECT_LIMIT requires ON_ERROR to be set to IGNORE"));
        }
        let on_error = if self.ignore { OnError::Ignore(self.reject_limit) } else { OnError::Stop };
        Ok(CopyOptions {
            format: self.format,
            delimiter,
            null,
            header: self.header,
            quote,
            escape,
            force_quote: self.force_quote,
            force_not_null: self.force_not_null,
            force_null: self.force_null,
            on_error,
            verbosity: self.verbosity,
        })
    }
}

impl ForcedColumns {
    /// Which of the copied columns are meant.
    pub(super) fn among(&self, option: &str, names: &[String]) -> Result<Vec<bool>> {
        match self {
            Self::None => Ok(vec![false; names.len()]),
            Self::All => Ok(vec![true; names.len()]),
            Self::Named(forced) => {
                if let Some(missing) = forced.iter().find(|name| !names.contains(name)) {
                    return Err(Error::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("{option} column \"{missing}\" not referenced by COPY"),
                    ));
                }
                Ok(names.iter().map(|name| forced.contains(name)).collect())
            }
        }
    }
}

fn syntax(message: impl Into<String>) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn text(name: &str, argument: &CopyArgument) -> Result<String> {
    match argument {
        CopyArgument::Text(text) => Ok(text.clone()),
        CopyArgument::All => Ok("*".to_owned()),
        CopyArgument::List(items) => Ok(items.join(".")),
        CopyArgument::None => Err(syntax(format!("{name} requires a parameter"))),
    }
}

fn word_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn boolean(name: &str, argument: &CopyArgument) -> Result<bool> {
    match argument {
        CopyArgument::None => Ok(true),
        argument => word_boolean(&text(name, argument)?)
            .ok_or_else(|| syntax(format!("{name} requires a Boolean value"))),
    }
}

fn header(direction: CopyDirection, argument: &CopyArgument) -> Result<Header> {
    if *argument == CopyArgument::None {
        return Ok(Header::Names);
    }
    let word = text("header", argument)?;
    if word.eq_ignore_ascii_case("match") {
        return match direction {
            CopyDirection::From => Ok(Header::Match),
            CopyDirection::To => {
                Err(Error::unsupported(format!("cannot use \"{word}\" with HEADER in COPY TO")))
            }
        };
    }
    match word_boolean(&word) {
        Some(true) => Ok(Header::Names),
        Some(false) => Ok(Header::None),
        None => Err(syntax("header requires a Boolean value or \"match\"")),
    }
}

fn columns(name: &str, argument: &CopyArgument) -> Result<ForcedColumns> {
    match argument {
        CopyArgument::All => Ok(ForcedColumns::All),
        CopyArgument::List(names) => Ok(ForcedColumns::Named(names.clone())),
        _ => Err(invalid(format!("argument to option \"{name}\" must be a list of column names"))),
    }
}

fn encoding(argument: &CopyArgument) -> Result<()> {
    let name = text("encoding", argument)?;
    const OTHERS: [&str; 14] = [
        "latin",
        "iso8859",
        "win",
        "sqlascii",
        "euc",
        "koi8",
        "sjis",
        "shiftjis",
        "big5",
        "gbk",
        "gb18030",
        "uhc",
        "johab",
        "muleinternal",
    ];
    let word = name.to_ascii_lowercase().replace(['-', '_'], "");
    match word.as_str() {
        "utf8" | "unicode" => Ok(()),
        word if !OTHERS.iter().any(|other| word.starts_with(other)) => {
            Err(invalid("argument to option \"encoding\" must be a valid encoding name"))
        }
        _ => Err(Error::unsupported(format!("COPY encoding \"{name}\" is not supported"))
            .hint("Convert the data to UTF-8.")),
    }
}

fn reject_limit(argument: &CopyArgument) -> Result<u64> {
    let word = text("reject_limit", argument)?;
    let limit = crate::pgtype::integer::parse(&word, i64::MIN, i64::MAX, "bigint")?;
    u64::try_from(limit)
        .ok()
        .filter(|&limit| limit > 0)
        .ok_or_else(|| invalid(format!("REJECT_LIMIT ({limit}) must be greater than zero")))
}

fn one_byte(name: &str, text: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::unsupported(format!("COPY {name} must be a single one-byte character"))),
    }
}
