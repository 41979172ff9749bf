//! Writes what is generated from `kefu.proto` into `src/generated/`: run it after each change there.
//!
//! `cargo run -p kefu-proto --example generate`. `tests/generated.rs` fails when it was forgotten.

mod files;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, bytes) in files::generated(here)? {
        std::fs::write(here.join("src/generated").join(name), bytes)?;
    }
    Ok(())
}
