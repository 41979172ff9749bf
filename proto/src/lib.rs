//! The wire contract of Kefu: the frames of `kefu.proto`.

/// The messages of `kefu.proto`, generated.
#[expect(missing_docs, reason = "generated; kefu.proto says what each is")]
pub mod v1 {
    include!("generated/kefu.v1.rs");
}
