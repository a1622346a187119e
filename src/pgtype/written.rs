//! Types as the log, the catalog and the fields of Arrow have them: text from which they are read
//! again without anything beside it.
//!
//! A type that is always there is its name. One that a user made is its whole definition as JSON, since its
//! name alone tells nothing: `{"enum":{"oid":16484,…}}`, with `[]` behind it for an array.

use super::{Enum, PgType};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

/// What a user made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Definition<'t> {
    Enum(Cow<'t, Enum>),
}

impl PgType {
    /// The type as text that says all of it.
    #[must_use]
    pub fn written(&self) -> String {
        let definition = match self {
            Self::Array(element) => return format!("{}[]", element.written()),
            Self::Enum(made) => Definition::Enum(Cow::Borrowed(made)),
            known => return known.to_string(),
        };
        serde_json::to_string(&definition).expect("texts and numbers are JSON")
    }

    /// Reads what [`PgType::written`] wrote.
    ///
    /// # Errors
    /// 42704 for the name of no type, internal for a definition that is none.
    pub fn read(text: &str) -> Result<Self> {
        if !text.starts_with('{') {
            return Self::parse(text);
        }
        if let Some(element) = text.strip_suffix("[]") {
            return Self::read(element).map(Self::array);
        }
        let definition = serde_json::from_str(text).map_err(|error| {
            Error::internal(format!("not the definition of a type: {text}")).source(error)
        })?;
        Ok(match definition {
            Definition::Enum(made) => Self::Enum(Arc::new(made.into_owned())),
        })
    }
}

impl Serialize for PgType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
    }
}

impl<'de> Deserialize<'de> for PgType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(serde::de::Error::custom)
    }
}
