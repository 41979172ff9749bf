//! Groups messages that mean the same.
//!
//! Two messages are near when their whitened embeddings are, and when the model finds the same intents
//! probable for both ([`vector`]): embeddings alone keep apart what is worded differently. Measured on
//! sentences that no model was fitted on; docs/review-queue.md has the figures.
//!
//! Leaders first: messages are taken by their count, each joins the leader it is nearest to or becomes
//! one (Hartigan, Clustering Algorithms, 1975, chapter 3). Then each group's mean stands for it, groups
//! whose means are near are joined, and every message goes once more to the mean that is nearest. That
//! takes away most of what depends on the order, which is fixed: the same messages give the same
//! groups. Pure; all of it runs on the thread that calls.

use std::collections::HashMap;

use crate::intent::whitening::normalize_length;
use crate::kernels::dot_f32;

/// A message must be this near to its group, as a cosine of [`vector`]s: the highest at which most
/// sentences of tests/fixtures/shop_eval.jsonl still find others.
const NEAR: f32 = 0.5;
/// Words and pairs of Han characters named for a group, at the most.
const KEYWORDS: usize = 5;
/// A keyword stands in at least this share of a group's messages.
const COMMON: f32 = 0.5;

/// A message to be grouped.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// Normalised.
    pub text: &'a str,
    /// How often it was seen.
    pub count: u64,
    /// Unit-norm.
    pub vector: &'a [f32],
}

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Position of the message that stands for the group: the one nearest to its mean.
    pub medoid: usize,
    /// Positions of all messages, the most frequent first.
    pub members: Vec<usize>,
    /// How often they were seen altogether.
    pub size: u64,
    /// What most of them have in common and others have not.
    pub keywords: Vec<String>,
}

/// What a message is compared by, unit-norm: its whitened embedding, and beside it the square roots of
/// the probabilities of all intents, whose dot product is Bhattacharyya's coefficient. A message that is
/// out of scope has little of the second part.
pub fn vector(whitened: &[f32], probabilities: &[f32]) -> Vec<f32> {
    let roots = probabilities.iter().map(|probability| probability.max(0.0).sqrt());
    let mut vector: Vec<f32> = whitened.iter().copied().chain(roots).collect();
    normalize_length(&mut vector);
    vector
}

/// Groups `items`; the largest groups first. Takes time in the order of messages times groups.
pub fn cluster(items: &[Item<'_>]) -> Vec<Group> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| {
        items[b].count.cmp(&items[a].count).then(items[a].text.cmp(items[b].text)).then(a.cmp(&b))
    });
    let mut leaders: Vec<&[f32]> = Vec::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &at in &order {
        match nearest(items[at].vector, &leaders) {
            Some((group, cosine)) if cosine >= NEAR => groups[group].push(at),
            _ => {
                leaders.push(items[at].vector);
                groups.push(vec![at]);
            }
        }
    }
    let groups = settle(items, &order, &joined(items, groups));
    let common = Common::of(items);
    let mut groups: Vec<Group> =
        groups.into_iter().map(|members| described(items, members, &common)).collect();
    groups.sort_by(|a, b| b.size.cmp(&a.size).then(items[a.medoid].text.cmp(items[b.medoid].text)));
    groups
}

/// Where the nearest of `rows` is, and its cosine.
fn nearest(vector: &[f32], rows: &[impl AsRef<[f32]>]) -> Option<(usize, f32)> {
    let mut best: Option<(usize, f32)> = None;
    for (at, row) in rows.iter().enumerate() {
        let cosine = dot_f32(vector, row.as_ref());
        if best.is_none_or(|(_, most)| cosine > most) {
            best = Some((at, cosine));
        }
    }
    best
}

