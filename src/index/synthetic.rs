//! Made-up unit-norm vectors that lie as sentence embeddings do: a common direction that squeezes
//! all cosines to about 0.84, 150 clusters, and spread within them. For tests and benchmarks; the
//! benchmark includes this file by path.

/// Length of one vector, that of the default encoder.
pub(super) const DIMENSION: usize = 384;

const CLUSTERS: usize = 150;

/// Lengths of the three parts before the sum is normalised; chosen so that cosines look like those
/// of multilingual-e5-small: random pairs 0.84, nearest neighbour about 0.94.
const COMMON: f32 = 0.917;
const CENTRE: f32 = 0.31;
const SPREAD: f32 = 0.25;
/// Directions in which the members of a cluster differ: sentences vary in far fewer ways than an
/// embedding has dimensions.
const WAYS: usize = 40;

/// `count` vectors, row-major `(count, DIMENSION)`; another `stream` gives other members of the
/// same clusters (queries beside the indexed rows).
pub(super) fn vectors(count: usize, stream: u64) -> Vec<f32> {
    let mut shared = Random(0x5eed);
    let common = shared.direction();
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| shared.direction()).collect();
    let ways: Vec<Vec<f32>> = (0..WAYS).map(|_| shared.direction()).collect();
    let mut random = Random(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut values = Vec::with_capacity(count * DIMENSION);
    for _ in 0..count {
        let centre = &centres[random.below(CLUSTERS)];
        let mut row: Vec<f32> =
            common.iter().zip(centre).map(|(m, c)| COMMON * m + CENTRE * c).collect();
        for way in &ways {
            let amount = SPREAD * random.normal() / (WAYS as f32).sqrt();
            row.iter_mut().zip(way).for_each(|(value, way)| *value += amount * way);
        }
        let noise = random.direction();
        row.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.4 * SPREAD * noise);
        values.extend(normalised(row));
    }
    values
}

fn normalised(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter_mut().for_each(|value| *value /= norm);
    values
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for tests, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Nearly normal: the sum of twelve uniform values.
    fn normal(&mut self) -> f32 {
        let sum: u64 =
            (0..6).map(|_| self.next()).map(|z| (z >> 40) + ((z >> 8) & 0xff_ffff)).sum();
        sum as f32 / (1 << 24) as f32 - 6.0
    }

    fn direction(&mut self) -> Vec<f32> {
        normalised((0..DIMENSION).map(|_| self.normal()).collect())
    }
}
