//! The company behind the data: what it sells, where, and who works there.
//!
//! Headcount follows the number of accounts. Nothing here depends on what customers do.

use super::calendar::{Calendar, Day, Instant};
use super::random::Random;
use super::stories;
use super::tables::{ProductRow, Tables, UserRow};
use super::write::Id;
use crate::error::Result;

pub const REGIONS: [(&str, f64); 5] =
    [("Northeast", 0.27), ("Southeast", 0.17), ("Midwest", 0.23), ("West", 0.21), ("Europe", 0.12)];

/// A thing that the company sells.
#[derive(Debug)]
pub struct Product {
    pub name: &'static str,
    pub family: &'static str,
    pub kind: &'static str,
    /// The price in dollars: of a seat and year for seats, of a year for the account, or of a piece.
    pub price: f64,
    /// What it costs the company, as a share of the price.
    pub cost: f64,
    pub is_recurring: bool,
    pub is_per_seat: bool,
}

pub const PRODUCTS: [Product; 12] = [
    product("Platform Essential", "platform", "product", 384.0, 0.21, true, true),
    product("Platform Professional", "platform", "product", 648.0, 0.20, true, true),
    product("Platform Enterprise", "platform", "product", 972.0, 0.19, true, true),
    product("Analytics Add-on", "platform", "product", 168.0, 0.16, true, true),
    product("Integration Hub", "platform", "product", 2400.0, 0.24, true, false),
    product("Support Plan", "services", "service", 1800.0, 0.46, true, false),
    product("Premium Support", "services", "service", 5400.0, 0.49, true, false),
    product("Onboarding Package", "services", "service", 2900.0, 0.55, false, false),
    product("Edge Gateway", "hardware", "product", 740.0, 0.61, false, false),
    product("Edge Sensor Kit", "hardware", "product", 215.0, 0.58, false, false),
    product("Training Day", "training", "other", 1250.0, 0.48, false, false),
    product("Workshop", "training", "other", 2100.0, 0.50, false, false),
];

/// Where to find products in [`PRODUCTS`].
pub mod products {
    pub const PLATFORMS: [usize; 3] = [0, 1, 2];
    pub const ANALYTICS: usize = 3;
    pub const INTEGRATION: usize = 4;
    pub const SUPPORT: usize = 5;
    pub const PREMIUM_SUPPORT: usize = 6;
    pub const ONBOARDING: usize = 7;
    pub const GATEWAY: usize = 8;
    pub const SENSORS: usize = 9;
    pub const TRAINING: usize = 10;
    pub const WORKSHOP: usize = 11;
}

const fn product(
    name: &'static str,
    family: &'static str,
    kind: &'static str,
    price: f64,
    cost: f64,
    is_recurring: bool,
    is_per_seat: bool,
) -> Product {
    Product { name, family, kind, price, cost, is_recurring, is_per_seat }
}

/// The id of a product in [`PRODUCTS`].
pub fn product_id(index: usize) -> Id {
    Id { prefix: "P", number: index as u64 + 1 }
}

/// How large a customer is, and what follows from it.
#[derive(Debug)]
pub struct Segment {
    pub name: &'static str,
    pub seats: (f64, f64),
    pub win_factor: f64,
    pub churn: f64,
    pub cases_a_year: f64,
    pub contacts: (i64, i64),
    /// Weights of the three platforms.
    pub platforms: [f64; 3],
}

pub const SEGMENTS: [(Segment, f64); 3] = [
    (
        Segment {
            name: "smb",
            seats: (17.0, 0.45),
            win_factor: 1.1,
            churn: 0.15,
            cases_a_year: 4.5,
            contacts: (1, 2),
            platforms: [0.65, 0.33, 0.02],
        },
        0.57,
    ),
    (
        Segment {
            name: "mid",
            seats: (48.0, 0.4),
            win_factor: 1.0,
            churn: 0.10,
            cases_a_year: 8.0,
            contacts: (1, 4),
            platforms: [0.15, 0.65, 0.20],
        },
        0.32,
    ),
    (
        Segment {
            name: "enterprise",
            seats: (125.0, 0.3),
            win_factor: 0.85,
            churn: 0.06,
            cases_a_year: 16.0,
            contacts: (2, 6),
            platforms: [0.0, 0.35, 0.65],
        },
        0.11,
    ),
];

/// Somebody who works for the company.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub id: Id,
    pub role: &'static str,
    pub start: Day,
    pub end: Option<Day>,
}

impl User {
    fn works_on(&self, day: Day) -> bool {
        self.start <= day && self.end.is_none_or(|end| day < end)
    }
}

/// Everybody who ever worked for the company.
pub struct Company {
    pub users: Vec<User>,
    /// Where in `users` the people of a group are.
    representatives: [Vec<usize>; REGIONS.len()],
    agents: [Vec<usize>; SUPPORT_TEAMS.len()],
    developers: Vec<usize>,
    marketers: Vec<usize>,
    operators: Vec<usize>,
}

pub const SUPPORT_TEAMS: [&str; 3] = ["Support East", "Support West", "Support Europe"];

