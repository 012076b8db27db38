//! A sum of floating-point numbers from which each of them can be taken away again, to the last bit.
//!
//! Once the sum itself is larger than the largest number, it is not a number until the end of its group.

/// Numbers that add up to the sum exactly, none of which overlaps another (Shewchuk, "Adaptive Precision Floating-Point
/// Arithmetic", 1997), and how many were no finite numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct ExactSum {
    parts: Vec<f64>,
    not_a_number: i64,
    infinite: i64,
    negative_infinite: i64,
}

impl ExactSum {
    /// Adds a number, or takes it away.
    pub fn add(&mut self, value: f64, is_added: bool) {
        if !value.is_finite() {
            let count = match () {
                () if value.is_nan() => &mut self.not_a_number,
                () if value > 0.0 => &mut self.infinite,
                () => &mut self.negative_infinite,
            };
            *count += if is_added { 1 } else { -1 };
            return;
        }
        let mut value = if is_added { value } else { -value };
        let mut kept = 0;
        for index in 0..self.parts.len() {
            let (sum, rest) = two_sum(value, self.parts[index]);
            if rest != 0.0 {
                self.parts[kept] = rest;
                kept += 1;
            }
            value = sum;
        }
        self.parts.truncate(kept);
        if value != 0.0 {
            self.parts.push(value);
        }
    }

    /// The sum, rounded.
    pub fn value(&self) -> f64 {
        match (self.not_a_number, self.infinite, self.negative_infinite) {
            // The sum of nothing would be -0.0, which DataFusion takes for another number.
            (0, 0, 0) => self.parts.iter().sum::<f64>() + 0.0,
            (0, 1.., 0) => f64::INFINITY,
            (0, 0, 1..) => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }

    pub fn clear(&mut self) {
        *self = ExactSum { parts: std::mem::take(&mut self.parts), ..ExactSum::default() };
        self.parts.clear();
    }
}

/// The sum of two numbers as it is rounded, and what rounding lost.
fn two_sum(one: f64, other: f64) -> (f64, f64) {
    let sum = one + other;
    let of_other = sum - one;
    let of_one = sum - of_other;
    (sum, (one - of_one) + (other - of_other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_leaves_nothing_behind() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let exponent = i32::try_from((state >> 33) % 60).unwrap() - 30;
            (state >> 11) as f64 * 2_f64.powi(exponent - 53)
        };
        let values: Vec<f64> = (0..500).map(|_| random()).collect();
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value, true));
        let all = sum.value();
        assert!((all - values.iter().sum::<f64>()).abs() <= all.abs() * 1e-12);
        values[1..].iter().rev().for_each(|value| sum.add(*value, false));
        assert_eq!(sum.value().to_bits(), values[0].to_bits());
        sum.add(values[0], false);
        assert_eq!(sum.value().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn numbers_without_end_come_and_go() {
        let mut sum = ExactSum::default();
        sum.add(1.5, true);
        sum.add(f64::INFINITY, true);
        assert_eq!(sum.value(), f64::INFINITY);
        sum.add(f64::NEG_INFINITY, true);
        assert!(sum.value().is_nan());
        sum.add(f64::INFINITY, false);
        assert_eq!(sum.value(), f64::NEG_INFINITY);
        sum.add(f64::NEG_INFINITY, false);
        assert_eq!(sum.value(), 1.5);
        sum.add(f64::NAN, true);
        assert!(sum.value().is_nan());
        sum.clear();
        assert_eq!(sum.value().to_bits(), 0.0_f64.to_bits());
    }
}
