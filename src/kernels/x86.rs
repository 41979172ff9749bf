//! Kernels for x86-64: AVX-512 VNNI and AVX2 variants of what `scalar.rs` defines.
//!
//! Names and costs of instructions: Intel Intrinsics Guide. `vpdpbusd` multiplies unsigned by
//! signed bytes and adds four products to an i32 without saturation.

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};
use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_add_epi32, _mm_prefetch, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_si256, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_hadd_epi32, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_srli_epi16,
    _mm256_storeu_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castsi512_si256,
    _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_reduce_add_ps, _mm512_set1_epi8,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_sub_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

use super::scalar;

const NIBBLE: i8 = 15;

pub(super) fn prefetch(row: &[i8]) {
    for line in row.chunks(64) {
        // SAFETY: a prefetch is a hint and never faults; SSE is part of the x86-64 baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr()) };
    }
}

// ---- loops that the compiler turns into vector code ----

#[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
pub(super) fn run_avx512<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}

// ---- loads: the reference proves the bytes ----

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512<T>(chunk: &[T; 64]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: `chunk` is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256<T>(chunk: &[T; 32]) -> __m256i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: `chunk` is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
}

#[inline]
fn load_128(chunk: &[i8; 16]) -> __m128i {
    // SAFETY: `chunk` is 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }
}

#[inline]
fn store_128(out: &mut [i32; 4], value: __m128i) {
    // SAFETY: `out` is 16 writable bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), value) }
}

// ---- AVX-512 ----

#[target_feature(enable = "avx512f")]
pub(super) fn dot_f32_avx512(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<32>();
    let (b_chunks, b_rest) = b.as_chunks::<32>();
    let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        // SAFETY: `x` and `y` are 32 floats each: 16 at the start and 16 from the middle.
        unsafe {
            even = _mm512_fmadd_ps(_mm512_loadu_ps(&x[0]), _mm512_loadu_ps(&y[0]), even);
            odd = _mm512_fmadd_ps(
                _mm512_loadu_ps(x.as_ptr().add(16)),
                _mm512_loadu_ps(y.as_ptr().add(16)),
                odd,
            );
        }
    }
    _mm512_reduce_add_ps(_mm512_add_ps(even, odd)) + scalar::tail_f32(a_rest, b_rest)
}

/// `a` is made unsigned by adding 128 (flipping the top bit); the surplus `128 · Σb` is summed
/// beside it and taken off.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_i8_vnni(a: &[i8], b: &[i8]) -> i32 {
    let (a_chunks, a_rest) = a.as_chunks::<64>();
    let (b_chunks, b_rest) = b.as_chunks::<64>();
    let top_bit = _mm512_set1_epi8(i8::MIN);
    let (mut sum, mut surplus) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        let y = load_512(y);
        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(load_512(x), top_bit), y);
        surplus = _mm512_dpbusd_epi32(surplus, top_bit, y);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, surplus)) + scalar::dot_i8(a_rest, b_rest)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_nibble_rows_vnni(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let (low, high) = query.split_at(query.len() / 2);
    let (low, high) = (low.as_chunks::<64>().0, high.as_chunks::<64>().0);
    let blocks = low.len();
    let rows = rows.as_chunks::<64>().0;
    let mask = _mm512_set1_epi8(NIBBLE);
    let (groups, rest) = out.as_chunks_mut::<4>();
    let done = groups.len() * 4 * blocks;
    // Four rows at a time: they share the query's registers and one horizontal sum.
    for (group, sums) in groups.iter_mut().enumerate() {
        let first = &rows[group * 4 * blocks..][..4 * blocks];
        let mut acc = [_mm512_setzero_si512(); 4];
        for block in 0..blocks {
            let (l, h) = (load_512(&low[block]), load_512(&high[block]));
            for (row, acc) in acc.iter_mut().enumerate() {
                let codes = load_512(&first[row * blocks + block]);
                let high_codes = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), mask);
                *acc = _mm512_dpbusd_epi32(*acc, _mm512_and_si512(codes, mask), l);
                *acc = _mm512_dpbusd_epi32(*acc, high_codes, h);
            }
        }
        store_128(sums, sum_four_512(acc));
    }
    scalar::dot_nibble_rows(query, rows[done..].as_flattened(), rest);
}

/// The sums of four registers of sixteen i32, in order.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum_four_512([a, b, c, d]: [__m512i; 4]) -> __m128i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let halves =
        _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
    _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves))
}

// ---- AVX2 ----

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_f32_avx2(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let (mut even, mut odd) = (_mm256_setzero_ps(), _mm256_setzero_ps());
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        // SAFETY: `x` and `y` are 16 floats each: 8 at the start and 8 from the middle.
        unsafe {
            even = _mm256_fmadd_ps(_mm256_loadu_ps(&x[0]), _mm256_loadu_ps(&y[0]), even);
            odd = _mm256_fmadd_ps(
                _mm256_loadu_ps(x.as_ptr().add(8)),
                _mm256_loadu_ps(y.as_ptr().add(8)),
                odd,
            );
        }
    }
    let mut lanes = [0.0_f32; 8];
    // SAFETY: `lanes` is 8 writable floats; the store needs no alignment.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_add_ps(even, odd)) };
    lanes.iter().sum::<f32>() + scalar::tail_f32(a_rest, b_rest)
}

/// Widened to i16, since `vpmaddubsw` would saturate on bytes of full range.
#[target_feature(enable = "avx2")]
pub(super) fn dot_i8_avx2(a: &[i8], b: &[i8]) -> i32 {
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let mut sum = _mm256_setzero_si256();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        let (x, y) = (_mm256_cvtepi8_epi16(load_128(x)), _mm256_cvtepi8_epi16(load_128(y)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
    }
    let zero = _mm256_setzero_si256();
    let mut sums = [0; 4];
    store_128(&mut sums, sum_four_256([sum, zero, zero, zero]));
    sums[0] + scalar::dot_i8(a_rest, b_rest)
}

/// A nibble is at most 15, so two products of `vpmaddubsw` (|15 · 128 · 2| = 3,840) and the sum of
/// both nibbles fit i16.
#[target_feature(enable = "avx2")]
pub(super) fn dot_nibble_rows_avx2(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let (low, high) = query.split_at(query.len() / 2);
    let (low, high) = (low.as_chunks::<32>().0, high.as_chunks::<32>().0);
    let blocks = low.len();
    let rows = rows.as_chunks::<32>().0;
    let (mask, ones) = (_mm256_set1_epi8(NIBBLE), _mm256_set1_epi16(1));
    let (groups, rest) = out.as_chunks_mut::<4>();
    let done = groups.len() * 4 * blocks;
    for (group, sums) in groups.iter_mut().enumerate() {
        let first = &rows[group * 4 * blocks..][..4 * blocks];
        let mut acc = [_mm256_setzero_si256(); 4];
        for block in 0..blocks {
            let (l, h) = (load_256(&low[block]), load_256(&high[block]));
            for (row, acc) in acc.iter_mut().enumerate() {
                let codes = load_256(&first[row * blocks + block]);
                let high_codes = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), mask);
                let pairs = _mm256_add_epi16(
                    _mm256_maddubs_epi16(_mm256_and_si256(codes, mask), l),
                    _mm256_maddubs_epi16(high_codes, h),
                );
                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(pairs, ones));
            }
        }
        store_128(sums, sum_four_256(acc));
    }
    scalar::dot_nibble_rows(query, rows[done..].as_flattened(), rest);
}

/// The sums of four registers of eight i32, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_four_256([a, b, c, d]: [__m256i; 4]) -> __m128i {
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd))
}
