//! Operators of documents and queries of full text.

use crate::{
    error::Result,
    pgtype::PgType,
    sql::{
        binder::Binder,
        coerce::Reason,
        functions::{
            call::{Body, call},
            text_search,
        },
        typed::Typed,
    },
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Whether an operator is one of documents and queries; of two texts `@@` is.
pub(super) fn is_of_text(op: &str, left: &Typed, right: &Typed) -> bool {
    let is = |typed: &Typed| matches!(typed.kind, PgType::Tsvector | PgType::Tsquery);
    let are_texts = left.kind.is_textual() && is_text(right);
    match op {
        // With a text it is one of texts, with an array one of arrays.
        "||" => (is(left) && (is(right) || right.is_unknown())) || (is(right) && left.is_unknown()),
        "&&" | "<->" | "@>" | "<@" => is(left) || is(right),
        "@@" => is(left) || is(right) || are_texts,
        _ => false,
    }
}

fn is_text(typed: &Typed) -> bool {
    typed.is_unknown() || typed.kind.is_textual()
}

impl Binder<'_> {
    /// `@@`, and what joins documents, or queries.
    pub(super) fn text_search_operator(
        &mut self,
        op: &str,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
        use PgType as T;
        let is_document = |typed: &Typed| typed.kind == T::Tsvector;
        let is_query = |typed: &Typed| typed.kind == T::Tsquery;
        let fits = |typed: &Typed, kind: &T| typed.is_unknown() || typed.kind == *kind;
        let (left, right, op) = match op {
            "<@" => (right, left, "@>"),
            // The document first; a bare text is one when it stands beside a query.
            "@@" if is_query(&left) || is_document(&right) => (right, left, op),
            _ => (left, right, op),
        };
        let both_queries = fits(&left, &T::Tsquery) && fits(&right, &T::Tsquery);
        let both_documents = fits(&left, &T::Tsvector) && fits(&right, &T::Tsvector);
        let (name, wants, result, body): (_, _, _, Body) = match op {
            "@@" if left.kind.is_textual() && (is_query(&right) || is_text(&right)) => {
                let document = self.call_named("to_tsvector", vec![left], span)?;
                let query = if is_query(&right) {
                    right
                } else {
                    self.call_named("plainto_tsquery", vec![right], span)?
                };
                return self.text_search_operator(op, document, query, span);
            }
            "@@" if fits(&left, &T::Tsvector) && fits(&right, &T::Tsquery) => {
                ("ts_match_vq", [T::Tsvector, T::Tsquery], T::Bool, text_search::matches)
            }
            "||" if both_documents => {
                ("tsvector_concat", [T::Tsvector, T::Tsvector], T::Tsvector, text_search::concat)
            }
            "||" if both_queries => {
                ("tsquery_or", [T::Tsquery, T::Tsquery], T::Tsquery, text_search::or)
            }
            "&&" if both_queries => {
                ("tsquery_and", [T::Tsquery, T::Tsquery], T::Tsquery, text_search::and)
            }
            "<->" if both_queries => {
                ("tsquery_phrase", [T::Tsquery, T::Tsquery], T::Tsquery, text_search::phrase)
            }
            "@>" if both_queries => {
                ("tsq_mcontains", [T::Tsquery, T::Tsquery], T::Bool, text_search::contains)
            }
            _ => return Err(self.no_operator(op, &left.kind, &right.kind, span)),
        };
        let [first, second] = wants;
        let left = self.coerce(left, &first, Reason::Implicit)?;
        let right = self.coerce(right, &second, Reason::Implicit)?;
        let function = self.own(name, vec![first, second], result.clone(), body);
        Ok(Typed::new(call(function, vec![left.expr, right.expr]), result))
    }
}
