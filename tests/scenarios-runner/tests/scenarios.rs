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
scenarios! {
    audit_entries_all_or_none,
    clerk_with_an_old_screen,
    closing_is_cancelled,
    closing_is_carried_out_late,
    closing_is_moved,
    customer_clicks_twice,
    flood_by_one_customer,
    list_is_rebuilt_while_customers_work,
    new_customer_is_served,
    offer_accepted_too_late,
    order_five_seconds_after_a_late_closing,
    order_number_is_free_after_a_week,
    order_number_used_for_another_order,
    order_on_the_wrong_desk,
    orders_wait_while_a_writer_rests,
    oversize_audit_entry_is_reduced,
    parked_tenant_misses_its_closing,
    poisoned_tenant_is_released,
    power_cut_before_the_answer,
    power_cut_before_the_decision,
    provider_changes_a_setting,
    record_with_a_foreign_seal,
    rehearsal_changes_nothing,
    resellers_four_deep,
    restart_keeps_what_is_due,
    tenant_suspended_under_a_suspended_provider,
    two_clerks_change_one_customer,
    was_my_order_accepted,
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
    ];
    for (weakened, name) in cases {
        mutation::set(Some(weakened));
        let verdict = check(&folder().join(name).with_extension("txt"), false);
        mutation::set(None);
        let is_noticed = matches!(verdict, Verdict::Differs { .. } | Verdict::Failed(_));
        assert!(is_noticed, "{name} does not notice {weakened:?}");
    }
}
