//! Campaigns and what they cost, leads and how far they come, visits to the web site.
//!
//! A lead that becomes an account is asked for by the account; all others are drawn day by day.

use super::World;
use super::accounts::Account;
use super::activities::{self, Direction, Kind, activity};
use super::calendar::{Calendar, Day, Instant};
use super::company::{self, REGIONS, products};
use super::random::Random;
use super::stories;
use super::tables::{CampaignCostRow, CampaignMemberRow, CampaignRow, LeadRow, Tables, WebSessionRow};
use super::write::{Id, Money};
use crate::error::Result;

/// A way by which leads find the company.
#[derive(Debug, PartialEq)]
pub struct Channel {
    pub name: &'static str,
    /// The same name as careless people type it.
    misspelled: &'static str,
    /// The channel's share of new accounts.
    pub account_share: f64,
    /// The share of its leads that become accounts.
    conversion: f64,
    /// The chance to win a deal that came by it.
    pub win: f64,
    /// The channel's share of visits to the web site; none for those that do not lead there.
    visits: f64,
    campaigns_a_quarter: u32,
    /// Dollars a month for each account of the data.
    spend: f64,
}

pub const CHANNELS: [Channel; 10] = [
    channel("content", "Content", 0.13, 0.22, 0.47, 0.16, 1, 9.0),
    channel("social", "SOCIAL", 0.06, 0.12, 0.38, 0.14, 1, 7.0),
    channel("seo", "SEO", 0.15, 0.20, 0.47, 0.28, 0, 0.0),
    channel("paid_ads", "Paid_Ads", 0.12, 0.11, 0.40, 0.16, 1, 26.0),
    channel("email", "E-Mail", 0.10, 0.18, 0.44, 0.12, 2, 4.0),
    channel("event", "Event", 0.12, 0.28, 0.50, 0.0, 1, 22.0),
    channel("referral", "Referral", 0.14, 0.48, 0.66, 0.03, 0, 0.0),
    channel("outbound", "Outbound", 0.08, 0.14, 0.35, 0.0, 0, 0.0),
    channel("partner", "Partner", 0.06, 0.42, 0.58, 0.0, 0, 0.0),
    channel("web", "WEB", 0.04, 0.24, 0.46, 0.11, 0, 0.0),
];

const PAID_ADS: usize = 3;
const EMAIL: usize = 4;

#[allow(clippy::too_many_arguments)]
const fn channel(
    name: &'static str,
    misspelled: &'static str,
    account_share: f64,
    conversion: f64,
    win: f64,
    visits: f64,
    campaigns_a_quarter: u32,
    spend: f64,
) -> Channel {
    Channel { name, misspelled, account_share, conversion, win, visits, campaigns_a_quarter, spend }
}

/// A campaign that leads can come from.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    pub id: Id,
    start: Day,
    end: Day,
}

/// All campaigns, by quarter and channel.
pub struct Campaigns {
    by_quarter: Vec<Vec<Vec<Campaign>>>,
}

impl Campaigns {
    /// Plans all campaigns and writes them with their costs. The second value is the cost of each month.
    pub fn plan(
        tables: &mut Tables,
        calendar: &Calendar,
        random: &mut Random,
        accounts: u64,
    ) -> Result<(Campaigns, Vec<Money>)> {
        let mut campaigns = Campaigns { by_quarter: Vec::new() };
        let mut costs = vec![Money(0); calendar.months.len() - 1];
        let copies = (accounts / 1500).clamp(1, 20) as u32;
        for start in calendar.months[..calendar.months.len() - 1].iter().step_by(3) {
            let mut quarter = Vec::new();
            for channel in &CHANNELS {
                let count = channel.campaigns_a_quarter * copies;
                let mut running = Vec::new();
                for number in 1..=count {
                    let campaign = plan_campaign(calendar, random, *start, number, count, tables.campaigns.next_id());
                    let months = f64::from(campaign.end - campaign.start) / 30.4;
                    let growth = 0.85 + 0.1 * f64::from(*start - calendar.first) / 365.0;
                    let extra = if channel.name == "paid_ads" { stories::paid_volume(*start) * 0.75 } else { 1.0 };
                    let spend = channel.spend * accounts as f64 * 3.0 / f64::from(count) * growth * extra.max(1.0);
                    let budget = Money::dollars((spend / 100.0).round() * 100.0);
                    let date = start.date();
                    let quarter_name = date.format("%Y Q").to_string() + &(1 + start_month(date) / 3).to_string();
                    let row = CampaignRow {
                        campaign_id: campaign.id,
                        name: format!("{quarter_name} {} {number}", channel.name.replace('_', " ")),
                        channel: channel.name,
                        start_date: campaign.start,
                        end_date: campaign.end,
                        budget,
                        product_id: random.chance(0.4).then(|| company::product_id(interest(random))),
                        updated_at: calendar.at(campaign.start, 10 * 3600),
                        is_deleted: false,
                    };
                    tables.campaigns.push(calendar, *start, &row)?;
                    // One campaign in thirty was never billed to marketing.
                    if !random.chance(0.03) {
                        let lines = (months * if channel.name == "paid_ads" { 4.3 } else { 2.0 }).ceil().max(2.0);
                        write_costs(tables, calendar, random, channel, campaign, budget, lines as usize, &mut costs)?;
                    }
                    running.push(campaign);
                }
                quarter.push(running);
            }
            campaigns.by_quarter.push(quarter);
        }
        Ok((campaigns, costs))
    }

