//! Models are asked before a query runs for what it asks of them whatever its rows are.
//!
//! Functions of a running plan wait on a thread ([`Context::embed`]). Here nobody's thread waits, and
//! the function then finds the vector with its session.

use super::Session;
use crate::{
    embed::{Asked, Embedding},
    error::Error,
    exec::write::Env,
    sql::{Context as _, QUESTIONS_MAX, Query, Question, QuestionText},
};
use datafusion::common::ScalarValue;
use futures::future::try_join_all;
use std::sync::Arc;

/// What models answered to a statement's own texts.
#[derive(Debug, Default)]
pub(super) struct Answered(Vec<(Asked, Arc<str>, Embedding)>);

impl Answered {
    /// The vectors of texts, where all were asked.
    pub(super) fn find(&self, model: &Asked, texts: &[Arc<str>]) -> Option<Vec<Embedding>> {
        let find = |text: &Arc<str>| {
            let is_it =
                |asked: &Asked| (asked.id, asked.fingerprint) == (model.id, model.fingerprint);
            let mut all = self.0.iter();
            let (.., vector) = all.find(|(asked, of, _)| is_it(asked) && of == text)?;
            Some(Arc::clone(vector))
        };
        texts.iter().map(find).collect()
    }
}

impl Session {
    /// Asks for the vectors of a query's own texts; `None` where there are none, or not all are
    /// answered. What goes wrong is told by the function, if it is ever called.
    pub(super) fn ask_ahead(
        &self,
        query: &Query,
        env: &Env,
    ) -> impl Future<Output = Option<Answered>> + use<> {
        let embedder = Arc::clone(&self.engine.services.embedder);
        let (catalog, cancel) = (self.context.catalog(), env.run.cancel().clone());
        // Nothing is asked for NULL.
        let ask = |question: &Question| {
            let text = match &question.text {
                QuestionText::Known(text) => Arc::clone(text),
                QuestionText::Parameter(number) => match env.parameters.get(number - 1) {
                    Some(ScalarValue::Utf8(Some(text))) => text.as_str().into(),
                    Some(value) if value.is_null() => return Some(None),
                    _ => return None,
                },
            };
            Some(Some((catalog.model_named(&question.model)?.asked(), text)))
        };
        let questions = match query.questions.len() {
            1..=QUESTIONS_MAX => query.questions.iter().map(ask).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        async move {
            let answers = questions?.into_iter().flatten().map(|(model, text)| async {
                let mut vectors = embedder.embed(&model, vec![Arc::clone(&text)]).await?;
                Ok::<_, Error>(vectors.pop().map(|vector| (model, text, vector)))
            });
            tokio::select! {
                answers = try_join_all(answers) => {
                    Some(Answered(answers.ok()?.into_iter().flatten().collect()))
                }
                () = cancel.cancelled() => None,
            }
        }
    }
}
