//! A statement that was parsed.

use super::{
    Context,
    form::Form,
    tokens::{Source, reduced_precisions},
    utility::{CreateTable, ExplainOptions, Name, Utility},
};
use crate::{
    error::{Error, Result, SqlState},
    pgtype::copy::CopyArgument,
};
use datafusion::sql::sqlparser::{ast, tokenizer::TokenWithSpan};
use std::sync::Arc;

/// How the tokens of a statement are read: handed to those who read one that holds another, such as
/// PREPARE and CREATE TABLE AS.
pub(crate) type Read = fn(&Arc<Source>, &[TokenWithSpan]) -> Result<Ast>;

/// One statement of a message. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) ast: Arc<Ast>,
    text: Arc<str>,
    form: Arc<Form>,
    pub(crate) source: Arc<Source>,
    /// What its author is to be warned of.
    warnings: Arc<[String]>,
}

/// What a statement is.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each statement")]
pub(crate) enum Ast {
    Query(Box<ast::Query>),
    Insert(Box<ast::Insert>),
    Update(Box<ast::Update>),
    Delete(Box<ast::Delete>),
    Merge(Box<ast::Merge>),
    Explain(ExplainOptions, Box<Ast>),
    Copy(CopyStatement),
    CreateTableAs {
        table: Box<CreateTable>,
        names: Vec<String>,
        query: Box<Ast>,
        with_data: bool,
    },
    CreateView {
        name: Name,
        or_replace: bool,
        columns: Vec<String>,
        query: Box<ast::Query>,
        text: String,
    },
    Declare {
        name: String,
        query: Box<ast::Query>,
        scroll: Option<bool>,
        hold: bool,
        binary: bool,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    Utility(Box<Utility>),
}

/// COPY as it was written.
#[derive(Debug, Clone)]
pub(crate) struct CopyStatement {
    pub(crate) table: Option<(Name, Vec<String>)>,
    pub(crate) query: Option<Box<Ast>>,
    pub(crate) to: bool,
    /// The server's file; `None`: STDIN or STDOUT.
    pub(crate) file: Option<String>,
    /// By their names in lower case.
    pub(crate) options: Vec<(String, CopyArgument)>,
    pub(crate) predicate: Option<ast::Expr>,
}

impl Statement {
    /// The statement of some tokens of a message, which `read` reads.
    pub(crate) fn of_tokens(
        source: &Arc<Source>,
        tokens: &[TokenWithSpan],
        read: Read,
    ) -> Result<Self> {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return Err(source.unexpected(None));
        };
        let text = source.slice(first.span.start, last.span.end);
        let ast = read(source, tokens)?;
        let (text, form) = (text.into(), Arc::new(Form::of(tokens)));
        let warnings = reduced_precisions(tokens).into();
        Ok(Self { ast: Arc::new(ast), text, form, source: Arc::clone(source), warnings })
    }

    /// Tells what is not done as the text asks for. PostgreSQL does when it parses a statement.
    pub fn warn(&self, context: &dyn Context) {
        for warning in self.warnings.iter() {
            context.notice(Error::new(SqlState::INVALID_PARAMETER_VALUE, warning.as_str()));
        }
    }

    /// Its text, without the semicolon.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Its text without its constants.
    #[must_use]
    pub fn form(&self) -> &Arc<Form> {
        &self.form
    }

    /// The whole message that it came in: the same for all its statements.
    #[must_use]
    pub fn message(&self) -> &str {
        self.source.text()
    }

    /// The statement as a [`Utility`], where it is one that needs no binding. BEGIN, COMMIT,
    /// ROLLBACK and kin are always among them.
    #[must_use]
    pub fn utility(&self) -> Option<&Utility> {
        match self.ast.as_ref() {
            Ast::Utility(utility) => Some(utility),
            _ => None,
        }
    }

    /// What kind of statement it is, for counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.ast.as_ref() {
            Ast::Query(_) => "select",
            Ast::Insert(_) => "insert",
            Ast::Update(_) => "update",
            Ast::Delete(_) => "delete",
            Ast::Merge(_) => "merge",
            Ast::Copy(_) => "copy",
            Ast::Explain(..) => "explain",
            Ast::Utility(utility) => match utility.as_ref() {
                Utility::Begin(_) | Utility::Commit { .. } | Utility::Rollback { .. } => {
                    "transaction"
                }
                _ => "utility",
            },
            _ => "utility",
        }
    }

    /// The name of the command, where it changes rows.
    #[must_use]
    pub fn changes(&self) -> Option<&'static str> {
        match self.ast.as_ref() {
            Ast::Insert(_) => Some("INSERT"),
            Ast::Update(_) => Some("UPDATE"),
            Ast::Delete(_) => Some("DELETE"),
            Ast::Merge(_) => Some("MERGE"),
            _ => None,
        }
    }

    /// Whether it only reads: SELECT without locks, EXPLAIN of one.
    #[must_use]
    pub fn is_query(&self) -> bool {
        matches!(*self.ast, Ast::Query(_))
    }
}
