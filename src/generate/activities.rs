//! Calls, e-mails, chats, meetings and social messages: how long they take, how they end, what they cost.
//!
//! Who writes to whom about what is decided by the callers, who set the links of the row before they record it.

use super::World;
use super::calendar::{Day, Instant};
use super::random::Random;
use super::tables::ActivityRow;
use super::write::{Id, Money};
use crate::error::Result;

/// The kinds of activities, as `activity_type` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Call,
    Email,
    Chat,
    Meeting,
    Social,
}

/// Who began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// An activity between a person and a user, without links to leads, deals or cases yet.
pub fn activity(
    world: &mut World,
    random: &mut Random,
    (kind, direction): (Kind, Direction),
    at: Instant,
    user: Id,
) -> ActivityRow {
    let outcome = outcome(random, kind, direction);
    let is_answered = !matches!(outcome, "no_answer" | "voicemail" | "abandoned" | "no_show");
    let (talk, hold, wrap) = match (kind, direction) {
        (Kind::Call, _) if is_answered => {
            let hold = if random.chance(0.3) { random.lognormal(50.0, 0.6) } else { 0.0 };
            (Some(random.lognormal(260.0, 0.6)), Some(hold), Some(random.lognormal(50.0, 0.5)))
        }
        (Kind::Call, _) => (Some(0.0), Some(0.0), Some(0.0)),
        (Kind::Chat, _) => (Some(random.lognormal(420.0, 0.5)), Some(0.0), Some(random.lognormal(30.0, 0.4))),
        (Kind::Email, Direction::Inbound) => (Some(random.lognormal(330.0, 0.5)), Some(0.0), Some(0.0)),
        (Kind::Meeting, _) if is_answered => (Some(900.0 * random.between(2, 5) as f64), None, None),
        (Kind::Email | Kind::Meeting | Kind::Social, _) => (None, None, None),
    };
    let seconds = |value: Option<f64>| value.map(|value| value as i32);
    ActivityRow {
        activity_id: world.tables.activities.next_id(),
        activity_type: kind.name(),
        direction: direction.name(),
        started_at: at,
        talk_seconds: seconds(talk),
        hold_seconds: seconds(hold),
        wrap_seconds: seconds(wrap),
        outcome: Some(outcome),
        is_automated: false,
        is_escalated: false,
        cost_amount: None,
        account_id: None,
        contact_id: None,
        lead_id: None,
        opportunity_id: None,
        case_id: None,
        campaign_id: None,
        user_id: Some(user),
        updated_at: at,
        is_deleted: false,
    }
}

/// Writes an activity, unless it would be after the end of the data.
pub fn record(world: &mut World, random: &mut Random, mut row: ActivityRow) -> Result<()> {
    if row.started_at > world.calendar.end() {
        return Ok(());
    }
    let day = world.calendar.day(row.started_at);
    if let (Some(_), Some(talk)) = (row.case_id, row.talk_seconds) {
        let seconds = talk + row.hold_seconds.unwrap_or(0) + row.wrap_seconds.unwrap_or(0);
        row.cost_amount = (!random.chance(0.01)).then(|| Money::dollars(f64::from(seconds) / 60.0 * 0.95));
    }
    row.is_deleted = random.chance(0.003);
    row.updated_at = night(world, day);
    world.tables.activities.push(&world.calendar, day, &row)
}

/// When the systems that log events hand over what happened on a day.
pub fn night(world: &World, day: Day) -> Instant {
    world.calendar.at(day, 24 * 3600 - 1)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Call => "call",
            Kind::Email => "email",
            Kind::Chat => "chat",
            Kind::Meeting => "meeting",
            Kind::Social => "social",
        }
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

fn outcome(random: &mut Random, kind: Kind, direction: Direction) -> &'static str {
    match (kind, direction) {
        (Kind::Call, Direction::Inbound) => random.weighted(&[("connected", 0.95), ("abandoned", 0.05)]),
        (Kind::Call, Direction::Outbound) => {
            random.weighted(&[("connected", 0.47), ("no_answer", 0.3), ("voicemail", 0.23)])
        }
        (Kind::Email | Kind::Social, Direction::Outbound) => random.weighted(&[("sent", 0.72), ("replied", 0.28)]),
        (Kind::Email | Kind::Social, Direction::Inbound) => "received",
        (Kind::Chat, _) => "connected",
        (Kind::Meeting, _) => random.weighted(&[("held", 0.9), ("no_show", 0.1)]),
    }
}
