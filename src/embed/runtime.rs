//! ONNX Runtime: found and loaded once in a process, when a model is first used.
//!
//! The library is looked for where the setting says, where `ORT_DYLIB_PATH` says, beside the
//! server, and in the usual folders; what a Python wheel brings serves as well. A process loads one
//! library: what was loaded stays. One that is missing or unfit is an error of the statement that
//! needed it, and is looked for again by the next.

use crate::error::{Error, Result, SqlState};
use ort::{environment::Environment, logging::LogLevel};
use parking_lot::Mutex;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Folders in which packages put libraries.
const USUAL: [&str; 7] = [
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/opt/onnxruntime/lib",
    "/opt/homebrew/lib",
];

/// Where a folder may hold the library: itself, an unpacked release, a wheel, a virtual
/// environment.
const WITHIN: [&str; 4] = ["", "lib", "capi", "onnxruntime/capi"];

static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// The runtime, loaded now if it was not before.
pub(super) fn environment(setting: Option<&Path>) -> Result<Environment> {
    let mut loaded = LOADED.lock();
    if let Some(environment) = loaded.as_ref() {
        return Ok(environment.clone());
    }
    let library = find(setting)?;
    let unfit = |error: &dyn std::fmt::Display| {
        Error::new(
            SqlState::UNDEFINED_FILE,
            format!("ONNX Runtime cannot be loaded from \"{}\": {error}", library.display()),
        )
        .hint(HINT)
    };
    // It is opened here and checked for its version; only then does anything call into it.
    let builder = ort::init_from(&library).map_err(|error| unfit(&error))?;
    let environment = builder
        .with_name("nearlake")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unfit(&error))?;
    environment.set_log_level(LogLevel::Warning);
    tracing::info!(library = %library.display(), "ONNX Runtime is loaded");
    *loaded = Some(environment.clone());
    Ok(environment)
}

/// What the runtime has to say goes where the server's log goes.
fn log(level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(place, "{message}"),
        LogLevel::Warning => tracing::warn!(place, "{message}"),
        _ => tracing::trace!(place, "{message}"),
    }
}

const HINT: &str = "Install ONNX Runtime 1.24 or newer (`pip install onnxruntime` is enough) and \
                    name its library or folder by the setting onnxruntime or by ORT_DYLIB_PATH.";

/// The library's file.
fn find(setting: Option<&Path>) -> Result<PathBuf> {
    let variable = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
    let told = [
        (setting.map(Path::to_owned), "the setting onnxruntime"),
        (variable.map(PathBuf::from), "ORT_DYLIB_PATH"),
    ];
    for (path, who) in told {
        let Some(path) = path else { continue };
        return library(&path).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_FILE,
                format!("there is no ONNX Runtime at \"{}\", where {who} says", path.display()),
            )
            .hint(HINT)
        });
    }
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let usual = beside.into_iter().chain(USUAL.map(PathBuf::from));
    usual.into_iter().find_map(|folder| library(&folder)).ok_or_else(|| {
        Error::new(SqlState::UNDEFINED_FILE, "ONNX Runtime is not installed")
            .detail("Models are run by it; it is no part of the server.")
            .hint(HINT)
    })
}

/// The library that a path is or holds.
fn library(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let wheels = std::fs::read_dir(path.join("lib")).into_iter().flatten().filter_map(|entry| {
        let folder = entry.ok()?.path();
        let is_python = folder.file_name()?.to_str()?.starts_with("python3");
        is_python.then(|| folder.join("site-packages/onnxruntime/capi"))
    });
    WITHIN.map(|part| path.join(part)).into_iter().chain(wheels).find_map(|folder| newest(&folder))
}

/// Of the libraries in a folder the one without a version, or the newest.
fn newest(folder: &Path) -> Option<PathBuf> {
    let base =
        format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let stem = base.trim_end_matches(std::env::consts::DLL_SUFFIX).to_owned();
    let version = |name: &OsStr| -> Option<Vec<u32>> {
        let name = name.to_str()?;
        // libonnxruntime.so.1.31.1, libonnxruntime.1.31.1.dylib
        let rest = name.strip_prefix(&stem)?.replace(std::env::consts::DLL_SUFFIX, "");
        let parts = rest.split('.').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().ok()).collect()
    };
    let entries = std::fs::read_dir(folder).ok()?;
    let files = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version = version(path.file_name()?)?;
        path.is_file().then_some((version.is_empty(), version, path))
    });
    files.max().map(|(_, _, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_what_a_wheel_unpacks_to() {
        let root = tempfile::tempdir().unwrap();
        let capi = root.path().join("lib/python3.13/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.1",
            "libonnxruntime_providers_shared.so",
        ] {
            std::fs::write(capi.join(name), "").unwrap();
        }

        let expected = Some(capi.join("libonnxruntime.so.1.31.1"));
        if cfg!(target_os = "linux") {
            assert_eq!(library(root.path()), expected);
            assert_eq!(library(&capi), expected);
            assert_eq!(library(capi.parent().unwrap()), expected);
            assert_eq!(library(&capi.join("libonnxruntime.so.1.31.1")), expected);
        }
        assert_eq!(library(&root.path().join("elsewhere")), None);
    }

    #[test]
    fn a_runtime_that_is_not_where_it_should_be_is_named() {
        let error = find(Some(Path::new("/no/such/folder"))).unwrap_err();
        assert_eq!(error.state(), SqlState::UNDEFINED_FILE);
        assert!(error.message().contains("/no/such/folder"), "{error}");
        assert!(error.fields().hint.as_ref().is_some_and(|hint| hint.contains("pip install")));
    }
}
