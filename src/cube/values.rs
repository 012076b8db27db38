//! All values of each group, for measures such as percentiles that need them: one list for each group, brought together in
//! the end.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, downcast_primitive, new_empty_array,
};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::rollup::Parts;

/// The values of one column under one filter.
pub(super) trait Values: Send + Sync {
    /// Notes the values of the rows that the filter lets through.
    fn add(&mut self, values: &ArrayRef, filter: Option<&BooleanArray>, groups: &[usize], count: usize) -> Result<()>;

    /// Takes over the values of another part, whose groups have other names.
    fn adopt(&mut self, other: Box<dyn Values>, groups: &[usize], count: usize) -> Result<()>;

    /// What a function makes of all values of each whole.
    fn evaluate(&self, parts: &Parts, function: &AggregateFunctionExpr) -> Result<ArrayRef>;

    fn size(&self) -> usize;

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any>;
}

/// # Errors
/// Where values of the type cannot be kept.
pub(super) fn values_of(data_type: &DataType) -> Result<Box<dyn Values>> {
    macro_rules! kept {
        ($type:ty) => {
            Ok(Box::new(Kept::<$type> { data_type: data_type.clone(), groups: Vec::new(), size: 0 }))
        };
    }
    downcast_primitive! {
        data_type => (kept),
        _ => exec_err!("values of {data_type} cannot be kept"),
    }
}

/// Whether values of a type can be kept.
pub(super) fn can_be_kept(data_type: &DataType) -> bool {
    data_type.is_primitive()
}

struct Kept<T: ArrowPrimitiveType> {
    data_type: DataType,
    groups: Vec<Vec<T::Native>>,
    /// Bytes behind the lists.
    size: usize,
}

impl<T: ArrowPrimitiveType> Kept<T> {
    #[inline]
    fn push(&mut self, group: usize, value: T::Native) {
        let list = &mut self.groups[group];
        if list.len() == list.capacity() {
            // Half as long again: there are many lists, and what they do not use is lost.
            let more = (list.capacity() / 2).max(8);
            list.reserve_exact(more);
            self.size += more * size_of::<T::Native>();
        }
        list.push(value);
    }
}

impl<T: ArrowPrimitiveType> Values for Kept<T> {
    fn add(&mut self, values: &ArrayRef, filter: Option<&BooleanArray>, groups: &[usize], count: usize) -> Result<()> {
        self.groups.resize_with(count.max(self.groups.len()), Vec::new);
        let values = values.as_primitive::<T>();
        let is_in = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        if values.null_count() == 0 && filter.is_none() {
            values.values().iter().zip(groups).for_each(|(value, group)| self.push(*group, *value));
            return Ok(());
        }
        for (row, (value, group)) in values.iter().zip(groups).enumerate() {
            if let Some(value) = value.filter(|_| is_in(row)) {
                self.push(*group, value);
            }
        }
        Ok(())
    }

    fn adopt(&mut self, other: Box<dyn Values>, groups: &[usize], count: usize) -> Result<()> {
        let Ok(other) = other.into_any().downcast::<Kept<T>>() else {
            return exec_err!("the values of two parts have two types");
        };
        self.groups.resize_with(count.max(self.groups.len()), Vec::new);
        for (values, group) in other.groups.into_iter().zip(groups) {
            let own = &mut self.groups[*group];
            self.size += values.capacity() * size_of::<T::Native>();
            match own.is_empty() {
                true => *own = values,
                false => own.extend(values),
            }
        }
        Ok(())
    }

    fn evaluate(&self, parts: &Parts, function: &AggregateFunctionExpr) -> Result<ArrayRef> {
        let mut results = Vec::with_capacity(parts.count());
        for groups in parts.wholes() {
            let lists = groups.iter().filter_map(|group| self.groups.get(*group as usize));
            let mut together: Vec<T::Native> = Vec::with_capacity(lists.clone().map(Vec::len).sum());
            lists.for_each(|list| together.extend_from_slice(list));
            let together = PrimitiveArray::<T>::new(ScalarBuffer::from(together), None);
            let mut accumulator = function.create_accumulator()?;
            accumulator.update_batch(&[Arc::new(together.with_data_type(self.data_type.clone()))])?;
            results.push(accumulator.evaluate()?);
        }
        match results.is_empty() {
            true => Ok(new_empty_array(function.field().data_type())),
            false => ScalarValue::iter_to_array(results),
        }
    }

    fn size(&self) -> usize {
        self.size + self.groups.capacity() * size_of::<Vec<T::Native>>()
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}
