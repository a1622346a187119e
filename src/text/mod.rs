//! Full text: documents as lexemes with their positions, and queries of them, PostgreSQL's
//! `tsvector` and `tsquery`.
//!
//! A text is cut into tokens ([`tokens`]); dictionaries of a configuration make lexemes of them or
//! drop them ([`Configuration`]). What is left is a [`Document`]. A [`Query`] is a tree of lexemes; whether
//! it matches a document tells a [`Matcher`], and how well [`rank`].

pub mod configuration;
mod dictionary;
pub mod document;
mod gaps;
pub mod headline;
mod lexeme;
mod matching;
mod parse;
mod phrase;
pub mod query;
pub mod rank;
pub mod tokens;
mod written;

#[cfg(test)]
mod tests;

pub use configuration::Configuration;
pub use document::{Document, Place, Weight};
pub use matching::Matcher;
pub use query::Query;
