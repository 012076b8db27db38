//! Values as small numbers: each value of a column gets a code, in the order in which values are first met.
//!
//! Grouping by codes costs a look into an array where grouping by values costs a hash. Nothing is forgotten here, so the
//! memory grows with the number of different values.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_datafusion_err, exec_err};

/// The code of NULL.
pub(super) const NULL: u32 = 0;

/// The codes of one column's values.
pub(super) struct Codes {
    data_type: DataType,
    known: Known,
}

enum Known {
    Integers { codes: HashMap<i64, u32, RandomState>, values: Vec<i64>, recent: Recent<i64> },
    Texts { codes: HashMap<Box<[u8]>, u32, RandomState>, values: Vec<Box<[u8]>>, recent: Recent<u128>, bytes: usize },
    Rows { converter: Box<RowConverter>, codes: HashMap<OwnedRow, u32, RandomState>, values: Vec<OwnedRow> },
}

impl Codes {
    /// # Errors
    /// Where values of the type cannot be told apart.
    pub fn new(data_type: &DataType) -> Result<Codes> {
        let known = match values_type(data_type) {
            inner if is_told_by_integers(inner) => Known::Integers {
                codes: HashMap::default(),
                values: Vec::new(),
                recent: Recent::new(|value: &i64| *value as u64),
            },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Known::Texts {
                codes: HashMap::default(),
                values: Vec::new(),
                recent: Recent::new(|view: &u128| (*view as u64) ^ (*view >> 64) as u64),
                bytes: 0,
            },
            other => {
                let converter = Box::new(RowConverter::new(vec![SortField::new(other.clone())])?);
                Known::Rows { converter, codes: HashMap::default(), values: Vec::new() }
            }
        };
        Ok(Codes { data_type: data_type.clone(), known })
    }

    /// The code of each row of an array, in the place of what `codes` holds.
    pub fn encode(&mut self, array: &ArrayRef, codes: &mut Vec<u32>) -> Result<()> {
        codes.clear();
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let mut of_values = Vec::new();
            self.encode(dictionary.values(), &mut of_values)?;
            let keys = dictionary.normalized_keys();
            let is_null = |row: usize| array.is_null(row);
            codes.extend(keys.into_iter().enumerate().map(|(row, key)| match is_null(row) || of_values.is_empty() {
                true => NULL,
                false => of_values[key],
            }));
            return Ok(());
        }
        match &mut self.known {
            Known::Integers { codes: known, values, recent } => {
                let array = cast(array, &DataType::Int64)?;
                let array: &Int64Array = array.as_primitive::<Int64Type>();
                let mut code = |value: i64| {
                    recent.or_look_up(value, |value| {
                        next_code(values.len()).map(|next| {
                            *known.entry(*value).or_insert_with(|| {
                                values.push(*value);
                                next
                            })
                        })
                    })
                };
                for row in 0..array.len() {
                    codes.push(if array.is_null(row) { NULL } else { code(array.value(row))? });
                }
            }
            Known::Texts { codes: known, values, recent, bytes } => {
                let array = cast(array, &DataType::Utf8View)?;
                let array: &StringViewArray = array.as_string_view();
                let mut look_up = |text: &[u8]| -> Result<u32> {
                    if let Some(code) = known.get(text) {
                        return Ok(*code);
                    }
                    let next = next_code(values.len())?;
                    known.insert(text.into(), next);
                    values.push(text.into());
                    *bytes += text.len();
                    Ok(next)
                };
                // A text of up to 12 bytes stands in its view, which tells it from all others.
                const INLINE: u32 = 12;
                for (row, view) in array.views().iter().enumerate() {
                    codes.push(match () {
                        () if array.is_null(row) => NULL,
                        () if (*view as u32) <= INLINE => {
                            recent.or_look_up(*view, |_| look_up(array.value(row).as_bytes()))?
                        }
                        () => look_up(array.value(row).as_bytes())?,
                    });
                }
            }
            Known::Rows { converter, codes: known, values } => {
                let rows = converter.convert_columns(std::slice::from_ref(array))?;
                for (index, row) in rows.iter().enumerate() {
                    if array.is_null(index) {
                        codes.push(NULL);
                        continue;
                    }
                    let row = row.owned();
                    let code = match known.get(&row) {
                        Some(code) => *code,
                        None => {
                            let next = next_code(values.len())?;
                            known.insert(row.clone(), next);
                            values.push(row);
                            next
                        }
                    };
                    codes.push(code);
                }
            }
        }
        Ok(())
    }

    /// How many codes there are, that of NULL included.
    pub fn len(&self) -> usize {
        1 + match &self.known {
            Known::Integers { values, .. } => values.len(),
            Known::Texts { values, .. } => values.len(),
            Known::Rows { values, .. } => values.len(),
        }
    }

    /// The value of each code, in the type of the column without dictionaries.
    pub fn values(&self) -> Result<ArrayRef> {
        let target = values_type(&self.data_type);
        Ok(match &self.known {
            Known::Integers { values, .. } => {
                let all = Int64Array::from_iter([None].into_iter().chain(values.iter().copied().map(Some)));
                let all: ArrayRef = Arc::new(all);
                // Days are counted in 32 bits, and only numbers of that size are cast to them.
                let all = if *target == DataType::Date32 { cast(&all, &DataType::Int32)? } else { all };
                cast(&all, target)?
            }
            Known::Texts { values, bytes, .. } => {
                let mut builder = BinaryBuilder::with_capacity(values.len() + 1, *bytes);
                builder.append_null();
                values.iter().for_each(|value| builder.append_value(value));
                cast(&cast(&builder.finish(), &DataType::Utf8)?, target)?
            }
            Known::Rows { converter, values, .. } => {
                let null = datafusion::arrow::array::new_null_array(target, 1);
                let own = converter.convert_rows(values.iter().map(OwnedRow::row))?;
                let own = own.first().ok_or_else(|| exec_datafusion_err!("a row without a column"))?;
                datafusion::arrow::compute::concat(&[null.as_ref(), own.as_ref()])?
            }
        })
    }

    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        // An entry of a map and one of a list.
        const ENTRY: usize = 64;
        match &self.known {
            Known::Integers { values, .. } => values.len() * ENTRY,
            Known::Texts { values, bytes, .. } => values.len() * ENTRY * 2 + bytes * 2,
            Known::Rows { values, .. } => values.iter().map(|row| row.as_ref().len() * 2 + ENTRY * 2).sum(),
        }
    }
}

