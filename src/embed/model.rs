//! One model in memory: texts in, numbers out. The only file that knows fastembed.
//!
//! A text is measured before it runs, since the tokenizer would cut one that is too long without a
//! word: [`Loaded::prepare`] says of each text which pieces of it run, by the model's policy for
//! overflow; [`Loaded::vectors`] runs pieces.

use super::{
    Asked, Options,
    files::{CONFIG, Contents, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG},
    runtime,
    spec::{Normalize, Overflow, Pooling, Purpose, Spec},
};
use crate::error::{Error, Result, SqlState};
use fastembed::{
    AutoDevicePolicy, InitOptionsUserDefined, OutputKey, RerankInitOptionsUserDefined,
    TextEmbedding, TextRerank, TokenizerFiles, UserDefinedEmbeddingModel,
    UserDefinedRerankingModel,
};
use std::{ops::Range, sync::Arc};
use tokenizers::Tokenizer;

/// Larger texts are refused before anybody counts their tokens.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;

/// The outputs in which a graph may give its vectors, the likeliest first.
const OUTPUTS: &[OutputKey] = &[
    OutputKey::OnlyOne,
    OutputKey::ByName("text_embeds"),
    OutputKey::ByName("last_hidden_state"),
    OutputKey::ByName("sentence_embedding"),
    OutputKey::ByName("token_embeddings"),
];

/// A model that is ready to run.
pub(super) struct Loaded {
    name: String,
    spec: Arc<Spec>,
    graph: Graph,
    /// The tokenizer as it is, which neither cuts nor pads.
    ruler: Tokenizer,
    /// How many tokens the tokenizer adds to any text.
    added: usize,
    /// Its numbers depend on what else is in a run, so that each text runs alone.
    is_alone: bool,
}

enum Graph {
    Embedding(Box<TextEmbedding>),
    Reranking(Box<TextRerank>),
}

/// A text as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prepared {
    /// The parts of the text that run, and how many tokens each has.
    pub(super) pieces: Vec<(Range<usize>, usize)>,
    /// Whether tokens beyond its pieces were left out.
    pub(super) is_cut: bool,
}

impl Loaded {
    /// Reads a model's files, checks them, and makes them ready.
    pub(super) fn load(asked: &Asked, options: &Options) -> Result<Self> {
        let environment = runtime::environment(options.runtime.as_deref())?;
        let spec = Arc::clone(&asked.spec);
        let mut files = Contents::read(&asked.name, &spec)?;
        let unfit = |what: &str, error: &dyn std::fmt::Display| {
            Error::corrupt(format!("model \"{}\"", asked.name), format!("{what}: {error}")).hint(
                "Its files are what they were when the model was made, but they are no model: get \
                 them anew, then ALTER EMBEDDING MODEL … ACCEPT FILES.",
            )
        };
        let onnx = files.take(&spec.file).unwrap_or_default();
        let is_alone = contains(&onnx, b"DynamicQuantizeLinear");
        let tokenizer = tokenizer_files(&mut files, &spec);
        // Runs at a time share the threads, which sleep between runs.
        let threads = options.threads_of_a_run();
        let spinning = ("session.intra_op.allow_spinning", "0");
        let max_length = spec.max_length as usize;
        let graph = match spec.purpose {
            Purpose::Embedding => {
                let mut model = UserDefinedEmbeddingModel::new(onnx, tokenizer);
                for (name, bytes) in files.rest() {
                    let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
                    model = model.with_external_initializer(name, bytes);
                }
                let options = InitOptionsUserDefined::new()
                    .with_environment(environment)
                    .with_max_length(max_length)
                    .with_intra_threads(threads)
                    .with_session_config(spinning.0, spinning.1)
                    .with_auto_device(AutoDevicePolicy::PreferCPU);
                let model = TextEmbedding::try_new_from_user_defined(model, options);
                Graph::Embedding(Box::new(model.map_err(|error| unfit(&spec.file, &error))?))
            }
            Purpose::Reranking => {
                let model = UserDefinedRerankingModel::new(onnx, tokenizer);
                let options = RerankInitOptionsUserDefined::new()
                    .with_environment(environment)
                    .with_max_length(max_length)
                    .with_intra_threads(threads)
                    .with_session_config(spinning.0, spinning.1)
                    .with_auto_device(AutoDevicePolicy::PreferCPU);
                let model = TextRerank::try_new_from_user_defined(model, options);
                Graph::Reranking(Box::new(model.map_err(|error| unfit(&spec.file, &error))?))
            }
        };
        let mut ruler = match &graph {
            Graph::Embedding(model) => model.tokenizer.clone(),
            Graph::Reranking(model) => model.tokenizer.clone(),
        };
        ruler.with_padding(None);
        ruler.with_truncation(None).map_err(|error| unfit(TOKENIZER, &error))?;
        let nothing = ruler.encode("", true).map_err(|error| unfit(TOKENIZER, &error))?;
        let added = nothing.len();
        if added >= max_length {
            return Err(unfit(TOKENIZER, &"it adds more tokens than max_length allows"));
        }
        Ok(Self { name: asked.name.clone(), spec, graph, ruler, added, is_alone })
    }

