//! Opportunities: the way of a deal through its stages, its calls and meetings, and how it ends.
//!
//! What is sold and what follows from a won deal belongs to `revenue`.

use super::World;
use super::accounts::Account;
use super::activities::{self, Direction, Kind, activity};
use super::calendar::{Day, Instant};
use super::random::Random;
use super::stories;
use super::tables::{OpportunityRow, StageRow};
use super::write::{Id, Money, Share};
use crate::error::Result;

/// A deal before it is known how it ends.
#[derive(Debug, Clone, Copy)]
pub struct Deal {
    pub id: Id,
    pub kind: DealKind,
    pub created: Instant,
    pub lead: Option<Id>,
    pub channel: &'static str,
    pub campaign: Option<Id>,
    pub amount: Money,
    /// The chance to win it, before the stories.
    pub chance: f64,
    /// The day on which it closes, where a contract's term decides that.
    pub closing: Option<Day>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DealKind {
    NewBusiness,
    Expansion,
    Renewal,
}

impl DealKind {
    pub fn name(self) -> &'static str {
        match self {
            DealKind::NewBusiness => "new_business",
            DealKind::Expansion => "expansion",
            DealKind::Renewal => "renewal",
        }
    }

    /// The median days in discovery, proposal and negotiation.
    fn pace(self) -> [f64; 3] {
        match self {
            DealKind::NewBusiness => [13.0, 15.0, 8.0],
            DealKind::Expansion => [7.0, 8.0, 5.0],
            DealKind::Renewal => [20.0, 14.0, 10.0],
        }
    }
}

/// How a deal ended by the end of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Won { closed: Day, owner: Id },
    Lost { closed: Day },
    Open,
}

const STAGES: [&str; 3] = ["discovery", "proposal", "negotiation"];
const PROBABILITIES: [Share; 3] = [Share(20), Share(45), Share(70)];
const COMPETITORS: [(&str, f64); 4] = [("Nimbus", 0.4), ("Vertex One", 0.3), ("OpenRelay", 0.2), ("Cadence", 0.1)];

/// Pursues a deal to its end or to the end of the data, and writes it.
pub fn pursue(world: &mut World, random: &mut Random, account: &Account, deal: Deal) -> Result<Ending> {
    let created_day = world.calendar.day(deal.created);
    let competitor = (deal.kind != DealKind::Renewal && random.chance(0.38)).then(|| random.weighted(&COMPETITORS));
    let mut visits = path(random, deal.kind, if deal.channel == "outbound" { 1.25 } else { 1.0 });
    let planned: f64 = visits.iter().map(|(_, days)| days).sum();
    let length = deal.closing.map_or(planned, |closing| f64::from((closing - created_day).max(1)));
    visits.iter_mut().for_each(|(_, days)| *days *= length / planned);

    let closing_day = world.calendar.working_day(created_day + (length.round() as i32).max(1));
    let story = if deal.kind == DealKind::Renewal { 1.0 } else { stories::win_factor(account.region, closing_day) };
    let rivalry = if competitor.is_some() { 0.88 } else { 1.0 };
    let is_won = random.chance((deal.chance * story * rivalry).min(0.98));
    if !is_won {
        // A lost deal lingers in the stage in which it is lost, and never sees the later ones.
        let lost_in = random.weighted(&[(0, 0.36), (1, 0.4), (2, 0.24)]);
        let kept = visits.iter().position(|(stage, _)| *stage == lost_in).map_or(visits.len(), |place| place + 1);
        let lingering: f64 = visits.drain(kept..).map(|(_, days)| days).sum();
        if let Some((_, days)) = visits.last_mut() {
            *days += lingering;
        }
    }
    let owner = world.owner(random, account, created_day);
    let stages = instants(world, random, deal.created, &visits, closing_day);
    let end = world.calendar.end();
    let closed = stages.closed;
    let is_closed = closed <= end;
    let lateness = random.normal(4.0, 14.0).round() as i32;
    // While it is open, people expect it a little too early; some forget to move a date that has passed.
    let expected = if is_closed {
        closing_day
    } else {
        let guess = closing_day + -lateness;
        if guess <= world.calendar.last && !random.chance(0.45) {
            world.calendar.last + 1 + lateness.abs()
        } else {
            guess
        }
    };
    let (mut stage, mut probability) = (STAGES[0], PROBABILITIES[0]);
    let mut last_change = deal.created;
    let is_amount_missing = !is_closed && random.chance(0.05);
    for (place, (index, entered)) in stages.entered.iter().enumerate() {
        if *entered > end {
            break;
        }
        let exited = Some(stages.entered.get(place + 1).map_or(closed, |(_, next)| *next)).filter(|exit| *exit <= end);
        (stage, probability) = (STAGES[*index], PROBABILITIES[*index]);
        last_change = *entered;
        // Earlier visits show a rounder guess; the last known one agrees with the deal.
        let guessed = Money(deal.amount.times(random.uniform(0.85, 1.2)).0 / 10_000 * 10_000);
        let is_last = exited.is_none() || place + 1 == stages.entered.len();
        let amount = if is_last { deal.amount } else { guessed };
        let guess = (closing_day + -(random.normal(3.0, 10.0).round() as i32)).max(world.calendar.day(*entered) + 1);
        let row = StageRow {
            history_id: world.tables.opportunity_stage_history.next_id(),
            opportunity_id: deal.id,
            stage,
            stage_order: *index as i32 + 1,
            entered_at: *entered,
            exited_at: exited,
            amount: (!is_amount_missing).then_some(amount),
            probability,
            close_date: if exited.is_none() { expected } else { guess },
            updated_at: exited.unwrap_or(*entered),
            is_deleted: false,
        };
        world.tables.opportunity_stage_history.push(&world.calendar, world.calendar.day(*entered), &row)?;
    }
    if is_closed {
        (stage, probability) = if is_won { ("closed_won", Share(100)) } else { ("closed_lost", Share(0)) };
        last_change = closed;
        let row = StageRow {
            history_id: world.tables.opportunity_stage_history.next_id(),
            opportunity_id: deal.id,
            stage,
            stage_order: 4,
            entered_at: closed,
            exited_at: None,
            amount: Some(deal.amount),
            probability,
            close_date: closing_day,
            updated_at: closed,
            is_deleted: false,
        };
        world.tables.opportunity_stage_history.push(&world.calendar, closing_day, &row)?;
    }
    let row = OpportunityRow {
        opportunity_id: deal.id,
        account_id: account.id,
        lead_id: deal.lead,
        r#type: deal.kind.name(),
        created_at: deal.created,
        close_date: expected,
        stage,
        is_closed,
        is_won: is_closed && is_won,
        amount: (!is_amount_missing).then_some(deal.amount),
        probability,
        forecast_category: forecast_category(stage),
        owner_id: owner,
        channel: Some(deal.channel),
        campaign_id: deal.campaign,
        primary_competitor: competitor,
        loss_reason: (is_closed && !is_won && !random.chance(0.06))
            .then(|| loss_reason(random, deal.kind, competitor.is_some())),
        updated_at: last_change,
        is_deleted: false,
    };
    world.tables.opportunities.push(&world.calendar, created_day, &row)?;
    deal_activities(world, random, account, &row, closed.min(end))?;
    Ok(match (is_closed, is_won) {
        (false, _) => Ending::Open,
        (true, false) => Ending::Lost { closed: closing_day },
        (true, true) => {
            world.ledger.won(owner, world.calendar.month(closing_day), deal.amount);
            Ending::Won { closed: closing_day, owner }
        }
    })
}