    /// A campaign of the channel that runs on the day.
    pub fn running(&self, random: &mut Random, calendar: &Calendar, channel: usize, day: Day) -> Option<Campaign> {
        let campaigns = self.by_quarter.get(calendar.month(day) / 3)?.get(channel)?;
        let runs = |campaign: &&Campaign| campaign.start <= day && day <= campaign.end;
        let count = campaigns.iter().filter(runs).count() as u64;
        campaigns.iter().filter(runs).nth(random.below(count) as usize).copied()
    }
}

fn start_month(date: chrono::NaiveDate) -> u32 {
    chrono::Datelike::month0(&date)
}

fn plan_campaign(calendar: &Calendar, random: &mut Random, quarter: Day, number: u32, count: u32, id: Id) -> Campaign {
    let end_of_quarter = quarter.add_months(3) + -1;
    // Several campaigns of a channel follow each other through the quarter.
    let length = (end_of_quarter - quarter + 1) / count.min(3) as i32;
    let start = quarter + length * ((number - 1) % count.min(3)) as i32 + random.between(0, 6) as i32;
    Campaign { id, start: start.min(calendar.last), end: (start + length).min(end_of_quarter).min(calendar.last) }
}

#[allow(clippy::too_many_arguments)]
fn write_costs(
    tables: &mut Tables,
    calendar: &Calendar,
    random: &mut Random,
    channel: &Channel,
    campaign: Campaign,
    budget: Money,
    lines: usize,
    costs: &mut [Money],
) -> Result<()> {
    let spent = budget.times(random.uniform(0.82, 1.12));
    for line in 0..lines {
        let day = campaign.start + (campaign.end - campaign.start) * line as i32 / lines as i32;
        let cost_type = match channel.name {
            "paid_ads" => random.weighted(&[("media", 0.9), ("agency", 0.1)]),
            "event" => random.weighted(&[("booth", 0.5), ("travel", 0.3), ("material", 0.2)]),
            _ => random.weighted(&[("content", 0.5), ("agency", 0.3), ("tools", 0.2)]),
        };
        let row = CampaignCostRow {
            campaign_cost_id: tables.campaign_costs.next_id(),
            campaign_id: campaign.id,
            cost_date: day,
            cost_type: (!random.chance(0.03)).then_some(cost_type),
            amount: (!random.chance(0.015))
                .then(|| Money((spent.0 as f64 / lines as f64 * random.uniform(0.8, 1.2)) as i64)),
            updated_at: calendar.at((day + random.between(0, 20) as i32).min(calendar.last), 17 * 3600),
            is_deleted: random.chance(0.01),
        };
        if !row.is_deleted {
            costs[calendar.month(day)] += row.amount.unwrap_or_default();
        }
        tables.campaign_costs.push(calendar, day, &row)?;
    }
    Ok(())
}

