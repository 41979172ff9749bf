//! A step over a batch on all cores: each thread takes part of the sequences forward, the loss sees
//! all embeddings together, each thread takes its part back, and the gradients are summed.
//!
//! Splitting is exact: the loss's gradient with respect to the embeddings is all that the way back
//! needs (Gao et al. 2021, <https://arxiv.org/abs/2101.06983>). Equal batches, seeds and numbers of
//! threads give equal bits on one machine: parts are dealt and summed in a fixed order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use candle_core::Device;

use super::network::{Chunk, Network, Worker, chunks};
use super::rows::dot;
use crate::encoder::EncodeError;
use crate::kernels::widest;
use crate::progress::Progress;

/// Training texts, tokenised once.
pub(super) struct Texts {
    /// Token ids of each.
    pub(super) ids: Vec<Vec<u32>>,
    /// Values of each at the upper edge of the frozen part, if they are kept.
    pub(super) kept: Option<Vec<Vec<f32>>>,
}

/// The threads and what they hold between steps.
pub(super) struct Team {
    members: Vec<Member>,
    /// Where layers run, when that is not the CPU.
    device: Option<Device>,
}

#[derive(Default)]
struct Member {
    worker: Worker,
    gradients: Vec<f32>,
    /// Places in the batch, in the order of `chunks`.
    part: Vec<usize>,
    /// Embeddings of `part`.
    embeddings: Vec<f32>,
}

/// What a loss says about a batch.
pub(super) struct Judged {
    /// The loss.
    pub(super) value: f64,
    /// Its gradient with respect to the embeddings, `(rows, hidden)`.
    pub(super) d_embeddings: Vec<f32>,
}

/// A batch: rows of the texts, and the key that everything dropped follows from.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) texts: &'a Texts,
    pub(super) rows: &'a [usize],
    pub(super) key: u32,
}

impl Batch<'_> {
    fn chunk(&self, places: &[usize]) -> Chunk<'_> {
        let row = |place: &usize| self.rows[*place];
        let kept = self.texts.kept.as_ref();
        Chunk {
            ids: places.iter().map(|place| self.texts.ids[row(place)].as_slice()).collect(),
            kept: kept.map(|all| places.iter().map(|place| all[row(place)].as_slice()).collect()),
            keys: Some(
                places.iter().map(|place| super::dropout::key(self.key, *place as u32)).collect(),
            ),
        }
    }
}

impl Team {
    /// So many threads, one at least; steps run on `device` when it is not the CPU.
    pub(super) fn new(threads: usize, device: &Device) -> Self {
        let device = (!device.is_cpu()).then(|| device.clone());
        Self { members: (0..threads.max(1)).map(|_| Member::default()).collect(), device }
    }

    /// Number of threads.
    pub(super) fn threads(&self) -> usize {
        self.members.len()
    }

    /// Loss of a batch; afterwards [`Self::gradients`] has its gradient.
    ///
    /// # Errors
    /// [`EncodeError`] when a sequence does not fit the model.
    pub(super) fn step(
        &mut self,
        network: &Network<'_>,
        trained: &[f32],
        batch: Batch<'_>,
        loss: impl FnOnce(&[f32]) -> Judged,
    ) -> Result<f64, EncodeError> {
        if let Some(device) = self.device.clone() {
            return self.step_on(&device, network, trained, batch, loss);
        }
        self.deal(batch);
        let width = network.shape.hidden;
        run(&mut self.members, |member| member.forward(network, trained, batch))?;
        let mut embeddings = vec![0.0; batch.rows.len() * width];
        for member in &self.members {
            for (place, row) in member.part.iter().zip(member.embeddings.chunks_exact(width)) {
                embeddings[place * width..][..width].copy_from_slice(row);
            }
        }
        let judged = loss(&embeddings);
        let d = &judged.d_embeddings;
        run(&mut self.members, |member| member.backward(network, trained, batch, d))?;
        Ok(judged.value)
    }

    /// [`Self::step`] by candle's own operations on a device, without splitting.
    fn step_on(
        &mut self,
        device: &Device,
        network: &Network<'_>,
        trained: &[f32],
        batch: Batch<'_>,
        loss: impl FnOnce(&[f32]) -> Judged,
    ) -> Result<f64, EncodeError> {
        self.members.iter_mut().for_each(|member| member.part.clear());
        let only = &mut self.members[0];
        only.part = (0..batch.rows.len()).collect();
        only.gradients.clear();
        only.gradients.resize(trained.len(), 0.0);
        let mut value = 0.0;
        let loss = |embeddings: &[f32]| {
            let judged = loss(embeddings);
            value = judged.value;
            judged.d_embeddings
        };
        let chunk = batch.chunk(&only.part);
        let room = (&mut only.worker, device);
        network.composed(trained, &chunk, room, loss, &mut only.gradients)?;
        Ok(value)
    }

    /// The values of each text at the upper edge of the frozen part.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) fn frozen_parts(
        &mut self,
        network: &Network<'_>,
        ids: &[Vec<u32>],
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<f32>>, EncodeError> {
        let width = network.shape.hidden;
        let parts =
            self.each_chunk("computing the frozen layers", ids, progress, |part, worker| {
                let part: Vec<&[u32]> = part.iter().map(Vec::as_slice).collect();
                let rows = network.frozen_part(&part, worker)?;
                let mut rest = rows.as_slice();
                let cut = part.iter().map(|ids| {
                    let (own, later) = rest.split_at(ids.len() * width);
                    rest = later;
                    own.to_vec()
                });
                Ok(cut.collect::<Vec<_>>())
            })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// The embedding of each text with nothing dropped, `(texts, hidden)`.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) fn embeddings(
        &mut self,
        network: &Network<'_>,
        trained: &[f32],
        texts: &Texts,
        progress: &dyn Progress,
    ) -> Result<Vec<f32>, EncodeError> {
        let step = "encoding sentences";
        let parts = self.each_chunk(step, &texts.ids, progress, |part, worker| {
            let ids = part.iter().map(Vec::as_slice).collect();
            let chunk = Chunk { ids, kept: None, keys: None };
            network.forward(trained, &chunk, worker).map(<[f32]>::to_vec)
        })?;
        Ok(parts.concat())
    }

