//! Every script against its expected output, one test each. `UPDATE_EXPECT=1`
//! rewrites the outputs.

use std::collections::BTreeSet;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_scenarios::{Verdict, check, differences, folder};

fn play(name: &str) {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    match check(&folder().join(name).with_extension("txt"), update) {
        Verdict::Same | Verdict::Updated => {}
        Verdict::Differs { expected, printed } => panic!(
            "{name}: - expected, + printed\n{}\nUPDATE_EXPECT=1 takes what is printed",
            differences(&expected, &printed)
        ),
        Verdict::Failed(error) => panic!("{name}: {error}"),
        Verdict::Unreadable(error) => panic!("{name}: {error}"),
    }
}

macro_rules! scenarios {
    ($($name:ident,)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*
    };
}

// Each script names the rows that it proves; these are all of them.
// REQ: KER-01, KER-02, KER-03, KER-04, KER-05, KER-06, KER-07, KER-08, KER-09, KER-10
// REQ: KER-13, KER-14, KER-15, KER-16, KER-17, AUD-01, AUD-02, AUD-03, AUD-12
// REQ: BIL-01, BIL-03, BIL-04, BIL-05, BIL-06, BIL-19, BIL-21, BIL-22, BIL-30
// REQ: ENT-01, ENT-02, ENT-04, FLG-01, FLG-04, FLG-05, FLG-09, FLG-10, FLG-12
scenarios! {
    access_clerk_clicks_twice,
    access_closed_customer,
    access_contractor_until_friday,
    access_erased_person,
    access_first_owner_of_the_deployment,
    access_five_roles_and_production,
    access_last_owner_stays,
    access_leaver_loses_everything_at_once,
    access_role_that_would_grant_itself,
    access_sandbox_runs_ahead,
    access_teams_one_in_another,
    access_token_is_rotated_and_revoked,
    anchor_on_the_31st_over_a_leap_february,
    audit_entries_all_or_none,
    back_to_monthly_when_the_year_is_over,
    beta_grant_opens_a_flag_until_its_end,
    cancellation_is_taken_back,
    cancelled_at_once_the_rest_is_given_back,
    clerk_with_an_old_screen,
    closing_is_cancelled,
    closing_is_carried_out_late,
    closing_is_moved,
    customer_clicks_twice,
    customer_is_closed_with_a_subscription,
    customer_moves_to_another_time_zone,
    daily_customer_crosses_the_date_line,
    downgrade_below_what_is_in_use_is_accepted,
    downgrade_below_what_is_in_use_is_refused,
    every_week_and_every_ten_days,
    flag_asks_for_plan_and_feature,
    flag_is_switched_off,
    flag_named_individuals_come_first,
    flag_rules_and_what_is_not_known,
    flood_by_one_customer,
    from_monthly_to_yearly,
    grant_expires_by_itself,
    grant_is_taken_back,
    grants_add_to_the_plan,
    list_is_rebuilt_while_customers_work,
    midnight_in_half_hour_zones,
    new_customer_is_served,
    new_price_list_old_customers_stay,
    nothing_is_prorated_on_this_price,
    offer_accepted_too_late,
    one_trial_for_each_customer,
    only_one_subscription_at_a_time,
    order_five_seconds_after_a_late_closing,
    order_from_a_price_list_not_known_yet,
    order_number_is_free_after_a_week,
    order_number_used_for_another_order,
    order_on_the_wrong_desk,
    order_sent_twice_is_charged_once,
    ordered_what_is_not_on_the_price_list,
    orders_wait_while_a_writer_rests,
    oversize_audit_entry_is_reduced,
    packs_go_along_to_the_yearly_price,
    parked_tenant_misses_its_closing,
    pause_is_moved,
    pause_over_a_period_end,
    paused_subscription_resumes_by_itself,
    plan_is_changed_during_the_trial,
    planned_change_that_cannot_take_place,
    planned_changes_are_amended_and_dropped,
    planned_downgrade_when_more_is_in_use,
    poisoned_tenant_is_released,
    power_cut_before_the_answer,
    power_cut_before_the_decision,
    preview_is_what_the_bill_says,
    price_list_is_withdrawn_under_its_customers,
    price_list_with_mistakes,
    prices_in_dong_dollars_and_dinar,
    prorated_by_the_day,
    proration_half_way,
    proration_of_a_february_to_the_second,
    proration_there_and_back,
    provider_changes_a_setting,
    quota_begins_anew_at_the_renewal,
    quota_follows_the_plan,
    quota_is_reserved_up_to_the_limit,
    quota_reservation_expires_by_itself,
    quota_soft_limit_tells_once_a_period,
    record_with_a_foreign_seal,
    rehearsal_changes_nothing,
    renewal_in_the_hour_that_comes_twice,
    renewal_in_the_hour_that_is_lost,
    reseller_has_a_price_list_of_its_own,
    resellers_four_deep,
    restart_between_renewals,
    restart_keeps_what_is_due,
    rollout_grows_and_nobody_moves,
    sandbox_flag_follows_its_own_clock,
    sandbox_is_not_woken_by_real_time,
    sandbox_lives_a_year_in_an_afternoon,
    sandbox_takes_too_large_a_step,
    seats_changed_five_times_in_a_minute,
    seats_up_and_down_five_times_in_a_month,
    storage_packs_beside_the_plan,
    subscriber_of_the_29th_of_february,
    subscription_ends_without_a_plan_to_fall_to,
    tenant_suspended_under_a_suspended_provider,
    test_of_three_headlines,
    the_ladder_that_ships,
    three_renewals_are_caught_up,
    time_zone_comes_from_the_provider,
    trial_is_cancelled,
    trial_is_cut_short_by_choice,
    trial_upgrade_cancel_and_free,
    two_changes_for_the_same_day,
    two_clerks_change_one_customer,
    two_clerks_change_one_subscription,
    upgrade_opens_a_flag,
    upgrade_today_keeps_what_is_planned,
    usage_customer_and_its_billing_periods,
    usage_event_schemas,
    usage_events_are_corrected,
    usage_meter_gets_versions,
    usage_meter_is_backfilled,
    usage_meter_that_cannot_be,
    was_my_order_accepted,
    whole_price_at_once_on_this_price,
}

#[test]
fn every_script_is_run() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts = BTreeSet::new();
    let mut outputs = BTreeSet::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        match file.extension().and_then(|it| it.to_str()) {
            Some("txt") => scripts.insert(name),
            Some("out") => outputs.insert(name),
            other => panic!("{name}: a script ends with .txt, not {other:?}"),
        };
    }
    let run: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(run, scripts, "add the script to the list above");
    assert_eq!(run, outputs, "an output without a script, or a script without an output");
}

/// The scripts would notice if a rule were not kept.
#[test]
fn a_weakened_rule_is_noticed() {
    let cases = [
        (Mutation::TimersFirst, "order_five_seconds_after_a_late_closing"),
        (Mutation::CommandIdentity, "customer_clicks_twice"),
        (Mutation::CommandIdentity, "power_cut_before_the_answer"),
        (Mutation::TimersFirst, "three_renewals_are_caught_up"),
        (Mutation::CommandIdentity, "order_sent_twice_is_charged_once"),
    ];
    for (weakened, name) in cases {
        mutation::set(Some(weakened));
        let verdict = check(&folder().join(name).with_extension("txt"), false);
        mutation::set(None);
        let is_noticed = matches!(verdict, Verdict::Differs { .. } | Verdict::Failed(_));
        assert!(is_noticed, "{name} does not notice {weakened:?}");
    }
}
