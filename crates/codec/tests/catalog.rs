//! Whatever a catalog says is read back from its bytes, and what fits a document fits a
//! command.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use exchequer_codec::{
    decode_command, decode_event, decode_stream, document_from_proto, document_to_proto,
    encode_command, encode_event, encode_stream,
};
use exchequer_domain_catalog::*;
use exchequer_tenant::{Command as AnyCommand, Event as AnyEvent, Stream};
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, CycleUnit, Downgrade, Hash, Per,
    Proration, Slug, TenantId, Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

/// What the largest envelope leaves for a command's payload is a little less.
const COMMAND_BYTES_MAX: usize = 256 * 1024;

fn slug() -> impl Strategy<Value = Slug> {
    "[a-z0-9][a-z0-9-]{0,6}".prop_map(|text| Slug::parse(text).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,8}", Just(String::new())]
}

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["USD", "VND", "JOD", "EUR"])
        .prop_map(|code| Currency::parse(code).unwrap())
}

fn unit() -> impl Strategy<Value = CycleUnit> {
    prop::sample::select(CycleUnit::ALL.to_vec())
}

fn cycle() -> impl Strategy<Value = Cycle> {
    (unit(), 1_u32..4).prop_map(|(unit, count)| Cycle::new(unit, count).unwrap())
}

fn allowance() -> impl Strategy<Value = Allowance> {
    prop_oneof![
        Just(Allowance::On),
        any::<u64>().prop_map(Allowance::Limit),
        Just(Allowance::Unlimited),
        Just(Allowance::Seats),
    ]
}

fn proration() -> impl Strategy<Value = Proration> {
    use Proration as P;
    prop::sample::select(vec![P::BySecond, P::ByDay, P::None, P::Full])
}

fn feature() -> impl Strategy<Value = Feature> {
    let kind = prop::sample::select(vec![FeatureKind::Switch, FeatureKind::Limit]);
    let words = (slug(), text(), text(), text());
    let per = prop::sample::select(Per::ALL.to_vec());
    let over = (any::<u32>(), any::<u32>(), prop::sample::select(Refusal::ALL.to_vec()));
    let rest = (option::of(per), option::of(slug()), vec(any::<u32>(), 0..3), over);
    (words, kind, rest).prop_map(
        |((id, name, unit, description), kind, (per, meter, thresholds, over))| Feature {
            id,
            name,
            kind,
            unit,
            per,
            meter,
            thresholds,
            burst: over.0,
            grace_hours: over.1,
            refusal: over.2,
            description,
        },
    )
}

fn price() -> impl Strategy<Value = Price> {
    let kind = prop::sample::select(vec![ComponentKind::Flat, ComponentKind::PerSeat]);
    let component = (kind, any::<i64>()).prop_map(|(kind, amount)| Component { kind, amount });
    let price_in = (currency(), vec(component, 0..3))
        .prop_map(|(currency, components)| PriceIn { currency, components });
    (slug(), cycle(), option::of(proration()), vec(price_in, 0..3))
        .prop_map(|(id, cycle, proration, currencies)| Price { id, cycle, proration, currencies })
}

fn plan() -> impl Strategy<Value = Plan> {
    let beyond = prop::sample::select(vec![Beyond::Refuse, Beyond::Allow, Beyond::Bill]);
    let included = (slug(), option::of(allowance()), beyond)
        .prop_map(|(feature, allowance, beyond)| PlanFeature { feature, allowance, beyond });
    let downgrade = prop::sample::select(vec![Downgrade::Accept, Downgrade::Refuse]);
    let words = (slug(), text(), text(), option::of(slug()), option::of(slug()));
    let numbers = (any::<u32>(), any::<u32>(), 1_u64.., option::of(any::<u64>()));
    let bounds = (option::of(any::<u32>()), option::of(any::<u32>()));
    let lists = (vec(included, 0..4), vec(price(), 0..3));
    (words, numbers, bounds, lists, downgrade, proration()).prop_map(
        |(words, numbers, bounds, lists, downgrade, proration)| Plan {
            id: words.0,
            name: words.1,
            description: words.2,
            product: words.3,
            extends: words.4,
            rank: numbers.0,
            features: lists.0,
            prices: lists.1,
            trial_days_max: numbers.1,
            seats_min: numbers.2,
            seats_max: numbers.3,
            downgrade,
            proration,
            grace_days: bounds.0,
            per_owner_max: bounds.1,
        },
    )
}