/// What a lead of the given channel could be interested in; mostly a platform.
fn interest(random: &mut Random) -> usize {
    random.weighted(&[
        (products::PLATFORMS[0], 0.28),
        (products::PLATFORMS[1], 0.26),
        (products::PLATFORMS[2], 0.10),
        (products::ANALYTICS, 0.10),
        (products::INTEGRATION, 0.06),
        (products::PREMIUM_SUPPORT, 0.05),
        (products::GATEWAY, 0.10),
        (products::TRAINING, 0.05),
    ])
}

/// The channel of a new account.
pub fn account_channel(random: &mut Random) -> usize {
    let weights: [(usize, f64); CHANNELS.len()] = std::array::from_fn(|index| (index, CHANNELS[index].account_share));
    random.weighted(&weights)
}

/// The lead that became an account; written with everything around it.
pub fn converted_lead(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    opportunity: Id,
    converted: Instant,
) -> Result<Id> {
    let seconds = (random.lognormal(8.0, 0.8).clamp(0.3, 75.0) * 86_400.0) as i64;
    let first_morning = world.calendar.at(world.calendar.first, 8 * 3600);
    let created = Instant((converted.0 - seconds).max(first_morning.0.min(converted.0 - 7200)));
    // Web forms are filled in at any hour of the day, and nobody fills them in at night.
    let local = (created - world.calendar.at(world.calendar.day(created), 0)) / 3600;
    let created = if (7..23).contains(&local) { created } else { created + 9 * 3600 }.min(converted + -7200);
    let channel = account.channel;
    let mut row = new_lead(world, random, channel, account.region, created);
    row.campaign_id = account.campaign;
    row.referred_by_account_id = account.referrer;
    let span = converted - created;
    let response = response_after(random, channel).min(span as f64 / 6.0) as i64;
    let responded = world.calendar.answer_time(random, created + response).min(converted + -5400);
    let step = |random: &mut Random, world: &World, share: f64| {
        let raw = responded + ((converted - responded) as f64 * share) as i64;
        world.calendar.office_hours(random, raw).min(converted)
    };
    let share = random.uniform(0.05, 0.3);
    let mql = step(random, world, share);
    let sal = step(random, world, share + 0.2).max(mql);
    let sql = step(random, world, share + 0.45).max(sal);
    row.first_response_at = (!random.chance(0.03)).then_some(responded);
    row.mql_at = (!random.chance(0.03)).then_some(mql.max(responded));
    row.sal_at = Some(sal.max(responded));
    row.sql_at = Some(sql.max(responded));
    row.converted_at = Some(converted);
    row.converted_account_id = Some(account.id);
    row.converted_opportunity_id = Some(opportunity);
    row.score = row.score.map(|_| random.normal(72.0, 13.0).clamp(5.0, 100.0) as i32);
    row.updated_at = converted;
    let id = row.lead_id;
    record_lead(world, random, channel, row)?;
    Ok(id)
}

/// All leads of a day that never become accounts.
pub fn stray_leads(world: &mut World, random: &mut Random, day: Day, new_accounts: f64) -> Result<()> {
    let business = world.calendar.progress(day) - world.calendar.progress(day + -1);
    for (index, channel) in CHANNELS.iter().enumerate() {
        let volume = if index == PAID_ADS { stories::paid_volume(day) } else { 1.0 };
        let mean = business * new_accounts * channel.account_share * (1.0 / channel.conversion - 1.0) * volume;
        for _ in 0..random.poisson(mean) {
            stray_lead(world, random, index, day)?;
        }
    }
    Ok(())
}

