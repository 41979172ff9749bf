//! What is committed under `src/generated/` is what `kefu.proto` says.

#[path = "../examples/generate/files.rs"]
mod files;

use std::path::Path;

#[test]
fn generated_files_are_current() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files::generated(here).unwrap();
    assert_eq!(files.len(), 2);
    for (name, bytes) in files {
        let committed = std::fs::read(here.join("src/generated").join(&name)).unwrap_or_default();
        assert!(
            committed == bytes,
            "src/generated/{name} is not what kefu.proto says; run \
             `cargo run -p kefu-proto --example generate`"
        );
    }
}
