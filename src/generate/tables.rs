//! The twenty tables: one row type each, whose fields are the columns in order, and where the rows go.
//!
//! Every table ends with `updated_at` (when the row last changed) and `is_deleted`, as exports for incremental loads do.

use std::path::Path;

use super::calendar::{Calendar, Day, Instant};
use super::write::{Dialect, GeneratedTable, Id, Layout, Money, Row, Share, Sink, rows};
use crate::error::Result;

type Text = Option<&'static str>;

rows! {
    AccountRow = "accounts", "A" {
        account_id: Id, name: String, industry: Text, segment: &'static str, region: &'static str, owner_id: Id,
        acquisition_channel: Text, acquisition_campaign_id: Option<Id>, referred_by_account_id: Option<Id>,
        loyalty_member: bool, referenceable_since: Option<Day>, referenceable_until: Option<Day>, created_at: Instant,
        updated_at: Instant, is_deleted: bool,
    }
    ContactRow = "contacts", "CON" {
        contact_id: Id, account_id: Id, lead_source: Text, created_at: Instant, updated_at: Instant, is_deleted: bool,
    }
    LeadRow = "leads", "L" {
        lead_id: Id, created_at: Instant, lead_source: Text, campaign_id: Option<Id>, product_id: Option<Id>,
        referred_by_account_id: Option<Id>, owner_id: Id, region: &'static str, score: Option<i32>,
        first_response_at: Option<Instant>, mql_at: Option<Instant>, sal_at: Option<Instant>, sql_at: Option<Instant>,
        disqualified_at: Option<Instant>, converted_at: Option<Instant>, converted_account_id: Option<Id>,
        converted_opportunity_id: Option<Id>, is_duplicate: bool, updated_at: Instant, is_deleted: bool,
    }
    OpportunityRow = "opportunities", "OPP" {
        opportunity_id: Id, account_id: Id, lead_id: Option<Id>, r#type: &'static str, created_at: Instant,
        close_date: Day, stage: &'static str, is_closed: bool, is_won: bool, amount: Option<Money>, probability: Share,
        forecast_category: &'static str, owner_id: Id, channel: Text, campaign_id: Option<Id>, primary_competitor: Text,
        loss_reason: Text, updated_at: Instant, is_deleted: bool,
    }
    StageRow = "opportunity_stage_history", "H" {
        history_id: Id, opportunity_id: Id, stage: &'static str, stage_order: i32, entered_at: Instant,
        exited_at: Option<Instant>, amount: Option<Money>, probability: Share, close_date: Day, updated_at: Instant,
        is_deleted: bool,
    }
    ProductRow = "products", "P" {
        product_id: Id, name: &'static str, family: &'static str, kind: &'static str, updated_at: Instant,
        is_deleted: bool,
    }
    OrderRow = "orders", "ORD" {
        order_id: Id, account_id: Id, opportunity_id: Option<Id>, campaign_id: Option<Id>, order_date: Day,
        order_type: &'static str, status: &'static str, channel: Text, owner_id: Id, currency: &'static str,
        updated_at: Instant, is_deleted: bool,
    }
    OrderItemRow = "order_items", "I" {
        order_item_id: Id, order_id: Id, product_id: Id, quantity: i32, net_amount: Money, cost_amount: Option<Money>,
        is_recurring: bool, updated_at: Instant, is_deleted: bool,
    }
    SubscriptionRow = "subscriptions", "S" {
        subscription_id: Id, account_id: Id, product_id: Id, start_date: Day, end_date: Option<Day>, term_end_date: Day,
        mrr: Money, renewed_by_subscription_id: Option<Id>, cancel_reason: Text, updated_at: Instant, is_deleted: bool,
    }
    CampaignRow = "campaigns", "CMP" {
        campaign_id: Id, name: String, channel: &'static str, start_date: Day, end_date: Day, budget: Money,
        product_id: Option<Id>, updated_at: Instant, is_deleted: bool,
    }
    CampaignCostRow = "campaign_costs", "CC" {
        campaign_cost_id: Id, campaign_id: Id, cost_date: Day, cost_type: Text, amount: Option<Money>, updated_at: Instant,
        is_deleted: bool,
    }
    CampaignMemberRow = "campaign_members", "CM" {
        campaign_member_id: Id, campaign_id: Id, lead_id: Option<Id>, contact_id: Option<Id>, account_id: Option<Id>,
        added_at: Instant, first_responded_at: Option<Instant>, updated_at: Instant, is_deleted: bool,
    }
    WebSessionRow = "web_sessions", "W" {
        session_id: Id, visitor_id: Id, started_at: Instant, channel: Text, campaign_id: Option<Id>,
        device: &'static str, landing_page: &'static str, goal_name: Text, goal_completed_at: Option<Instant>,
        lead_id: Option<Id>, updated_at: Instant, is_deleted: bool,
    }
    /// `Default` leaves all links open.
    ActivityRow = "activities", "T" {
        activity_id: Id, activity_type: &'static str, direction: &'static str, started_at: Instant,
        talk_seconds: Option<i32>, hold_seconds: Option<i32>, wrap_seconds: Option<i32>, outcome: Text,
        is_automated: bool, is_escalated: bool, cost_amount: Option<Money>, account_id: Option<Id>,
        contact_id: Option<Id>, lead_id: Option<Id>, opportunity_id: Option<Id>, case_id: Option<Id>,
        campaign_id: Option<Id>, user_id: Option<Id>, updated_at: Instant, is_deleted: bool,
    }
    CaseRow = "cases", "K" {
        case_id: Id, account_id: Option<Id>, contact_id: Option<Id>, product_id: Option<Id>, case_type: &'static str,
        origin: &'static str, priority: &'static str, status: &'static str, created_at: Instant,
        first_response_at: Option<Instant>, closed_at: Option<Instant>, reopened_at: Option<Instant>, owner_id: Id,
        updated_at: Instant, is_deleted: bool,
    }
    SurveyRow = "survey_responses", "R" {
        response_id: Id, survey_type: &'static str, source: &'static str, sent_at: Option<Instant>,
        responded_at: Option<Instant>, score: Option<i32>, scale_max: i32, sentiment: Text, account_id: Option<Id>,
        contact_id: Option<Id>, case_id: Option<Id>, product_id: Option<Id>, user_id: Option<Id>, updated_at: Instant,
        is_deleted: bool,
    }
    UserRow = "users", "U" {
        user_id: Id, name: String, role: &'static str, team: &'static str, region: Text, manager_id: Option<Id>,
        start_date: Day, end_date: Option<Day>, updated_at: Instant, is_deleted: bool,
    }
    QuotaRow = "quotas", "Q" {
        quota_id: Id, user_id: Id, period_start: Day, period_end: Day, quota_amount: Money, updated_at: Instant,
        is_deleted: bool,
    }
    GlRow = "gl_balances", "G" {
        gl_id: Id, period_end: Day, gl_class: &'static str, cost_center: &'static str, movement_amount: Option<Money>,
        closing_balance: Option<Money>, updated_at: Instant, is_deleted: bool,
    }
    ProcessRunRow = "process_runs", "X" {
        run_id: Id, process_name: &'static str, product_id: Option<Id>, started_at: Instant,
        completed_at: Option<Instant>, units_inspected: Option<i32>, units_defective: Option<i32>, user_id: Id,
        updated_at: Instant, is_deleted: bool,
    }
}

