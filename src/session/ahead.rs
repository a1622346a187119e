//! Models are asked before a query runs for what it asks of them whatever its rows are.
//!
//! Functions of a running plan wait on a thread ([`Context::embed`]). Here nobody's thread waits, and
//! the function then finds the vector among those of late.

use super::Session;
use crate::{
    exec::write::Env,
    sql::{Context as _, Query, Question, QuestionText},
};
use datafusion::common::ScalarValue;
use futures::future::join_all;
use std::sync::Arc;

impl Session {
    /// Asks for the vectors of a query's own texts. What goes wrong is told by the function, if it is
    /// ever called.
    pub(super) fn ask_ahead(&self, query: &Query, env: &Env) -> impl Future<Output = ()> + use<> {
        let embedder = Arc::clone(&self.engine.services.embedder);
        let (catalog, cancel) = (self.context.catalog(), env.run.cancel().clone());
        let asked = |question: &Question| {
            let text = match &question.text {
                QuestionText::Known(text) => Arc::clone(text),
                QuestionText::Parameter(number) => match env.parameters.get(number - 1)? {
                    ScalarValue::Utf8(text) => text.as_deref()?.into(),
                    _ => return None,
                },
            };
            let model = catalog.model_named(&question.model)?.asked();
            embedder.remembers(&text).then_some((model, text))
        };
        let asked: Vec<_> = query.questions.iter().filter_map(asked).collect();
        async move {
            if asked.is_empty() {
                return;
            }
            let answers =
                asked.iter().map(|(model, text)| embedder.embed(model, vec![Arc::clone(text)]));
            tokio::select! {
                _ = join_all(answers) => {}
                () = cancel.cancelled() => {}
            }
        }
    }
}