/// The type of a column's values, where a dictionary may hold them.
fn values_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values_type(values),
        other => other,
    }
}

/// Whether a type's values are whole numbers that 64 bits with a sign hold.
pub(super) fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer() && *data_type != DataType::UInt64
}

/// Whether a cast to such numbers tells a type's values apart.
fn is_told_by_integers(data_type: &DataType) -> bool {
    is_integer(data_type) || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(_, _))
}

fn next_code(known: usize) -> Result<u32> {
    match u32::try_from(known + 1) {
        // The last one marks what has none.
        Ok(code) if code < u32::MAX => Ok(code),
        _ => exec_err!("a column has more than {} different values", u32::MAX - 2),
    }
}

/// The codes of keys met lately, each in the one place that its hash names: most rows repeat what came before.
pub(super) struct Recent<K> {
    places: Vec<Option<(K, u32)>>,
    hash: fn(&K) -> u64,
}

impl<K: Eq + Copy> Recent<K> {
    const PLACES: usize = 4096;

    pub fn new(hash: fn(&K) -> u64) -> Self {
        Recent { places: vec![None; Self::PLACES], hash }
    }

    #[inline]
    pub fn or_look_up(&mut self, key: K, look_up: impl FnOnce(&K) -> Result<u32>) -> Result<u32> {
        // The golden ratio spreads keys that differ in their last bits only.
        let place = ((self.hash)(&key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize;
        match self.places[place] {
            Some((known, code)) if known == key => Ok(code),
            _ => {
                let code = look_up(&key)?;
                self.places[place] = Some((key, code));
                Ok(code)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, StringArray,
    };
    use datafusion::arrow::datatypes::Int32Type;

    fn round_trip(array: ArrayRef, expected: &[u32]) {
        let mut codes = Codes::new(array.data_type()).unwrap();
        let mut found = Vec::new();
        // Twice, so that what is known is met again.
        codes.encode(&array, &mut found).unwrap();
        codes.encode(&array, &mut found).unwrap();
        assert_eq!(found, expected, "{}", array.data_type());
        let values = codes.values().unwrap();
        let indices = datafusion::arrow::array::UInt32Array::from(found);
        let again = datafusion::arrow::compute::take(&values, &indices, None).unwrap();
        let plain = cast(&array, values.data_type()).unwrap();
        assert_eq!(&again, &plain);
    }

    #[test]
    fn what_was_encoded_comes_back() {
        let long = "a text that is longer than a view";
        round_trip(
            Arc::new(StringArray::from(vec![Some("b"), None, Some(""), Some(long), Some("b")])),
            &[1, 0, 2, 3, 1],
        );
        round_trip(Arc::new(StringViewArray::from(vec![Some(long), Some("x"), Some(long), None])), &[1, 2, 1, 0]);
        round_trip(Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(7), None, Some(7)])), &[1, 2, 0, 2]);
        round_trip(Arc::new(Date32Array::from(vec![Some(20_000), Some(-1), None])), &[1, 2, 0]);
        round_trip(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), &[1, 0, 2]);
        round_trip(Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None, Some(0.5)])), &[1, 2, 0, 1]);
        let decimals = Decimal128Array::from(vec![Some(1), Some(i128::MAX / 10), None]).with_precision_and_scale(38, 2);
        round_trip(Arc::new(decimals.unwrap()), &[1, 2, 0]);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
        round_trip(Arc::new(dictionary), &[1, 0, 2, 1]);
    }
}
