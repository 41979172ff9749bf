//! The hub path against a local stand-in that answers as the Hugging Face hub does.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kefu::encoder::{Encoder, SentenceEncoder};
use kefu::models::{HubOptions, Manifest, ModelDir, ModelError, Options, PipOptions, ensure_from};
use kefu::progress::Silent;
use sha2::{Digest, Sha256};

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the stand-in behaves.
#[derive(Clone, Copy, PartialEq)]
enum Hub {
    Good,
    /// One byte of the weights is another.
    Changed,
    /// The connection ends in the middle of the weights.
    Cut,
    /// It says 404 to everything.
    Empty,
    /// It accepts connections and says nothing.
    Silent,
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert")
}

/// A manifest with the tiny model, pruned on import.
fn manifest() -> Manifest {
    let file = |name: &&str| {
        let bytes = std::fs::read(fixture().join(name)).unwrap();
        let sha: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        format!("{{ path = \"{name}\", bytes = {}, sha256 = \"{sha}\" }}", bytes.len())
    };
    let files: Vec<String> = FILES.iter().map(file).collect();
    let zeros = "0".repeat(64);
    Manifest::parse(&format!(
        "[[model]]\nname = \"tiny\"\ndescription = \"\"\nlicense = \"MIT\"\nlanguages = [\"zh\"]\n\
         pooling = \"mean\"\nquery_prefix = \"query: \"\ndimension = 16\nmax_tokens = 40\n\
         vocabulary = \"chinese-english\"\n\
         hub = {{ repo = \"kefu/tiny\", revision = \"{REVISION}\", files = [{}] }}\n\
         pypi = {{ package = \"p\", version = \"1\", format = \"files\", files = [],\n\
         wheel = {{ path = \"p.whl\", bytes = 1, sha256 = \"{zeros}\" }} }}\n",
        files.join(", ")
    ))
    .unwrap()
}

/// Starts a stand-in and returns its address; it lives as long as the test program.
fn serve(behaviour: Hub) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().flatten() {
            if behaviour == Hub::Silent {
                kept.push(stream);
            } else {
                // A client that hangs up early is no failure of the stand-in.
                let _ = answer(stream, behaviour);
            }
        }
    });
    address
}

fn answer(mut stream: TcpStream, behaviour: Hub) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut range = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: bytes=") {
            range = Some(value.to_owned());
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let name = path.strip_prefix(&format!("/kefu/tiny/resolve/{REVISION}/"));
    let Some(name) = name.filter(|name| FILES.contains(name) && behaviour != Hub::Empty) else {
        let reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(reply.as_bytes());
    };
    let mut body = std::fs::read(fixture().join(name))?;
    let whole = body.len();
    let weights = name == FILES[2];
    if weights && behaviour == Hub::Changed {
        body[whole - 1] ^= 1;
    }
    let (start, end) = match range.as_deref().and_then(|range| range.split_once('-')) {
        Some((start, "")) => (start.parse().unwrap(), whole),
        Some((start, last)) => (start.parse().unwrap(), last.parse::<usize>().unwrap() + 1),
        None => (0, whole),
    };
    let part = &body[start..end];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{whole}\r\n\
         ETag: \"etag-{name}\"\r\nx-repo-commit: {REVISION}\r\nConnection: close\r\n\r\n",
        part.len(),
        end - 1
    );
    stream.write_all(head.as_bytes())?;
    if request.starts_with("HEAD") {
        return Ok(());
    }
    let cut = weights && behaviour == Hub::Cut && part.len() > 1;
    stream.write_all(if cut { &part[..part.len() / 2] } else { part })
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn options(&self, endpoint: &str) -> Options {
        let hub = HubOptions {
            endpoint: endpoint.to_owned(),
            cache_dir: self.cache(),
            offline: false,
            token: None,
            connect_timeout: Duration::from_millis(500),
            stall_timeout: Duration::from_secs(5),
        };
        Options { models_dir: self.models(), local: None, hub: Some(hub), pip: None }
    }

    fn get(&self, endpoint: &str) -> Result<ModelDir, ModelError> {
        ensure_from(&manifest(), "tiny", &self.options(endpoint), &Silent)
    }

    /// Nothing of a failed import may stay in the models folder.
    fn assert_no_model(&self) {
        let left = std::fs::read_dir(self.models()).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }
}

