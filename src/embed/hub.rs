//! Models by name: fetched from a hub into a folder, once.
//!
//! The hub is Hugging Face's, or whatever answers as it does where the setting says. A file is
//! written beside its place and renamed when it is whole, so that a folder never holds a part of
//! one; files that are there are not fetched again.

use super::Pooling;
use crate::error::{Error, Result, SqlState};
use std::path::PathBuf;

/// Where models by name come from, and where they are kept.
#[derive(Debug, Clone)]
pub struct Hub {
    /// The address before a model's name.
    pub endpoint: String,
    /// The folder under which each model has a folder.
    pub folder: PathBuf,
}

/// A model that is in a folder now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name on the hub: `owner/name`.
    pub repository: String,
    /// Its ONNX file, where the name tells which.
    pub file: Option<String>,
    /// How its vectors are pooled, where the name tells how.
    pub pooling: Option<Pooling>,
}

impl Hub {
    /// Fetches what is not there yet: a model of fastembed's list by its name there, or any
    /// repository by `owner/name`.
    ///
    /// # Errors
    /// 42704 for a name that the hub does not know, 08006 when it cannot be reached, 0A000 when
    /// the server was built without.
    #[cfg(feature = "hub")]
    pub async fn fetch(&self, name: &str, file: Option<&str>) -> Result<Fetched> {
        fetching::fetch(self, name, file).await
    }

    /// The server was built without.
    ///
    /// # Errors
    /// 0A000.
    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub async fn fetch(&self, _: &str, _: Option<&str>) -> Result<Fetched> {
        Err(Error::unsupported("this server was built without models by name").hint(
            "Put the model's files in a folder of the server and name that: WITH (path = …).",
        ))
    }
}

#[cfg(feature = "hub")]
mod fetching {
    use super::{
        super::{
            files::{CONFIG, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, check_name},
            model,
        },
        *,
    };
    use reqwest::{Client, StatusCode};
    use std::{
        path::Path,
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };
    use tokio::io::AsyncWriteExt;

    /// A hub that is silent for so long is away.
    const SILENCE_MAX: Duration = Duration::from_secs(60);
    const CONNECT_MAX: Duration = Duration::from_secs(10);
    static FETCH: AtomicU64 = AtomicU64::new(0);
    /// What a model may do without.
    const OPTIONAL: [&str; 5] = [
        CONFIG,
        TOKENIZER_CONFIG,
        SPECIAL_TOKENS,
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ];

    pub(super) async fn fetch(hub: &Hub, name: &str, file: Option<&str>) -> Result<Fetched> {
        if let Some(file) = file {
            check_name(file)?;
        }
        let known = model::known(name);
        let repository = match &known {
            Some(known) => known.repository.clone(),
            None if is_repository(name) => name.to_owned(),
            None => return Err(unknown(name)),
        };
        let client = Client::builder()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .build()
            .map_err(|error| Error::internal("cannot speak HTTP").source(error))?;
        let folder = hub.folder.join(repository.replace('/', "--"));
        let from = From { client, hub, repository: &repository, folder: &folder };
        let given =
            file.map(str::to_owned).or_else(|| known.as_ref().map(|known| known.file.clone()));
        let onnx = match given {
            Some(file) => from.file(&file).await?.then_some(file),
            None => match from.file("onnx/model.onnx").await? {
                true => Some("onnx/model.onnx".to_owned()),
                false => from.file("model.onnx").await?.then(|| "model.onnx".to_owned()),
            },
        };
        let Some(onnx) = onnx else { return Err(unknown(name)) };
        if !from.file(TOKENIZER).await? {
            return Err(unknown(name));
        }
        for more in known.iter().flat_map(|known| &known.beside) {
            from.file(more).await?;
        }
        for more in OPTIONAL {
            from.file(more).await?;
        }
        let pooling = known.and_then(|known| known.pooling);
        Ok(Fetched { folder, repository, file: Some(onnx), pooling })
    }