fn stray_lead(world: &mut World, random: &mut Random, channel: usize, day: Day) -> Result<()> {
    let region = random.weighted(&REGIONS);
    let created = world.calendar.waking_time(random, day);
    let end = world.calendar.end();
    let mut row = new_lead(world, random, channel, region, created);
    row.campaign_id = campaign_of(world, random, channel, day);
    if CHANNELS[channel].name == "referral" {
        row.referred_by_account_id = world.customers.somebody(random, day);
    }
    if channel != PAID_ADS && random.chance(0.02) {
        row.lead_source = Some("unknown");
    }
    let quality = if channel == PAID_ADS { stories::paid_quality(day) } else { 1.0 };
    let before = |instant: Instant| (instant <= end).then_some(instant);
    if random.chance(0.9) {
        let response = response_after(random, channel) as i64;
        row.first_response_at = before(world.calendar.answer_time(random, created + response));
    }
    // How far it comes: each stage takes some days and may be the last.
    let mut reached = row.first_response_at;
    for (stage, chance) in [(1, 0.46 * quality), (2, 0.6), (3, 0.5)] {
        let Some(from) = reached.filter(|_| random.chance(chance)) else { break };
        let days = random.lognormal(3.0, 0.7).min(40.0);
        let stamp = world.calendar.office_hours(random, from + (days * 86_400.0) as i64);
        reached = before(stamp);
        match stage {
            1 => row.mql_at = reached,
            2 => row.sal_at = reached,
            _ => row.sql_at = reached,
        }
        row.score = row.score.map(|score| (score + 11).min(100));
    }
    if random.chance(0.78) {
        let from = reached.unwrap_or(created);
        let days = random.lognormal(12.0, 0.8).min(120.0);
        row.disqualified_at = before(world.calendar.office_hours(random, from + (days * 86_400.0) as i64));
    }
    let last_change =
        [row.first_response_at, row.mql_at, row.sal_at, row.sql_at, row.disqualified_at].into_iter().flatten().max();
    row.updated_at = last_change.unwrap_or(created);
    row.is_deleted = random.chance(0.006);
    let nurtured = (row.lead_id, created);
    record_lead(world, random, channel, row)?;
    nurture(world, random, nurtured)
}

/// Puts an old lead on the lists of later e-mail campaigns, which few answer.
fn nurture(world: &mut World, random: &mut Random, (lead, created): (Id, Instant)) -> Result<()> {
    for _ in 0..random.poisson(0.9) {
        let day = world.calendar.working_day(world.calendar.day(created) + random.between(10, 200) as i32);
        let Some(campaign) = campaign_of(world, random, EMAIL, day).filter(|_| day <= world.calendar.last) else {
            continue;
        };
        let added = world.calendar.office_time(random, day);
        let responded = random.chance(0.08).then(|| added + random.between(600, 200_000));
        add_member(world, campaign, Some(lead), None, added, responded)?;
    }
    Ok(())
}

/// Invites the people of a customer to campaigns while they are customers.
pub fn invite_customer(world: &mut World, random: &mut Random, account: &Account, from: Day, to: Day) -> Result<()> {
    let years = f64::from((to - from).max(0)) / 365.0;
    for _ in 0..random.poisson(2.2 * years) {
        let day = world.calendar.busy_day(random, from, to);
        let channel = if random.chance(0.7) { EMAIL } else { random.below(6) as usize };
        let Some(campaign) = campaign_of(world, random, channel, day) else { continue };
        let added = world.calendar.office_time(random, day);
        let responded = random.chance(0.14).then(|| added + random.between(900, 300_000));
        let contact = *random.choice(&account.contacts);
        add_member(world, campaign, None, Some((account.id, contact)), added, responded)?;
        let user = world.company.marketer(random, day);
        let mut mail = activity(world, random, (Kind::Email, Direction::Outbound), added, user);
        mail.is_automated = true;
        mail.outcome = Some("sent");
        (mail.account_id, mail.contact_id, mail.campaign_id) = (Some(account.id), Some(contact), Some(campaign));
        activities::record(world, random, mail)?;
    }
    Ok(())
}

/// The campaign of the channel that somebody of the given day answers to, if any.
pub fn campaign_of(world: &World, random: &mut Random, channel: usize, day: Day) -> Option<Id> {
    let campaign = world.campaigns.running(random, &world.calendar, channel, day);
    campaign.filter(|_| random.chance(0.85)).map(|campaign| campaign.id)
}

fn new_lead(world: &mut World, random: &mut Random, channel: usize, region: &'static str, created: Instant) -> LeadRow {
    let day = world.calendar.day(created);
    let source = &CHANNELS[channel];
    LeadRow {
        lead_id: world.tables.leads.next_id(),
        created_at: created,
        lead_source: Some(if random.chance(0.012) { source.misspelled } else { source.name }),
        campaign_id: None,
        product_id: (!random.chance(0.08)).then(|| company::product_id(interest(random))),
        referred_by_account_id: None,
        owner_id: world.company.developer(random, day),
        region,
        score: (!random.chance(0.04)).then(|| random.normal(34.0, 14.0).clamp(1.0, 95.0) as i32),
        first_response_at: None,
        mql_at: None,
        sal_at: None,
        sql_at: None,
        disqualified_at: None,
        converted_at: None,
        converted_account_id: None,
        converted_opportunity_id: None,
        is_duplicate: false,
        updated_at: created,
        is_deleted: false,
    }
}

