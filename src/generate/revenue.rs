//! What customers buy: baskets, orders with their lines, and contracts that run, grow, renew and end.
//!
//! All contracts of a customer run to the same day. Whether a renewal or an expansion is won is decided in `sales`.

use super::World;
use super::accounts::Account;
use super::calendar::{Calendar, Day};
use super::company::{PRODUCTS, Segment, product_id, products};
use super::random::Random;
use super::sales::{Deal, DealKind, Ending, pursue};
use super::stories;
use super::tables::{OrderItemRow, OrderRow, SubscriptionRow};
use super::write::{Id, Money};
use crate::error::Result;

/// Things to be sold together.
#[derive(Debug, Clone, Default)]
pub struct Basket {
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Where in [`PRODUCTS`].
    pub product: usize,
    pub quantity: i32,
    /// What is paid, for a year where the product recurs.
    pub net: Money,
    pub cost: Money,
}

impl Basket {
    /// What a new customer takes.
    pub fn first(random: &mut Random, segment: &Segment, day: Day) -> Basket {
        let mut basket = Basket::default();
        let discount = random.uniform(0.0, 0.16);
        let seats = random.lognormal(segment.seats.0, segment.seats.1).max(3.0) as i32;
        let platform = random.weighted(&[
            (products::PLATFORMS[0], segment.platforms[0]),
            (products::PLATFORMS[1], segment.platforms[1]),
            (products::PLATFORMS[2], segment.platforms[2]),
        ]);
        basket.add(random, platform, seats, day, discount);
        if random.chance(0.32) {
            basket.add(random, products::ANALYTICS, (seats / 2).max(2), day, discount);
        }
        if random.chance(0.22) {
            basket.add(random, products::INTEGRATION, 1, day, discount);
        }
        if random.chance(0.6) {
            let premium = segment.name == "enterprise" || random.chance(0.12);
            basket.add(random, if premium { products::PREMIUM_SUPPORT } else { products::SUPPORT }, 1, day, 0.0);
        }
        if random.chance(0.7) {
            basket.add(random, products::ONBOARDING, 1, day, 0.0);
        }
        for (product, chance, most) in
            [(products::GATEWAY, 0.36, 5), (products::SENSORS, 0.25, 8), (products::TRAINING, 0.3, 3)]
        {
            if random.chance(chance) {
                let quantity = random.between(1, most) as i32;
                basket.add(random, product, quantity, day, discount);
            }
        }
        basket
    }

    /// Something bought in between: hardware, training, a workshop.
    fn extra(random: &mut Random, day: Day) -> Basket {
        let mut basket = Basket::default();
        for _ in 0..random.between(1, 2) {
            let product = random.weighted(&[
                (products::GATEWAY, 0.36),
                (products::SENSORS, 0.26),
                (products::TRAINING, 0.26),
                (products::WORKSHOP, 0.12),
            ]);
            let quantity = random.between(1, 5) as i32;
            basket.add(random, product, quantity, day, 0.0);
        }
        basket
    }

    pub fn total(&self) -> Money {
        self.lines.iter().map(|line| line.net).sum()
    }

    fn add(&mut self, random: &mut Random, product: usize, quantity: i32, day: Day, discount: f64) {
        let list = PRODUCTS[product].price * f64::from(quantity);
        let net = Money::dollars(list * stories::price_level(day) * (1.0 - discount));
        // Costs do not follow list prices.
        let cost = Money::dollars(list * PRODUCTS[product].cost * random.uniform(0.92, 1.08));
        self.lines.push(Line { product, quantity, net, cost });
    }
}

/// One time as a customer, from the first contract to the last.
pub struct Customer {
    pub from: Day,
    /// The first day on which it is no customer any more.
    pub until: Option<Day>,
    /// What it has ever bought, and since when.
    pub owned: Vec<(usize, Day)>,
    contracts: Vec<Contract>,
    term_end: Day,
}

/// A subscription that has no row yet.
struct Contract {
    id: Id,
    line: Line,
    start: Day,
}

impl Customer {
    /// The last day as a customer within the data.
    pub fn last_day(&self, calendar: &Calendar) -> Day {
        self.until.map_or(calendar.last, |until| until + -1).min(calendar.last)
    }

    /// A customer whose contract began before the data.
    pub fn from_contract(start: Day, basket: &Basket) -> Customer {
        let owned = basket.lines.iter().map(|line| (line.product, start)).collect();
        Customer { from: start, until: None, owned, contracts: Vec::new(), term_end: start.add_months(12) }
    }
}

