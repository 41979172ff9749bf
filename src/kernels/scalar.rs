//! Kernels in plain Rust: what the vector variants must equal, and the fallback for processors
//! without them.

/// Eight running sums, so that the compiler may use whatever registers the target has.
const LANES: usize = 8;

pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail_f32(a_rest, b_rest)
}

pub(super) fn tail_f32(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

pub(super) fn dot_nibble_rows(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let (low, high) = query.split_at(query.len() / 2);
    if low.is_empty() {
        return out.fill(0);
    }
    for (row, sum) in rows.chunks_exact(low.len()).zip(out) {
        *sum = row
            .iter()
            .zip(low.iter().zip(high))
            .map(|(&code, (&l, &h))| {
                i32::from(code & 15) * i32::from(l) + i32::from(code >> 4) * i32::from(h)
            })
            .sum();
    }
}
