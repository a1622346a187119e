//! Statements against a hand-made catalog, and expressions run by DataFusion against what a real
//! PostgreSQL 18 with pgvector answers (`facts.tsv`).

mod bound;
mod facts;
mod plans;
mod world;