fn add_on() -> impl Strategy<Value = AddOn> {
    let adds =
        (slug(), allowance()).prop_map(|(feature, allowance)| AddOnFeature { feature, allowance });
    let amount =
        (currency(), any::<i64>()).prop_map(|(currency, amount)| Amount { currency, amount });
    let price =
        (cycle(), vec(amount, 0..3)).prop_map(|(cycle, amounts)| AddOnPrice { cycle, amounts });
    let words = (slug(), text(), text());
    (words, vec(slug(), 0..3), vec(adds, 0..3), option::of(any::<u64>()), vec(price, 0..3))
        .prop_map(|((id, name, description), plans, features, quantity_max, prices)| AddOn {
            id,
            name,
            description,
            plans,
            features,
            quantity_max,
            prices,
        })
}

/// Any document, right or wrong.
fn document() -> impl Strategy<Value = Document> {
    let named = || vec((slug(), text(), text()), 0..3);
    let heads = (text(), text(), vec(currency(), 0..3), option::of(slug()));
    let pairs = (vec(text(), 0..3), vec((text(), text()), 0..3), vec((text(), slug()), 0..3));
    let offers = (vec(plan(), 0..3), vec(add_on(), 0..2));
    (heads, named(), vec(feature(), 0..4), named(), offers, pairs).prop_map(
        |(heads, products, features, meters, offers, pairs)| Document {
            name: heads.0,
            description: heads.1,
            currencies: heads.2,
            fallback: heads.3,
            products: products
                .into_iter()
                .map(|(id, name, description)| Product { id, name, description })
                .collect(),
            features,
            meters: meters
                .into_iter()
                .map(|(id, name, unit)| Meter { id, name, unit, description: String::new() })
                .collect(),
            plans: offers.0,
            add_ons: offers.1,
            actions: pairs.0,
            methods: pairs
                .1
                .into_iter()
                .map(|(method, action)| Method { method, action })
                .collect(),
            routes: pairs.2.into_iter().map(|(path, feature)| Route { path, feature }).collect(),
        },
    )
}

fn tenant() -> TenantId {
    TenantId::parse("vendor").unwrap()
}

proptest! {
    // REQ: BIL-01, KER-10
    #[test]
    fn whatever_a_catalog_says_is_read_back(document in document(), id in slug(), version: u32) {
        prop_assert_eq!(document_from_proto(document_to_proto(&document)), Ok(document.clone()));
        let content = Content::of(document.clone());
        let hash = content.hash();
        let adoption = Adoption {
            provider: tenant(),
            catalog: id.clone(),
            version,
            status: VersionStatus::Published,
            hash,
            content: Some(content.clone()),
        };
        for command in [
            Command::SaveDraft(SaveDraft { catalog: id.clone(), document }),
            Command::Publish(Publish { catalog: id.clone(), hash: None }),
            Command::Adopt(adoption.clone()),
            Command::Adopt(Adoption { content: None, ..adoption.clone() }),
        ] {
            let command = AnyCommand::Catalog(command);
            let (kind, payload) = encode_command(&command).unwrap();
            prop_assert_eq!(decode_command(kind, &payload), Ok(command));
        }
        for event in [
            Event::DraftSaved { catalog: id.clone(), content: content.clone() },
            Event::Published { catalog: id.clone(), version, content },
            Event::Adopted(adoption),
        ] {
            let event = AnyEvent::Catalog(event);
            let (kind, payload) = encode_event(&event);
            prop_assert_eq!(decode_event("vendor", kind, &payload), Ok(event));
        }
    }

    // REQ: BIL-01, KER-14
    #[test]
    fn the_state_is_read_back(one in document(), two in document(), id in slug(), seconds in 1_i64..9) {
        let at = Timestamp::saturating_from_micros(seconds * 1_000_000);
        let (one, two) = (Content::of(one), Content::of(two));
        let mut stream = Stream::default();
        let adoption = Adoption {
            provider: tenant(),
            catalog: id.clone(),
            version: 1,
            status: VersionStatus::Retired,
            hash: one.hash(),
            content: Some(one.clone()),
        };
        for event in [
            Event::DraftSaved { catalog: id.clone(), content: one.clone() },
            Event::Published { catalog: id.clone(), version: 1, content: one.clone() },
            Event::Retired { catalog: id.clone(), version: 1, hash: one.hash() },
            Event::Published { catalog: id.clone(), version: 2, content: two.clone() },
            Event::DraftSaved { catalog: id.clone(), content: two },
            Event::Adopted(adoption),
        ] {
            stream.evolve(&AnyEvent::Catalog(event), at);
        }
        prop_assert_eq!(decode_stream(&encode_stream(&stream)), Ok(stream));
    }
}

