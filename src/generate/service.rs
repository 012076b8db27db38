//! What customers need and what they think: cases with their calls, surveys, visits by the account's owner, process runs.
//!
//! How slow and how good the teams are on a day is asked from the stories.

use super::World;
use super::accounts::Account;
use super::activities::{self, Direction, Kind, activity};
use super::calendar::{Day, Instant};
use super::company::{PRODUCTS, product_id, products, support_team};
use super::random::Random;
use super::revenue::Customer;
use super::stories;
use super::tables::{CaseRow, ProcessRunRow, SurveyRow};
use crate::error::Result;

/// Everything that a customer hears from the company, and the other way round, that is not about a deal.
pub fn serve(world: &mut World, random: &mut Random, account: &Account, customer: &Customer) -> Result<()> {
    let (from, to) = (customer.from.max(world.calendar.first), customer.last_day(&world.calendar));
    if to <= from {
        return Ok(());
    }
    let years = f64::from(world.calendar.last - world.calendar.first) / 365.0;
    let business = (world.calendar.progress(to) - world.calendar.progress(from)) * years;
    for _ in 0..random.poisson(account.segment.cases_a_year * business) {
        let day = world.calendar.busy_day(random, from, to);
        let product = *random.choice(&owned_on(customer, day));
        case(world, random, Some(account), support_team(account.region), product, day)?;
    }
    // Devices break: more often where the factory made mistakes.
    const MOST: f64 = 8.0;
    for _ in 0..random.poisson(1.2 * MOST * business) {
        let day = world.calendar.busy_day(random, from, to);
        for product in [products::GATEWAY, products::SENSORS] {
            if owns(customer, product, day)
                && random.chance(stories::incident_factor(PRODUCTS[product].name, day) / MOST)
            {
                case(world, random, Some(account), support_team(account.region), product, day)?;
            }
        }
    }
    care(world, random, account, from, to)?;
    promoter_surveys(world, random, account, customer, from, to)?;
    reviews(world, random, account, customer, from, to)
}

/// Cases of callers whom nobody knows, on a day.
pub fn anonymous_cases(world: &mut World, random: &mut Random, day: Day) -> Result<()> {
    let business = world.calendar.progress(day) - world.calendar.progress(day + -1);
    for _ in 0..random.poisson(business * world.accounts as f64 * 0.1) {
        let team = random.weighted(&[("Support East", 0.5), ("Support West", 0.4), ("Support Europe", 0.1)]);
        case(world, random, None, team, products::PLATFORMS[0], day)?;
    }
    Ok(())
}

/// What a customer could ask about on a day, devices apart: mostly the platform, of which it has exactly one.
fn owned_on(customer: &Customer, day: Day) -> Vec<usize> {
    let bought =
        customer.owned.iter().filter(|(product, since)| *since <= day && PRODUCTS[*product].family != "hardware");
    let mut owned: Vec<usize> = bought.map(|(product, _)| *product).collect();
    let platform = owned.first().copied().unwrap_or(products::PLATFORMS[0]);
    owned.extend([platform; 4]);
    owned
}

fn owns(customer: &Customer, device: usize, day: Day) -> bool {
    customer.owned.iter().any(|(product, since)| *product == device && *since <= day)
}

