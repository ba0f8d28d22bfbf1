//! Differences as people read them.

use super::*;

fn changes(old: &Document, new: &Document) -> Vec<String> {
    let said = diff(old, new).into_iter().map(|it| {
        let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
        format!("{}: {} -> {}", it.path, side(it.before), side(it.after))
    });
    said.collect()
}

// REQ: BIL-01
#[test]
fn a_person_reads_what_changes() {
    let old = document();
    let mut new = document();
    let pro = new.plans.iter_mut().find(|it| it.id == slug("pro")).unwrap();
    let monthly = &mut pro.prices[0];
    for (index, amount) in [(0, 250_000), (1, 4_950)] {
        monthly.currencies[index].components[1].amount = amount;
    }
    pro.features[0].allowance = Some(Allowance::Unlimited);
    pro.trial_days_max = 0;
    new.add_ons.clear();
    assert_eq!(
        changes(&old, &new),
        [
            "add_ons.storage-10.features.storage: 10 -> -",
            "add_ons.storage-10.name: 10 GB more -> -",
            "add_ons.storage-10.plans: pro -> -",
            "add_ons.storage-10.prices.month.currencies.USD: 2.00 -> -",
            "add_ons.storage-10.prices.month.currencies.VND: 200 -> -",
            "add_ons.storage-10.quantity_max: 5 -> -",
            "plans.pro.features.storage: 10 -> unlimited",
            "plans.pro.prices.monthly.currencies.USD.flat: 10.00 -> 49.50",
            "plans.pro.prices.monthly.currencies.VND.flat: 1000 -> 250000",
            "plans.pro.trial_days_max: 14 -> -",
        ]
    );
}

#[test]
fn the_same_content_differs_in_nothing() {
    let mut reversed = document();
    reversed.plans.reverse();
    assert_eq!(diff(&document(), &reversed), []);
    assert!(diff(&Document::default(), &document()).iter().all(|it| it.before.is_none()));
}
