//! Exact distinct counts: which values each group has met, as lists of small numbers.
//!
//! A list only grows until it has doubled, then what it has twice is taken out, so that a group never holds much more than
//! its different values, or one bit for each value known where that is less. Counting a whole of several groups marks their
//! numbers in one row of bits, which costs about a nanosecond each; no hashing is done here.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

use super::codes::{Codes, NULL, is_integer};
use super::rollup::Parts;

/// The number of a row without a value.
const NOTHING: u32 = u32::MAX;

/// Whole numbers from 0 up to this are their own numbers, as the keys of most systems are.
const OWN: i64 = 1 << 26;

/// Values of one column as numbers that fit marks in a row of bits.
pub(super) struct Numbers {
    is_integer: bool,
    /// Of all values, or of those whole numbers that are not their own.
    codes: Codes,
    /// The greatest number given, and one more.
    limit: usize,
}

impl Numbers {
    pub fn new(data_type: &DataType) -> Result<Numbers> {
        let is_integer = is_integer(data_type);
        let coded = if is_integer { &DataType::Int64 } else { data_type };
        Ok(Numbers { is_integer, codes: Codes::new(coded)?, limit: 0 })
    }

    /// The number of each row, in the place of what `numbers` holds.
    pub fn number(&mut self, array: &ArrayRef, numbers: &mut Vec<u32>) -> Result<()> {
        if !self.is_integer {
            self.codes.encode(array, numbers)?;
            numbers.iter_mut().for_each(|number| *number = if *number == NULL { NOTHING } else { *number - 1 });
            self.limit = self.limit.max(self.codes.len() - 1);
            return Ok(());
        }
        let array = cast(array, &DataType::Int64)?;
        let array: &Int64Array = array.as_primitive::<Int64Type>();
        let mut largest = -1;
        let mut is_own = true;
        for value in array.values() {
            is_own &= (0..OWN).contains(value);
            largest = largest.max(*value);
        }
        numbers.clear();
        if is_own && array.null_count() == 0 {
            numbers.extend(array.values().iter().map(|value| *value as u32));
            self.limit = self.limit.max(usize::try_from(largest + 1).unwrap_or(0));
            return Ok(());
        }
        let mut codes = Vec::new();
        let others = array.iter().map(|value| value.filter(|value| !(0..OWN).contains(value)));
        let others: ArrayRef = Arc::new(others.collect::<Int64Array>());
        self.codes.encode(&others, &mut codes)?;
        for (value, code) in array.iter().zip(codes) {
            let number = match value {
                None => NOTHING,
                Some(value) if (0..OWN).contains(&value) => value as u32,
                Some(_) => OWN as u32 + code - 1,
            };
            numbers.push(number);
            if number != NOTHING {
                self.limit = self.limit.max(number as usize + 1);
            }
        }
        Ok(())
    }

    /// How the numbers of another part are called here: those that are values themselves stay, the others follow a list.
    pub fn adopt(&mut self, other: &Numbers) -> Result<Renumbered> {
        let first = if self.is_integer { OWN as u32 } else { 0 };
        let mut codes = Vec::new();
        self.codes.encode(&other.codes.values()?, &mut codes)?;
        let numbers: Vec<u32> = codes.into_iter().skip(1).map(|code| first + code - 1).collect();
        self.limit = numbers.iter().map(|number| *number as usize + 1).fold(self.limit, usize::max);
        if self.is_integer {
            self.limit = self.limit.max(other.limit.min(OWN as usize));
        }
        Ok(Renumbered { first, numbers })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn size(&self) -> usize {
        self.codes.size()
    }
}

/// Numbers of one part as another part has them.
pub(super) struct Renumbered {
    first: u32,
    numbers: Vec<u32>,
}

impl Renumbered {
    fn is_same(&self) -> bool {
        self.numbers.iter().zip(self.first..).all(|(number, same)| *number == same)
    }