/// A won deal becomes an order, contracts, and a customer; none if the data ends before the order.
pub fn begin(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    deal: &Deal,
    basket: &Basket,
    closed: Day,
    owner: Id,
) -> Result<Option<Customer>> {
    let order = Order {
        day: world.calendar.working_day(closed + random.between(0, 2) as i32).min(world.calendar.last),
        kind: "new_business",
        opportunity: Some(deal.id),
        campaign: deal.campaign,
        channel: deal.channel,
        owner,
    };
    place(world, random, account.id, &order, basket)?;
    let mut customer = Customer::from_contract(order.day, basket);
    if random.chance(0.15) {
        customer.term_end = order.day.add_months(24);
    }
    live(world, random, account, &mut customer, basket)?;
    Ok(Some(customer))
}

/// Everything that happens to a customer from the first contract on, term by term.
pub fn live(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &mut Customer,
    basket: &Basket,
) -> Result<()> {
    let start = customer.from;
    customer.contracts = contracts(world, basket.lines.iter().copied(), start);
    let mut term_start = start;
    while term_start <= world.calendar.last && customer.until.is_none() {
        let seen_from = term_start.max(world.calendar.first);
        let cancelled = random.chance(0.02).then(|| term_start + random.between(60, 300) as i32);
        let cancelled = cancelled.filter(|day| seen_from < *day && *day <= world.calendar.last);
        let term_until = cancelled.unwrap_or(customer.term_end).min(world.calendar.last + 1);
        extra_orders(world, random, account, customer, seen_from, term_until)?;
        second_year(world, random, account, customer, term_start)?;
        expansions(world, random, account, customer, seen_from, term_until)?;
        if let Some(day) = cancelled {
            end_contracts(world, random, account, customer, day)?;
            break;
        }
        let term_end = customer.term_end;
        renew(world, random, account, customer)?;
        if customer.term_end == term_end {
            break;
        }
        term_start = term_end;
    }
    // What is left still runs when the data ends.
    for contract in std::mem::take(&mut customer.contracts) {
        write_contract(world, account, customer.term_end, &contract, None, None, None)?;
    }
    Ok(())
}

fn contracts(world: &mut World, lines: impl Iterator<Item = Line>, start: Day) -> Vec<Contract> {
    lines
        .filter(|line| PRODUCTS[line.product].is_recurring)
        .map(|line| Contract { id: world.tables.subscriptions.next_id(), line, start })
        .collect()
}

fn extra_orders(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &mut Customer,
    from: Day,
    until: Day,
) -> Result<()> {
    for _ in 0..random.poisson(1.3 * f64::from((until - from).max(0)) / 365.0) {
        let day = world.calendar.busy_day(random, from, until + -1);
        let basket = Basket::extra(random, day);
        customer.owned.extend(basket.lines.iter().map(|line| (line.product, day)));
        let channel = if random.chance(0.5) { "web" } else { "existing" };
        let owner = world.owner(random, account, day);
        let campaign = if random.chance(0.1) { marketing_touch(world, random, day) } else { None };
        let order = Order { day, kind: "expansion", opportunity: None, campaign, channel, owner };
        place(world, random, account.id, &order, &basket)?;
    }
    Ok(())
}

/// Existing customers answer to e-mail campaigns.
fn marketing_touch(world: &World, random: &mut Random, day: Day) -> Option<Id> {
    const EMAIL: usize = 4;
    super::marketing::campaign_of(world, random, EMAIL, day)
}

/// The second invoice of a contract over two years.
fn second_year(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &Customer,
    term_start: Day,
) -> Result<()> {
    let day = term_start.add_months(12);
    if day + 30 > customer.term_end || day > world.calendar.last || day < world.calendar.first {
        return Ok(());
    }
    let basket = Basket { lines: customer.contracts.iter().map(|contract| contract.line).collect() };
    let owner = world.owner(random, account, day);
    let order = Order { day, kind: "renewal", opportunity: None, campaign: None, channel: "existing", owner };
    place(world, random, account.id, &order, &basket)
}