/// Seconds until somebody answers, were the office always open.
fn response_after(random: &mut Random, channel: usize) -> f64 {
    let median = match CHANNELS[channel].name {
        "referral" | "partner" => 25.0,
        "event" => 300.0,
        _ => 55.0,
    };
    random.lognormal(median, 0.9) * 60.0
}

/// Writes a lead, the visits that led to it, its calls, its campaign membership, and sometimes a second copy of it.
fn record_lead(world: &mut World, random: &mut Random, channel: usize, mut row: LeadRow) -> Result<()> {
    let (id, created, campaign) = (row.lead_id, row.created_at, row.campaign_id);
    let day = world.calendar.day(created);
    if CHANNELS[channel].visits > 0.0 {
        lead_visits(world, random, channel, &row)?;
    }
    if let Some(campaign) = campaign {
        let first = world.calendar.at(world.calendar.first, 0);
        let added = Instant((created.0 - random.between(0, 200_000)).max(first.0.min(created.0)));
        add_member(world, campaign, Some(id), None, added, Some(created))?;
    }
    if let Some(responded) = row.first_response_at {
        let kind = if random.chance(0.6) { Kind::Call } else { Kind::Email };
        lead_activity(world, random, &row, kind, responded)?;
        for _ in 0..random.below(3) {
            let last = row.converted_at.or(row.disqualified_at).unwrap_or(responded + 10 * 86_400);
            let at = responded + (random.unit() * (last - responded).max(3600) as f64) as i64;
            let at = world.calendar.office_hours(random, at);
            let kind = if random.chance(0.5) { Kind::Call } else { Kind::Email };
            lead_activity(world, random, &row, kind, at)?;
        }
    }
    world.tables.leads.push(&world.calendar, day, &row)?;
    if random.chance(0.03) {
        row.lead_id = world.tables.leads.next_id();
        row.created_at = (created + random.between(60, 3 * 3600)).min(activities::night(world, day));
        row.is_duplicate = true;
        row.updated_at = row.created_at;
        (row.first_response_at, row.mql_at, row.sal_at, row.sql_at) = (None, None, None, None);
        (row.disqualified_at, row.converted_at) = (None, None);
        (row.converted_account_id, row.converted_opportunity_id) = (None, None);
        world.tables.leads.push(&world.calendar, day, &row)?;
    }
    Ok(())
}

fn lead_activity(world: &mut World, random: &mut Random, lead: &LeadRow, kind: Kind, at: Instant) -> Result<()> {
    let direction = if random.chance(0.12) { Direction::Inbound } else { Direction::Outbound };
    let mut row = activity(world, random, (kind, direction), at, lead.owner_id);
    row.lead_id = Some(lead.lead_id);
    row.campaign_id = lead.campaign_id.filter(|_| direction == Direction::Inbound);
    activities::record(world, random, row)
}

fn add_member(
    world: &mut World,
    campaign: Id,
    lead: Option<Id>,
    customer: Option<(Id, Id)>,
    added: Instant,
    responded: Option<Instant>,
) -> Result<()> {
    let responded = responded.filter(|responded| *responded <= world.calendar.end());
    let row = CampaignMemberRow {
        campaign_member_id: world.tables.campaign_members.next_id(),
        campaign_id: campaign,
        lead_id: lead,
        contact_id: customer.map(|(_, contact)| contact),
        account_id: customer.map(|(account, _)| account),
        added_at: added,
        first_responded_at: responded,
        updated_at: responded.unwrap_or(added),
        is_deleted: false,
    };
    world.tables.campaign_members.push(&world.calendar, world.calendar.day(added), &row)
}

const DEVICES: [(&str, f64); 3] = [("desktop", 0.58), ("mobile", 0.36), ("tablet", 0.06)];
const PAGES: [(&str, f64); 7] = [
    ("/", 0.3),
    ("/pricing", 0.16),
    ("/product", 0.18),
    ("/blog", 0.16),
    ("/demo", 0.08),
    ("/webinar", 0.06),
    ("/docs", 0.06),
];