    /// Calls `work` with runs of sequences on all threads; the answers in order.
    fn each_chunk<T: Send>(
        &mut self,
        step: &str,
        ids: &[Vec<u32>],
        progress: &dyn Progress,
        work: impl Fn(&[Vec<u32>], &mut Worker) -> Result<T, EncodeError> + Sync,
    ) -> Result<Vec<T>, EncodeError> {
        let ranges = chunks(ids);
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        progress.start_items(step, ids.len() as u64);
        let answer = run(&mut self.members, |member| {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(range) = ranges.get(at) else { return Ok(()) };
                let answer = work(&ids[range.clone()], &mut member.worker)?;
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.insert(at, answer);
                progress.advance(range.len() as u64);
            }
        });
        progress.finish();
        answer?;
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
    }

    /// Deals the batch by tokens, the longest sequences first, each to who has least.
    fn deal(&mut self, batch: Batch<'_>) {
        let length = |place: usize| batch.texts.ids[batch.rows[place]].len();
        let mut places: Vec<usize> = (0..batch.rows.len()).collect();
        places.sort_by_key(|place| (std::cmp::Reverse(length(*place)), *place));
        let mut tokens = vec![0; self.members.len()];
        self.members.iter_mut().for_each(|member| member.part.clear());
        for place in places {
            let least = (0..tokens.len()).min_by_key(|at| tokens[*at]).unwrap_or(0);
            tokens[least] += length(place);
            self.members[least].part.push(place);
        }
    }

    /// Sums the members' gradients; returns them and their Euclidean norm.
    pub(super) fn gradients(&mut self) -> (&[f32], f64) {
        let used = self.members.iter().filter(|member| !member.part.is_empty()).count().max(1);
        let (first, others) = self.members.split_at_mut(1);
        let sum = &mut first[0].gradients;
        let part = sum.len().div_ceil(others.len() + 1).max(1);
        // A member without sequences computed nothing; dealing fills the first ones first.
        let others: Vec<&[f32]> =
            others[..used - 1].iter().map(|member| member.gradients.as_slice()).collect();
        let squares: f64 = thread::scope(|scope| {
            let work = sum.chunks_mut(part).enumerate().map(|(index, own)| {
                let others: Vec<&[f32]> =
                    others.iter().map(|all| &all[index * part..][..own.len()]).collect();
                scope.spawn(move || add_all(own, &others))
            });
            let threads: Vec<_> = work.collect();
            threads.into_iter().map(|one| one.join().expect("sums do not panic")).sum()
        });
        (&first[0].gradients, squares.sqrt())
    }
}

/// Adds `others` to `sum`; returns the sum of its squares.
fn add_all(sum: &mut [f32], others: &[&[f32]]) -> f64 {
    /// Values that stay in the first-level cache.
    const BLOCK: usize = 2_048;
    let mut squares = 0.0;
    for (block, own) in sum.chunks_mut(BLOCK).enumerate() {
        squares += f64::from(widest(|| {
            for other in others {
                let other = &other[block * BLOCK..][..own.len()];
                own.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
            }
            dot(own, own)
        }));
    }
    squares
}

impl Member {
    fn forward(
        &mut self,
        network: &Network<'_>,
        trained: &[f32],
        batch: Batch<'_>,
    ) -> Result<(), EncodeError> {
        self.embeddings.clear();
        for places in self.chunks(batch) {
            let rows = network.forward(trained, &batch.chunk(&places), &mut self.worker)?;
            self.embeddings.extend_from_slice(rows);
        }
        Ok(())
    }

    /// With more than one chunk, each is taken forward again, so that memory stays bounded.
    fn backward(
        &mut self,
        network: &Network<'_>,
        trained: &[f32],
        batch: Batch<'_>,
        d_embeddings: &[f32],
    ) -> Result<(), EncodeError> {
        let width = network.shape.hidden;
        self.gradients.resize(trained.len(), 0.0);
        let chunks = self.chunks(batch);
        for (index, places) in chunks.iter().enumerate() {
            if chunks.len() > 1 {
                network.forward(trained, &batch.chunk(places), &mut self.worker)?;
            }
            let row = |place: &usize| &d_embeddings[place * width..][..width];
            let d: Vec<f32> = places.iter().flat_map(row).copied().collect();
            let gradients = (self.gradients.as_mut_slice(), index > 0);
            network.backward(trained, &d, gradients, &mut self.worker, true);
        }
        Ok(())
    }

    fn chunks(&self, batch: Batch<'_>) -> Vec<Vec<usize>> {
        let ids: Vec<&[u32]> =
            self.part.iter().map(|place| batch.texts.ids[batch.rows[*place]].as_slice()).collect();
        chunks(&ids).into_iter().map(|range| self.part[range].to_vec()).collect()
    }
}

/// Runs `work` for each member on a thread of its own; the first failure counts.
fn run(
    members: &mut [Member],
    work: impl Fn(&mut Member) -> Result<(), EncodeError> + Sync,
) -> Result<(), EncodeError> {
    if let [only] = members {
        return work(only);
    }
    thread::scope(|scope| {
        let threads: Vec<_> =
            members.iter_mut().map(|member| scope.spawn(|| work(member))).collect();
        let mut answers = threads.into_iter().map(|one| one.join());
        answers
            .try_for_each(|answer| answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