/// The direction of a group, each message by its count.
fn mean(items: &[Item<'_>], members: &[usize]) -> Vec<f32> {
    let mut mean = vec![0.0f32; items[members[0]].vector.len()];
    for &at in members {
        // A message that a thousand people sent is not a thousand times as telling.
        let weight = (items[at].count as f32).ln_1p();
        mean.iter_mut().zip(items[at].vector).for_each(|(sum, value)| *sum += weight * value);
    }
    normalize_length(&mut mean);
    mean
}

/// Joins groups of several messages whose means are near each other.
fn joined(items: &[Item<'_>], groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let (several, mut alone): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.len() > 1);
    let mut means: Vec<Vec<f32>> = Vec::new();
    let mut kept: Vec<Vec<usize>> = Vec::new();
    for group in several {
        let own = mean(items, &group);
        match nearest(&own, &means) {
            Some((at, cosine)) if cosine >= NEAR => {
                kept[at].extend(group);
                means[at] = mean(items, &kept[at]);
            }
            _ => {
                means.push(own);
                kept.push(group);
            }
        }
    }
    kept.append(&mut alone);
    kept
}

/// Sends every message to the nearest mean; one that is near to none stands alone.
fn settle(items: &[Item<'_>], order: &[usize], groups: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let means: Vec<Vec<f32>> =
        groups.iter().filter(|group| group.len() > 1).map(|group| mean(items, group)).collect();
    let mut settled = vec![Vec::new(); means.len()];
    for &at in order {
        match nearest(items[at].vector, &means) {
            Some((group, cosine)) if cosine >= NEAR => settled[group].push(at),
            _ => settled.push(vec![at]),
        }
    }
    settled.retain(|group| !group.is_empty());
    settled
}

fn described(items: &[Item<'_>], members: Vec<usize>, common: &Common<'_>) -> Group {
    let mean = mean(items, &members);
    let closeness = |at: usize| dot_f32(items[at].vector, &mean);
    let medoid = members
        .iter()
        .copied()
        .reduce(|best, at| if closeness(at) > closeness(best) { at } else { best });
    Group {
        medoid: medoid.expect("a group has members"),
        size: members.iter().map(|&at| items[at].count).sum(),
        keywords: common.keywords(items, &members),
        members,
    }
}

/// In how many messages each word stands.
struct Common<'a> {
    messages: HashMap<&'a str, usize>,
    total: usize,
}

impl<'a> Common<'a> {
    fn of(items: &[Item<'a>]) -> Self {
        Self { messages: counted(items.iter().map(|item| item.text)), total: items.len() }
    }

    /// The words that most of `members` have, those that others have not first.
    fn keywords(&self, items: &[Item<'a>], members: &[usize]) -> Vec<String> {
        if members.len() < 2 {
            return Vec::new();
        }
        let own = counted(members.iter().map(|&at| items[at].text));
        let mut words: Vec<(f32, &str)> = own
            .into_iter()
            .filter(|(_, count)| *count > 1 && *count as f32 >= COMMON * members.len() as f32)
            .map(|(word, count)| {
                let rare = (1.0 + self.total as f32 / self.messages[word] as f32).ln();
                (count as f32 / members.len() as f32 * rare, word)
            })
            .collect();
        words.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        words.into_iter().take(KEYWORDS).map(|(_, word)| word.to_owned()).collect()
    }
}

fn counted<'a>(texts: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for text in texts {
        let mut words = words(text);
        words.sort_unstable();
        words.dedup();
        words.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
    }
    counts
}

/// Latin words of three letters or more, and pairs of Han characters. Placeholders are no words.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let placeholder = |c: char| c == '<' || c == '>';
    for (number, part) in text.split(placeholder).enumerate() {
        if number % 2 == 1 {
            continue;
        }
        for run in part.split(|c: char| !c.is_alphanumeric()) {
            let chars: Vec<(usize, char)> = run.char_indices().collect();
            for (at, pair) in chars.windows(2).enumerate() {
                if pair.iter().all(|(_, c)| crate::intent::keyword::is_han(*c)) {
                    let end = chars.get(at + 2).map_or(run.len(), |(end, _)| *end);
                    found.push(&run[pair[0].0..end]);
                }
            }
            let latin = run.split(crate::intent::keyword::is_han);
            found.extend(latin.filter(|word| word.chars().nth(2).is_some()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` unit vectors around each of `centres` random directions.
    fn vectors(centres: usize, count: usize, dimension: usize) -> Vec<Vec<f32>> {
        // Marsaglia's xorshift: the same numbers everywhere.
        let mut state = 0x9e37_79b9u32;
        let mut direction = || -> Vec<f32> {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as f32 / u32::MAX as f32 - 0.5
            };
            (0..dimension).map(|_| next()).collect()
        };
        let mut all = Vec::new();
        for _ in 0..centres {
            let centre = direction();
            for _ in 0..count {
                let noise = direction();
                let mut row: Vec<f32> =
                    centre.iter().zip(noise).map(|(c, n)| c + 0.5 * n).collect();
                normalize_length(&mut row);
                all.push(row);
            }
        }
        all
    }

    fn items<'a>(vectors: &'a [Vec<f32>], texts: &'a [String]) -> Vec<Item<'a>> {
        let one = |(at, vector): (usize, &'a Vec<f32>)| Item {
            text: &texts[at],
            count: 1 + at as u64 % 3,
            vector,
        };
        vectors.iter().enumerate().map(one).collect()
    }

    #[test]
    fn what_lies_together_is_one_group_in_any_order() {
        let vectors = vectors(12, 10, 64);
        let texts: Vec<String> = (0..120).map(|at| format!("快递{at} parcel")).collect();
        let items = items(&vectors, &texts);
        let groups = cluster(&items);
        assert_eq!(groups.len(), 12);
        for group in &groups {
            let centres: std::collections::BTreeSet<_> =
                group.members.iter().map(|at| at / 10).collect();
            assert_eq!((centres.len(), group.members.len()), (1, 10));
            assert_eq!(group.size, group.members.iter().map(|&at| items[at].count).sum::<u64>());
            assert!(group.members.contains(&group.medoid));
            assert_eq!(group.keywords, ["parcel", "快递"]);
        }
        let mut turned = items.clone();
        turned.reverse();
        let named = |items: &[Item<'_>], groups: &[Group]| -> Vec<Vec<String>> {
            let text = |at: &usize| items[*at].text.to_owned();
            groups.iter().map(|group| group.members.iter().map(text).collect()).collect()
        };
        assert_eq!(named(&turned, &cluster(&turned)), named(&items, &groups));
    }

    #[test]
    fn the_same_intents_bring_messages_together() {
        let near = |a: &[f32], b: &[f32]| dot_f32(&vector(&[1.0, 0.0], a), &vector(&[0.0, 1.0], b));
        assert!(near(&[0.5, 0.5, 0.0], &[0.5, 0.5, 0.0]) > 0.49);
        assert!(near(&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0]) < 0.01);
        assert!(near(&[0.1, 0.0, 0.0], &[0.1, 0.0, 0.0]) < 0.1, "hardly in scope");
    }

    #[test]
    fn nothing_and_one_message() {
        assert!(cluster(&[]).is_empty());
        let groups = cluster(&[Item { text: "a", count: 3, vector: &[1.0, 0.0] }]);
        let one = Group { medoid: 0, members: vec![0], size: 3, keywords: vec![] };
        assert_eq!(groups, [one]);
    }

    #[test]
    fn words_are_pairs_of_han_and_latin_words_without_placeholders() {
        assert_eq!(words("我的phone <phone> is 13"), ["我的", "phone"]);
    }
}
