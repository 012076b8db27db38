//! A small seeded random number generator: the same seed gives the same numbers on every platform.
//!
//! Own code on purpose: other generators change their streams between releases, and the `ln` and `exp` of the system's
//! mathematics library differ in their last bit from platform to platform. Only additions, multiplications and divisions
//! are used here, which IEEE 754 fixes. It is not meant for secrets.

/// A stream of random numbers (xoshiro256++, seeded by SplitMix64).
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        let mut mixer = seed;
        Random { state: std::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// One of many independent streams of a seed, such as one per account: a change in one leaves the others as they are.
    pub fn stream(seed: u64, number: u64) -> Random {
        let mut mixer = seed;
        let scrambled = split_mix(&mut mixer);
        Random::new(scrambled ^ number.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// At least 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// At least 0 and below `limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// From `low` to `high`, both included; `low` if the range is empty.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low { low } else { low + self.below((high - low + 1) as u64) as i64 }
    }

    /// At least `low` and below `high`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the choices, all equally likely.
    ///
    /// # Panics
    /// If there is no choice.
    pub fn choice<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// One of the choices, each as likely as its weight.
    ///
    /// # Panics
    /// If there is no choice.
    pub fn weighted<T: Copy>(&mut self, choices: &[(T, f64)]) -> T {
        let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
        let mut left = self.unit() * total;
        for (choice, weight) in choices {
            left -= weight;
            if left < 0.0 {
                return *choice;
            }
        }
        choices[choices.len() - 1].0
    }

    /// Near `mean`, in a bell: the sum of twelve uniform numbers, so never more than six deviations away.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        mean + (sum - 6.0) * deviation
    }

    /// A waiting time with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * natural_logarithm(1.0 - self.unit())
    }

    /// A skewed positive number: half are below `median`, a spread of 1 makes a sixth larger than 2.7 medians.
    pub fn lognormal(&mut self, median: f64, spread: f64) -> f64 {
        median * exponential(self.normal(0.0, spread))
    }

    /// How many events fall into an interval that has `mean` of them on average.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        let mut count = 0;
        let mut time = self.exponential(1.0);
        while time < mean {
            count += 1;
            time += self.exponential(1.0);
        }
        count
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// e to the power of a number between -700 and 700.
fn exponential(power: f64) -> f64 {
    let twos = (power / std::f64::consts::LN_2).round();
    let rest = power - twos * std::f64::consts::LN_2;
    // Taylor, from the innermost bracket: the rest is at most 0.35, where thirteen terms are exact to the last bits.
    let series = (1..=13).rev().fold(1.0, |sum, term| 1.0 + rest * sum / f64::from(term));
    series * f64::from_bits(((twos as i64 + 1023) as u64) << 52)
}

/// The natural logarithm of a positive, normal number.
fn natural_logarithm(number: f64) -> f64 {
    let exponent = (number.to_bits() >> 52) as i64 - 1023;
    let mantissa = f64::from_bits((number.to_bits() & ((1 << 52) - 1)) | (1023 << 52));
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = (0..=14).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * ratio * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        // From the reference implementation of xoshiro256++ with the state {1, 2, 3, 4}.
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(first, [41943041, 58720359, 3588806011781223, 3591011842654386]);
        assert_ne!(Random::stream(1, 0).bits(), Random::stream(1, 1).bits());
        assert_ne!(Random::stream(1, 0).bits(), Random::stream(2, 0).bits());
    }

    #[test]
    fn own_exponential_and_logarithm_agree_with_the_system() {
        for step in -200..200 {
            let power = f64::from(step) / 7.0;
            assert!((exponential(power) / power.exp() - 1.0).abs() < 1e-13, "{power}");
            assert!((natural_logarithm(power.exp()) - power).abs() < 1e-9, "{power}");
        }
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut random = Random::new(7);
        let mut mean =
            |draw: &mut dyn FnMut(&mut Random) -> f64| (0..20_000).map(|_| draw(&mut random)).sum::<f64>() / 20_000.0;
        assert!((mean(&mut |r| r.unit()) - 0.5).abs() < 0.01);
        assert!((mean(&mut |r| r.normal(10.0, 2.0)) - 10.0).abs() < 0.1);
        assert!((mean(&mut |r| r.exponential(3.0)) - 3.0).abs() < 0.1);
        assert!((mean(&mut |r| r.poisson(2.5) as f64) - 2.5).abs() < 0.05);
        assert!((mean(&mut |r| f64::from(r.lognormal(5.0, 1.0) < 5.0)) - 0.5).abs() < 0.02);
        assert!((mean(&mut |r| r.between(1, 6) as f64) - 3.5).abs() < 0.05);
        assert!((mean(&mut |r| r.weighted(&[(0.0, 1.0), (1.0, 3.0)])) - 0.75).abs() < 0.02);
    }

    #[test]
    fn ranges_keep_their_ends() {
        let mut random = Random::new(1);
        let drawn: Vec<i64> = (0..1000).map(|_| random.between(-2, 2)).collect();
        assert!((-2..=2).all(|value| drawn.contains(&value)) && drawn.iter().all(|value| value.abs() <= 2));
        assert_eq!(random.between(5, 4), 5);
        assert_eq!(random.below(0), 0);
    }
}
