//! Exact percentiles as aggregate functions: `median`, `percentile_cont` and `percentile_disc`.
//!
//! They stand in the place of DataFusion's functions of the same names: its median of integers is an integer, its
//! `percentile_cont` differs in the seventh digit, and it has no `percentile_disc`. All values of a group are kept in
//! memory until it ends, and the memory pool knows of them; nothing is approximated here.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::mem::size_of_val;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray, RecordBatch,
    downcast_primitive,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema, ToByteSlice};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility};

/// `median(x)`: the value in the middle, or halfway between the two there; a double.
pub fn median() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| function(Kind::Median));
    FUNCTION.clone()
}

/// `percentile_cont(p) WITHIN GROUP (ORDER BY x)`: the value below which a part `p` of the values lies, on the straight
/// line between two of them where need be; a double.
pub fn percentile_cont() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| function(Kind::Cont));
    FUNCTION.clone()
}

/// `percentile_disc(p) WITHIN GROUP (ORDER BY x)`: the first value, in the order given, up to which a part `p` of the
/// values lies; of the type of the values.
pub fn percentile_disc() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| function(Kind::Disc));
    FUNCTION.clone()
}

fn function(kind: Kind) -> Arc<AggregateUDF> {
    let aliases = match kind {
        // DataFusion's second name for its own one.
        Kind::Cont => vec!["quantile_cont".to_owned()],
        Kind::Median | Kind::Disc => vec![],
    };
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(AggregateUDF::from(PercentileFunction { kind, signature, aliases }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Median,
    Cont,
    Disc,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileFunction {
    kind: Kind,
    signature: Signature,
    aliases: Vec<String>,
}

impl PercentileFunction {
    /// The type in which values are kept.
    fn kept_type(&self, values: &DataType) -> DataType {
        match (self.kind, values) {
            (Kind::Median | Kind::Cont, _) | (Kind::Disc, DataType::Null) => DataType::Float64,
            (Kind::Disc, other) => other.clone(),
        }
    }
}

impl AggregateUDFImpl for PercentileFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Median => "median",
            Kind::Cont => "percentile_cont",
            Kind::Disc => "percentile_disc",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let name = self.name();
        let values = match (self.kind, types) {
            (Kind::Median, [values]) => values,
            (Kind::Median, _) => return plan_err!("`median` takes one expression"),
            (Kind::Cont | Kind::Disc, [values, percentile]) if percentile.is_numeric() || percentile.is_null() => {
                values
            }
            _ => return plan_err!("`{name}` is written `{name}(0.9) WITHIN GROUP (ORDER BY x)`"),
        };
        let is_time = matches!(values, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _));
        match self.kind {
            _ if values.is_numeric() || values.is_null() => Ok(self.kept_type(values)),
            Kind::Disc if is_time => Ok(values.clone()),
            Kind::Disc => plan_err!("`{name}` takes numbers, dates or timestamps, not {}", super::list(&types[..1])),
            Kind::Median | Kind::Cont => plan_err!("`{name}` takes numbers, not {}", super::list(&types[..1])),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let kept = self.kept_type(arguments.input_fields[0].data_type());
        let list = DataType::List(Arc::new(Field::new_list_field(kept, true)));
        Ok(vec![Arc::new(Field::new(format_state_name(arguments.name, "values"), list, true))])
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let at = match self.kind {
            Kind::Median => Percentile::of(0.5),
            Kind::Cont | Kind::Disc => percentile_argument(self.name(), &arguments)?,
        };
        let is_descending = arguments.order_bys.first().is_some_and(|order| order.options.descending);
        let is_distinct = arguments.is_distinct;
        let kept = self.kept_type(arguments.expr_fields[0].data_type());
        if self.kind != Kind::Disc {
            let pick = move |values: &mut [f64]| between(values, at, is_descending);
            let values: Values<Float64Type, _> = Values { data_type: kept, values: vec![], is_distinct, pick };
            return Ok(Box::new(values));
        }
        macro_rules! values_of {
            ($type:ty) => {{
                let pick = move |values: &mut [<$type as ArrowPrimitiveType>::Native]| {
                    let rank = at.rank(values.len())?;
                    Some(nth(values, rank, is_descending))
                };
                let values: Values<$type, _> = Values { data_type: kept, values: vec![], is_distinct, pick };
                Ok(Box::new(values))
            }};
        }
        downcast_primitive! {
            kept => (values_of),
            _ => exec_err!("`percentile_disc` does not take {kept}"),
        }
    }

    // The direction is taken into account here, so that DataFusion need not sort rows for it.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        self.kind != Kind::Median
    }
}