fn case(
    world: &mut World,
    random: &mut Random,
    account: Option<&Account>,
    team: &'static str,
    product: usize,
    day: Day,
) -> Result<()> {
    let is_device = PRODUCTS[product].family == "hardware";
    let incidents = if is_device { 1.6 } else { 0.3 };
    let case_type = random.weighted(&[
        ("question", 0.36),
        ("incident", incidents),
        ("service_request", 0.2),
        ("billing", 0.1),
        ("complaint", 0.04),
    ]);
    let origin = random.weighted(&[("phone", 0.36), ("email", 0.3), ("chat", 0.2), ("web", 0.14)]);
    let priority = random.weighted(&[("low", 0.2), ("normal", 0.55), ("high", 0.2), ("urgent", 0.05)]);
    let urgency = match priority {
        "urgent" => 0.35,
        "high" => 0.6,
        "low" => 1.5,
        _ => 1.0,
    };
    let agent = world.company.agent(random, team, day);
    let is_written = matches!(origin, "email" | "web");
    let created =
        if is_written { world.calendar.waking_time(random, day) } else { world.calendar.office_time(random, day) };
    let delay = stories::support_delay(team, day);
    let response = match origin {
        "phone" => 0.0,
        "chat" => random.lognormal(70.0, 0.5) * (1.0 + (delay - 1.0) * 0.5),
        _ => random.lognormal(75.0, 0.8) * 60.0 * urgency * delay,
    };
    let responded = created + response as i64;
    let responded = if is_written { world.calendar.answer_time(random, responded) } else { responded };
    let work = match case_type {
        "question" => 2.5,
        "billing" => 9.0,
        "service_request" => 14.0,
        "incident" => 22.0,
        _ => 36.0,
    };
    let hours = random.lognormal(work, 0.9) * urgency * (1.0 + (delay - 1.0) * 0.4);
    let first_close = world.calendar.office_hours(random, responded + (hours * 3600.0) as i64);
    let is_reopened = random.chance(if delay > 1.0 { 0.14 } else { 0.065 });
    let asked_again = first_close + random.between(7200, 400_000);
    let reopened = is_reopened.then(|| world.calendar.office_hours(random, asked_again));
    let closed = reopened.map_or(first_close, |reopened| {
        let hours = random.lognormal(work, 0.7);
        world.calendar.office_hours(random, reopened + (hours * 3600.0) as i64)
    });
    let end = world.calendar.end();
    let known = |instant: Instant| (instant <= end).then_some(instant);
    let (reopened, closed) = (reopened.and_then(known), known(closed));
    let responded = known(responded).filter(|_| !random.chance(0.015));
    let contact = account.map(|account| *random.choice(&account.contacts));
    let row = CaseRow {
        case_id: world.tables.cases.next_id(),
        account_id: account.map(|account| account.id),
        contact_id: contact,
        product_id: (!random.chance(0.03)).then(|| product_id(product)),
        case_type,
        origin,
        priority,
        status: match (closed, responded) {
            (Some(_), _) => "closed",
            (None, Some(_)) => "open",
            (None, None) => "new",
        },
        created_at: created,
        first_response_at: responded,
        closed_at: closed,
        reopened_at: reopened,
        owner_id: agent,
        updated_at: [responded, closed, reopened].into_iter().flatten().max().unwrap_or(created).max(created),
        is_deleted: random.chance(0.004),
    };
    world.tables.cases.push(&world.calendar, day, &row)?;
    contacts_about(world, random, &row)?;
    match (closed, row.is_deleted) {
        (Some(closed), false) => case_survey(world, random, &row, team, closed),
        _ => Ok(()),
    }
}

/// The first contact, answers, and further questions about a case.
fn contacts_about(world: &mut World, random: &mut Random, case: &CaseRow) -> Result<()> {
    let first = match case.origin {
        "phone" => Kind::Call,
        "chat" => Kind::Chat,
        _ => Kind::Email,
    };
    let mut contacts = vec![(first, Direction::Inbound, case.created_at)];
    if let Some(responded) = case.first_response_at.filter(|_| first == Kind::Email) {
        contacts.push((Kind::Email, Direction::Outbound, responded));
    }
    let until = case.closed_at.unwrap_or(world.calendar.end());
    let from = case.first_response_at.unwrap_or(case.created_at);
    if random.chance(0.28) {
        let at = from + (random.uniform(0.2, 0.9) * (until - from).max(600) as f64) as i64;
        let kind = if random.chance(0.5) { Kind::Call } else { Kind::Email };
        contacts.push((kind, Direction::Inbound, world.calendar.office_hours(random, at)));
    }
    if random.chance(0.3) {
        let at = from + (random.uniform(0.3, 1.0) * (until - from).max(600) as f64) as i64;
        contacts.push((Kind::Call, Direction::Outbound, world.calendar.office_hours(random, at)));
    }
    if let Some(reopened) = case.reopened_at {
        contacts.push((first, Direction::Inbound, reopened));
    }
    for (place, (kind, direction, at)) in contacts.into_iter().enumerate() {
        let mut row = activity(world, random, (kind, direction), at, case.owner_id);
        if place == 0 {
            row.outcome = Some(if kind == Kind::Email { "received" } else { "connected" });
            row.talk_seconds = row.talk_seconds.map(|talk| talk.max(40));
        }
        row.is_escalated = kind == Kind::Call && direction == Direction::Inbound && random.chance(0.09);
        (row.account_id, row.contact_id, row.case_id) = (case.account_id, case.contact_id, Some(case.case_id));
        activities::record(world, random, row)?;
    }
    Ok(())
}