/// Deals for more seats or another product. An amendment closes the contract's row and opens a new one.
fn expansions(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &mut Customer,
    from: Day,
    until: Day,
) -> Result<()> {
    let count = random.poisson(1.3 * f64::from((until - from).max(0)) / 365.0);
    let mut days: Vec<Day> = (0..count).map(|_| world.calendar.busy_day(random, from, until + -1)).collect();
    days.sort();
    let mut amended = from;
    for day in days {
        let seats = customer.contracts.first().map_or(5, |contract| contract.line.quantity);
        let upgrade = random.chance(0.55) && !customer.contracts.is_empty();
        let product = if upgrade {
            customer.contracts[0].line.product
        } else {
            random.weighted(&[(products::ANALYTICS, 0.6), (products::INTEGRATION, 0.4)])
        };
        let more = if PRODUCTS[product].is_per_seat {
            (f64::from(seats) * random.uniform(0.05, 0.2)).ceil().max(1.0) as i32
        } else {
            1
        };
        let mut basket = Basket::default();
        let discount = random.uniform(0.0, 0.12);
        basket.add(random, product, more, day, discount);
        if random.chance(0.4) {
            basket.lines.extend(Basket::extra(random, day).lines);
        }
        let deal = Deal {
            id: world.tables.opportunities.next_id(),
            kind: DealKind::Expansion,
            created: world.calendar.office_time(random, day),
            lead: None,
            channel: "existing",
            campaign: if random.chance(0.12) { marketing_touch(world, random, day) } else { None },
            amount: basket.total(),
            chance: 0.66,
            closing: None,
        };
        let Ending::Won { closed, owner } = pursue(world, random, account, deal)? else { continue };
        let order = Order {
            day: closed,
            kind: "expansion",
            opportunity: Some(deal.id),
            campaign: deal.campaign,
            channel: deal.channel,
            owner,
        };
        place(world, random, account.id, &order, &basket)?;
        customer.owned.extend(basket.lines.iter().map(|line| (line.product, closed)));
        // What is agreed in the last days of a term, or after it, only takes effect as an order.
        if closed <= amended || closed + 1 >= until {
            continue;
        }
        amended = closed;
        let line = basket.lines[0];
        match customer.contracts.iter().position(|contract| contract.line.product == product) {
            None => customer.contracts.extend(contracts(world, std::iter::once(line), closed)),
            Some(place) => {
                let grown = Line {
                    quantity: customer.contracts[place].line.quantity + line.quantity,
                    net: customer.contracts[place].line.net + line.net,
                    cost: customer.contracts[place].line.cost + line.cost,
                    ..line
                };
                let next = Contract { id: world.tables.subscriptions.next_id(), line: grown, start: closed };
                let old = std::mem::replace(&mut customer.contracts[place], next);
                write_contract(world, account, customer.term_end, &old, Some(closed), None, None)?;
            }
        }
    }
    Ok(())
}

/// Decides about the next term, if the decision falls into the data. A renewed customer has a later `term_end` afterwards.
fn renew(world: &mut World, random: &mut Random, account: &Account, customer: &mut Customer) -> Result<()> {
    let term_end = customer.term_end;
    let asked = world.calendar.working_day(term_end + -(random.between(50, 80) as i32));
    // Contracts that end soon after the data begins were talked about before it.
    let asked = asked.max(world.calendar.working_day(world.calendar.first));
    if asked > world.calendar.last || customer.contracts.is_empty() {
        return Ok(());
    }
    let old_level = stories::price_level(term_end + -366);
    let rise = stories::price_level(term_end) / old_level * random.uniform(1.0, 1.04);
    let mut kept = Vec::new();
    let mut basket = Basket::default();
    for (place, contract) in customer.contracts.iter().enumerate() {
        let drops = place > 0 && random.chance(0.09);
        if drops {
            continue;
        }
        let shrinks = random.chance(0.07) && contract.line.quantity > 5;
        let quantity = if shrinks { contract.line.quantity * 4 / 5 } else { contract.line.quantity };
        let share = f64::from(quantity) / f64::from(contract.line.quantity);
        kept.push(place);
        basket.lines.push(Line {
            quantity,
            net: contract.line.net.times(share * rise),
            cost: contract.line.cost.times(share),
            ..contract.line
        });
    }
    let loyalty = if account.is_loyal { 0.6 } else { 1.0 };
    let churn = (account.segment.churn * loyalty * stories::churn_factor(term_end)).min(0.8);
    let closing = (term_end + -(random.between(0, 25) as i32)).max(asked + 1);
    let deal = Deal {
        id: world.tables.opportunities.next_id(),
        kind: DealKind::Renewal,
        created: world.calendar.office_time(random, asked),
        lead: None,
        channel: "existing",
        campaign: None,
        amount: basket.total(),
        chance: 1.0 - churn,
        closing: Some(closing),
    };
    match pursue(world, random, account, deal)? {
        Ending::Open => Ok(()),
        Ending::Lost { .. } if term_end > world.calendar.last => Ok(()),
        Ending::Lost { .. } => end_contracts(world, random, account, customer, term_end),
        Ending::Won { closed, owner } => {
            let opportunity = Some(deal.id);
            let order = Order { day: closed, kind: "renewal", opportunity, campaign: None, channel: "existing", owner };
            place(world, random, account.id, &order, &basket)?;
            let successors = contracts(world, basket.lines.iter().copied(), term_end);
            let ended = Some(term_end).filter(|day| *day <= world.calendar.last);
            for (place, contract) in std::mem::take(&mut customer.contracts).into_iter().enumerate() {
                let successor = kept.iter().position(|kept| *kept == place).map(|index| successors[index].id);
                let reason = successor.is_none().then_some("not_needed").filter(|_| ended.is_some());
                write_contract(world, account, term_end, &contract, ended, successor, reason)?;
            }
            customer.contracts = successors;
            customer.term_end = term_end.add_months(if random.chance(0.12) { 24 } else { 12 });
            Ok(())
        }
    }
}

