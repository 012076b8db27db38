//! Which sets are grouped row by row, so that every cell asked can be rolled up from one of them.
//!
//! Few fine sets cost little for each row and much for each group, many coarse ones the other way round. The choice weighs
//! both by the numbers of members that the data seems to have; it changes what a pass costs, never what it gives.

use std::collections::BTreeSet;

use crate::time::Grain;

/// A grain and a set of dimensions for which groups are wanted, with the measures wanted there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    pub grain: Grain,
    /// Positions among the dimensions.
    pub dimensions: BTreeSet<usize>,
    /// Positions among the measures.
    pub measures: BTreeSet<usize>,
}

/// What is grouped row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub grain: Grain,
    pub dimensions: BTreeSet<usize>,
    pub measures: BTreeSet<usize>,
    /// Positions of the cells that are rolled up from it.
    pub cells: Vec<usize>,
}

/// What the data seems to be like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Estimate {
    pub rows: f64,
    /// How many days have rows.
    pub days: f64,
    /// How many members each dimension has.
    pub members: Vec<f64>,
}

// Nanoseconds, as measured on two million to thirty million rows; only their ratios matter.
const ROW: f64 = 3.0;
const ROW_AND_DIMENSION: f64 = 2.0;
const ROW_AND_MEASURE: f64 = 1.5;
const GROUP: f64 = 60.0;
const GROUP_AND_CELL: f64 = 25.0;
const GROUP_AND_MEASURE: f64 = 8.0;

impl Estimate {
    fn groups(&self, grain: Grain, dimensions: &BTreeSet<usize>) -> f64 {
        let periods = match grain {
            Grain::Day => self.days,
            Grain::Week => self.days / 7.0,
            Grain::Month => self.days / 30.0,
            Grain::Quarter => self.days / 91.0,
            Grain::Year => self.days / 365.0,
        };
        let all = periods.max(1.0) * dimensions.iter().map(|dimension| self.members[*dimension]).product::<f64>();
        all.min(self.rows)
    }

    fn cost(&self, leaf: &Leaf) -> f64 {
        let groups = self.groups(leaf.grain, &leaf.dimensions);
        let measures = leaf.measures.len() as f64;
        let cells = leaf.cells.len() as f64;
        let row = ROW + ROW_AND_DIMENSION * leaf.dimensions.len() as f64 + ROW_AND_MEASURE * measures;
        let group =
            GROUP + GROUP_AND_MEASURE * measures + (GROUP_AND_CELL + GROUP_AND_MEASURE * measures / 2.0) * cells;
        self.rows * row + groups * group
    }

    /// What is gained where two leaves become one.
    fn gain(&self, one: &Leaf, other: &Leaf) -> f64 {
        self.cost(one) + self.cost(other) - self.cost(&together(one, other))
    }
}

impl Leaf {
    /// Whether another one can be rolled up from this one.
    fn covers(&self, other: &Leaf) -> bool {
        other.dimensions.is_subset(&self.dimensions) && common(self.grain, other.grain) == self.grain
    }
}

/// The sets from which all cells can be rolled up.
pub(super) fn leaves(cells: &[Cell], estimate: &Estimate) -> Vec<Leaf> {
    let mut own: Vec<Leaf> = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let Cell { grain, dimensions, measures } = cell.clone();
        own.push(Leaf { grain, dimensions, measures, cells: vec![index] });
    }
    // Fine ones first: most of what follows is a part of one of them, and cheaper so.
    own.sort_by_key(|leaf| (std::cmp::Reverse(leaf.dimensions.len()), leaf.grain));
    let mut leaves: Vec<Leaf> = Vec::new();
    for leaf in own {
        let finer = leaves.iter_mut().filter(|finer| finer.covers(&leaf));
        let gains = finer.map(|finer| (estimate.gain(finer, &leaf), finer));
        match gains.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
            Some((gain, finer)) if gain > 0.0 => *finer = together(finer, &leaf),
            _ => leaves.push(leaf),
        }
    }
    // The two that gain most become one, until nothing is gained.
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for one in 0..leaves.len() {
            for other in one + 1..leaves.len() {
                let gain = estimate.gain(&leaves[one], &leaves[other]);
                if gain > best.map_or(0.0, |(gain, _, _)| gain) {
                    best = Some((gain, one, other));
                }
            }
        }
        let Some((_, one, other)) = best else { break };
        let other = leaves.remove(other);
        leaves[one] = together(&leaves[one], &other);
    }
    leaves
}