/// The document whose bytes grow the most on the wire, as large as one can be.
fn largest() -> Document {
    let id = |index: usize| {
        let digits: Vec<char> = ('a'..='z').chain('0'..='9').collect();
        Slug::parse(format!("{}{}", digits[index / 36], digits[index % 36])).unwrap()
    };
    let feature = |index: usize| Feature {
        id: id(index),
        name: "N".to_owned(),
        kind: FeatureKind::Limit,
        unit: String::new(),
        per: None,
        meter: None,
        thresholds: vec![],
        burst: 0,
        grace_hours: 0,
        refusal: <_>::default(),
        description: String::new(),
    };
    let includes = |index: usize| PlanFeature {
        feature: id(index),
        allowance: Some(Allowance::Limit(1)),
        beyond: Beyond::Refuse,
    };
    let plan = |index: usize| Plan {
        id: id(index),
        name: "P".to_owned(),
        description: String::new(),
        product: None,
        extends: None,
        rank: 0,
        features: (0..FEATURES_MAX).map(includes).collect(),
        prices: vec![],
        trial_days_max: 0,
        seats_min: 1,
        seats_max: None,
        downgrade: Downgrade::Accept,
        proration: Proration::BySecond,
        grace_days: None,
        per_owner_max: None,
    };
    let mut document = Document {
        name: "Large".to_owned(),
        features: (0..FEATURES_MAX).map(feature).collect(),
        ..Document::default()
    };
    for index in 0..PLANS_MAX {
        document.plans.push(plan(index));
        if document.canonical().len() > DOCUMENT_BYTES_MAX {
            document.plans.pop();
            break;
        }
    }
    document
}

// REQ: BIL-01
#[test]
fn the_largest_document_fits_a_command() {
    let document = largest();
    assert_eq!(check(&document), []);
    let bytes = Content::of(document.clone()).bytes();
    assert!(bytes > DOCUMENT_BYTES_MAX - 4_000, "{bytes}");
    let wire = document_to_proto(&document).encoded_len();
    assert!(wire < COMMAND_BYTES_MAX - 8_192, "{wire} of {bytes}");
}

// REQ: KER-10
#[test]
fn content_that_is_not_its_hash_is_no_event() {
    let content = Content::of(largest());
    let catalog = Slug::parse("main").unwrap();
    let event = AnyEvent::Catalog(Event::Published { catalog, version: 1, content });
    let (kind, payload) = encode_event(&event);
    let mut payload = payload.to_vec();
    let hash = Content::of(largest()).hash();
    let at = payload.windows(32).position(|window| Hash::from_slice(window) == Some(hash)).unwrap();
    payload[at] ^= 1;
    assert!(decode_event("vendor", kind, &payload).is_err());
}
