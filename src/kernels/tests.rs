//! Every vector variant against its scalar twin, on lengths around the register sizes and on the
//! extremes of the types. A variant that this processor lacks is skipped.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Level, NIBBLE_BLOCK_BYTES, dot_f32, dot_i8, dot_nibble_rows, level, scalar};

/// Bytes with the extremes over-represented: that is where saturation would show.
fn byte() -> impl Strategy<Value = i8> {
    prop_oneof![2 => any::<i8>(), 1 => Just(i8::MIN), 1 => Just(i8::MAX)]
}

/// Pairs of equal length, 0 to 300: below, at and above every register size, and odd.
fn byte_pairs() -> impl Strategy<Value = Vec<(i8, i8)>> {
    vec((byte(), byte()), 0..300)
}

fn float_pairs() -> impl Strategy<Value = Vec<(f32, f32)>> {
    vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..300)
}

/// A query of 0 to 3 blocks and 0 to 9 rows of codes.
fn nibble_case() -> impl Strategy<Value = (Vec<i8>, Vec<u8>, usize)> {
    (0_usize..4, 0_usize..10).prop_flat_map(|(blocks, rows)| {
        let row_bytes = blocks * NIBBLE_BLOCK_BYTES;
        let code = prop_oneof![2 => any::<u8>(), 1 => Just(u8::MAX)];
        (vec(byte(), 2 * row_bytes), vec(code, rows * row_bytes), Just(rows))
    })
}

fn run_nibbles(
    kernel: impl Fn(&[i8], &[u8], &mut [i32]),
    (query, rows, len): &(Vec<i8>, Vec<u8>, usize),
) -> Vec<i32> {
    let mut out = vec![-1; *len];
    kernel(query, rows, &mut out);
    out
}

#[cfg(target_arch = "x86_64")]
mod variants {
    //! The variants behind a check of their own, so that AVX2 is tested on AVX-512 machines too.
    use super::super::x86;
    use super::{Level, level};

    pub(super) fn has_avx2() -> bool {
        level() != Level::Scalar
    }

    pub(super) fn dot_i8_avx2(a: &[i8], b: &[i8]) -> i32 {
        assert!(has_avx2());
        // SAFETY: checked on the line above; AVX-512 implies AVX2.
        unsafe { x86::dot_i8_avx2(a, b) }
    }

    pub(super) fn dot_f32_avx2(a: &[f32], b: &[f32]) -> f32 {
        assert!(has_avx2());
        // SAFETY: as above, `level` checks FMA as well.
        unsafe { x86::dot_f32_avx2(a, b) }
    }

    pub(super) fn dot_nibble_rows_avx2(query: &[i8], rows: &[u8], out: &mut [i32]) {
        assert!(has_avx2());
        // SAFETY: as above.
        unsafe { x86::dot_nibble_rows_avx2(query, rows, out) }
    }
}

proptest! {
    #[test]
    fn dot_i8_equals_its_scalar_twin(pairs in byte_pairs()) {
        let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
        let expected = scalar::dot_i8(&a, &b);
        prop_assert_eq!(dot_i8(&a, &b), expected);
        #[cfg(target_arch = "x86_64")]
        if variants::has_avx2() {
            prop_assert_eq!(variants::dot_i8_avx2(&a, &b), expected);
        }
    }

    #[test]
    fn dot_f32_equals_its_scalar_twin(pairs in float_pairs()) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let exact: f64 = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
        let near = |sum: f32| (f64::from(sum) - exact).abs() < 1e-4;
        prop_assert!(near(scalar::dot_f32(&a, &b)));
        prop_assert!(near(dot_f32(&a, &b)));
        #[cfg(target_arch = "x86_64")]
        if variants::has_avx2() {
            prop_assert!(near(variants::dot_f32_avx2(&a, &b)));
        }
    }

    #[test]
    fn nibble_rows_equal_their_scalar_twin(case in nibble_case()) {
        let expected = run_nibbles(scalar::dot_nibble_rows, &case);
        prop_assert_eq!(&run_nibbles(dot_nibble_rows, &case), &expected);
        #[cfg(target_arch = "x86_64")]
        if variants::has_avx2() {
            prop_assert_eq!(&run_nibbles(variants::dot_nibble_rows_avx2, &case), &expected);
        }
    }
}

#[test]
fn extremes_do_not_saturate() {
    for len in [1, 15, 16, 17, 63, 64, 65, 384, 1023] {
        for (x, y) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MAX)] {
            let expected = i32::from(x) * i32::from(y) * i32::try_from(len).expect("small");
            assert_eq!(dot_i8(&vec![x; len], &vec![y; len]), expected, "{x} × {y}, {len} times");
        }
    }
    let (query, rows) = (vec![i8::MIN; 384], vec![u8::MAX; 192 * 5]);
    let mut out = [0; 5];
    dot_nibble_rows(&query, &rows, &mut out);
    assert_eq!(out, [-128 * 15 * 384; 5]);
}

#[test]
fn empty_slices_give_zero() {
    assert_eq!(dot_i8(&[], &[]), 0);
    assert_eq!(dot_f32(&[], &[]), 0.0);
    let mut out = [7; 2];
    dot_nibble_rows(&[], &[], &mut out);
    assert_eq!(out, [0, 0]);
}

#[test]
fn the_level_is_what_the_processor_offers() {
    #[cfg(target_arch = "x86_64")]
    assert_eq!(level() == Level::Scalar, !std::is_x86_feature_detected!("avx2"));
    #[cfg(not(target_arch = "x86_64"))]
    assert_eq!(level(), Level::Scalar);
}
