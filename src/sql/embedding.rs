//! Calls of models in expressions that the catalog keeps as text.
//!
//! Such text outlives the session that wrote it. So a call that names no model is given the name
//! of the one that the session meant, and the names of all are told, for the catalog to remember
//! which models the column depends on.

use super::{functions::embed::NAMES, tokens::Source};
use crate::error::{Error, Result, SqlState};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// An expression whose calls of models all name one, and these names.
///
/// # Errors
/// 22023 for a call that names none where `default` is none, 0A000 for a name that is no literal.
pub fn with_named_models(text: &str, default: Option<&str>) -> Result<(String, Vec<String>)> {
    let source = Source::new(text);
    let tokens = source.tokens()?;
    let (mut named, mut names, mut written) = (String::new(), Vec::new(), 0);
    for (at, pair) in tokens.windows(2).enumerate() {
        let [head, open] = pair else { continue };
        let Token::Word(word) = &head.token else { continue };
        let function = NAMES.iter().find(|name| word.value.eq_ignore_ascii_case(name));
        let (Some(&function), Token::LParen) = (function, &open.token) else { continue };
        let Some((close, commas)) = closing(&tokens[at + 1..]) else { continue };
        let close = at + 1 + close;
        let most = if function == "embed" { 2 } else { 3 };
        if commas + 1 == most {
            let Token::SingleQuotedString(name) = &tokens[close - 1].token else {
                return Err(Error::unsupported(format!(
                    "{function}() in a generated column takes the name of a model as a literal"
                )));
            };
            names.push(name.clone());
        } else if commas + 2 == most {
            let Some(default) = default.filter(|default| !default.is_empty()) else {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("{function}() is not told which model to ask"),
                )
                .hint(
                    "Name it, embed(text, 'model'), or SET nearlake.embedding_model = 'model'.",
                ));
            };
            let upto = source.byte(tokens[close].span.start);
            named.push_str(&text[written..upto]);
            named.push_str(&format!(", '{}'", default.replace('\'', "''")));
            written = upto;
            names.push(default.to_owned());
        }
    }
    named.push_str(&text[written..]);
    names.sort_unstable();
    names.dedup();
    Ok((named, names))
}

/// The parenthesis that closes the first, and how many commas stand directly within.
fn closing(tokens: &[TokenWithSpan]) -> Option<(usize, usize)> {
    let (mut depth, mut commas) = (0, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => {
                depth -= 1;
                if depth == 0 {
                    return Some((at, commas));
                }
            }
            Token::Comma if depth == 1 => commas += 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, names: &[&str]) {
        let (named, found) = with_named_models(text, Some("it's")).unwrap();
        assert_eq!(
            (named.as_str(), found),
            (expected, names.iter().map(|n| n.to_string()).collect())
        );
    }

    #[test]
    fn a_call_is_given_the_model_that_its_session_meant() {
        check("embed(body)", "embed(body, 'it''s')", &["it's"]);
        check("embed(body, 'm')", "embed(body, 'm')", &["m"]);
        check(
            "EMBED (coalesce(a, 'é') || '. ' || b) ",
            "EMBED (coalesce(a, 'é') || '. ' || b, 'it''s') ",
            &["it's"],
        );
        check(
            "l2_normalize(embed(a) + embed(b, 'm'))",
            "l2_normalize(embed(a, 'it''s') + embed(b, 'm'))",
            &["it's", "m"],
        );
        check("embed || 'embed(x)'", "embed || 'embed(x)'", &[]);
        check("rerank(a, b, 'r')", "rerank(a, b, 'r')", &["r"]);
    }

    #[test]
    fn a_call_that_nobody_can_follow_is_refused() {
        let error = with_named_models("embed(body)", None).unwrap_err();
        assert_eq!(error.state(), SqlState::INVALID_PARAMETER_VALUE);
        let error = with_named_models("embed(body, lang)", Some("m")).unwrap_err();
        assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);
    }
}
