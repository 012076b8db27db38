//! All values of each group, for measures such as percentiles that need them: kept as they come, brought together at the end.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, downcast_primitive,
};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::compute::{and, filter, is_not_null, prep_null_mask_filter};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::rollup::Parts;

/// The values of one column under one filter.
pub(super) trait Values: Send + Sync {
    /// Notes the values of the rows that the filter lets through.
    fn add(&mut self, values: &ArrayRef, filter: Option<&BooleanArray>, groups: &[usize]) -> Result<()>;

    /// Takes over the values of another part, whose groups have other names.
    fn adopt(&mut self, other: Box<dyn Values>, groups: &[usize]) -> Result<()>;

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
            Ok(Box::new(Kept::<$type> { data_type: data_type.clone(), pieces: Vec::new(), count: 0 }))
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
    pieces: Vec<Piece<T>>,
    count: usize,
}

/// Values and the group of each, as they came together.
struct Piece<T: ArrowPrimitiveType> {
    values: ScalarBuffer<T::Native>,
    groups: Vec<u32>,
}

impl<T: ArrowPrimitiveType> Values for Kept<T> {
    fn add(&mut self, values: &ArrayRef, only: Option<&BooleanArray>, groups: &[usize]) -> Result<()> {
        let is_there = match values.null_count() {
            0 => None,
            _ => Some(is_not_null(values)?),
        };
        let only = only.map(|only| if only.null_count() > 0 { prep_null_mask_filter(only) } else { only.clone() });
        let kept = match (only, is_there) {
            (Some(one), Some(other)) => Some(and(&one, &other)?),
            (one, other) => one.or(other),
        };
        let piece = match kept {
            None => Piece::<T> {
                values: values.as_primitive::<T>().values().clone(),
                groups: groups.iter().map(|group| *group as u32).collect(),
            },
            Some(kept) => Piece::<T> {
                values: filter(values, &kept)?.as_primitive::<T>().values().clone(),
                groups: kept.values().set_indices().map(|row| groups[row] as u32).collect(),
            },
        };
        if !piece.groups.is_empty() {
            self.count += piece.groups.len();
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn adopt(&mut self, other: Box<dyn Values>, groups: &[usize]) -> Result<()> {
        let Ok(other) = other.into_any().downcast::<Kept<T>>() else {
            return exec_err!("the values of two parts have two types");
        };
        self.count += other.count;
        for mut piece in other.pieces {
            piece.groups.iter_mut().for_each(|group| *group = groups[*group as usize] as u32);
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn evaluate(&self, parts: &Parts, function: &AggregateFunctionExpr) -> Result<ArrayRef> {
        // How many values each whole has, then where its next one goes, then where they end.
        let mut ends = vec![0_usize; parts.count()];
        for group in self.pieces.iter().flat_map(|piece| &piece.groups) {
            ends[parts.whole_of(*group as usize)] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            let own = *end;
            *end = sum;
            sum += own;
        }
        let mut together = vec![T::Native::default(); self.count];
        for piece in &self.pieces {
            for (value, group) in piece.values.iter().zip(&piece.groups) {
                let next = &mut ends[parts.whole_of(*group as usize)];
                together[*next] = *value;
                *next += 1;
            }
        }
        let together = PrimitiveArray::<T>::new(ScalarBuffer::from(together), None).with_data_type(self.data_type.clone());
        let mut start = 0;
        let mut results = Vec::with_capacity(ends.len());
        for end in ends {
            let mut accumulator = function.create_accumulator()?;
            let own: ArrayRef = Arc::new(together.slice(start, end - start));
            accumulator.update_batch(&[own])?;
            results.push(accumulator.evaluate()?);
            start = end;
        }
        match results.is_empty() {
            true => Ok(datafusion::arrow::array::new_empty_array(function.field().data_type())),
            false => ScalarValue::iter_to_array(results),
        }
    }

    fn size(&self) -> usize {
        self.count * (size_of::<T::Native>() + size_of::<u32>()) + self.pieces.capacity() * size_of::<Piece<T>>()
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}
