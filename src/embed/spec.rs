//! What a model is, as the catalog keeps it: where its files lie, what they were when somebody
//! looked, and how token vectors become the vector of a text.

use crate::{
    error::{Error, Result, SqlState},
    vector::DIMS_MAX,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The fewest and the most tokens that a model may be asked to take.
pub const MAX_LENGTH: std::ops::RangeInclusive<u32> = 8..=65_536;

/// A model's definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What it is for.
    pub purpose: Purpose,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The name on the hub that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// The ONNX file in the folder.
    pub file: String,
    /// How the vectors of tokens become one.
    pub pooling: Pooling,
    /// What becomes of its length.
    pub normalize: Normalize,
    /// How many tokens it takes, those that it adds itself included.
    pub max_length: u32,
    /// How many numbers its vectors have; 0 for a reranker.
    pub dims: u16,
    /// What becomes of a text that has more tokens.
    pub overflow: Overflow,
    /// The files that its vectors follow from.
    pub files: Vec<FileSum>,
}

/// A file as it was when the model was made or last accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
}

macro_rules! words {
    ($(#[doc = $doc:literal] $kind:ident { $(#[doc = $about:literal] $name:ident $word:literal,)* })*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $kind { $(#[doc = $about] $name,)* }

        impl $kind {
            /// The word of it in SQL.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What a word of SQL says.
            ///
            /// # Errors
            /// 22023 for another word.
            pub fn from_word(option: &str, word: &str) -> Result<Self> {
                match word.to_ascii_lowercase().as_str() {
                    $($word => Ok(Self::$name),)*
                    _ => Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"{option}\": \"{word}\""),
                    )
                    .hint(concat!("Available values: ", words!(@list $($word)*), "."))),
                }
            }
        }
    )*};
    (@list $first:literal $($rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
}

words! {
    /// What a model is for.
    Purpose {
        /// It makes vectors of texts.
        Embedding "embedding",
        /// It tells how well a document answers a query.
        Reranking "reranking",
    }
    /// How the vectors of tokens become one.
    Pooling {
        /// Their mean.
        Mean "mean",
        /// That of the first token.
        Cls "cls",
    }
    /// What becomes of a vector's length.
    Normalize {
        /// It becomes 1, so that inner product and cosine order alike.
        L2 "l2",
        /// It stays.
        None "none",
    }
    /// What becomes of a text that has more tokens than its model takes.
    Overflow {
        /// It is an error.
        Error "error",
        /// Its first tokens count.
        Truncate "truncate",
        /// It is cut, and the vector is the mean of its parts', each weighted by its tokens.
        MeanOfChunks "mean_of_chunks",
    }
}

impl Spec {
    /// Refuses a model of another purpose.
    ///
    /// # Errors
    /// 42809.
    pub fn expect(&self, purpose: Purpose, name: &str) -> Result<()> {
        if self.purpose == purpose {
            return Ok(());
        }
        let (is, function) = match self.purpose {
            Purpose::Embedding => ("an embedding model", "embed()"),
            Purpose::Reranking => ("a reranking model", "rerank()"),
        };
        Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("model \"{name}\" is {is}"))
            .hint(format!("Ask it by {function}, or name another model.")))
    }

    /// Whether it is within bounds.
    ///
    /// # Errors
    /// 22023.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        if !MAX_LENGTH.contains(&self.max_length) {
            let (least, most) = (MAX_LENGTH.start(), MAX_LENGTH.end());
            return invalid(format!("max_length must be between {least} and {most}"));
        }
        match self.purpose {
            Purpose::Embedding if !(1..=DIMS_MAX).contains(&usize::from(self.dims)) => {
                invalid(format!("dims must be between 1 and {DIMS_MAX}"))
            }
            Purpose::Reranking if self.overflow == Overflow::MeanOfChunks => invalid(
                "a reranker reads a query and a document together, of which there is no mean"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// The same as [`Spec::checksum`], as one number.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let checksum = self.checksum();
        u64::from_str_radix(&checksum[..16], 16).expect("a checksum is of hexadecimal digits")
    }

    /// One checksum for all that vectors follow from: the files, and what is done with their
    /// numbers.
    #[must_use]
    pub fn checksum(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut sum = Sha256::new();
        for file in &self.files {
            sum.update(format!("{} {} {}\n", file.name, file.bytes, file.sha256));
        }
        sum.update(format!(
            "{} {} {} {} {} {}",
            self.purpose.word(),
            self.pooling.word(),
            self.normalize.word(),
            self.max_length,
            self.dims,
            self.overflow.word()
        ));
        hex(&sum.finalize())
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