/// The visits before somebody became a lead; the last one reaches its goal at that moment.
fn lead_visits(world: &mut World, random: &mut Random, channel: usize, lead: &LeadRow) -> Result<()> {
    let visitor = world.new_visitor();
    for _ in 0..random.below(3) {
        let day = world.calendar.day(lead.created_at) + -(random.between(1, 12) as i32);
        if day >= world.calendar.first {
            let mut visit = visit(world, random, channel, day, visitor);
            visit.campaign_id = lead.campaign_id;
            record_visit(world, visit)?;
        }
    }
    let day = world.calendar.day(lead.created_at);
    let mut visit = visit(world, random, channel, day, visitor);
    let midnight = world.calendar.at(day, 0);
    visit.started_at = Instant((lead.created_at.0 - random.between(40, 900)).max(midnight.0));
    visit.campaign_id = lead.campaign_id;
    visit.goal_name = Some(random.weighted(&[("demo_request", 0.5), ("contact_form", 0.3), ("trial_signup", 0.2)]));
    visit.goal_completed_at = Some(lead.created_at);
    visit.lead_id = Some(lead.lead_id);
    record_visit(world, visit)
}

/// The visits of a day by people who stay unknown.
pub fn anonymous_visits(world: &mut World, random: &mut Random, day: Day) -> Result<()> {
    const VISITS_A_MONTH: f64 = 2.4;
    let business = world.calendar.progress(day) - world.calendar.progress(day + -1);
    let months = (world.calendar.months.len() - 1) as f64;
    // Private people also surf on weekends.
    let business = 0.8 * business + 0.2 / (world.calendar.last - world.calendar.first + 1) as f64;
    let weights: [(usize, f64); CHANNELS.len()] = std::array::from_fn(|index| (index, CHANNELS[index].visits));
    for _ in 0..random.poisson(world.accounts as f64 * VISITS_A_MONTH * months * business) {
        let channel = random.weighted(&weights);
        let visitor = if random.chance(0.62) { world.new_visitor() } else { world.known_visitor(random) };
        let mut visit = visit(world, random, channel, day, visitor);
        visit.campaign_id = campaign_of(world, random, channel, day);
        if random.chance(0.025) {
            visit.goal_name = Some(random.weighted(&[("newsletter", 0.6), ("whitepaper", 0.4)]));
            let done = visit.started_at + random.between(20, 900);
            visit.goal_completed_at = Some(done.min(activities::night(world, day)));
        }
        record_visit(world, visit)?;
    }
    Ok(())
}

fn visit(world: &mut World, random: &mut Random, channel: usize, day: Day, visitor: Id) -> WebSessionRow {
    WebSessionRow {
        session_id: world.tables.web_sessions.next_id(),
        visitor_id: visitor,
        started_at: world.calendar.waking_time(random, day),
        channel: Some(CHANNELS[channel].name),
        campaign_id: None,
        device: random.weighted(&DEVICES),
        landing_page: random.weighted(&PAGES),
        goal_name: None,
        goal_completed_at: None,
        lead_id: None,
        updated_at: activities::night(world, day),
        is_deleted: false,
    }
}

fn record_visit(world: &mut World, row: WebSessionRow) -> Result<()> {
    let day = world.calendar.day(row.started_at);
    world.tables.web_sessions.push(&world.calendar, day, &row)
}

/// Customers of whom later leads can say that they sent them; a fair sample, so that memory stays small.
#[derive(Default)]
pub struct KnownCustomers {
    seen: u64,
    customers: Vec<(Id, Day, Option<Day>)>,
}

impl KnownCustomers {
    const MOST: usize = 4096;

    pub fn remember(&mut self, random: &mut Random, account: Id, from: Day, until: Option<Day>) {
        self.seen += 1;
        if self.customers.len() < Self::MOST {
            self.customers.push((account, from, until));
        } else if let Some(place) = self.customers.get_mut(random.below(self.seen) as usize) {
            *place = (account, from, until);
        }
    }

    /// Somebody who is a customer on the day.
    pub fn somebody(&self, random: &mut Random, day: Day) -> Option<Id> {
        (0..4).find_map(|_| {
            let (account, from, until) = self.customers.get(random.below(self.customers.len() as u64) as usize)?;
            (*from <= day && until.is_none_or(|until| day < until)).then_some(*account)
        })
    }
}
