//! Which group a row belongs to: the groups of one set of dimensions and one grain, numbered in the order in which they are
//! first met.

use std::collections::HashMap;

use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_datafusion_err};

use super::codes::Recent;

/// Pairs of numbers, numbered.
struct Pairs {
    numbers: HashMap<u64, u32, RandomState>,
    pairs: Vec<(u32, u32)>,
    recent: Recent<u64>,
}

impl Pairs {
    fn new() -> Self {
        Pairs { numbers: HashMap::default(), pairs: Vec::new(), recent: Recent::new(|key| *key) }
    }

    #[inline]
    fn number(&mut self, first: u32, second: u32) -> Result<u32> {
        let Pairs { numbers, pairs, recent } = self;
        recent.or_look_up((u64::from(first) << 32) | u64::from(second), |key| {
            let next =
                u32::try_from(pairs.len()).map_err(|_| exec_datafusion_err!("more groups than can be numbered"))?;
            Ok(*numbers.entry(*key).or_insert_with(|| {
                pairs.push((first, second));
                next
            }))
        })
    }
}

/// The groups of a set of dimensions by period.
pub(super) struct Groups {
    /// Positions of the dimensions among all.
    dimensions: Vec<usize>,
    /// The members of the first two dimensions, those with the third one, and so on.
    members: Vec<Pairs>,
    /// Periods with members.
    groups: Pairs,
}

impl Groups {
    pub fn new(dimensions: &[usize]) -> Self {
        let members = (1..dimensions.len()).map(|_| Pairs::new()).collect();
        Groups { dimensions: dimensions.to_vec(), members, groups: Pairs::new() }
    }

    pub fn len(&self) -> usize {
        self.groups.pairs.len()
    }

    /// The group of a period, as the number of its first day, and of the code of each of all dimensions.
    #[inline]
    pub fn number(&mut self, period: i32, code: impl Fn(usize) -> u32) -> Result<u32> {
        let member = match self.dimensions.as_slice() {
            [] => 0,
            [only] => code(*only),
            [first, others @ ..] => {
                let mut member = code(*first);
                for (pairs, dimension) in self.members.iter_mut().zip(others) {
                    member = pairs.number(member, code(*dimension))?;
                }
                member
            }
        };
        self.groups.number(period.cast_unsigned(), member)
    }

    /// The period of a group.
    pub fn period(&self, group: usize) -> i32 {
        self.groups.pairs[group].0.cast_signed()
    }

    /// The codes of a group, one for each of its own dimensions, at the position of that dimension.
    pub fn codes(&self, group: usize, codes: &mut [u32]) {
        let (_, mut member) = self.groups.pairs[group];
        let Some((first, others)) = self.dimensions.split_first() else { return };
        for (pairs, dimension) in self.members.iter().zip(others).rev() {
            let (before, code) = pairs.pairs[member as usize];
            codes[*dimension] = code;
            member = before;
        }
        codes[*first] = member;
    }

    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        const ENTRY: usize = 40;
        (self.len() + self.members.iter().map(|pairs| pairs.pairs.len()).sum::<usize>()) * ENTRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_and_told_again() {
        let mut groups = Groups::new(&[2, 0, 1]);
        let rows = [(5, [1, 2, 3]), (5, [1, 2, 4]), (-7, [1, 2, 3]), (5, [0, 2, 3]), (5, [1, 2, 3])];
        let numbers: Vec<u32> = rows.iter().map(|(day, codes)| groups.number(*day, |of| codes[of]).unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 0]);
        for (index, (day, codes)) in rows[..4].iter().enumerate() {
            let mut found = [9; 3];
            groups.codes(index, &mut found);
            assert_eq!((groups.period(index), &found), (*day, codes));
        }
        let mut plain = Groups::new(&[]);
        assert_eq!((plain.number(3, |_| 1).unwrap(), plain.number(3, |_| 2).unwrap()), (0, 0));
    }
}