    /// `owner/name`, of letters that need no escape.
    fn is_repository(name: &str) -> bool {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.trim_matches('.').is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        name.split('/').count() == 2 && name.split('/').all(is_part)
    }

    fn unknown(name: &str) -> Error {
        Error::new(SqlState::UNDEFINED_OBJECT, format!("the hub has no ONNX model \"{name}\""))
            .hint(
                "Name a model of fastembed's list, such as AllMiniLML6V2, or a repository, such as \
             Qdrant/all-MiniLM-L6-v2-onnx.",
            )
    }

    struct From<'a> {
        client: Client,
        hub: &'a Hub,
        repository: &'a str,
        folder: &'a Path,
    }

    impl From<'_> {
        /// Fetches a file unless it is there; false where the hub has none such.
        async fn file(&self, name: &str) -> Result<bool> {
            let path = self.folder.join(name);
            if tokio::fs::try_exists(&path).await.unwrap_or(false) {
                return Ok(true);
            }
            let endpoint = self.hub.endpoint.trim_end_matches('/');
            let url = format!("{endpoint}/{}/resolve/main/{name}", self.repository);
            let away = |error: &reqwest::Error| {
                Error::new(
                    SqlState::CONNECTION_FAILURE,
                    format!("the hub cannot be reached: {error}"),
                )
                .detail(format!("While fetching {url}."))
                .hint(
                    "Look at the network and the setting hub_endpoint, or put the files in a \
                         folder and use WITH (path = …).",
                )
            };
            let mut request = self.client.get(&url);
            // Never in the clear.
            if url.starts_with("https:")
                && let Ok(token) = std::env::var("HF_TOKEN")
                && !token.trim().is_empty()
            {
                request = request.bearer_auth(token.trim());
            }
            let mut response = request.send().await.map_err(|error| away(&error))?;
            match response.status() {
                // What is private looks as if it were not there, too.
                StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Ok(false);
                }
                status if !status.is_success() => {
                    let message = format!("the hub answered {status}");
                    return Err(Error::new(SqlState::CONNECTION_FAILURE, message)
                        .detail(format!("While fetching {url}."))
                        .hint("Try again later."));
                }
                _ => {}
            }
            // Two files of one stem, and two who fetch the same, keep apart.
            let fetch = FETCH.fetch_add(1, Ordering::Relaxed);
            let part = self.folder.join(format!("{name}.part-{}-{fetch}", std::process::id()));
            let kept = async {
                let expected = response.content_length();
                let written = self.keep(&mut response, &part, &away).await?;
                if expected.is_some_and(|expected| expected != written) {
                    let message = format!("the hub sent {written} bytes of \"{name}\" and no more");
                    return Err(
                        Error::new(SqlState::CONNECTION_FAILURE, message).hint("Try again.")
                    );
                }
                tokio::fs::rename(&part, &path).await.map_err(|error| unwritten(&path, &error))
            };
            if let Err(error) = kept.await {
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
            Ok(true)
        }

        /// Writes the body of an answer to a file; how many bytes it has.
        async fn keep(
            &self,
            response: &mut reqwest::Response,
            path: &Path,
            away: &impl Fn(&reqwest::Error) -> Error,
        ) -> Result<u64> {
            if let Some(parent) = path.parent() {
                tokio::fs::create_dir_all(parent).await.map_err(|error| unwritten(path, &error))?;
            }
            let file = tokio::fs::File::create(path).await;
            let mut file = file.map_err(|error| unwritten(path, &error))?;
            let mut written = 0;
            while let Some(bytes) = response.chunk().await.map_err(|error| away(&error))? {
                written += bytes.len() as u64;
                file.write_all(&bytes).await.map_err(|error| unwritten(path, &error))?;
            }
            file.sync_all().await.map_err(|error| unwritten(path, &error))?;
            Ok(written)
        }
    }

    fn unwritten(path: &Path, error: &std::io::Error) -> Error {
        let message = format!("could not write \"{}\": {error}", path.display());
        Error::new(SqlState::IO_ERROR, message).hint("Look at the setting models_dir.")
    }
}
