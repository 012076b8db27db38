//! The stories in the data, with their dates and sizes: what a good report should find.
//!
//! Each story is a function from a day to a factor; the areas of the generator ask these functions and know no dates of
//! their own. The module page of [`crate::generate`] tells the stories in words.

use super::calendar::Day;

/// The region whose manager left, the day she left, and the day her successor came.
pub const LOST_REGION: &str = "Midwest";
pub const MANAGER_LEFT: Day = Day::of(2025, 6, 27);
pub const SUCCESSOR_CAME: Day = Day::of(2025, 10, 6);

/// The factor on the chance to win a deal that closes on the day.
pub fn win_factor(region: &str, closing: Day) -> f64 {
    if region == LOST_REGION && within(closing, Day::of(2025, 7, 1), Day::of(2025, 10, 1)) { 0.22 } else { 1.0 }
}

/// The factor on the number of paid leads that lead nowhere, and on what paid advertisements cost.
pub fn paid_volume(day: Day) -> f64 {
    if day >= Day::of(2025, 1, 1) { 3.0 } else { 1.0 }
}

/// The factor on the chance that such a lead is worth anything to marketing and sales: it falls all through 2025.
pub fn paid_quality(day: Day) -> f64 {
    let months = f64::from((day - Day::of(2025, 1, 1)).max(0)) / 30.0;
    (1.0 - 0.07 * months).max(0.2)
}

/// The support team that was short of people.
pub const SLOW_TEAM: &str = "Support West";

/// The factor on a team's response and resolution times.
pub fn support_delay(team: &str, day: Day) -> f64 {
    if team == SLOW_TEAM && within(day, Day::of(2024, 10, 1), Day::of(2025, 1, 1)) { 5.0 } else { 1.0 }
}

/// How many points of five a slow answer costs in satisfaction.
pub fn satisfaction_loss(team: &str, day: Day) -> f64 {
    if support_delay(team, day) > 1.0 { 1.6 } else { 0.0 }
}

/// The level of list prices.
pub fn price_level(day: Day) -> f64 {
    if day >= PRICE_RISE { 1.28 } else { 1.0 }
}

pub const PRICE_RISE: Day = Day::of(2024, 7, 1);

/// The factor on the chance that a contract is not renewed: high until everybody has met the new prices once.
pub fn churn_factor(day: Day) -> f64 {
    if within(day, PRICE_RISE, PRICE_RISE.after_year()) { 2.0 } else { 1.0 }
}

/// The product that came apart.
pub const DEFECTIVE_PRODUCT: &str = "Edge Gateway";

/// The share of inspected units with a defect.
pub fn defect_share(product: &str, day: Day) -> f64 {
    const USUAL: f64 = 0.014;
    let months = f64::from((day - Day::of(2025, 2, 1)).max(0)) / 30.0;
    if product == DEFECTIVE_PRODUCT { USUAL + 0.007 * months.min(10.0) } else { USUAL }
}

/// The factor on how many incidents are reported about a product.
pub fn incident_factor(product: &str, day: Day) -> f64 {
    1.0 + (defect_share(product, day) / defect_share("", day) - 1.0) * 0.6
}

impl Day {
    const fn after_year(self) -> Day {
        Day(self.0 + 365)
    }
}

fn within(day: Day, from: Day, until: Day) -> bool {
    from <= day && day < until
}
