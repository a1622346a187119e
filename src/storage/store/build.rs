//! Which store an URL names, and how to talk to it: a folder, memory, GCS, S3 or Azure.
//!
//! Credentials and the rest come from the environment, by each provider's usual names; an endpoint
//! of an emulator replaces the provider's own address and allows plain HTTP.

use super::StoreOptions;
use crate::{
    error::{Error, Result, SqlState},
    storage::local::LocalFolder,
};
use object_store::{
    ClientConfigKey, ObjectStore, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey},
    memory::InMemory,
    path::Path as Location,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// An object store, the place of the database in it, and its folder if it is one.
pub(super) struct Built {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) root: Location,
    pub(super) folder: Option<PathBuf>,
}

/// Makes the store that `options.url` names. Nothing is asked of it yet.
pub(super) fn build(options: &StoreOptions) -> Result<Built> {
    let text = options.url.trim();
    if text == "memory:" || text == "memory://" || text == "memory:///" {
        let objects = Arc::new(InMemory::new());
        return Ok(Built { objects, root: Location::default(), folder: None });
    }
    if !text.contains("://") {
        return build_folder(Path::new(text));
    }
    let invalid = |why: &str| {
        let message = format!("invalid data location \"{text}\": {why}");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message).hint(
            "Use a folder, file:///folder, memory:, gs://bucket/prefix, s3://bucket/prefix or \
             az://container/prefix.",
        )
    };
    let url = url::Url::parse(text).map_err(|error| invalid("not a URL").source(error))?;
    if url.scheme() == "file" {
        let folder = url.to_file_path().map_err(|()| invalid("not the path of a folder"))?;
        return build_folder(&folder);
    }
    let bucket = url.host_str().filter(|host| !host.is_empty());
    let bucket = bucket.ok_or_else(|| invalid("it names no bucket"))?;
    let root = Location::from_url_path(url.path())
        .map_err(|error| invalid("the prefix is not a path").source(error))?;
    let built = match url.scheme() {
        "gs" => google(options, bucket),
        "s3" => amazon(options, bucket),
        "az" => azure(options, bucket),
        other => return Err(invalid(&format!("unknown scheme \"{other}\""))),
    };
    let objects = built.map_err(|error| {
        let message = format!("could not set up the object store \"{text}\"");
        Error::new(SqlState::CONFIG_FILE_ERROR, message).detail(error.to_string()).source(error)
    })?;
    Ok(Built { objects, root, folder: None })
}

fn build_folder(folder: &Path) -> Result<Built> {
    let objects = LocalFolder::open(folder)?;
    let folder = Some(objects.folder().to_path_buf());
    Ok(Built { objects: Arc::new(objects), root: Location::default(), folder })
}

/// `object_store` tries again too, within one request; the deadline of all tries is ours.
fn retries(options: &StoreOptions) -> RetryConfig {
    RetryConfig { max_retries: 2, retry_timeout: options.request_timeout, ..Default::default() }
}

type Shared = object_store::Result<Arc<dyn ObjectStore>>;

fn google(options: &StoreOptions, bucket: &str) -> Shared {
    let client = GoogleConfigKey::Client;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retries(options))
        .with_config(client(ClientConfigKey::Timeout), seconds(options));
    // A service account that names its own endpoint (an emulator's) is honoured only as such.
    let credentials = builder.get_config_value(&GoogleConfigKey::ApplicationCredentials);
    if let Some(path) = credentials.as_ref().filter(|path| names_endpoint(path)) {
        builder = builder
            .with_service_account_path(path)
            .with_config(client(ClientConfigKey::AllowHttp), "true");
    }
    if let Some(endpoint) = &options.endpoint {
        let account = [GoogleConfigKey::ServiceAccount, GoogleConfigKey::ServiceAccountKey];
        let anonymous = credentials.is_none()
            && account.iter().all(|key| builder.get_config_value(key).is_none());
        if anonymous {
            // `with_skip_signature` alone still asks Google for a token before a write.
            let nobody = GcpCredential { bearer: String::new() };
            builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
        }
        builder = builder
            .with_base_url(endpoint)
            .with_skip_signature(anonymous)
            .with_config(client(ClientConfigKey::AllowHttp), "true");
    }
    Ok(Arc::new(builder.build()?))
}

/// Whether a file of Google credentials is a service account with an address of its own.
fn names_endpoint(path: &str) -> bool {
    let read = std::fs::read(path).ok();
    let json = read.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    json.is_some_and(|json| json.get("gcs_base_url").is_some() || json["disable_oauth"] == true)
}

fn amazon(options: &StoreOptions, bucket: &str) -> Shared {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retries(options))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), seconds(options));
    if let Some(endpoint) = &options.endpoint {
        let key = AmazonS3ConfigKey::AccessKeyId;
        let anonymous = builder.get_config_value(&key).is_none();
        builder =
            builder.with_endpoint(endpoint).with_allow_http(true).with_skip_signature(anonymous);
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(options: &StoreOptions, container: &str) -> Shared {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_retry(retries(options))
        .with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), seconds(options));
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone()).with_allow_http(true);
    }
    Ok(Arc::new(builder.build()?))
}

fn seconds(options: &StoreOptions) -> String {
    format!("{} seconds", options.request_timeout.as_secs().max(1))
}