/// An invitation after a case is closed: how satisfied, or how easy was it?
fn case_survey(
    world: &mut World,
    random: &mut Random,
    case: &CaseRow,
    team: &'static str,
    closed: Instant,
) -> Result<()> {
    let Some(survey_type) = random.weighted(&[(Some("csat"), 0.55), (Some("ces"), 0.25), (None, 0.2)]) else {
        return Ok(());
    };
    let sent = closed + random.between(1800, 7200);
    if sent > world.calendar.end() {
        return Ok(());
    }
    let loss = stories::satisfaction_loss(team, world.calendar.day(case.created_at))
        + if case.reopened_at.is_some() { 0.7 } else { 0.0 }
        + if case.case_type == "complaint" { 0.5 } else { 0.0 };
    let (scale_max, score) = match survey_type {
        "csat" => (5, random.normal(4.45 - loss, 0.8)),
        _ => (7, random.normal(5.7 - 1.3 * loss, 1.0)),
    };
    let score = score.round().clamp(1.0, f64::from(scale_max)) as i32;
    let responded = random.chance(0.42).then(|| sent + random.exponential(130_000.0) as i64 + 120);
    let mut row = survey(world, random, survey_type, sent, responded, score, scale_max);
    row.source = if case.origin == "phone" { "phone" } else { "email" };
    row.sentiment = row.responded_at.filter(|_| random.chance(0.3)).map(|_| sentiment(score, scale_max));
    (row.account_id, row.contact_id, row.case_id) = (case.account_id, case.contact_id, Some(case.case_id));
    (row.product_id, row.user_id) = (case.product_id, Some(case.owner_id));
    record_survey(world, row)
}

/// Once a quarter some customers are asked whether they would recommend the company.
fn promoter_surveys(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &Customer,
    from: Day,
    to: Day,
) -> Result<()> {
    for month in (1..world.calendar.months.len() - 1).step_by(3) {
        let day = world.calendar.working_day(world.calendar.months[month] + random.between(0, 20) as i32);
        if day < from || day > to || !random.chance(0.7) {
            continue;
        }
        let owned = owned_on(customer, day);
        let product =
            if owns(customer, products::GATEWAY, day) && random.chance(0.4) { products::GATEWAY } else { owned[0] };
        let defects = stories::defect_share(PRODUCTS[product].name, day) - stories::defect_share("", day);
        let dear = if stories::churn_factor(day) > 1.0 { 0.5 } else { 0.0 };
        let loyalty = if account.is_loyal { 0.7 } else { 0.0 };
        let score = random.normal(8.3 + loyalty - dear - 50.0 * defects, 1.7).round().clamp(0.0, 10.0) as i32;
        let sent = world.calendar.office_time(random, day);
        let responded = random.chance(0.4).then(|| sent + random.exponential(200_000.0) as i64 + 300);
        let mut row = survey(world, random, "nps", sent, responded, score, 10);
        row.product_id = (!random.chance(0.1)).then(|| product_id(product));
        row.sentiment = row.responded_at.filter(|_| random.chance(0.4)).map(|_| sentiment(score, 10));
        (row.account_id, row.contact_id) = (Some(account.id), Some(*random.choice(&account.contacts)));
        record_survey(world, row)?;
    }
    Ok(())
}

/// Reviews and posts that nobody asked for; half of the authors are unknown.
fn reviews(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &Customer,
    from: Day,
    to: Day,
) -> Result<()> {
    for _ in 0..random.poisson(0.35 * f64::from(to - from) / 365.0) {
        let day = world.calendar.busy_day(random, from, to);
        let (survey_type, source) = random.weighted(&[
            (("review", "review_site"), 0.4),
            (("review", "app_store"), 0.2),
            (("social", "linkedin"), 0.25),
            (("social", "forum"), 0.15),
        ]);
        let at = world.calendar.waking_time(random, day);
        let score = random.normal(3.9, 1.1).round().clamp(1.0, 5.0) as i32;
        let mut row = survey(world, random, survey_type, at, Some(at), score, 5);
        row.source = source;
        row.sent_at = None;
        row.sentiment = (!random.chance(0.05)).then(|| sentiment(score, 5));
        if survey_type == "social" {
            row.score = None;
        }
        row.account_id = random.chance(0.5).then_some(account.id);
        row.product_id = random.chance(0.6).then(|| product_id(owned_on(customer, day)[0]));
        record_survey(world, row)?;
    }
    Ok(())
}