/// The stages that a deal visits, with the days that it stays; some deals fall back once.
fn path(random: &mut Random, kind: DealKind, slowness: f64) -> Vec<(usize, f64)> {
    let order: &[usize] = match random.weighted(&[(0, 0.8), (1, 0.11), (2, 0.09)]) {
        0 => &[0, 1, 2],
        1 => &[0, 1, 0, 1, 2],
        _ => &[0, 1, 2, 1, 2],
    };
    let pace = kind.pace();
    order.iter().map(|stage| (*stage, random.lognormal(pace[*stage] * slowness, 0.55))).collect()
}

/// When a deal enters each stage and when it closes; each later than the one before.
struct Stages {
    entered: Vec<(usize, Instant)>,
    closed: Instant,
}

fn instants(world: &World, random: &mut Random, created: Instant, visits: &[(usize, f64)], closing: Day) -> Stages {
    let first = world.calendar.day(created);
    let mut entered = Vec::with_capacity(visits.len());
    let (mut previous, mut days) = (created, 0.0);
    for (place, (stage, length)) in visits.iter().enumerate() {
        if place > 0 {
            let day = world.calendar.working_day(first + days as i32).min(closing);
            previous = world.calendar.office_time(random, day).max(previous + 600);
        }
        entered.push((*stage, previous));
        days += length;
    }
    Stages { entered, closed: world.calendar.office_time(random, closing).max(previous + 600) }
}

fn forecast_category(stage: &str) -> &'static str {
    match stage {
        "discovery" => "pipeline",
        "proposal" => "best_case",
        "negotiation" => "commit",
        "closed_won" => "closed",
        _ => "omitted",
    }
}

fn loss_reason(random: &mut Random, kind: DealKind, has_competitor: bool) -> &'static str {
    let rival = if has_competitor { 1.4 } else { 0.1 };
    let price = if kind == DealKind::Renewal { 0.9 } else { 0.6 };
    random.weighted(&[
        ("competitor", rival),
        ("price", price),
        ("no_decision", 0.7),
        ("missing_features", 0.35),
        ("timing", 0.3),
    ])
}

/// Calls, e-mails and meetings about a deal.
fn deal_activities(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    deal: &OpportunityRow,
    until: Instant,
) -> Result<()> {
    let count = if deal.r#type == "renewal" { 2.2 } else { 4.5 };
    for _ in 0..random.poisson(count) {
        let at = deal.created_at + (random.unit() * (until - deal.created_at) as f64) as i64;
        let at = world.calendar.office_hours(random, at);
        if at > until {
            continue;
        }
        let kind =
            random.weighted(&[(Kind::Call, 0.46), (Kind::Email, 0.36), (Kind::Meeting, 0.16), (Kind::Social, 0.02)]);
        let inbound = if kind == Kind::Meeting { 0.0 } else { 0.25 };
        let direction = if random.chance(inbound) { Direction::Inbound } else { Direction::Outbound };
        let mut row = activity(world, random, (kind, direction), at, deal.owner_id);
        row.account_id = Some(account.id);
        row.contact_id = Some(*random.choice(&account.contacts));
        row.opportunity_id = Some(deal.opportunity_id);
        activities::record(world, random, row)?;
    }
    Ok(())
}
