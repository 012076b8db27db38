//! Accounts and their contacts: who they are, how they came, and the order in which their story is told.
//!
//! Each account draws from its own stream of random numbers, so accounts do not disturb each other.

use super::World;
use super::calendar::{Day, Instant};
use super::company::{self, REGIONS, SEGMENTS, Segment};
use super::marketing::{self, CHANNELS};
use super::random::Random;
use super::revenue::{self, Basket, Customer};
use super::sales::{Deal, DealKind, Ending, pursue};
use super::service;
use super::tables::{AccountRow, ContactRow};
use super::write::Id;
use crate::error::Result;

/// An account while its story is told.
pub struct Account {
    pub id: Id,
    pub region: &'static str,
    pub segment: &'static Segment,
    /// Where in [`CHANNELS`] it came from.
    pub channel: usize,
    pub campaign: Option<Id>,
    pub referrer: Option<Id>,
    pub owner: Id,
    pub contacts: Vec<Id>,
    pub is_loyal: bool,
}

/// The share of accounts that existed before the data begins.
const OLD_SHARE: f64 = 0.3;
const INDUSTRIES: [(&str, f64); 8] = [
    ("manufacturing", 0.2),
    ("logistics", 0.15),
    ("healthcare", 0.14),
    ("retail", 0.14),
    ("software", 0.13),
    ("finance", 0.1),
    ("education", 0.08),
    ("energy", 0.06),
];

/// How many of the accounts are new during the data.
pub fn new_accounts(accounts: u64) -> u64 {
    accounts - (accounts as f64 * OLD_SHARE) as u64
}

/// Tells the whole story of one account.
pub fn live(world: &mut World, random: &mut Random, index: u64) -> Result<()> {
    let id = world.tables.accounts.next_id();
    let old = world.accounts - new_accounts(world.accounts);
    if index % 110 == 37 {
        return test_account(world, random, id);
    }
    let created = if index < old {
        let day = world.calendar.working_day(world.calendar.first + -(random.between(370, 1100) as i32));
        world.calendar.office_time(random, day)
    } else {
        let share = ((index - old) as f64 + random.unit()) / new_accounts(world.accounts) as f64;
        let day = world.calendar.day_of_progress(share);
        world.calendar.office_time(random, day)
    };
    let mut account = new_account(world, random, id, created);
    let (customers, last_change) = if index < old {
        old_customer(world, random, &account)?
    } else {
        account.campaign = marketing::campaign_of(world, random, account.channel, world.calendar.day(created));
        if CHANNELS[account.channel].name == "referral" && random.chance(0.9) {
            account.referrer = world.customers.somebody(random, world.calendar.day(created));
        }
        prospect(world, random, &account, created)?
    };
    for customer in &customers {
        world.customers.remember(random, account.id, customer.from, customer.until);
        service::serve(world, random, &account, customer)?;
        marketing::invite_customer(world, random, &account, customer.from, customer.last_day(&world.calendar))?;
    }
    write_account(world, random, &account, created, last_change, &customers)
}

fn new_account(world: &mut World, random: &mut Random, id: Id, created: Instant) -> Account {
    let region = random.weighted(&REGIONS);
    let segment = &SEGMENTS[random.weighted(&[(0, SEGMENTS[0].1), (1, SEGMENTS[1].1), (2, SEGMENTS[2].1)])].0;
    let owner_day = world.calendar.day(created).max(world.calendar.first);
    let (few, many) = segment.contacts;
    let contacts = (0..random.between(few, many)).map(|_| world.tables.contacts.next_id()).collect();
    Account {
        id,
        region,
        segment,
        channel: marketing::account_channel(random),
        campaign: None,
        referrer: None,
        owner: world.company.representative(random, region, owner_day),
        contacts,
        is_loyal: random.chance(0.28),
    }
}

/// A customer from before the data: its contract simply runs when the data begins.
fn old_customer(world: &mut World, random: &mut Random, account: &Account) -> Result<(Vec<Customer>, Day)> {
    if random.chance(0.12) {
        return Ok((Vec::new(), world.calendar.first));
    }
    let start = world.calendar.first + -(random.between(1, 364) as i32);
    let basket = Basket::first(random, account.segment, start);
    let mut customer = Customer::from_contract(start, &basket);
    revenue::live(world, random, account, &mut customer, &basket)?;
    let mut customers = vec![customer];
    win_back(world, random, account, &mut customers)?;
    let last_change = customers.last().map_or(world.calendar.first, |customer| customer.last_day(&world.calendar));
    Ok((customers, last_change))
}