fn survey(
    world: &mut World,
    random: &mut Random,
    survey_type: &'static str,
    sent: Instant,
    responded: Option<Instant>,
    score: i32,
    scale_max: i32,
) -> SurveyRow {
    let responded = responded.filter(|responded| *responded <= world.calendar.end());
    SurveyRow {
        response_id: world.tables.survey_responses.next_id(),
        survey_type,
        source: "email",
        sent_at: Some(sent),
        responded_at: responded,
        score: responded.filter(|_| !random.chance(0.01)).map(|_| score),
        scale_max,
        sentiment: None,
        account_id: None,
        contact_id: None,
        case_id: None,
        product_id: None,
        user_id: None,
        updated_at: responded.unwrap_or(sent),
        is_deleted: false,
    }
}

fn record_survey(world: &mut World, row: SurveyRow) -> Result<()> {
    let day = world.calendar.day(row.sent_at.or(row.responded_at).unwrap_or(row.updated_at));
    world.tables.survey_responses.push(&world.calendar, day, &row)
}

fn sentiment(score: i32, scale_max: i32) -> &'static str {
    match f64::from(score) / f64::from(scale_max) {
        share if share > 0.75 => "positive",
        share if share > 0.55 => "neutral",
        _ => "negative",
    }
}

/// Calls, visits and messages of the account's owner between deals.
fn care(world: &mut World, random: &mut Random, account: &Account, from: Day, to: Day) -> Result<()> {
    for _ in 0..random.poisson(3.0 * f64::from(to - from) / 365.0) {
        let day = world.calendar.working_day(world.calendar.busy_day(random, from, to));
        let at = world.calendar.office_time(random, day);
        let kind =
            random.weighted(&[(Kind::Meeting, 0.3), (Kind::Call, 0.35), (Kind::Email, 0.25), (Kind::Social, 0.1)]);
        let inbound = random.chance(0.25) && kind != Kind::Meeting;
        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        let user = world.owner(random, account, day);
        let mut row = activity(world, random, (kind, direction), at, user);
        (row.account_id, row.contact_id) = (Some(account.id), Some(*random.choice(&account.contacts)));
        activities::record(world, random, row)?;
    }
    Ok(())
}

/// What the factory and the back office did on a day: devices assembled and checked, orders fulfilled, customers set up.
pub fn process_runs(world: &mut World, random: &mut Random, day: Day) -> Result<()> {
    let days = f64::from(world.calendar.last - world.calendar.first + 1);
    let business = (world.calendar.progress(day) - world.calendar.progress(day + -1)) * days;
    let scale = business * (1.3 + world.accounts as f64 / 400.0);
    for (name, product, share, hours) in [
        ("device_assembly", Some(products::GATEWAY), 0.55, 5.0),
        ("device_assembly", Some(products::SENSORS), 0.55, 4.0),
        ("order_fulfillment", None, 0.5, 9.0),
        ("customer_onboarding", Some(products::ONBOARDING), 0.3, 60.0),
    ] {
        for _ in 0..random.poisson(scale * share) {
            let started = world.calendar.office_time(random, day);
            let done = started + (random.lognormal(hours, 0.45) * 3600.0) as i64;
            // A few runs are never completed.
            let completed = Some(done).filter(|done| *done <= world.calendar.end() && !random.chance(0.006));
            let inspected = (name == "device_assembly").then(|| random.between(20, 90) as i32);
            let defects = product.map_or(0.0, |product| stories::defect_share(PRODUCTS[product].name, day));
            let defective = |inspected: i32| (0..inspected).filter(|_| random.chance(defects)).count() as i32;
            let row = ProcessRunRow {
                run_id: world.tables.process_runs.next_id(),
                process_name: name,
                product_id: product.map(product_id),
                started_at: started,
                completed_at: completed,
                units_defective: inspected.filter(|_| completed.is_some()).map(defective),
                units_inspected: inspected.filter(|_| completed.is_some()),
                user_id: world.company.operator(random, day),
                updated_at: completed.unwrap_or(started),
                is_deleted: false,
            };
            world.tables.process_runs.push(&world.calendar, day, &row)?;
        }
    }
    Ok(())
}