    /// Whether each text must run alone.
    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Which pieces of a text run.
    ///
    /// # Errors
    /// 54000 for a text that is too long, where the model takes no such.
    pub(super) fn prepare(&self, text: &str) -> Result<Prepared> {
        check_bytes(text)?;
        let encoding = self.ruler.encode(text, true).map_err(|error| self.untokenized(&*error))?;
        let max = self.spec.max_length as usize;
        if encoding.len() <= max {
            let pieces = vec![(0..text.len(), encoding.len())];
            return Ok(Prepared { pieces, is_cut: false });
        }
        match self.spec.overflow {
            Overflow::Error => Err(self.too_long("a text", encoding.len())),
            // The tokenizer cuts it where it runs.
            Overflow::Truncate => Ok(Prepared { pieces: vec![(0..text.len(), max)], is_cut: true }),
            Overflow::MeanOfChunks => {
                let mut pieces = Vec::new();
                for chunk in chunks(&encoding, max - self.added) {
                    self.fit(text, chunk, &mut pieces)?;
                }
                Ok(Prepared { pieces, is_cut: false })
            }
        }
    }

    /// Adds a chunk, in parts if by itself it has more tokens than it had in its text.
    fn fit(
        &self,
        text: &str,
        chunk: Range<usize>,
        pieces: &mut Vec<(Range<usize>, usize)>,
    ) -> Result<()> {
        let part = &text[chunk.clone()];
        let tokens =
            self.ruler.encode(part, true).map_err(|error| self.untokenized(&*error))?.len();
        if tokens <= self.spec.max_length as usize {
            pieces.push((chunk, tokens));
            return Ok(());
        }
        let half = (part.len() / 2..part.len()).find(|&at| part.is_char_boundary(at));
        let Some(half) = half.filter(|&half| half > 0 && half < part.len()) else {
            return Err(self.too_long("one character", tokens));
        };
        let middle = chunk.start + half;
        self.fit(text, chunk.start..middle, pieces)?;
        self.fit(text, middle..chunk.end, pieces)
    }

    /// The vectors of pieces, in their order, as the model's options want them.
    ///
    /// # Errors
    /// XX001 when the files make no vectors, 22000 when they make others than declared.
    pub(super) fn vectors(&mut self, pieces: &[&str]) -> Result<Vec<Vec<f32>>> {
        let Graph::Embedding(model) = &mut self.graph else {
            return Err(Error::internal("a reranker was asked for vectors"));
        };
        let pooling = match self.spec.pooling {
            Pooling::Mean => fastembed::Pooling::Mean,
            Pooling::Cls => fastembed::Pooling::Cls,
        };
        let pooled = model.transform(pieces, Some(pieces.len())).and_then(|output| {
            output.export_with_transformer(|batches| {
                let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(pieces.len());
                for batch in batches {
                    let pooled = batch.select_and_pool_output(&OUTPUTS, Some(pooling.clone()))?;
                    vectors.extend(pooled.rows().into_iter().map(|row| row.to_vec()));
                }
                Ok(vectors)
            })
        });
        let mut vectors = pooled.map_err(|error| self.failed(&error))?;
        if vectors.len() != pieces.len() {
            let (made, given) = (vectors.len(), pieces.len());
            return Err(self.failed(&format!("it gives {made} vectors for {given} texts")));
        }
        for vector in &mut vectors {
            if vector.len() != usize::from(self.spec.dims) {
                return Err(Error::new(
                    SqlState::DATA_EXCEPTION,
                    format!(
                        "model \"{}\" makes vectors of {} dimensions, not {}",
                        self.name,
                        vector.len(),
                        self.spec.dims
                    ),
                )
                .hint(format!("ALTER EMBEDDING MODEL … SET (dims = {}).", vector.len())));
            }
            if vector.iter().any(|number| !number.is_finite()) {
                return Err(self.failed(&"it gives numbers that are not finite"));
            }
            self.finish(vector);
        }
        Ok(vectors)
    }