#[test]
fn a_hub_model_is_fetched_pruned_and_gives_the_same_vectors() {
    let place = Place::new();
    let model = place.get(&serve(Hub::Good)).unwrap();
    let pruned = model.card.pruned.unwrap();
    assert_eq!((pruned.pieces, pruned.of), (33, 35));
    assert_eq!(model.card.source, format!("hub kefu/tiny@{REVISION}"));
    // The second time nobody is asked.
    assert_eq!(place.get("http://127.0.0.1:9").unwrap(), model);

    let small = SentenceEncoder::load(&model.spec()).unwrap();
    let mut spec = model.spec();
    spec.dir = fixture();
    let large = SentenceEncoder::load(&spec).unwrap();
    let texts = ["我的快递怎么还没到", "ab ba?", "退款 é", "<mask></s>"];
    assert_eq!(small.encode(&texts).unwrap(), large.encode(&texts).unwrap());
    let mask = small.token_ids("の").unwrap();
    assert_eq!(mask[mask.len() - 2..], [3, 2], "kana became unknown");
}

#[test]
fn the_cache_is_enough_when_offline() {
    let place = Place::new();
    place.get(&serve(Hub::Good)).unwrap();
    std::fs::remove_dir_all(place.models()).unwrap();
    let mut options = place.options("http://127.0.0.1:9");
    options.hub.as_mut().unwrap().offline = true;
    ensure_from(&manifest(), "tiny", &options, &Silent).unwrap();
    std::fs::remove_dir_all(place.models()).unwrap();
    std::fs::remove_dir_all(place.cache()).unwrap();
    let message = ensure_from(&manifest(), "tiny", &options, &Silent).unwrap_err().to_string();
    assert!(message.contains("HF_HUB_OFFLINE is set"), "{message}");
}

#[test]
fn a_changed_file_is_refused_and_does_not_stay() {
    let place = Place::new();
    let message = place.get(&serve(Hub::Changed)).unwrap_err().to_string();
    assert!(message.contains("model.safetensors is not the expected file"), "{message}");
    assert!(message.contains("sha256") && message.lines().count() == 1, "{message}");
    place.assert_no_model();
    let blobs = place.cache().join("models--kefu--tiny/blobs");
    assert!(!blobs.join("etag-model.safetensors").exists());
    place.get(&serve(Hub::Good)).unwrap();
}

#[test]
fn a_cut_download_is_refused_and_goes_on_the_next_time() {
    let place = Place::new();
    let message = place.get(&serve(Hub::Cut)).unwrap_err().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
    place.assert_no_model();
    place.get(&serve(Hub::Good)).unwrap();
}

#[test]
fn an_unreachable_hub_fails_fast_and_the_next_source_is_asked() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (endpoint, reason) in
        [(gone, "refused"), (serve(Hub::Silent), "timeout"), (serve(Hub::Empty), "404")]
    {
        let place = Place::new();
        let mut options = place.options(&endpoint);
        options.pip = Some(PipOptions { python: "no-such-python".to_owned() });
        let begin = Instant::now();
        let message = ensure_from(&manifest(), "tiny", &options, &Silent).unwrap_err().to_string();
        assert!(begin.elapsed() < Duration::from_secs(5), "{reason}");
        assert!(message.contains(&endpoint) && message.contains(reason), "{message}");
        assert!(message.contains("no-such-python -m pip failed"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        place.assert_no_model();
    }
}

#[test]
fn a_local_folder_is_verified_and_imported() {
    let place = Place::new();
    let mut options = place.options("http://127.0.0.1:9");
    options.local = Some(fixture());
    let model = ensure_from(&manifest(), "tiny", &options, &Silent).unwrap();
    assert!(model.card.source.starts_with("folder "));
    let other = Place::new();
    options.models_dir = other.models();
    options.local = Some(model.path);
    let message = ensure_from(&manifest(), "tiny", &options, &Silent).unwrap_err().to_string();
    assert!(message.contains("config.json is not the expected file"), "{message}");
    let unknown = ensure_from(&manifest(), "tinny", &options, &Silent).unwrap_err().to_string();
    assert!(unknown.contains("use one of tiny"), "{unknown}");
    let folder = ensure_from(&manifest(), fixture().to_str().unwrap(), &options, &Silent).unwrap();
    assert_eq!(folder.card.name, "tiny-bert");
}