/// The support team that looks after a region.
pub fn support_team(region: &str) -> &'static str {
    match region {
        "Northeast" | "Southeast" => "Support East",
        "Europe" => "Support Europe",
        _ => "Support West",
    }
}

impl Company {
    /// Hires everybody and writes the users and products.
    pub fn found(tables: &mut Tables, calendar: &Calendar, random: &mut Random, accounts: u64) -> Result<Company> {
        let written = calendar.at(calendar.first, 9 * 3600);
        for (index, product) in PRODUCTS.iter().enumerate() {
            let row = ProductRow {
                product_id: product_id(index),
                name: product.name,
                family: product.family,
                kind: product.kind,
                updated_at: written,
                is_deleted: false,
            };
            tables.products.push(calendar, calendar.first, &row)?;
        }
        let mut hiring = Hiring { tables, calendar, random, users: Vec::new() };
        let sales_lead = hiring.permanent("vp_sales", "Sales", None, None)?;
        let service_lead = hiring.permanent("vp_service", "Support", None, None)?;
        let marketing_lead = hiring.permanent("vp_marketing", "Marketing", None, None)?;
        let mut company = Company {
            users: Vec::new(),
            representatives: Default::default(),
            agents: Default::default(),
            developers: Vec::new(),
            marketers: Vec::new(),
            operators: Vec::new(),
        };
        for (index, (region, weight)) in REGIONS.iter().enumerate() {
            let team = hiring.team_name(index);
            let manager = hiring.sales_manager(team, region, sales_lead)?;
            let count = (accounts as f64 * weight / 28.0).round().max(2.0) as usize;
            for place in 0..count {
                company.representatives[index].extend(hiring.place("sales_rep", team, Some(region), manager, place)?);
            }
        }
        for (index, team) in SUPPORT_TEAMS.iter().enumerate() {
            let manager = hiring.permanent("service_manager", team, None, Some(service_lead))?;
            let share = [0.44, 0.44, 0.12][index];
            let count = (accounts as f64 * share / 35.0).round().max(2.0) as usize;
            for place in 0..count {
                company.agents[index].extend(hiring.place("service_rep", team, None, manager, place)?);
            }
        }
        let developers = hiring.permanent("sales_manager", "Sales Development", None, Some(sales_lead))?;
        for place in 0..(accounts / 100).max(2) as usize {
            company.developers.extend(hiring.place(
                "sales_development_rep",
                "Sales Development",
                None,
                developers,
                place,
            )?);
        }
        for place in 0..(accounts / 150).max(2) as usize {
            company.marketers.extend(hiring.place("marketer", "Marketing", None, marketing_lead, place)?);
        }
        for place in 0..(accounts / 150).max(2) as usize {
            company.operators.extend(hiring.place("operator", "Operations", None, service_lead, place)?);
        }
        company.users = hiring.users;
        Ok(company)
    }

    /// A sales representative of the region who works on the day.
    pub fn representative(&self, random: &mut Random, region: &str, day: Day) -> Id {
        let index = REGIONS.iter().position(|(name, _)| *name == region).unwrap_or(0);
        self.somebody(random, &self.representatives[index], day)
    }

    /// An agent of the support team who works on the day.
    pub fn agent(&self, random: &mut Random, team: &str, day: Day) -> Id {
        let index = SUPPORT_TEAMS.iter().position(|name| *name == team).unwrap_or(0);
        self.somebody(random, &self.agents[index], day)
    }

    /// One of those who answer leads.
    pub fn developer(&self, random: &mut Random, day: Day) -> Id {
        self.somebody(random, &self.developers, day)
    }

    pub fn marketer(&self, random: &mut Random, day: Day) -> Id {
        self.somebody(random, &self.marketers, day)
    }

    pub fn operator(&self, random: &mut Random, day: Day) -> Id {
        self.somebody(random, &self.operators, day)
    }

    /// Everybody with a role who works on the day.
    pub fn count(&self, roles: &[&str], day: Day) -> usize {
        self.users.iter().filter(|user| roles.contains(&user.role) && user.works_on(day)).count()
    }

    pub fn works_on(&self, user: Id, day: Day) -> bool {
        self.users.get(user.number as usize - 1).is_some_and(|user| user.works_on(day))
    }

    fn somebody(&self, random: &mut Random, places: &[usize], day: Day) -> Id {
        let start = random.below(places.len() as u64) as usize;
        // Each place is always filled by somebody or by the predecessor's successor, so a short walk finds one.
        let found = (0..places.len()).map(|step| places[(start + step) % places.len()]);
        let user = found.clone().find(|index| self.users[*index].works_on(day)).or(found.clone().next()).unwrap_or(0);
        self.users[user].id
    }
}

struct Hiring<'a> {
    tables: &'a mut Tables,
    calendar: &'a Calendar,
    random: &'a mut Random,
    users: Vec<User>,
}

