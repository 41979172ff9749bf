//! What is generated from `kefu.proto`: the Rust messages, and the descriptors that JSON needs.
//!
//! The example beside it writes these files, `tests/generated.rs` compares them. Pure Rust: no
//! `protoc` is needed.

use std::path::Path;

use prost::Message;

/// Name and content.
type File = (String, Vec<u8>);

/// The files that belong into `src/generated/`, for the folder of the crate.
pub(crate) fn generated(here: &Path) -> Result<Vec<File>, Box<dyn std::error::Error>> {
    let mut described = protox::compile(["kefu.proto"], [here])?;
    let requests = described
        .file
        .iter()
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file.clone()))
        .collect();
    let mut config = prost_build::Config::new();
    let mut files: Vec<File> = config
        .bytes(["."])
        .generate(requests)?
        .into_iter()
        .map(|(module, text)| (module.to_file_name_or("kefu"), text.into_bytes()))
        .collect();
    // Comments and places are for people; at run time they would only take memory.
    for file in &mut described.file {
        file.source_code_info = None;
    }
    files.push(("kefu.v1.bin".to_owned(), described.encode_to_vec()));
    Ok(files)
}