/// Above this, a table is written by month rather than by year.
const ROWS_BY_YEAR: f64 = 200_000.0;

/// Declares [`Tables`]; the number is how many rows a table has for each account, about.
macro_rules! tables {
    ($($table:ident: $row:ident, $layout:expr;)*) => {
        /// The sinks of all tables.
        pub struct Tables { $(pub $table: Sink<$row>),* }

        impl Tables {
            /// The names of the tables.
            pub const NAMES: &'static [&'static str] = &[$($row::TABLE),*];

            pub fn new(root: &Path, accounts: u64, months: u32) -> Tables {
                let by_size = |rows_per_account: f64| {
                    let rows = rows_per_account * accounts as f64 * f64::from(months) / 36.0;
                    if rows > ROWS_BY_YEAR { Layout::Months } else { Layout::Years }
                };
                Tables { $($table: Sink::new(root, $layout(&by_size))),* }
            }

            /// Tells how many rows each table has so far.
            pub fn report(&self, progress: &mut dyn FnMut(&str, u64)) {
                $(progress($row::TABLE, self.$table.rows());)*
            }

            /// Completes all files.
            pub fn finish(self, calendar: &Calendar) -> Result<Vec<GeneratedTable>> {
                Ok(vec![$(self.$table.finish(calendar)?),*])
            }
        }
    };
}

/// How a table's layout follows from the function that chooses by size.
type BySize<'a> = &'a dyn Fn(f64) -> Layout;

const HIVE: fn(BySize) -> Layout = |_| Layout::HiveMonths;
const PLAIN_CSV: fn(BySize) -> Layout = |_| Layout::Csv(Dialect::Plain);
const EUROPEAN_CSV: fn(BySize) -> Layout = |_| Layout::Csv(Dialect::European);
const GZIP_CSV: fn(BySize) -> Layout = |_| Layout::GzipCsv;

tables! {
    accounts: AccountRow, PLAIN_CSV;
    contacts: ContactRow, PLAIN_CSV;
    leads: LeadRow, |by_size: BySize| by_size(4.2);
    opportunities: OpportunityRow, |by_size: BySize| by_size(3.3);
    opportunity_stage_history: StageRow, |by_size: BySize| by_size(12.4);
    products: ProductRow, PLAIN_CSV;
    orders: OrderRow, |by_size: BySize| by_size(3.8);
    order_items: OrderItemRow, |by_size: BySize| by_size(7.3);
    subscriptions: SubscriptionRow, |by_size: BySize| by_size(3.9);
    campaigns: CampaignRow, PLAIN_CSV;
    campaign_costs: CampaignCostRow, EUROPEAN_CSV;
    campaign_members: CampaignMemberRow, |by_size: BySize| by_size(6.2);
    web_sessions: WebSessionRow, HIVE;
    activities: ActivityRow, HIVE;
    cases: CaseRow, |by_size: BySize| by_size(8.3);
    survey_responses: SurveyRow, |by_size: BySize| by_size(10.0);
    users: UserRow, PLAIN_CSV;
    quotas: QuotaRow, PLAIN_CSV;
    gl_balances: GlRow, PLAIN_CSV;
    process_runs: ProcessRunRow, GZIP_CSV;
}