/// A new account: mostly a lead first, then a deal, perhaps a second try, perhaps a customer.
fn prospect(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    created: Instant,
) -> Result<(Vec<Customer>, Day)> {
    let channel = &CHANNELS[account.channel];
    let id = world.tables.opportunities.next_id();
    let has_lead = !matches!(channel.name, "outbound" | "partner") || random.chance(0.6);
    let lead = if has_lead { Some(marketing::converted_lead(world, random, account, id, created)?) } else { None };
    let mut customers = Vec::new();
    let mut last_change = world.calendar.day(created);
    let mut deal = Deal {
        id,
        kind: DealKind::NewBusiness,
        created,
        lead,
        channel: channel.name,
        campaign: account.campaign,
        amount: Basket::first(random, account.segment, last_change).total(),
        chance: channel.win * account.segment.win_factor,
        closing: None,
    };
    for _ in 0..2 {
        let day = world.calendar.day(deal.created);
        let basket = Basket::first(random, account.segment, day);
        deal.amount = basket.total();
        match pursue(world, random, account, deal)? {
            Ending::Won { closed, owner } => {
                last_change = closed;
                customers.extend(revenue::begin(world, random, account, &deal, &basket, closed, owner)?);
                win_back(world, random, account, &mut customers)?;
                break;
            }
            Ending::Lost { closed } => {
                last_change = closed;
                let again = world.calendar.working_day(closed + random.between(60, 240) as i32);
                if !random.chance(0.4) || again > world.calendar.last {
                    break;
                }
                deal.id = world.tables.opportunities.next_id();
                deal.created = world.calendar.office_time(random, again);
                deal.lead = None;
            }
            Ending::Open => break,
        }
    }
    Ok((customers, last_change))
}

/// Some former customers come back.
fn win_back(world: &mut World, random: &mut Random, account: &Account, customers: &mut Vec<Customer>) -> Result<()> {
    let Some(left) = customers.last().and_then(|customer| customer.until) else { return Ok(()) };
    let day = world.calendar.working_day(left + random.between(45, 300) as i32);
    if day > world.calendar.last || !random.chance(0.22) {
        return Ok(());
    }
    let basket = Basket::first(random, account.segment, day);
    let deal = Deal {
        id: world.tables.opportunities.next_id(),
        kind: DealKind::NewBusiness,
        created: world.calendar.office_time(random, day),
        lead: None,
        channel: "outbound",
        campaign: None,
        amount: basket.total(),
        chance: 0.5,
        closing: None,
    };
    if let Ending::Won { closed, owner } = pursue(world, random, account, deal)? {
        customers.extend(revenue::begin(world, random, account, &deal, &basket, closed, owner)?);
    }
    Ok(())
}

/// What somebody typed in to try the system out.
fn test_account(world: &mut World, random: &mut Random, id: Id) -> Result<()> {
    let day = world.calendar.busy_day(random, world.calendar.first, world.calendar.last);
    let created = world.calendar.office_time(random, day);
    let account = new_account(world, random, id, created);
    write_account(world, random, &account, created, day, &[])
}

fn write_account(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    created: Instant,
    last_change: Day,
    customers: &[Customer],
) -> Result<()> {
    let is_test = account.id.number % 110 == 38;
    let created_day = world.calendar.day(created);
    let changed = last_change.max(created_day).min(world.calendar.last);
    // Customers of some standing agree to be named, many for good and some for a year.
    let since = customers
        .first()
        .filter(|_| random.chance(0.45))
        .map(|customer| customer.from.max(world.calendar.first + -300) + random.between(180, 480) as i32)
        .filter(|since| customers[0].until.unwrap_or(world.calendar.last) > *since && *since <= world.calendar.last);
    let until = since.and_then(|since| {
        let limited = random.chance(0.3).then_some(since + 365);
        limited.into_iter().chain(customers[0].until).min()
    });
    let row = AccountRow {
        account_id: account.id,
        name: if is_test { format!("TEST Account {}", account.id.number) } else { company::account_name(random) },
        industry: (!random.chance(0.04)).then(|| random.weighted(&INDUSTRIES)),
        segment: account.segment.name,
        region: account.region,
        owner_id: world.owner(random, account, world.calendar.last),
        acquisition_channel: Some(CHANNELS[account.channel].name),
        acquisition_campaign_id: account.campaign,
        referred_by_account_id: account.referrer,
        loyalty_member: account.is_loyal && !customers.is_empty(),
        referenceable_since: since,
        referenceable_until: until,
        created_at: created,
        updated_at: world.calendar.at(changed, 19 * 3600).max(created),
        is_deleted: is_test && account.id.number % 220 == 38,
    };
    world.tables.accounts.push(&world.calendar, created_day, &row)?;
    for contact in &account.contacts {
        let at = created + random.between(0, 3600);
        let row = ContactRow {
            contact_id: *contact,
            account_id: account.id,
            lead_source: (!random.chance(0.2)).then_some(CHANNELS[account.channel].name),
            created_at: at,
            updated_at: at,
            is_deleted: false,
        };
        world.tables.contacts.push(&world.calendar, created_day, &row)?;
    }
    Ok(())
}
