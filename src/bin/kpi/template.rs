//! The files that `kpi init` writes, as they are in the folders beside this one. Where they are written is for `commands/init.rs`
//! to say; a test compares the lists with the folders.

/// Names of files below a folder of templates, with their texts.
macro_rules! files {
    ($folder:literal: $($name:literal,)*) => {
        &[$(($name, include_str!(concat!("template/", $folder, "/", $name)))),*]
    };
}

/// A small project; its data is made in `commands/init.rs`.
pub const SHOP: &[(&str, &str)] = files!(
    "shop":
    "README.md",
    "kpis/project.yaml",
    "kpis/sales/sales.yaml",
    "kpis/tables.yaml",
);

/// Definitions for the exports of Salesforce.
pub const SALESFORCE: &[(&str, &str)] = files!(
    "salesforce":
    "README.md",
    "data/README.md",
    "kpis/project.yaml",
    "kpis/tables/account_campaigns.sql",
    "kpis/tables/accounts.yaml",
    "kpis/tables/activities.sql",
    "kpis/tables/campaign_members.yaml",
    "kpis/tables/campaigns.yaml",
    "kpis/tables/case_reopenings.sql",
    "kpis/tables/case_responses.sql",
    "kpis/tables/cases.yaml",
    "kpis/tables/contacts.yaml",
    "kpis/tables/deal_states.sql",
    "kpis/tables/exports.yaml",
    "kpis/tables/lead_responses.sql",
    "kpis/tables/leads.sql",
    "kpis/tables/opportunities.yaml",
    "kpis/tables/opportunity_competitors.sql",
    "kpis/tables/opportunity_stage_history.sql",
    "kpis/tables/order_items.sql",
    "kpis/tables/orders.sql",
    "kpis/tables/products.yaml",
    "kpis/tables/quotas.sql",
    "kpis/tables/subscriptions.sql",
    "kpis/tables/users.yaml",
);

/// Definitions for the exports of HubSpot, with the stages of its first pipeline.
pub const HUBSPOT: &[(&str, &str)] = files!(
    "hubspot":
    "README.md",
    "data/README.md",
    "data/deal_stages.csv",
    "kpis/project.yaml",
    "kpis/tables/accounts.yaml",
    "kpis/tables/activities.sql",
    "kpis/tables/campaigns.yaml",
    "kpis/tables/cases.yaml",
    "kpis/tables/contacts.yaml",
    "kpis/tables/exports.yaml",
    "kpis/tables/lead_responses.sql",
    "kpis/tables/opportunities.sql",
    "kpis/tables/opportunity_stage_history.sql",
    "kpis/tables/order_items.sql",
    "kpis/tables/orders.sql",
    "kpis/tables/products.yaml",
    "kpis/tables/sold_items.sql",
    "kpis/tables/subscriptions.sql",
    "kpis/tables/survey_responses.yaml",
    "kpis/tables/users.yaml",
);