    fn of(&self, number: u32) -> u32 {
        match number.checked_sub(self.first) {
            Some(index) => self.numbers[index as usize],
            None => number,
        }
    }
}

/// What each group has met.
#[derive(Default)]
pub(super) struct Met {
    groups: Vec<Numbered>,
    bits: Bits,
    /// Bytes behind the lists.
    size: usize,
}

enum Numbered {
    /// Some of them perhaps twice.
    Few(Vec<u32>),
    Many(Vec<u64>),
}

impl Default for Numbered {
    fn default() -> Self {
        Numbered::Few(Vec::new())
    }
}

/// A list that is shorter is not looked through: so few numbers are seldom there twice, and cost little if they are.
const SHORT: usize = 1024;

impl Met {
    /// Notes the rows that the filter lets through.
    pub fn add(
        &mut self,
        numbers: &[u32],
        filter: Option<&BooleanArray>,
        groups: &[usize],
        count: usize,
        limit: usize,
    ) {
        self.groups.resize_with(count.max(self.groups.len()), Numbered::default);
        let is_in = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        for (row, (number, group)) in numbers.iter().zip(groups).enumerate() {
            if *number == NOTHING || !is_in(row) {
                continue;
            }
            match &mut self.groups[*group] {
                Numbered::Few(list) if list.len() < list.capacity() => list.push(*number),
                Numbered::Few(_) => self.make_room(*group, *number, limit),
                Numbered::Many(words) => set(words, *number),
            }
        }
    }

    /// Adds a number to a list that is full.
    fn make_room(&mut self, group: usize, number: u32, limit: usize) {
        let Numbered::Few(list) = &mut self.groups[group] else { return };
        let before = list.capacity() * size_of::<u32>();
        if list.len() >= SHORT {
            self.bits.take_out_repeated(list, limit);
        }
        if list.len() * 32 > limit.max(SHORT * 32) {
            let mut words = vec![0; limit.div_ceil(64)];
            list.iter().chain([&number]).for_each(|number| set(&mut words, *number));
            self.size = self.size + words.len() * size_of::<u64>() - before;
            self.groups[group] = Numbered::Many(words);
            return;
        }
        // Half as long again; where much was taken out, it is long enough.
        if list.len() * 3 > list.capacity() * 2 {
            list.reserve_exact((list.capacity() / 2).max(8));
        }
        list.push(number);
        self.size = self.size + list.capacity() * size_of::<u32>() - before;
    }

    /// Takes over what another part has met, whose groups and numbers have other names.
    pub fn adopt(&mut self, other: Met, groups: &[usize], numbers: &Renumbered, count: usize, limit: usize) {
        self.groups.resize_with(count.max(self.groups.len()), Numbered::default);
        let is_same = numbers.is_same();
        for (met, group) in other.groups.into_iter().zip(groups) {
            let is_new = matches!(&self.groups[*group], Numbered::Few(list) if list.is_empty());
            if is_new && is_same {
                self.size += met.size();
                self.groups[*group] = met;
                continue;
            }
            let mut found = Vec::new();
            met.each(|number| found.push(numbers.of(number)));
            let same = vec![*group; found.len()];
            self.add(&found, None, &same, count, limit);
        }
    }

    /// How many different values each whole has.
    pub fn count(&self, parts: &Parts, bits: &mut Bits) -> Vec<i64> {
        parts
            .wholes()
            .map(|groups| bits.count(groups.iter().filter_map(|group| self.groups.get(*group as usize))))
            .collect()
    }

