//! The groups of all leaves while rows come, for one part of the rows; and how the tables of two parts become one.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, SchemaRef};
use datafusion::common::{Result, exec_err, internal_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::codes::Codes;
use super::distinct::{Met, Numbers};
use super::exec::Cube;
use super::groups::Groups;
use super::leaves::Leaf;
use super::measures::{Kind, Measure};
use super::rollup::{Finished, Periods, State};
use super::values::{Values, values_of};

/// What one part of the rows comes to.
pub(super) struct Table {
    codes: Vec<Codes>,
    /// The numbers of the values that are counted, by input.
    numbers: Vec<Option<Numbers>>,
    leaves: Vec<LeafTable>,
    // Kept between batches, so that they are not allocated anew.
    row_codes: Vec<Vec<u32>>,
    row_numbers: Vec<Vec<u32>>,
    row_groups: Vec<usize>,
}

struct LeafTable {
    leaf: Leaf,
    groups: Groups,
    accumulators: Vec<(usize, Box<dyn GroupsAccumulator>)>,
    counts: Vec<(usize, Vec<i64>)>,
    met: Vec<(usize, Met)>,
    /// The measures that are made of the same values, and these.
    values: Vec<(Vec<usize>, Box<dyn Values>)>,
}

impl Table {
    pub fn new(cube: &Cube, leaves: &[Leaf], schema: &SchemaRef) -> Result<Table> {
        let types = cube.dimensions.iter().map(|dimension| dimension.data_type(schema));
        let codes: Vec<Codes> = types.map(|data_type| Codes::new(&data_type?)).collect::<Result<_>>()?;
        let inputs = cube.inputs.expressions();
        let input_type = |measure: &Measure| inputs[measure.arguments[0]].data_type(schema);
        let mut numbers: Vec<Option<Numbers>> = inputs.iter().map(|_| None).collect();
        for measure in cube.measures.iter().filter(|measure| measure.kind == Kind::Distinct) {
            numbers[measure.arguments[0]] = Some(Numbers::new(&input_type(measure)?)?);
        }
        let mut tables = Vec::new();
        for leaf in leaves {
            let dimensions: Vec<usize> = leaf.dimensions.iter().copied().collect();
            let mut table = LeafTable {
                leaf: leaf.clone(),
                groups: Groups::new(&dimensions),
                accumulators: Vec::new(),
                counts: Vec::new(),
                met: Vec::new(),
                values: Vec::new(),
            };
            for index in &leaf.measures {
                let measure = &cube.measures[*index];
                match measure.kind {
                    Kind::Aggregate => table.accumulators.push((*index, measure.function.create_groups_accumulator()?)),
                    Kind::Count => table.counts.push((*index, Vec::new())),
                    Kind::Distinct => table.met.push((*index, Met::default())),
                    Kind::Values => {
                        let is_same = |other: &usize| {
                            let other = &cube.measures[*other];
                            other.arguments == measure.arguments && other.filter == measure.filter
                        };
                        match table.values.iter_mut().find(|(measures, _)| measures.iter().any(is_same)) {
                            Some((measures, _)) => measures.push(*index),
                            None => table.values.push((vec![*index], values_of(&input_type(measure)?)?)),
                        }
                    }
                }
            }
            tables.push(table);
        }
        Ok(Table {
            row_codes: codes.iter().map(|_| Vec::new()).collect(),
            row_numbers: numbers.iter().map(|_| Vec::new()).collect(),
            row_groups: Vec::new(),
            codes,
            numbers,
            leaves: tables,
        })
    }

    /// Adds rows to the groups that they belong to.
    pub fn add(&mut self, cube: &Cube, rows: &RecordBatch) -> Result<()> {
        let count = rows.num_rows();
        let days = cast(&cube.day.evaluate(rows)?.into_array(count)?, &DataType::Date32)?;
        if days.null_count() > 0 {
            return exec_err!("a row without a day reached a pass");
        }
        let days = days.as_primitive::<Date32Type>().values();
        for ((codes, dimension), of_rows) in self.codes.iter_mut().zip(&cube.dimensions).zip(&mut self.row_codes) {
            codes.encode(&dimension.evaluate(rows)?.into_array(count)?, of_rows)?;
        }
        let inputs = cube.inputs.evaluate(rows)?;
        for ((numbers, input), of_rows) in self.numbers.iter_mut().zip(&inputs).zip(&mut self.row_numbers) {
            if let Some(numbers) = numbers {
                numbers.number(input, of_rows)?;
            }
        }
        let row_codes = &self.row_codes;
        for table in &mut self.leaves {
            let groups = &mut self.row_groups;
            groups.clear();
            let mut periods = Periods { calendar: &cube.calendar, grain: table.leaf.grain, last: None };
            for (row, day) in days.iter().enumerate() {
                let period = periods.start(*day)?;
                groups.push(table.groups.number(period, |dimension| row_codes[dimension][row])? as usize);
            }
            let known = table.groups.len();
            let mut arguments: Vec<ArrayRef> = Vec::new();
            for (index, accumulator) in &mut table.accumulators {
                let measure = &cube.measures[*index];
                arguments.clear();
                arguments.extend(measure.arguments.iter().map(|argument| inputs[*argument].clone()));
                accumulator.update_batch(&arguments, groups, measure.filter(&inputs), known)?;
            }
            for (index, counts) in &mut table.counts {
                counts.resize(known, 0);
                match cube.measures[*index].counted(&inputs) {
                    None => groups.iter().for_each(|group| counts[*group] += 1),
                    Some(counted) => groups
                        .iter()
                        .zip(&counted)
                        .for_each(|(group, is_counted)| counts[*group] += i64::from(is_counted)),
                }
            }
            for (index, met) in &mut table.met {
                let measure = &cube.measures[*index];
                let input = measure.arguments[0];
                let limit = self.numbers[input].as_ref().map_or(0, Numbers::limit);
                met.add(&self.row_numbers[input], measure.filter(&inputs), groups, known, limit);
            }
            for (measures, values) in &mut table.values {
                let measure = &cube.measures[measures[0]];
                values.add(&inputs[measure.arguments[0]], measure.filter(&inputs), groups, known)?;
            }
        }
        Ok(())
    }

    /// Takes over the groups of another part.
    pub fn adopt(&mut self, cube: &Cube, other: Table) -> Result<()> {
        let mut renamed: Vec<Vec<u32>> = Vec::new();
        for (own, other) in self.codes.iter_mut().zip(&other.codes) {
            let mut codes = Vec::new();
            own.encode(&other.values()?, &mut codes)?;
            renamed.push(codes);
        }
        let mut renumbered = Vec::new();
        for (own, other) in self.numbers.iter_mut().zip(&other.numbers) {
            renumbered.push(match (own, other) {
                (Some(own), Some(other)) => Some(own.adopt(other)?),
                _ => None,
            });
        }
        let mut codes = vec![0; self.codes.len()];
        for (own, other) in self.leaves.iter_mut().zip(other.leaves) {
            let mut groups = Vec::with_capacity(other.groups.len());
            for group in 0..other.groups.len() {
                other.groups.codes(group, &mut codes);
                let period = other.groups.period(group);
                let code = |dimension: usize| renamed[dimension][codes[dimension] as usize];
                groups.push(own.groups.number(period, code)? as usize);
            }
            let known = own.groups.len();
            for ((_, own), (_, mut other)) in own.accumulators.iter_mut().zip(other.accumulators) {
                own.merge_batch(&other.state(EmitTo::All)?, &groups, known)?;
            }
            for ((_, own), (_, other)) in own.counts.iter_mut().zip(other.counts) {
                own.resize(known, 0);
                other.into_iter().zip(&groups).for_each(|(count, group)| own[*group] += count);
            }
            for ((index, own), (_, other)) in own.met.iter_mut().zip(other.met) {
                let input = cube.measures[*index].arguments[0];
                let numbers = renumbered[input].as_ref().zip(self.numbers[input].as_ref());
                let (numbers, all) =
                    numbers.ok_or_else(|| internal_datafusion_err!("a distinct count without numbers"))?;
                own.adopt(other, &groups, numbers, known, all.limit());
            }
            for ((_, own), (_, other)) in own.values.iter_mut().zip(other.values) {
                own.adopt(other, &groups, known)?;
            }
        }
        Ok(())
    }

    /// The members of each dimension, and the leaves.
    pub fn finish(self) -> Result<(Vec<ArrayRef>, Vec<Finished>)> {
        let members = self.codes.iter().map(Codes::values).collect::<Result<_>>()?;
        let mut leaves = Vec::new();
        for table in self.leaves {
            let mut states = Vec::new();
            for (measure, mut accumulator) in table.accumulators {
                states.push((measure, State::Aggregate(accumulator.state(EmitTo::All)?)));
            }
            states.extend(table.counts.into_iter().map(|(measure, counts)| (measure, State::Count(counts))));
            states.extend(table.met.into_iter().map(|(measure, met)| (measure, State::Distinct(met))));
            let mut values = Vec::new();
            for (measures, own) in table.values {
                states.extend(measures.into_iter().map(|measure| (measure, State::Values(values.len()))));
                values.push(own);
            }
            leaves.push(Finished { groups: table.groups, cells: table.leaf.cells, states, values });
        }
        Ok((members, leaves))
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.leaves.iter().map(|leaf| leaf.groups.len()).sum()
    }

    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        let codes: usize = self.codes.iter().map(Codes::size).sum();
        let numbers: usize = self.numbers.iter().flatten().map(Numbers::size).sum();
        let leaf = |leaf: &LeafTable| {
            leaf.groups.size()
                + leaf.accumulators.iter().map(|(_, accumulator)| accumulator.size()).sum::<usize>()
                + leaf.counts.iter().map(|(_, counts)| counts.capacity() * size_of::<i64>()).sum::<usize>()
                + leaf.met.iter().map(|(_, met)| met.size()).sum::<usize>()
                + leaf.values.iter().map(|(_, values)| values.size()).sum::<usize>()
        };
        codes + numbers + self.leaves.iter().map(leaf).sum::<usize>()
    }
}