impl Hiring<'_> {
    fn team_name(&self, region: usize) -> &'static str {
        ["Sales Northeast", "Sales Southeast", "Sales Midwest", "Sales West", "Sales Europe"][region]
    }

    fn permanent(
        &mut self,
        role: &'static str,
        team: &'static str,
        region: Option<&'static str>,
        manager: Option<Id>,
    ) -> Result<Id> {
        let start = self.calendar.first + -(self.random.between(200, 1400) as i32);
        self.hire(role, team, region, manager, start, None)
    }

    /// The manager of a sales team; in the region of the story she leaves, and her successor is the manager at the end.
    fn sales_manager(&mut self, team: &'static str, region: &'static str, lead: Id) -> Result<Id> {
        let leaves = region == stories::LOST_REGION && stories::MANAGER_LEFT <= self.calendar.last;
        if !leaves {
            return self.permanent("sales_manager", team, Some(region), Some(lead));
        }
        let start = self.calendar.first + -900;
        let left = self.hire("sales_manager", team, Some(region), Some(lead), start, Some(stories::MANAGER_LEFT))?;
        if stories::SUCCESSOR_CAME > self.calendar.last {
            return Ok(left);
        }
        self.hire("sales_manager", team, Some(region), Some(lead), stories::SUCCESSOR_CAME, None)
    }

    /// Somebody for a place, and a successor if they leave. The first place of a team never changes hands, so that there is
    /// always somebody; later places are filled as the company grows.
    fn place(
        &mut self,
        role: &'static str,
        team: &'static str,
        region: Option<&'static str>,
        manager: Id,
        place: usize,
    ) -> Result<Vec<usize>> {
        let (first, last) = (self.calendar.first, self.calendar.last);
        let mut start = first + -(self.random.between(30, 1200) as i32);
        if place > 1 && self.random.chance(0.4) {
            start = first + self.random.between(0, i64::from(last - first) / 2) as i32;
        }
        let start = self.calendar.working_day(start);
        let leaves = place > 0 && self.random.chance(0.25);
        let end = self.calendar.working_day(start.max(first) + self.random.between(200, 900) as i32);
        if !leaves || end >= last {
            self.hire(role, team, region, Some(manager), start, None)?;
            return Ok(vec![self.users.len() - 1]);
        }
        self.hire(role, team, region, Some(manager), start, Some(end))?;
        let place = self.users.len() - 1;
        let successor = self.calendar.working_day(end + 21);
        if successor > last {
            return Ok(vec![place]);
        }
        self.hire(role, team, region, Some(manager), successor, None)?;
        Ok(vec![place, place + 1])
    }

    fn hire(
        &mut self,
        role: &'static str,
        team: &'static str,
        region: Option<&'static str>,
        manager_id: Option<Id>,
        start: Day,
        end: Option<Day>,
    ) -> Result<Id> {
        let id = self.tables.users.next_id();
        let user = User { id, role, start, end };
        let row = UserRow {
            user_id: id,
            name: format!("{} {}", self.random.choice(&FIRST_NAMES), self.random.choice(&LAST_NAMES)),
            role,
            team,
            region,
            manager_id,
            start_date: start,
            end_date: end,
            updated_at: self.written_at(end.unwrap_or(start)),
            is_deleted: false,
        };
        self.tables.users.push(self.calendar, self.calendar.first, &row)?;
        self.users.push(user);
        Ok(id)
    }

    fn written_at(&self, day: Day) -> Instant {
        self.calendar.at(day, 9 * 3600)
    }
}

/// A company's name; many are unique, some are not, as in every CRM.
pub fn account_name(random: &mut Random) -> String {
    format!("{}{} {}", random.choice(&NAME_STARTS), random.choice(&NAME_ENDS), random.choice(&NAME_FORMS))
}

const FIRST_NAMES: [&str; 24] = [
    "Ada", "Ben", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko", "Liam", "Mara",
    "Nadia", "Omar", "Priya", "Quinn", "Rosa", "Samir", "Tess", "Uma", "Victor", "Wanda", "Yusuf",
];
const LAST_NAMES: [&str; 24] = [
    "Abbott",
    "Barros",
    "Castell",
    "Dunmore",
    "Eriksen",
    "Fontaine",
    "Garza",
    "Holloway",
    "Ibarra",
    "Jansen",
    "Kowal",
    "Lindqvist",
    "Marchetti",
    "Novak",
    "Okafor",
    "Petrov",
    "Quayle",
    "Rinaldi",
    "Sato",
    "Torres",
    "Ueda",
    "Vance",
    "Whitlock",
    "Zhang",
];
const NAME_STARTS: [&str; 26] = [
    "Al", "Bri", "Cor", "Dal", "Ever", "Fal", "Gran", "Hal", "Ir", "Jun", "Kes", "Lum", "Mer", "Nor", "Or", "Pal",
    "Quar", "Riv", "Sol", "Tal", "Um", "Ver", "Wes", "Xen", "Yar", "Zan",
];
const NAME_ENDS: [&str; 20] = [
    "ton", "dale", "ex", "ia", "ford", "mark", "wood", "ium", "stead", "ora", "vale", "tech", "port", "gate", "field",
    "bridge", "wick", "mont", "ley", "haven",
];
const NAME_FORMS: [&str; 10] =
    ["Inc", "LLC", "Group", "Labs", "Logistics", "Foods, Inc", "Partners", "Industries", "Health", "Systems"];
