//! Arithmetic kernels: dot products, matrix products, and loops compiled for the processor the
//! binary runs on, chosen at run time.
//!
//! The only module of the project where `unsafe` is allowed. Callers are the index and the tuning
//! of encoders; both see the safe functions below, which check every length. Kernels know neither
//! vectors' meaning nor files.
//!
//! # Safety story
//! Three obligations exist, and nothing else here is unsafe:
//! 1. A `#[target_feature]` function may run only where the feature exists. [`level`] asks the
//!    processor once; a dispatcher calls a variant only in the match arm of the level that was
//!    found.
//! 2. A vector load reads a fixed number of bytes. Loads take a reference to an array of exactly
//!    that size (`as_chunks`), so the reference itself proves that the bytes are there.
//! 3. `gemm` takes pointers and strides. [`product::Matrix`] is only made of whole slices.
//!
//! Each variant has a property test against its twin in `scalar.rs` (`tests.rs`).
#![allow(unsafe_code)] // Vector instructions need it; denied everywhere else by `[workspace.lints]`.

pub mod product;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::LazyLock;

/// Rows of nibble codes are padded to a multiple of this many bytes: one AVX-512 register.
pub const NIBBLE_BLOCK_BYTES: usize = 64;

/// Instruction set that the kernels use, widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 F, BW and VNNI.
    Avx512Vnni,
    /// AVX2 and FMA.
    Avx2,
    /// Plain Rust, for any processor.
    Scalar,
}

/// The widest instruction set of this processor; detected once a process.
pub fn level() -> Level {
    static LEVEL: LazyLock<Level> = LazyLock::new(detect);
    *LEVEL
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    use std::is_x86_feature_detected as has;
    let avx2 = has!("avx2") && has!("fma");
    if avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vnni") {
        Level::Avx512Vnni
    } else if avx2 {
        Level::Avx2
    } else {
        Level::Scalar
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Scalar
}

/// Dot product of two f32 slices of equal length.
///
/// The order of additions depends on [`level`], so results differ between machines in the last
/// bits; on one machine equal inputs give equal bits.
///
/// # Panics
/// When the lengths differ: a bug in the caller.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "dot product of slices of different length");
    match level() {
        // SAFETY: `level` found the features that the variant is compiled for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { x86::dot_f32_avx512(a, b) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::dot_f32_avx2(a, b) },
        _ => scalar::dot_f32(a, b),
    }
}

/// Exact dot product of two i8 slices of equal length, at most 65,536 long (the sum fits i32).
///
/// # Panics
/// When the lengths differ: a bug in the caller.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len(), "dot product of slices of different length");
    debug_assert!(a.len() <= 1 << 16, "the sum may not fit i32");
    match level() {
        // SAFETY: `level` found the features that the variant is compiled for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { x86::dot_i8_vnni(a, b) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::dot_i8_avx2(a, b) },
        _ => scalar::dot_i8(a, b),
    }
}

/// Dot products of one i8 query with rows of unsigned 4-bit codes.
///
/// `rows` is row-major `(out.len(), query.len() / 2)` bytes. Byte `j` of a row holds the code that
/// meets `query[j]` in its low nibble and the one that meets `query[row_bytes + j]` in its high
/// nibble. Half the traffic of int8 rows: 10,000 rows of 384 dimensions stay in a 2 MiB cache.
///
/// # Panics
/// When a row is not a multiple of [`NIBBLE_BLOCK_BYTES`] or `rows` has another size than
/// `query` and `out` ask for: a bug in the caller.
pub fn dot_nibble_rows(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let row_bytes = query.len() / 2;
    assert!(
        query.len().is_multiple_of(2) && row_bytes.is_multiple_of(NIBBLE_BLOCK_BYTES),
        "nibble rows must be padded to whole blocks"
    );
    assert_eq!(rows.len(), row_bytes * out.len(), "rows and outputs differ in number");
    match level() {
        // SAFETY: `level` found the features that the variant is compiled for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { x86::dot_nibble_rows_vnni(query, rows, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::dot_nibble_rows_avx2(query, rows, out) },
        _ => scalar::dot_nibble_rows(query, rows, out),
    }
}

/// Runs `work` compiled for the widest instruction set of this processor: the compiler may use its
/// vectors for all that it inlines into `work`. For loops that call nothing else.
///
/// The arithmetic is that of the loops as written: no variant fuses or reorders additions.
#[inline]
pub fn widest<T>(work: impl FnOnce() -> T) -> T {
    match level() {
        // SAFETY: `level` found the features that the variant is compiled for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => unsafe { x86::run_avx512(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::run_avx2(work) },
        _ => work(),
    }
}

/// Asks the processor to fetch `row` into its caches; without effect on results.
#[inline]
pub fn prefetch(row: &[i8]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(row);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
