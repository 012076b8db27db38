//! The books: quotas that fit what was sold, and a monthly trial balance that agrees with orders and campaign costs.
//!
//! Revenue and cost of goods are the completed orders of the month to the cent, marketing includes the campaign costs; pay
//! and the rest are estimates.

use super::calendar::Day;
use super::company::Company;
use super::random::Random;
use super::tables::{GlRow, QuotaRow};
use super::write::{Id, Money};
use super::{World, activities};
use crate::error::Result;

/// The sums that the books need, collected while everything happens.
pub struct Ledger {
    months: usize,
    sold: Vec<[(Money, Money); FAMILIES.len()]>,
    campaigns: Vec<Money>,
    /// Won amounts by user and month.
    won: Vec<Money>,
}

const FAMILIES: [&str; 4] = ["platform", "services", "hardware", "training"];

impl Ledger {
    pub fn new(company: &Company, campaigns: Vec<Money>) -> Ledger {
        let months = campaigns.len();
        Ledger {
            months,
            sold: vec![Default::default(); months],
            campaigns,
            won: vec![Money(0); months * company.users.len()],
        }
    }

    /// A line of a completed order.
    pub fn sold(&mut self, month: usize, family: &str, net: Money, cost: Money) {
        let index = FAMILIES.iter().position(|name| *name == family).unwrap_or(0);
        self.sold[month][index].0 += net;
        self.sold[month][index].1 += cost;
    }

    /// A deal that somebody won.
    pub fn won(&mut self, owner: Id, month: usize, amount: Money) {
        let user = owner.number as usize - 1;
        self.won[user * self.months + month] += amount;
    }

    /// What the company won in a month, per head.
    fn won_per_head(&self, company: &Company, month: usize, day: Day) -> f64 {
        let won: Money = self.won.iter().skip(month).step_by(self.months).copied().sum();
        won.to_dollars() / company.count(&["sales_rep"], day).max(1) as f64
    }
}

/// A quota for each sales representative and month: what the last months brought per head, and a little more.
pub fn quotas(world: &mut World, random: &mut Random) -> Result<()> {
    let first_days: Vec<Day> = world.calendar.months.clone();
    let per_head: Vec<f64> = first_days
        .iter()
        .take(world.ledger.months)
        .enumerate()
        .map(|(month, day)| world.ledger.won_per_head(&world.company, month, *day))
        .collect();
    for (month, span) in first_days.windows(2).enumerate() {
        let known = &per_head[month.saturating_sub(6)..month.max(1)];
        let expected = known.iter().sum::<f64>() / known.len() as f64;
        for index in 0..world.company.users.len() {
            let user = world.company.users[index];
            let works = user.start < span[1] && user.end.is_none_or(|end| span[0] < end);
            if user.role != "sales_rep" || !works {
                continue;
            }
            let ramp = match span[0] - user.start {
                ..30 => 0.0,
                30..120 => 0.5,
                _ => 1.0,
            };
            // Most months of most people are below the mean: a few large deals make it.
            let amount = expected * 0.9 * ramp * random.uniform(0.85, 1.15);
            let row = QuotaRow {
                quota_id: world.tables.quotas.next_id(),
                user_id: user.id,
                period_start: span[0],
                period_end: span[1],
                quota_amount: Money::dollars((amount / 500.0).round() * 500.0),
                updated_at: world.calendar.at(span[0], 9 * 3600),
                is_deleted: false,
            };
            world.tables.quotas.push(&world.calendar, span[0], &row)?;
        }
    }
    Ok(())
}

/// Monthly pay by role group, in dollars a head.
const PAY: [(&str, &str, &[&str], f64); 4] = [
    ("sales_expense", "sales", &["sales_rep", "sales_manager", "sales_development_rep", "vp_sales"], 6600.0),
    ("marketing_expense", "marketing", &["marketer", "vp_marketing"], 7800.0),
    ("service_expense", "support", &["service_rep", "service_manager", "vp_service"], 5200.0),
    ("other_opex", "operations", &["operator"], 4700.0),
];

/// The trial balance of each month. All amounts are positive in their natural direction: revenue and expenses alike.
pub fn trial_balance(world: &mut World, random: &mut Random) -> Result<()> {
    let scale = world.accounts as f64;
    let (mut cash, mut receivables) = (scale * 5600.0, 0.0);
    let mut previous: Vec<Money> = Vec::new();
    for (month, span) in world.calendar.months.clone().windows(2).enumerate() {
        let day = span[1] + -1;
        let mut lines: Vec<(&str, &str, Money)> = Vec::new();
        for (family, (net, cost)) in FAMILIES.iter().zip(world.ledger.sold[month]) {
            lines.push(("revenue", family, net));
            lines.push(("cogs", family, cost));
        }
        let revenue: Money = lines.iter().filter(|(class, ..)| *class == "revenue").map(|(.., net)| *net).sum();
        for (class, center, roles, pay) in PAY {
            let heads = world.company.count(roles, day) as f64;
            lines.push((class, center, Money::dollars(heads * pay * random.uniform(0.98, 1.03))));
        }
        lines.push(("sales_expense", "commissions", revenue.times(0.06)));
        lines.push(("marketing_expense", "campaigns", world.ledger.campaigns[month]));
        lines.push(("other_opex", "crm", Money::dollars(world.company.users.len() as f64 * 95.0)));
        lines.push(("other_opex", "research", revenue.times(0.14)));
        lines.push(("other_opex", "administration", Money::dollars(scale * 60.0 * random.uniform(0.95, 1.05))));
        lines.push(("other_income", "treasury", Money::dollars(cash.max(0.0) * 0.002)));
        lines.push(("interest", "treasury", Money::dollars(scale * 6.0)));
        let gains = |class: &str| matches!(class, "revenue" | "other_income");
        let profit: f64 =
            lines.iter().map(|(class, _, amount)| amount.to_dollars() * if gains(class) { 1.0 } else { -1.0 }).sum();
        let tax = Money::dollars((profit * 0.21).max(0.0));
        lines.push(("tax", "administration", tax));
        for (class, center, amount) in lines {
            write_line(world, day, class, center, Some(amount), None)?;
        }
        // A share of each month's sales is paid in the next.
        let owed = revenue.to_dollars() * 0.8;
        cash += profit - tax.to_dollars() - (owed - receivables);
        receivables = owed;
        let balances = [
            ("current_assets", "cash", cash),
            ("current_assets", "receivables", receivables),
            ("current_liabilities", "payables", scale * 700.0 + revenue.to_dollars() * 0.2),
            ("current_liabilities", "deferred_revenue", scale * 450.0 + revenue.to_dollars() * 0.5),
        ];
        let closing: Vec<Money> = balances.iter().map(|(.., balance)| Money::dollars(*balance)).collect();
        for (index, (class, center, _)) in balances.iter().enumerate() {
            let movement = previous.get(index).map(|before| closing[index] - *before);
            write_line(world, day, class, center, movement, Some(closing[index]))?;
        }
        previous = closing;
    }
    Ok(())
}

fn write_line(
    world: &mut World,
    day: Day,
    class: &'static str,
    center: &'static str,
    movement: Option<Money>,
    closing: Option<Money>,
) -> Result<()> {
    let row = GlRow {
        gl_id: world.tables.gl_balances.next_id(),
        period_end: day,
        gl_class: class,
        cost_center: center,
        movement_amount: movement,
        closing_balance: closing,
        updated_at: activities::night(world, day),
        is_deleted: false,
    };
    world.tables.gl_balances.push(&world.calendar, day, &row)
}
