//! Dropout (Srivastava et al. 2014) without a stored mask: whether a value is dropped is a hash of
//! its place, so that the backward pass asks again, and the same seed drops the same values
//! however a batch is split over threads.

/// A rate of dropout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dropout {
    /// Hashes below it are dropped.
    threshold: u32,
    /// What the kept values are multiplied by.
    scale: f32,
}

impl Dropout {
    /// Drops this share of values, 0 to below 1.
    pub(super) fn new(rate: f32) -> Self {
        let rate = rate.clamp(0.0, 0.99);
        Self { threshold: (f64::from(rate) * 4_294_967_296.0) as u32, scale: 1.0 / (1.0 - rate) }
    }

    /// Drops nothing.
    pub(super) fn off() -> Self {
        Self::new(0.0)
    }

    /// Fills a row of factors, 0 or `1 / (1 - rate)`, from place `first` of the stream of `key` on.
    #[inline]
    pub(super) fn fill(self, key: u32, first: usize, factors: &mut [f32]) {
        if self.threshold == 0 {
            factors.fill(1.0);
            return;
        }
        for (place, factor) in factors.iter_mut().enumerate() {
            let place = (first + place) as u32;
            let kept = mix(place.wrapping_mul(0x9e37_79b9) ^ key) >= self.threshold;
            *factor = if kept { self.scale } else { 0.0 };
        }
    }
}

/// The finaliser of MurmurHash3 (Appleby, public domain): every bit of the input moves every bit.
#[inline]
pub(super) fn mix(mut bits: u32) -> u32 {
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x85eb_ca6b);
    bits ^= bits >> 13;
    bits = bits.wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}

/// The key of a place within the place that `outer` is the key of.
#[inline]
pub(super) fn key(outer: u32, inner: u32) -> u32 {
    mix(outer ^ mix(inner.wrapping_add(0x9e37_79b9)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_the_mean_does_not_move() {
        let mut factors = vec![0.0; 100_000];
        for rate in [0.0_f32, 0.1, 0.5] {
            Dropout::new(rate).fill(key(3, 4), 0, &mut factors);
            let dropped = factors.iter().filter(|factor| **factor == 0.0).count() as f32;
            assert!((dropped / 100_000.0 - rate).abs() < 0.005, "{rate}: {dropped}");
            let mean = factors.iter().sum::<f32>() / 100_000.0;
            assert!((mean - 1.0).abs() < 0.01, "{rate}: {mean}");
        }
    }

    #[test]
    fn other_keys_drop_other_values_and_the_same_key_the_same() {
        let row = |key| {
            let mut factors = vec![0.0; 64];
            Dropout::new(0.5).fill(key, 0, &mut factors);
            factors
        };
        assert_eq!(row(key(1, 2)), row(key(1, 2)));
        assert_ne!(row(key(1, 2)), row(key(1, 3)));
        assert_ne!(row(key(1, 2)), row(key(2, 2)));
    }
}