fn end_contracts(
    world: &mut World,
    random: &mut Random,
    account: &Account,
    customer: &mut Customer,
    day: Day,
) -> Result<()> {
    let price = if stories::churn_factor(day) > 1.0 { 1.6 } else { 0.3 };
    let reason = random.weighted(&[
        ("price", price),
        ("competitor", 0.3),
        ("missing_features", 0.2),
        ("service", 0.2),
        ("not_needed", 0.2),
        ("out_of_business", 0.06),
    ]);
    for contract in std::mem::take(&mut customer.contracts) {
        write_contract(world, account, customer.term_end, &contract, Some(day), None, Some(reason))?;
    }
    customer.until = Some(day);
    Ok(())
}

fn write_contract(
    world: &mut World,
    account: &Account,
    term_end: Day,
    contract: &Contract,
    end: Option<Day>,
    renewed_by: Option<Id>,
    cancel_reason: Option<&'static str>,
) -> Result<()> {
    let row = SubscriptionRow {
        subscription_id: contract.id,
        account_id: account.id,
        product_id: product_id(contract.line.product),
        start_date: contract.start,
        end_date: end,
        term_end_date: term_end,
        mrr: contract.line.net.times(1.0 / 12.0),
        renewed_by_subscription_id: renewed_by,
        cancel_reason,
        updated_at: world.calendar.at(end.unwrap_or(contract.start).min(world.calendar.last), 12 * 3600),
        is_deleted: false,
    };
    world.tables.subscriptions.push(&world.calendar, contract.start, &row)
}

/// An order before its lines.
struct Order {
    day: Day,
    kind: &'static str,
    opportunity: Option<Id>,
    campaign: Option<Id>,
    channel: &'static str,
    owner: Id,
}

/// Writes an order with its lines; sometimes there was a wrong one before it, or a credit note follows.
fn place(world: &mut World, random: &mut Random, account: Id, order: &Order, basket: &Basket) -> Result<()> {
    if random.chance(0.025) {
        write_order(world, random, account, order, &basket.lines, "cancelled")?;
    }
    write_order(world, random, account, order, &basket.lines, "completed")?;
    let day = world.calendar.working_day(order.day + random.between(5, 45) as i32);
    if random.chance(0.03) && day <= world.calendar.last {
        let line = random.choice(&basket.lines);
        let share = random.uniform(0.1, 0.4);
        let line = Line { quantity: -1, net: line.net.times(-share), cost: line.cost.times(-share), ..*line };
        let credit = Order { day, kind: "credit", opportunity: None, campaign: None, ..*order };
        write_order(world, random, account, &credit, &[line], "completed")?;
    }
    Ok(())
}

fn write_order(
    world: &mut World,
    random: &mut Random,
    account: Id,
    order: &Order,
    lines: &[Line],
    status: &'static str,
) -> Result<()> {
    let is_deleted = status == "cancelled" && random.chance(0.3);
    let updated = world.calendar.at(order.day, 18 * 3600);
    let row = OrderRow {
        order_id: world.tables.orders.next_id(),
        account_id: account,
        opportunity_id: order.opportunity,
        campaign_id: order.campaign,
        order_date: order.day,
        order_type: order.kind,
        status,
        channel: Some(order.channel),
        owner_id: order.owner,
        currency: "USD",
        updated_at: updated,
        is_deleted,
    };
    world.tables.orders.push(&world.calendar, order.day, &row)?;
    for line in lines {
        let product = &PRODUCTS[line.product];
        let item = OrderItemRow {
            order_item_id: world.tables.order_items.next_id(),
            order_id: row.order_id,
            product_id: product_id(line.product),
            quantity: line.quantity,
            net_amount: line.net,
            cost_amount: (!random.chance(0.008)).then_some(line.cost),
            is_recurring: product.is_recurring,
            updated_at: updated,
            is_deleted,
        };
        world.tables.order_items.push(&world.calendar, order.day, &item)?;
        if status == "completed" {
            world.ledger.sold(world.calendar.month(order.day), product.family, line.net, line.cost);
        }
    }
    Ok(())
}

/// A few orders whose account was removed from the CRM.
pub fn orphans(world: &mut World, random: &mut Random) -> Result<()> {
    for number in 0..2 + world.accounts / 200 {
        let account = Id { prefix: "A", number: world.accounts + 1 + number };
        let day = world.calendar.busy_day(random, world.calendar.first, world.calendar.last);
        let basket = Basket::extra(random, day);
        let owner = world.company.representative(random, "Northeast", day);
        let order = Order { day, kind: "expansion", opportunity: None, campaign: None, channel: "web", owner };
        write_order(world, random, account, &order, &basket.lines, "completed")?;
    }
    Ok(())
}