/// The coarsest set from which both can be rolled up.
fn together(one: &Leaf, other: &Leaf) -> Leaf {
    Leaf {
        grain: common(one.grain, other.grain),
        dimensions: one.dimensions.union(&other.dimensions).copied().collect(),
        measures: one.measures.union(&other.measures).copied().collect(),
        cells: one.cells.iter().chain(&other.cells).copied().collect(),
    }
}

/// The coarsest grain whose periods lie inside those of both.
fn common(one: Grain, other: Grain) -> Grain {
    match (one, other) {
        (one, other) if one == other => one,
        // A week may lie in two months.
        (Grain::Week, _) | (_, Grain::Week) => Grain::Day,
        (one, other) => one.min(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(grain: Grain, dimensions: &[usize]) -> Cell {
        Cell { grain, dimensions: dimensions.iter().copied().collect(), measures: BTreeSet::from([0, 1, 2]) }
    }

    /// Each leaf as its grain and dimensions, in order.
    fn chosen(cells: &[Cell], rows: f64, days: f64, members: &[f64]) -> Vec<(Grain, Vec<usize>)> {
        let leaves = leaves(cells, &Estimate { rows, days, members: members.to_vec() });
        let mut covered: Vec<usize> = leaves.iter().flat_map(|leaf| leaf.cells.clone()).collect();
        covered.sort_unstable();
        assert_eq!(covered, (0..cells.len()).collect::<Vec<_>>(), "each cell has one leaf");
        for leaf in &leaves {
            for index in &leaf.cells {
                assert!(cells[*index].dimensions.is_subset(&leaf.dimensions));
                assert!(cells[*index].measures.is_subset(&leaf.measures));
                assert_eq!(common(cells[*index].grain, leaf.grain), leaf.grain, "rolled up from whole periods");
            }
        }
        let mut chosen: Vec<_> =
            leaves.into_iter().map(|leaf| (leaf.grain, leaf.dimensions.into_iter().collect())).collect();
        chosen.sort();
        chosen
    }

    #[test]
    fn what_is_part_of_a_small_set_is_rolled_up_from_it() {
        let cells =
            [cell(Grain::Day, &[]), cell(Grain::Month, &[0]), cell(Grain::Week, &[0, 1]), cell(Grain::Year, &[1])];
        assert_eq!(chosen(&cells, 1e7, 1000.0, &[8.0, 20.0]), [(Grain::Day, vec![0, 1])]);
    }

    #[test]
    fn sets_that_would_be_large_together_stay_apart() {
        let cells = [cell(Grain::Day, &[0, 1]), cell(Grain::Day, &[0, 2]), cell(Grain::Month, &[2])];
        let members = [8.0, 20.0, 50.0];
        assert_eq!(chosen(&cells, 3e7, 1096.0, &members), [(Grain::Day, vec![0, 1]), (Grain::Day, vec![0, 2])]);
        // With few members one set of all three is cheaper than looking at each row twice.
        assert_eq!(chosen(&cells, 3e7, 1096.0, &[2.0, 3.0, 5.0]), [(Grain::Day, vec![0, 1, 2])]);
    }

    #[test]
    fn a_dimension_with_very_many_members_stays_coarse() {
        let cells = [cell(Grain::Day, &[0]), cell(Grain::Month, &[1]), cell(Grain::Year, &[1])];
        let found = chosen(&cells, 3e7, 1096.0, &[8.0, 1e6]);
        assert_eq!(found, [(Grain::Day, vec![0]), (Grain::Month, vec![1]), (Grain::Year, vec![1])]);
    }

    #[test]
    fn months_are_enough_where_nothing_is_finer() {
        let cells = [cell(Grain::Month, &[0]), cell(Grain::Quarter, &[]), cell(Grain::Year, &[0])];
        assert_eq!(chosen(&cells, 1e6, 700.0, &[10.0]), [(Grain::Month, vec![0])]);
        // Weeks lie in no month.
        let cells = [cell(Grain::Month, &[0]), cell(Grain::Week, &[0])];
        assert_eq!(chosen(&cells, 1e6, 700.0, &[10.0]), [(Grain::Day, vec![0])]);
    }
}
