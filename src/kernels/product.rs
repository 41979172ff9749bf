//! Matrix products of f32 slices on the caller's thread, by the `gemm` crate.
//!
//! What tuning an encoder spends its time in. Unlike candle's product it writes into a buffer that
//! is there already, can add to it, and never asks for the number of cores.

use gemm::Parallelism;

/// A matrix in a slice: element `(row, column)` lies at `row * row_step + column * column_step`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major `values` of so many columns.
    ///
    /// # Panics
    /// When they are not whole rows: a bug in the caller.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "a ragged matrix");
        let rows = values.len() / columns;
        Self { values, rows, columns, row_step: columns, column_step: 1 }
    }

    /// The same values read as the transposed matrix.
    #[must_use]
    pub fn transposed(self) -> Self {
        let Self { values, rows, columns, row_step, column_step } = self;
        Self { values, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }
}

/// `out = left · right`, or `out += left · right` with `add`; `out` is row-major.
///
/// The order of additions depends on the processor; on one machine equal inputs give equal bits.
///
/// # Panics
/// When the shapes do not fit: a bug in the caller.
pub fn product(left: Matrix<'_>, right: Matrix<'_>, add: bool, out: &mut [f32]) {
    let (rows, inner, columns) = (left.rows, left.columns, right.columns);
    assert_eq!(inner, right.rows, "matrices that cannot be multiplied");
    assert_eq!(out.len(), rows * columns, "the product has another size");
    let step = |size: usize| isize::try_from(size).expect("a slice is no longer than isize::MAX");
    // SAFETY: `Matrix::new` made both views of whole rows, so that every element of `left`
    // (`rows` × `inner`) and `right` (`inner` × `columns`) lies in its slice; `out` has
    // `rows` × `columns` elements, is borrowed uniquely, and every one of them is initialised.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            step(columns),
            add,
            left.values.as_ptr(),
            step(left.column_step),
            step(left.row_step),
            right.values.as_ptr(),
            step(right.column_step),
            step(right.row_step),
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(left: Matrix<'_>, right: Matrix<'_>, out: &mut [f32]) {
        let at = |m: Matrix<'_>, r: usize, c: usize| m.values[r * m.row_step + c * m.column_step];
        for row in 0..left.rows {
            for column in 0..right.columns {
                for inner in 0..left.columns {
                    out[row * right.columns + column] +=
                        at(left, row, inner) * at(right, inner, column);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn products_equal_their_scalar_twin(
            rows in 1usize..20, inner in 1usize..20, columns in 1usize..20,
            turn_left: bool, turn_right: bool, add: bool,
            seed in proptest::collection::vec(-1.0f32..1.0, 1200),
        ) {
            let view = |values, rows, columns, turned| if turned {
                Matrix::new(values, rows).transposed()
            } else {
                Matrix::new(values, columns)
            };
            let left = view(&seed[..rows * inner], rows, inner, turn_left);
            let right = view(&seed[400..400 + inner * columns], inner, columns, turn_right);
            let mut out = seed[800..800 + rows * columns].to_vec();
            let mut expected = if add { out.clone() } else { vec![0.0; out.len()] };
            product(left, right, add, &mut out);
            plain(left, right, &mut expected);
            for (a, b) in out.iter().zip(&expected) {
                prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "cannot be multiplied")]
    fn other_shapes_are_a_bug() {
        product(Matrix::new(&[1.0; 6], 3), Matrix::new(&[1.0; 4], 2), false, &mut [0.0; 4]);
    }
}
