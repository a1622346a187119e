//! CREATE and ALTER EMBEDDING MODEL: a model's files are looked at here, on a thread that may
//! block, or fetched from the hub; the catalog then keeps what was found.

use super::{Outcome, Session};
use crate::{
    embed::{Hub, Normalize, Overflow, Pooling, Purpose, Spec, files},
    error::{Error, Result, SqlState},
    exec::ddl::Ddl,
    sql::utility::AlterModel,
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What takes so many tokens where the files do not say.
const MAX_LENGTH: u32 = 512;

/// The options of a model, as they were written.
#[derive(Debug, Default)]
struct Options {
    path: Option<String>,
    hub: Option<String>,
    file: Option<String>,
    purpose: Option<Purpose>,
    pooling: Option<Pooling>,
    normalize: Option<Normalize>,
    max_length: Option<u32>,
    dims: Option<u16>,
    overflow: Option<Overflow>,
}

impl Options {
    fn read(options: &[(String, String)]) -> Result<Self> {
        let mut read = Self::default();
        for (name, value) in options {
            let number = || {
                value.parse().map_err(|_| {
                    Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid value for option \"{name}\": \"{value}\""),
                    )
                    .hint("It is a whole number.")
                })
            };
            match name.to_ascii_lowercase().as_str() {
                "path" => read.path = Some(value.clone()),
                "hub" => read.hub = Some(value.clone()),
                "file" => read.file = Some(value.clone()),
                "purpose" => read.purpose = Some(Purpose::from_word(name, value)?),
                "pooling" => read.pooling = Some(Pooling::from_word(name, value)?),
                "normalize" => read.normalize = Some(Normalize::from_word(name, value)?),
                "max_length" => read.max_length = Some(number()?),
                "dims" => {
                    let dims = u16::try_from(number()?);
                    read.dims = Some(dims.unwrap_or(u16::MAX));
                }
                "overflow" => read.overflow = Some(Overflow::from_word(name, value)?),
                _ => {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("unrecognized parameter \"{name}\""),
                    )
                    .hint(
                        "Available options: path, hub, file, purpose, pooling, normalize, \
                         max_length, dims, overflow.",
                    ));
                }
            }
        }
        Ok(read)
    }
}

impl Session {
    pub(super) async fn create_model(
        &mut self,
        name: &str,
        if_not_exists: bool,
        options: &[(String, String)],
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let options = Options::read(options)?;
        self.ddl_of_models(cancel, async |ddl| ddl.check_may_make_models("CREATE")).await?;
        let hub = self.engine.services.hub.clone();
        let spec = until(cancel, defined(&hub, options)).await?;
        self.ddl_of_models(cancel, async |ddl| ddl.create_model(name, if_not_exists, spec).await)
            .await?;
        Ok(Outcome::Done("CREATE EMBEDDING MODEL".to_owned()))
    }

    pub(super) async fn alter_model(
        &mut self,
        name: &str,
        if_exists: bool,
        action: &AlterModel,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let done = Ok(Outcome::Done("ALTER EMBEDDING MODEL".to_owned()));
        self.ddl_of_models(cancel, async |ddl| ddl.check_may_make_models("ALTER")).await?;
        let catalog = self.snapshot().catalog().clone();
        if if_exists && catalog.model_named(name).is_none() {
            let message = format!("embedding model \"{name}\" does not exist, skipping");
            crate::sql::Context::notice(
                self.context.as_ref(),
                Error::new(SqlState::new(b"00000"), message),
            );
            return done;
        }
        let model = Arc::clone(catalog.expect_model(name)?);
        let spec = match action {
            AlterModel::Rename(to) => {
                self.ddl_of_models(cancel, async |ddl| ddl.rename_model(&model, to).await).await?;
                return done;
            }
            AlterModel::Owner(owner) => {
                self.ddl_of_models(cancel, async |ddl| ddl.give_model(&model, owner).await).await?;
                return done;
            }
            AlterModel::AcceptFiles => {
                let spec = Spec::clone(&model.spec);
                until(cancel, blocking(move || looked_at(spec, None))).await?
            }
            AlterModel::Set(options) => {
                let options = Options::read(options)?;
                until(cancel, changed(Spec::clone(&model.spec), options)).await?
            }
        };
        self.ddl_of_models(cancel, async |ddl| ddl.redefine_model(&model, spec).await).await?;
        done
    }