    /// The vector of a text from those of its pieces.
    pub(super) fn combined(&self, pieces: &[(Vec<f32>, usize)]) -> Vec<f32> {
        if let [(one, _)] = pieces {
            return one.clone();
        }
        let mut sum = vec![0.0_f32; usize::from(self.spec.dims)];
        let tokens: usize = pieces.iter().map(|(_, tokens)| tokens).sum();
        for (vector, weight) in pieces {
            let weight = *weight as f32 / tokens as f32;
            for (total, number) in sum.iter_mut().zip(vector) {
                *total += weight * number;
            }
        }
        self.finish(&mut sum);
        sum
    }

    fn finish(&self, vector: &mut [f32]) {
        if self.spec.normalize == Normalize::L2 {
            let norm = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
            if norm > 0.0 {
                vector.iter_mut().for_each(|number| *number /= norm);
            }
        }
    }

    /// How many tokens a query and a document have together.
    ///
    /// # Errors
    /// 54000 for a pair that is too long, where the model takes no such.
    pub(super) fn prepare_pair(&self, query: &str, document: &str) -> Result<Prepared> {
        check_bytes(query)?;
        check_bytes(document)?;
        let pair = self.ruler.encode((query, document), true);
        let tokens = pair.map_err(|error| self.untokenized(&*error))?.len();
        let max = self.spec.max_length as usize;
        if tokens > max && self.spec.overflow == Overflow::Error {
            return Err(self.too_long("a query with its document", tokens));
        }
        let pieces = vec![(0..document.len(), tokens.min(max))];
        Ok(Prepared { pieces, is_cut: tokens > max })
    }

    /// The scores of documents, in their order.
    ///
    /// # Errors
    /// XX001 when the files make no scores.
    pub(super) fn scores(&mut self, query: &str, documents: &[&str]) -> Result<Vec<f32>> {
        let Graph::Reranking(model) = &mut self.graph else {
            return Err(Error::internal("an embedding model was asked for scores"));
        };
        let ranked = model.rerank(query, documents, false, Some(documents.len()));
        let ranked = ranked.map_err(|error| self.failed(&error))?;
        let mut scores = vec![f32::NAN; documents.len()];
        for result in ranked {
            scores[result.index] = result.score;
        }
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(self.failed(&"it gives numbers that are not finite"));
        }
        Ok(scores)
    }

    fn too_long(&self, what: &str, tokens: usize) -> Error {
        Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!(
                "{what} of {tokens} tokens is too long for model \"{}\", which takes {}",
                self.name, self.spec.max_length
            ),
        )
        .hint(match self.spec.purpose {
            Purpose::Embedding => {
                "Shorten it, or say what is to become of such texts: ALTER EMBEDDING MODEL … SET \
                 (overflow = truncate) or (overflow = mean_of_chunks)."
            }
            Purpose::Reranking => {
                "Shorten it, or say that it is to be cut: ALTER EMBEDDING MODEL … SET (overflow = \
                 truncate)."
            }
        })
    }

    fn untokenized(&self, error: &dyn std::fmt::Display) -> Error {
        Error::new(
            SqlState::DATA_EXCEPTION,
            format!("the tokenizer of model \"{}\" does not take a text: {error}", self.name),
        )
        .hint("Look whether tokenizer.json is the tokenizer of this model.")
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        Error::corrupt(format!("model \"{}\"", self.name), error).hint(
            "Look whether its files belong together: the tokenizer must be that of the ONNX file, \
             whose inputs are input_ids, attention_mask and maybe token_type_ids.",
        )
    }
}