fn percentile_argument(name: &str, arguments: &AccumulatorArgs) -> Result<Percentile> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let constant = match arguments.exprs.get(1).map(|expression| expression.evaluate(&nothing)) {
        Some(Ok(ColumnarValue::Scalar(value))) => value.cast_to(&DataType::Float64)?,
        _ => ScalarValue::Null,
    };
    match constant {
        ScalarValue::Float64(Some(at)) if (0.0..=1.0).contains(&at) => Ok(Percentile::of(at)),
        _ => plan_err!("the percentile of `{name}` is a constant between 0 and 1"),
    }
}

/// A part between 0 and 1 as the decimal fraction that was written, since 0.07 of 100 values are 7, and 7.000000000000001
/// in doubles.
#[derive(Debug, Clone, Copy)]
struct Percentile {
    numerator: u128,
    denominator: u128,
}

impl Percentile {
    fn of(at: f64) -> Percentile {
        // More digits than a double tells apart only come with parts so small that they are as good as 0.
        const DIGITS: usize = 20;
        let text = format!("{at:.DIGITS$}");
        let shortest = at.to_string();
        let written = if shortest.len() < text.len() { shortest } else { text };
        let (whole, digits) = written.split_once('.').unwrap_or((&written, ""));
        let denominator = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(0));
        let whole: u128 = whole.parse().unwrap_or(0);
        Percentile { numerator: whole * denominator + digits.parse().unwrap_or(0), denominator }
    }

    /// The index of the first value up to which this part of `count` values lies.
    fn rank(self, count: usize) -> Option<usize> {
        let count = count as u128;
        let rank = (self.numerator * count).div_ceil(self.denominator).max(1);
        (count > 0).then(|| (rank - 1) as usize)
    }

    /// The index of the value at or before this part of the way from the first to the last value, and how far the place
    /// lies on the way to the next one.
    fn position(self, count: usize) -> Option<(usize, f64)> {
        let way = self.numerator * (count as u128).checked_sub(1)?;
        let rest = way % self.denominator;
        Some(((way / self.denominator) as usize, rest as f64 / self.denominator as f64))
    }
}

/// The value at a place between values.
fn between(values: &mut [f64], at: Percentile, is_descending: bool) -> Option<f64> {
    let (index, part) = at.position(values.len())?;
    let one = nth(values, index, is_descending);
    if part == 0.0 {
        return Some(one);
    }
    let next = nth(values, index + 1, is_descending);
    let difference = next - one;
    Some(match () {
        () if one == next => one,
        () if difference.is_infinite() => one * (1.0 - part) + next * part,
        () => one + difference * part,
    })
}

/// The value at an index of the values in order, NaN behind all others.
fn nth<N: ArrowNativeTypeOp>(values: &mut [N], index: usize, is_descending: bool) -> N {
    let index = if is_descending { values.len() - 1 - index } else { index };
    *values.select_nth_unstable_by(index, |one, other| one.compare(*other)).1
}

/// The values of a group, and which of them is picked in the end.
struct Values<T: ArrowPrimitiveType, P> {
    data_type: DataType,
    values: Vec<T::Native>,
    is_distinct: bool,
    pick: P,
}

impl<T: ArrowPrimitiveType, P> Values<T, P> {
    fn typed(&self, array: &ArrayRef) -> Result<PrimitiveArray<T>> {
        Ok(cast(array, &self.data_type)?.as_primitive::<T>().clone())
    }

    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        let array = self.typed(array)?;
        match array.null_count() {
            0 => self.values.extend_from_slice(array.values()),
            _ => self.values.extend(array.iter().flatten()),
        }
        Ok(())
    }
}

impl<T: ArrowPrimitiveType, P> Debug for Values<T, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values of {}", self.values.len(), self.data_type)
    }
}

