//! Every table that a cluster's store has to have.

use exchequer_readstore::Table;

/// As the engine and the views declare them.
pub(super) fn tables() -> Vec<&'static Table> {
    [
        exchequer_engine::TABLES,
        exchequer_projection_access::TABLES,
        &[&exchequer_projection_access::ACCESS_USES],
        exchequer_projection_audit::TABLES,
        exchequer_projection_catalogs::TABLES,
        exchequer_projection_dead_letters::TABLES,
        exchequer_projection_entitlements::TABLES,
        exchequer_projection_flags::TABLES,
        exchequer_projection_meters::TABLES,
        exchequer_projection_quotas::TABLES,
        exchequer_projection_subscriptions::TABLES,
        exchequer_projection_tenants::TABLES,
        exchequer_projection_timers::TABLES,
        exchequer_projection_usage::TABLES,
    ]
    .concat()
}