/// Refuses a text by its size alone.
pub(super) fn check_bytes(text: &str) -> Result<()> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a text of {} bytes is too long to embed", text.len()),
    )
    .detail(format!("At most {TEXT_BYTES_MAX} bytes are taken."))
    .hint("Cut it into passages, each a row of its own."))
}

/// What fastembed wants to know of the tokenizer; what the folder does not say has a default.
fn tokenizer_files(files: &mut Contents, spec: &Spec) -> TokenizerFiles {
    let object = |bytes: Option<Vec<u8>>| match bytes {
        Some(bytes) => serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null),
        None => serde_json::json!({}),
    };
    let bytes = |value: &serde_json::Value| value.to_string().into_bytes();
    let mut config = object(files.take(TOKENIZER_CONFIG));
    if let Some(known) = config.as_object_mut() {
        // The bound is the model's own option.
        known.insert("model_max_length".to_owned(), spec.max_length.into());
        if known.get("pad_token").is_none_or(serde_json::Value::is_null) {
            known.insert("pad_token".to_owned(), "[PAD]".into());
        }
    }
    TokenizerFiles {
        tokenizer_file: files.take(TOKENIZER).unwrap_or_default(),
        config_file: bytes(&object(files.take(CONFIG))),
        special_tokens_map_file: bytes(&object(files.take(SPECIAL_TOKENS))),
        tokenizer_config_file: bytes(&config),
    }
}

/// Parts of a text of at most so many tokens each, cut between words where that can be.
fn chunks(encoding: &tokenizers::Encoding, most: usize) -> Vec<Range<usize>> {
    let special = encoding.get_special_tokens_mask();
    let (offsets, words) = (encoding.get_offsets(), encoding.get_word_ids());
    let tokens: Vec<usize> = (0..encoding.len()).filter(|&at| special[at] == 0).collect();
    let mut chunks = Vec::new();
    let mut begin = 0;
    while begin < tokens.len() {
        let mut end = (begin + most).min(tokens.len());
        if end < tokens.len() {
            // Back to where a word begins, unless the word alone is too long.
            let is_inside = |at: usize| {
                let (word, before) = (words[tokens[at]], words[tokens[at - 1]]);
                word.is_some() && word == before
            };
            let whole = (begin + 1..=end).rev().find(|&at| !is_inside(at));
            end = whole.unwrap_or(end);
        }
        let (first, last) = (tokens[begin], tokens[end - 1]);
        let (start, stop) = (offsets[first].0, offsets[last].1);
        if stop > start {
            chunks.push(start..stop);
        }
        begin = end;
    }
    chunks
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// A model of fastembed's list.
#[cfg(feature = "hub")]
pub(super) struct Known {
    pub(super) repository: String,
    pub(super) file: String,
    /// Files that the ONNX file needs beside itself.
    pub(super) beside: Vec<String>,
    pub(super) pooling: Option<Pooling>,
}

/// A model by its name in fastembed's list, or by its repository there.
#[cfg(feature = "hub")]
pub(super) fn known(name: &str) -> Option<Known> {
    let is_named = |variant: String, repository: &str| {
        variant.eq_ignore_ascii_case(name) || repository.eq_ignore_ascii_case(name)
    };
    let embedding = TextEmbedding::list_supported_models().into_iter().find_map(|model| {
        let pooling = TextEmbedding::get_default_pooling_method(&model.model);
        is_named(format!("{:?}", model.model), &model.model_code).then(|| Known {
            repository: model.model_code,
            file: model.model_file,
            beside: model.additional_files,
            pooling: pooling.map(|pooling| match pooling {
                fastembed::Pooling::Cls => Pooling::Cls,
                fastembed::Pooling::Mean => Pooling::Mean,
            }),
        })
    });
    embedding.or_else(|| {
        TextRerank::list_supported_models().into_iter().find_map(|model| {
            is_named(format!("{:?}", model.model), &model.model_code).then_some(Known {
                repository: model.model_code,
                file: model.model_file,
                beside: model.additional_files,
                pooling: None,
            })
        })
    })
}