impl<T, P> Accumulator for Values<T, P>
where
    T: ArrowPrimitiveType,
    P: Fn(&mut [T::Native]) -> Option<T::Native> + Send + Sync + 'static,
{
    fn update_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        self.add(&arguments[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.add(&values))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = std::mem::take(&mut self.values);
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        let values = PrimitiveArray::<T>::new(ScalarBuffer::from(values), None).with_data_type(self.data_type.clone());
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        Ok(vec![ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(values), None)?))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let picked = if self.is_distinct {
            let mut values = self.values.clone();
            values.sort_unstable_by(|one, other| one.compare(*other));
            values.dedup_by(|one, other| one.compare(*other) == Ordering::Equal);
            (self.pick)(&mut values)
        } else {
            (self.pick)(&mut self.values)
        };
        ScalarValue::new_primitive::<T>(picked, &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<T::Native>()
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn retract_batch(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let mut leaving: HashMap<Vec<u8>, usize> = HashMap::new();
        for value in self.typed(&arguments[0])?.iter().flatten() {
            *leaving.entry(value.to_byte_slice().to_vec()).or_default() += 1;
        }
        self.values.retain(|value| match leaving.get_mut(value.to_byte_slice()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Float64Array;
    use datafusion::prelude::SessionContext;

    use crate::session::{self, SessionOptions};

    async fn rows(context: &SessionContext, sql: &str) -> Result<Vec<Vec<String>>> {
        let batches = context.sql(sql).await?.collect().await?;
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let cell = |column: &ArrayRef| ScalarValue::try_from_array(column, row).map(|value| value.to_string());
                rows.push(batch.columns().iter().map(cell).collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(rows)
    }

    async fn ask(sql: &str) -> String {
        let context = session::open(&SessionOptions { threads: Some(2), ..SessionOptions::default() }).unwrap();
        match rows(&context, sql).await {
            Ok(rows) => rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>().join("; "),
            Err(error) => format!("error: {}", error.strip_backtrace()),
        }
    }

    #[tokio::test]
    async fn answers() {
        for (what, values, expected) in [
            ("median(x)", "(1), (2), (3)", "2"),
            ("median(x)", "(4), (1), (3), (2)", "2.5"),
            ("median(x)", "(1), (NULL), (2)", "1.5"),
            ("median(x)", "(CAST(NULL AS BIGINT))", "NULL"),
            ("median(x)", "(NULL)", "NULL"),
            ("median(x) FILTER (WHERE x > 1)", "(1), (2), (4)", "3"),
            ("median(DISTINCT x)", "(1), (1), (1), (2), (9)", "2"),
            ("median(CAST(x AS DECIMAL(10,2)))", "(0.10), (0.30)", "0.2"),
            (
                "percentile_cont(0.9) WITHIN GROUP (ORDER BY x)",
                "(1), (2), (3), (4), (5), (6), (7), (8), (9), (10)",
                "9.1",
            ),
            (
                "percentile_cont(0.9) WITHIN GROUP (ORDER BY x DESC)",
                "(1), (2), (3), (4), (5), (6), (7), (8), (9), (10)",
                "1.9",
            ),
            ("percentile_cont(0) WITHIN GROUP (ORDER BY x)", "(3), (1)", "1"),
            ("percentile_cont(1) WITHIN GROUP (ORDER BY x)", "(3), (1)", "3"),
            ("percentile_cont(x, 0.25)", "(0), (1)", "0.25"),
            ("quantile_cont(0.25) WITHIN GROUP (ORDER BY x)", "(0), (1)", "0.25"),
            ("percentile_cont(0.5) WITHIN GROUP (ORDER BY x)", "(1.7e308), (-1.7e308)", "0"),
            ("percentile_disc(0.5) WITHIN GROUP (ORDER BY x)", "(1), (2), (3), (4)", "2"),
            ("percentile_disc(0.5) WITHIN GROUP (ORDER BY x DESC)", "(1), (2), (3), (4)", "3"),
            ("percentile_disc(0) WITHIN GROUP (ORDER BY x)", "(2), (1)", "1"),
            ("percentile_disc(0.51) WITHIN GROUP (ORDER BY x)", "(1), (2)", "2"),
            (
                "percentile_disc(0.5) WITHIN GROUP (ORDER BY x)",
                "(DATE '2025-01-03'), (DATE '2025-01-01')",
                "2025-01-01",
            ),
            ("percentile_disc(0.9) WITHIN GROUP (ORDER BY CAST(x AS DECIMAL(10,2)))", "(1.10), (2.20)", "2.20"),
            ("percentile_disc(0.5) WITHIN GROUP (ORDER BY x)", "(NULL)", "NULL"),
        ] {
            assert_eq!(
                ask(&format!("SELECT {what} FROM (VALUES {values}) AS t(x)")).await,
                expected,
                "{what} {values}"
            );
        }
    }

    #[tokio::test]
    async fn seven_percent_of_a_hundred_are_seven() {
        let sql = "SELECT percentile_disc(0.07) WITHIN GROUP (ORDER BY value) FROM generate_series(1, 100)";
        assert_eq!(ask(sql).await, "7");
    }

    #[tokio::test]
    async fn nan_is_greatest_and_no_panic() {
        let values = "FROM (VALUES (1), ('NaN'::double), (2), ('NaN'::double)) AS t(x)";
        assert_eq!(ask(&format!("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x) {values}")).await, "2");
        assert_eq!(ask(&format!("SELECT median(x) {values}")).await, "NaN");
    }

    #[tokio::test]
    async fn in_groups_grouping_sets_and_windows() {
        let from = "FROM (VALUES ('a', 1), ('a', 2), ('b', 10), ('b', 20), ('b', 90)) AS t(k, x)";
        let sql = format!("SELECT k, median(x) {from} GROUP BY k ORDER BY k");
        assert_eq!(ask(&sql).await, "a 1.5; b 20");
        let sql = format!("SELECT k, median(x) {from} GROUP BY GROUPING SETS ((k), ()) ORDER BY k NULLS LAST");
        assert_eq!(ask(&sql).await, "a 1.5; b 20; NULL 10");
        let sql =
            format!("SELECT median(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) {from} ORDER BY x");
        assert_eq!(ask(&sql).await, "1; 1.5; 6; 15; 55");
        // Several directions and percentiles at once, which would need as many sorts.
        let sql = format!(
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x DESC), percentile_disc(0.5) WITHIN GROUP (ORDER BY k = 'a', x) {from}"
        );
        assert!(ask(&sql).await.contains("Only a single ordering expression"));
        let sql = format!(
            "SELECT percentile_disc(0.2) WITHIN GROUP (ORDER BY x DESC), percentile_cont(0.2) WITHIN GROUP (ORDER BY -x) {from}"
        );
        assert_eq!(ask(&sql).await, "90 -34");
    }

    #[tokio::test]
    async fn wrong_arguments_are_named() {
        for (what, expected) in [
            ("median('a')", "`median` takes numbers, not (text)"),
            ("median(1, 2)", "`median` takes one expression"),
            ("percentile_cont(0.9)", "is written `percentile_cont(0.9) WITHIN GROUP (ORDER BY x)`"),
            ("percentile_disc(0.9) WITHIN GROUP (ORDER BY 'a')", "takes numbers, dates or timestamps, not (text)"),
            ("percentile_cont(1.5) WITHIN GROUP (ORDER BY 1)", "is a constant between 0 and 1"),
            ("percentile_cont(x) WITHIN GROUP (ORDER BY 1)", "is a constant between 0 and 1"),
        ] {
            let message = ask(&format!("SELECT {what} FROM (VALUES (1), (2)) AS t(x)")).await;
            assert!(message.contains(expected), "{what}: {message}");
        }
    }

    /// Whatever the numbers, a percentile is the one of the sorted numbers, alone and merged from parts.
    #[tokio::test]
    async fn the_same_as_by_sorting() {
        let mut random = Random(1);
        for count in [1_usize, 2, 3, 10, 101, 5_000] {
            let numbers: Vec<f64> = (0..count).map(|_| (random.next() % 2_000) as f64 / 8.0 - 100.0).collect();
            let context = session::open(&SessionOptions { threads: Some(2), ..SessionOptions::default() }).unwrap();
            let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
            let parts = numbers.chunks(count.div_ceil(4)).map(|part| {
                let part: ArrayRef = Arc::new(Float64Array::from(part.to_vec()));
                vec![RecordBatch::try_new(schema.clone(), vec![part]).unwrap()]
            });
            let table = datafusion::datasource::MemTable::try_new(schema.clone(), parts.collect()).unwrap();
            context.register_table("t", Arc::new(table)).unwrap();
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            for percent in [0_usize, 1, 7, 25, 29, 50, 58, 90, 99, 100] {
                let at = format!("{}.{:02}", percent / 100, percent % 100);
                let disc = sorted[((percent * count).div_ceil(100)).max(1) - 1];
                let way = percent * (count - 1);
                let (below, above) = (sorted[way / 100], sorted[(way / 100 + 1).min(count - 1)]);
                let cont = below + (above - below) * (way % 100) as f64 / 100.0;
                let sql = format!(
                    "SELECT percentile_disc({at}) WITHIN GROUP (ORDER BY x), percentile_cont({at}) WITHIN GROUP (ORDER BY x), \
                     percentile_cont(1 - {at}) WITHIN GROUP (ORDER BY x DESC) FROM t"
                );
                let found: Vec<f64> =
                    rows(&context, &sql).await.unwrap()[0].iter().map(|value| value.parse().unwrap()).collect();
                assert_eq!(found[0], disc, "{at} of {count}");
                assert!((found[1] - cont).abs() < 1e-9, "{at} of {count}: {} and {cont}", found[1]);
                assert!((found[2] - cont).abs() < 1e-9, "{at} of {count}: {} and {cont}", found[2]);
            }
        }
    }

    #[tokio::test]
    async fn the_memory_pool_knows_of_the_values() {
        let options = SessionOptions { memory_limit: Some(4 << 20), threads: Some(1) };
        let context = session::open(&options).unwrap();
        let failed = rows(&context, "SELECT median(value) FROM generate_series(1, 3000000)").await.unwrap_err();
        assert!(failed.to_string().contains("Resources exhausted"), "{failed}");
    }

    /// Numbers that look like chance and are the same each time.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 33
        }
    }
}