    pub fn size(&self) -> usize {
        self.size + self.groups.capacity() * size_of::<Numbered>() + self.bits.words.capacity() * size_of::<u64>()
    }
}

impl Numbered {
    fn each(&self, mut note: impl FnMut(u32)) {
        match self {
            Numbered::Few(list) => list.iter().for_each(|number| note(*number)),
            Numbered::Many(words) => {
                for (index, word) in words.iter().enumerate() {
                    let mut left = *word;
                    while left != 0 {
                        note(index as u32 * 64 + left.trailing_zeros());
                        left &= left - 1;
                    }
                }
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Numbered::Few(list) => list.capacity() * size_of::<u32>(),
            Numbered::Many(words) => words.capacity() * size_of::<u64>(),
        }
    }
}

fn set(words: &mut Vec<u64>, number: u32) {
    let word = number as usize / 64;
    if word >= words.len() {
        words.resize((word + 1).max(words.len() + words.len() / 2), 0);
    }
    words[word] |= 1 << (number % 64);
}

/// A row of bits in which numbers are marked, and wiped again.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Marks a number, and says whether it was not marked yet.
    #[inline]
    fn mark(&mut self, number: u32) -> bool {
        let word = number as usize / 64;
        if word >= self.words.len() {
            self.words.resize((word + 1).next_power_of_two(), 0);
        }
        let bit = 1 << (number % 64);
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    fn take_out_repeated(&mut self, list: &mut Vec<u32>, limit: usize) {
        // Bits that do not fit into the processor's own memory are slower than sorting.
        const NEAR: usize = 1 << 23;
        if limit > NEAR && list.len() * 1024 < limit {
            list.sort_unstable();
            list.dedup();
            return;
        }
        list.retain(|number| self.mark(*number));
        list.iter().for_each(|number| self.words[*number as usize / 64] = 0);
    }

    fn count<'a>(&mut self, groups: impl Iterator<Item = &'a Numbered> + Clone) -> i64 {
        let mut count = 0_i64;
        for group in groups.clone() {
            match group {
                Numbered::Few(list) => list.iter().for_each(|number| count += i64::from(self.mark(*number))),
                Numbered::Many(words) => {
                    if self.words.len() < words.len() {
                        self.words.resize(words.len().next_power_of_two(), 0);
                    }
                    for (marked, word) in self.words.iter_mut().zip(words) {
                        count += i64::from((*word & !*marked).count_ones());
                        *marked |= *word;
                    }
                }
            }
        }
        for group in groups {
            match group {
                Numbered::Few(list) => list.iter().for_each(|number| self.words[*number as usize / 64] = 0),
                Numbered::Many(words) => self.words[..words.len()].fill(0),
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::arrow::array::StringArray;

    use super::*;

    /// Numbers that look random and are the same each time.
    fn random(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    /// Two parts, each with values and groups of its own, counted for wholes of two groups, against plain sets.
    fn counts_as_sets_do(array_of: impl Fn(&[i64]) -> ArrayRef, range: i64, rows: usize) {
        let mut seed = 42;
        let mut expected: Vec<BTreeSet<i64>> = vec![BTreeSet::new(); 6];
        let mut parts = Vec::new();
        for _ in 0..2 {
            let mut numbers = Numbers::new(array_of(&[]).data_type()).unwrap();
            let mut met = Met::default();
            for _ in 0..rows / 1000 {
                let values: Vec<i64> = (0..1000).map(|_| (random(&mut seed) % range as u64) as i64 - 5).collect();
                // Group 0 takes half of all rows.
                let groups: Vec<usize> =
                    (0..1000).map(|_| (random(&mut seed) % 12).saturating_sub(6) as usize).collect();
                for (value, group) in values.iter().zip(&groups) {
                    expected[*group].insert(*value);
                }
                let mut found = Vec::new();
                numbers.number(&array_of(&values), &mut found).unwrap();
                met.add(&found, None, &groups, 6, numbers.limit());
            }
            parts.push((numbers, met));
        }
        let (other_numbers, other_met) = parts.pop().unwrap();
        let (mut numbers, mut met) = parts.pop().unwrap();
        let renumbered = numbers.adopt(&other_numbers).unwrap();
        met.adopt(other_met, &[0, 1, 2, 3, 4, 5], &renumbered, 6, numbers.limit());
        let mut bits = Bits::default();
        for wholes in [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]] {
            let count = wholes.iter().max().unwrap() + 1;
            let parts = Parts::new(&wholes, count);
            let sets = (0..count).map(|whole| {
                let members = wholes.iter().zip(&expected).filter(|(of, _)| **of == whole);
                members.flat_map(|(_, set)| set).collect::<BTreeSet<_>>().len() as i64
            });
            assert_eq!(met.count(&parts, &mut bits), sets.collect::<Vec<_>>());
        }
    }

    #[test]
    fn whole_numbers_small_large_and_negative() {
        let plain = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        counts_as_sets_do(plain, 300, 40_000);
        counts_as_sets_do(plain, 100_000, 40_000);
        counts_as_sets_do(
            |values| plain(&values.iter().map(|value| value * 1_000_003).collect::<Vec<_>>()),
            5_000,
            40_000,
        );
    }

    #[test]
    fn texts() {
        let text = |values: &[i64]| {
            Arc::new(StringArray::from_iter_values(values.iter().map(|value| format!("account {value}")))) as ArrayRef
        };
        counts_as_sets_do(text, 3_000, 40_000);
    }

    #[test]
    fn nothing_and_what_is_filtered_out_does_not_count() {
        let mut numbers = Numbers::new(&DataType::Int64).unwrap();
        let mut met = Met::default();
        let mut found = Vec::new();
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(2), Some(3), Some(1)]));
        numbers.number(&values, &mut found).unwrap();
        let filter = BooleanArray::from(vec![Some(true), Some(true), Some(false), None, Some(true)]);
        met.add(&found, Some(&filter), &[0, 0, 0, 0, 1], 3, numbers.limit());
        let all = Parts::new(&[0, 0, 1], 2);
        assert_eq!(met.count(&all, &mut Bits::default()), [1, 0]);
    }
}
