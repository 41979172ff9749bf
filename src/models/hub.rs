//! Fetches files of a pinned revision from the Hugging Face hub, through its shared cache.
//!
//! The environment (`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`, `HF_TOKEN`) is read at the edge
//! and handed in as [`HubOptions`].

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::ModelError;
use super::install::verify;
use super::manifest::{HubSource, SourceFile};
use crate::progress::Progress;

/// How to reach the hub.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Base address, without a slash at the end.
    pub endpoint: String,
    /// The cache folder that Python's `huggingface_hub` uses as well.
    pub cache_dir: PathBuf,
    /// Use the cache only.
    pub offline: bool,
    /// Access token; the known models need none.
    pub token: Option<String>,
    /// How long the hub may take to show that it is there.
    pub connect_timeout: Duration,
    /// How long a download may stand still.
    pub stall_timeout: Duration,
}

impl HubOptions {
    /// Options by the variables that `huggingface_hub` documents; `var` looks one up.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let home = || {
            let user = var("HOME").or_else(|| var("USERPROFILE")).unwrap_or_else(|| ".".to_owned());
            let cache = var("XDG_CACHE_HOME").map(PathBuf::from);
            cache.unwrap_or_else(|| Path::new(&user).join(".cache")).join("huggingface")
        };
        let cache_dir = var("HF_HUB_CACHE")
            .map(PathBuf::from)
            .unwrap_or_else(|| var("HF_HOME").map_or_else(home, PathBuf::from).join("hub"));
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let offline = var("HF_HUB_OFFLINE").is_some_and(|value| {
            ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str())
        });
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache_dir,
            offline,
            token: var("HF_TOKEN"),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// Paths of all files of `source`, in order, verified; from the cache where it has them.
///
/// # Errors
/// [`ModelError::Hub`] when the hub does not answer or serves less than it should,
/// [`ModelError::Checksum`] when a file is not what the manifest says. A wrong file does not stay
/// in the cache.
pub(super) fn fetch(
    source: &HubSource,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, ModelError> {
    let mut reached = false;
    let mut paths = Vec::with_capacity(source.files.len());
    for file in &source.files {
        let cached = snapshot_path(source, options, file);
        let wrong = match cached.exists().then(|| verify(&cached, file)) {
            Some(Ok(())) => {
                paths.push(cached);
                continue;
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        if options.offline {
            let reason = format!(
                "HF_HUB_OFFLINE is set and {} does not hold {}",
                options.cache_dir.display(),
                file.path
            );
            return Err(wrong.unwrap_or_else(|| error(options, reason)));
        }
        if !reached {
            knock(source, options)?;
            reached = true;
        }
        forget(&cached);
        let path = download(source, file, options, progress)?;
        if let Err(error) = verify(&path, file) {
            forget(&path);
            return Err(error);
        }
        paths.push(path);
    }
    Ok(paths)
}

fn error(options: &HubOptions, reason: String) -> ModelError {
    ModelError::Hub { endpoint: options.endpoint.clone(), reason }
}

/// Where both Python's client and `hf-hub` keep a file of a pinned revision.
fn snapshot_path(source: &HubSource, options: &HubOptions, file: &SourceFile) -> PathBuf {
    let repo = Cache::new(options.cache_dir.clone()).repo(repo(source));
    file.path.split('/').fold(repo.pointer_path(&source.revision), |path, part| path.join(part))
}

fn repo(source: &HubSource) -> Repo {
    Repo::with_revision(source.repo.clone(), RepoType::Model, source.revision.clone())
}

/// Removes a file of the cache together with the blob it points to.
fn forget(path: &Path) {
    if let Ok(blob) = std::fs::canonicalize(path) {
        // What can't be removed is verified again the next time.
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}

/// Asks for the first file's head, so that an unreachable hub costs seconds and not minutes:
/// `hf-hub` itself sets no timeouts.
fn knock(source: &HubSource, options: &HubOptions) -> Result<(), ModelError> {
    let Some(first) = source.files.first() else { return Ok(()) };
    let HubSource { repo, revision, .. } = source;
    let url = format!("{}/{repo}/resolve/{revision}/{}", options.endpoint, first.path);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(options.connect_timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    let response = agent.head(&url).call().map_err(|e| error(options, e.to_string()))?;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        return Err(error(options, format!("it answered {status} for {repo}")));
    }
    Ok(())
}

/// What the download thread tells.
enum Event {
    Bytes(u64),
    Done(Result<PathBuf, String>),
}

/// Hands `hf-hub`'s progress on to the waiting thread.
struct Teller(mpsc::Sender<Event>);

impl hf_hub::api::Progress for Teller {
    fn init(&mut self, _size: usize, _filename: &str) {}

    fn update(&mut self, size: usize) {
        // Nobody listens any more when the download was given up.
        let _ = self.0.send(Event::Bytes(size as u64));
    }

    fn finish(&mut self) {}
}

/// Downloads on a thread of its own, so that a connection that stands still can be given up.
fn download(
    source: &HubSource,
    file: &SourceFile,
    options: &HubOptions,
    progress: &dyn Progress,
) -> Result<PathBuf, ModelError> {
    let api: ApiRepo = ApiBuilder::from_cache(Cache::new(options.cache_dir.clone()))
        .with_endpoint(options.endpoint.clone())
        .with_token(options.token.clone())
        .with_progress(false)
        .build()
        .map_err(|e| error(options, one_line(&e.to_string())))?
        .repo(repo(source));
    let (tell, events) = mpsc::channel();
    let path = file.path.clone();
    progress.start(&format!("{} {}", source.repo, file.name()), Some(file.bytes));
    let done = tell.clone();
    let thread = move || {
        let result = api.download_with_progress(&path, Teller(tell));
        let _ = done.send(Event::Done(result.map_err(|e| one_line(&e.to_string()))));
    };
    std::thread::Builder::new()
        .name("kefu-hub".to_owned())
        .spawn(thread)
        .map_err(|e| error(options, e.to_string()))?;
    let result = loop {
        match events.recv_timeout(options.stall_timeout) {
            Ok(Event::Bytes(bytes)) => progress.advance(bytes),
            Ok(Event::Done(result)) => {
                break result.map_err(|reason| format!("{}: {reason}", file.path));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let seconds = options.stall_timeout.as_secs();
                break Err(format!("{}: no data for {seconds} s", file.path));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                break Err(format!("{}: the download failed", file.path));
            }
        }
    };
    progress.finish();
    result.map_err(|reason| error(options, reason))
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(vars: &[(&str, &str)]) -> HubOptions {
        HubOptions::from_vars(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_mean_what_the_hub_documents() {
        let plain = options(&[("HOME", "/home/me")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache_dir, Path::new("/home/me/.cache/huggingface/hub"));
        assert!(!plain.offline);
        let set = options(&[
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_HOME", "/data/hf"),
            ("HF_HUB_OFFLINE", "True"),
        ]);
        assert_eq!(set.endpoint, "https://mirror.example");
        assert_eq!(set.cache_dir, Path::new("/data/hf/hub"));
        assert!(set.offline);
        assert!(!options(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert_eq!(options(&[("HF_HUB_CACHE", "/c")]).cache_dir, Path::new("/c"));
    }
}
