//! Calls of models: which one is asked, and what it gives.

use super::{Binder, Span, Typed};
use crate::{
    catalog::Model,
    embed::Purpose,
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::{QUESTIONS_MAX, Question, QuestionText, functions::embed::NAMES},
};
use datafusion::{common::ScalarValue, logical_expr::Expr};
use std::sync::Arc;

/// The setting that names the model of calls that name none.
pub const MODEL_SETTING: &str = "nearlake.embedding_model";

impl Binder<'_> {
    /// `embed(text)` and kin with the model that they ask: named, or that of the setting. A name
    /// is a literal, so that it is known here whether there is such a model, and what it makes.
    pub(super) fn with_model(
        &mut self,
        name: &str,
        mut args: Vec<Typed>,
        span: Span,
    ) -> Result<Vec<Typed>> {
        let (purpose, most) = match name {
            "embed" => (Purpose::Embedding, 2),
            _ => (Purpose::Reranking, 3),
        };
        if args.len() + 1 == most {
            let model = self.model_of_setting(name, purpose);
            let model = model.map_err(|error| self.at(error, span))?;
            args.push(Typed::literal(ScalarValue::Utf8(Some(model)), PgType::Text));
        }
        if args.len() != most {
            return Ok(args);
        }
        let Some(model_name) = named(args.last()) else {
            let error = Error::unsupported(format!(
                "{name}() takes the name of a model as a literal"
            ))
            .hint("Write the name in quotes, or leave it out and SET nearlake.embedding_model.");
            return Err(self.at(error, span));
        };
        let model = self.catalog.expect_model(&model_name);
        let checked = model.and_then(|model| model.spec.expect(purpose, &model.name));
        checked.map_err(|error| self.at(error, span))?;
        if let ("embed", Some(text)) = (name, question(&args[0])) {
            let question = Question { model: model_name, text };
            if self.questions.len() <= QUESTIONS_MAX && !self.questions.contains(&question) {
                self.questions.push(question);
            }
        }
        Ok(args)
    }

    fn model_of_setting(&self, name: &str, purpose: Purpose) -> Result<String> {
        if purpose == Purpose::Reranking {
            // There is no setting for rerankers; where there is but one, it is meant.
            let mut all = self.catalog.models().filter(|model| model.spec.purpose == purpose);
            if let (Some(only), None) = (all.next(), all.next()) {
                return Ok(only.name.clone());
            }
        } else if let Some(model) = self.context.setting(MODEL_SETTING).filter(|m| !m.is_empty()) {
            return Ok(model);
        }
        let error = Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{name}() is not told which model to ask"),
        );
        Err(match purpose {
            Purpose::Embedding => error.hint(
                "Name it, embed(text, 'model'), or SET nearlake.embedding_model = 'model'; \
                 CREATE EMBEDDING MODEL makes one.",
            ),
            Purpose::Reranking => error.hint("Name it: rerank(query, document, 'model')."),
        })
    }

    /// The type of the vectors that a call gives.
    pub(super) fn vectors_of(&self, name: &str, args: &[Typed]) -> Option<PgType> {
        let ("embed", [texts, model]) = (name, args) else { return None };
        let model: &Arc<Model> = self.catalog.model_named(&named(Some(model))?)?;
        let kind = PgType::Vector(Some(model.spec.dims));
        Some(if matches!(texts.kind, PgType::Array(_)) { kind.array() } else { kind })
    }
}

/// The text of a call that is the same for all rows.
fn question(text: &Typed) -> Option<QuestionText> {
    match &text.expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
            Some(QuestionText::Known(text.as_str().into()))
        }
        Expr::Placeholder(placeholder) => {
            let number = placeholder.id.strip_prefix('$')?.parse().ok()?;
            Some(QuestionText::Parameter(number))
        }
        _ => None,
    }
}

fn named(arg: Option<&Typed>) -> Option<String> {
    match &arg?.expr {
        Expr::Literal(ScalarValue::Utf8(name), _) => name.clone(),
        _ => None,
    }
}

/// Whether an expression calls a model that a literal names, so that it gives the same for the
/// same text for as long as the model is the same.
pub(crate) fn is_call_of_model(expr: &Expr) -> bool {
    let Expr::ScalarFunction(function) = expr else { return false };
    NAMES.contains(&function.func.name())
        && matches!(function.args.last(), Some(Expr::Literal(ScalarValue::Utf8(Some(_)), _)))
}