    /// A part of a statement about models, in the open transaction.
    async fn ddl_of_models(
        &mut self,
        cancel: &CancellationToken,
        work: impl AsyncFnOnce(&mut Ddl<'_>) -> Result<()>,
    ) -> Result<()> {
        self.open_transaction();
        let env = self.env(Vec::new(), cancel.clone());
        let context = Arc::clone(&self.context);
        let see = move |snapshot| context.see(snapshot);
        let transaction = self.transaction.as_mut().expect("a statement has a transaction");
        let mark = transaction.mark();
        let done = work(&mut Ddl::new(&env, transaction, &see)).await;
        if done.is_err() {
            transaction.undo_to(mark);
        }
        done
    }
}

/// What options and files say together.
async fn defined(hub: &Hub, options: Options) -> Result<Spec> {
    let (folder, file, pooling, repository) = match (&options.path, &options.hub) {
        (Some(path), None) => (files::folder(path)?, options.file.clone(), None, None),
        (None, Some(name)) => {
            let fetched = hub.fetch(name, options.file.as_deref()).await?;
            (fetched.folder, fetched.file, fetched.pooling, Some(fetched.repository))
        }
        _ => {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "a model comes from a folder or from the hub",
            )
            .hint("WITH (path = '/folder/of/model') or WITH (hub = 'AllMiniLML6V2')."));
        }
    };
    blocking(move || {
        let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
        let said = files::said(&folder);
        let is_reranker =
            options.purpose.map_or(said.is_classifier, |purpose| purpose == Purpose::Reranking);
        let purpose = if is_reranker { Purpose::Reranking } else { Purpose::Embedding };
        let dims = match purpose {
            Purpose::Reranking => 0,
            Purpose::Embedding => options.dims.or(said.dims).ok_or_else(no_dims)?,
        };
        let spec = Spec {
            purpose,
            folder,
            hub: repository,
            file: String::new(),
            pooling: options.pooling.or(said.pooling).or(pooling).unwrap_or(Pooling::Mean),
            normalize: options.normalize.unwrap_or(Normalize::L2),
            max_length: options.max_length.unwrap_or_else(|| {
                let length = said.max_length.unwrap_or(MAX_LENGTH);
                said.positions.map_or(length, |positions| length.min(positions))
            }),
            dims,
            overflow: options.overflow.unwrap_or(Overflow::Error),
            files: Vec::new(),
        };
        looked_at(spec, file)
    })
    .await
}

/// A definition with some options changed. The files stay those that are known, also where the
/// folder is another.
async fn changed(mut spec: Spec, options: Options) -> Result<Spec> {
    for (name, is_given) in [("hub", options.hub.is_some()), ("purpose", options.purpose.is_some())]
    {
        if is_given {
            return Err(Error::unsupported(format!("the option \"{name}\" of a model stays"))
                .hint("Make another model, and drop this one."));
        }
    }
    spec.pooling = options.pooling.unwrap_or(spec.pooling);
    spec.normalize = options.normalize.unwrap_or(spec.normalize);
    spec.max_length = options.max_length.unwrap_or(spec.max_length);
    spec.overflow = options.overflow.unwrap_or(spec.overflow);
    if spec.purpose == Purpose::Embedding {
        spec.dims = options.dims.unwrap_or(spec.dims);
    }
    if options.path.is_none() && options.file.is_none() {
        spec.check()?;
        let Some(_) = options.max_length else { return Ok(spec) };
        return blocking(move || check_positions(&spec).map(|()| spec)).await;
    }
    if let Some(path) = &options.path {
        spec.folder = files::folder(path)?;
    }
    let file = options.file;
    blocking(move || looked_at(spec, file)).await
}

/// A definition with the files that are there now.
fn looked_at(mut spec: Spec, file: Option<String>) -> Result<Spec> {
    let file = file.or_else(|| (!spec.file.is_empty()).then(|| spec.file.clone()));
    (spec.file, spec.files) = files::sums(&spec.folder, file.as_deref())?;
    spec.check()?;
    check_positions(&spec)?;
    Ok(spec)
}

/// Refuses more tokens than the model has positions for: it would fail at the first such text.
fn check_positions(spec: &Spec) -> Result<()> {
    match files::said(&spec.folder).positions {
        Some(positions) if spec.max_length > positions => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("max_length {} is more than the model has positions for", spec.max_length),
        )
        .hint(format!("By its config.json it has {positions}."))),
        _ => Ok(()),
    }
}

fn no_dims() -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        "the folder does not say how many dimensions the model's vectors have",
    )
    .hint("Say it: WITH (path = …, dims = 384). Usually config.json does, as hidden_size.")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal("a look at files ended").source(error)))
}

async fn until<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(crate::exec::run::cancelled()),
    }
}
