//! A price list as a script writes it: features, plans with their prices, and
//! add-ons, one below the other; or one of the files that ship.

use exchequer_domain_catalog as catalog;
use exchequer_domain_catalog::{
    AddOn, AddOnFeature, AddOnPrice, Amount, Beyond, Document, Feature, FeatureKind, Meter, Plan,
    PlanFeature, Price, PriceIn, Refusal,
};
use exchequer_tenant::Command;
use exchequer_types::{
    Allowance, Component, ComponentKind, Currency, Cycle, Downgrade, Money, Per, Proration, Slug,
};

use super::{own_provider, slug};
use crate::script::{Columns, Line, ScriptError};

type Commands = Vec<(String, Command)>;

/// The commands of a line about a provider's catalogs; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<Option<Commands>, ScriptError> {
    let id = |columns: &mut Columns<'_>| slug(line, &columns.text("catalog")?);
    let command = match line.verb() {
        "catalog" => return written(line, columns).map(Some),
        "publish" => {
            let catalog = id(columns)?;
            catalog::Command::Publish(catalog::Publish { catalog, hash: None })
        }
        "discard_draft" => {
            catalog::Command::DiscardDraft(catalog::DiscardDraft { catalog: id(columns)? })
        }
        "retire_version" => {
            let version = columns.number("version")?.unwrap_or(0);
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            catalog::Command::Retire(catalog::Retire { catalog: id(columns)?, version })
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![(own_provider(columns), Command::Catalog(command))]))
}

/// Saves what the line and those below it say, and publishes it unless it is a draft.
fn written(line: &Line, columns: &mut Columns<'_>) -> Result<Commands, ScriptError> {
    let provider = own_provider(columns);
    let (id, document) = if let Some(file) = columns.optional("file") {
        (columns.text_or("id", &file), shipped(line, &file)?)
    } else {
        let id = columns.text("id")?;
        let document = document(line, columns, &id)?;
        (id, document)
    };
    let catalog = slug(line, &id)?;
    let mut commands = vec![catalog::Command::SaveDraft(catalog::SaveDraft {
        catalog: catalog.clone(),
        document,
    })];
    if !columns.flag("draft") {
        commands.push(catalog::Command::Publish(catalog::Publish { catalog, hash: None }));
    }
    let of_provider = |command| (provider.clone(), Command::Catalog(command));
    Ok(commands.into_iter().map(of_provider).collect())
}

fn document(line: &Line, columns: &mut Columns<'_>, id: &str) -> Result<Document, ScriptError> {
    let mut document = Document {
        name: columns.text_or("name", id),
        fallback: columns.optional("fallback").map(|it| slug(line, &it)).transpose()?,
        ..Document::default()
    };
    for currency in listed(&columns.text_or("currencies", "")) {
        document.currencies.push(currency_of(line, &currency)?);
    }
    for line in &line.below {
        let mut columns = line.columns()?;
        match line.verb() {
            "feature" => {
                let feature = feature(line, &mut columns)?;
                let known = |meter: &Slug| document.meters.iter().any(|it| it.id == *meter);
                if let Some(id) = feature.meter.clone().filter(|it| !known(it)) {
                    let (name, unit) = (id.to_string(), feature.unit.clone());
                    document.meters.push(Meter { id, name, unit, description: String::new() });
                }
                document.features.push(feature);
            }
            "plan" => {
                let rank = u32::try_from(document.plans.len()).unwrap_or(u32::MAX);
                document.plans.push(plan(line, &mut columns, rank)?);
            }
            "add_on" => document.add_ons.push(add_on(line, &mut columns)?),
            verb => return Err(line.error(format!("a catalog has no {verb}"))),
        }
        columns.end()?;
    }
    Ok(document)
}

fn feature(line: &Line, columns: &mut Columns<'_>) -> Result<Feature, ScriptError> {
    let id = columns.text("id")?;
    let kind = match columns.text_or("kind", "limit").as_str() {
        "limit" => FeatureKind::Limit,
        "switch" => FeatureKind::Switch,
        kind => return Err(line.error(format!("a feature is a limit or a switch, not {kind}"))),
    };
    let per = columns.optional("per").map(|it| {
        let word = "per=minute, hour, day, week, month, year or period";
        Per::parse(&it).ok_or_else(|| line.error(word))
    });
    let refusal = columns.text_or("refusal", Refusal::Wait.word());
    let refusal = Refusal::ALL.into_iter().find(|it| it.word() == refusal);
    let refusal = refusal.ok_or_else(|| line.error("refusal=wait, upgrade or forbid"));
    Ok(Feature {
        name: columns.text_or("name", &id),
        id: slug(line, &id)?,
        kind,
        unit: columns.text_or("unit", ""),
        per: per.transpose()?,
        meter: columns.optional("meter").map(|it| slug(line, &it)).transpose()?,
        thresholds: thresholds(line, columns)?,
        burst: number(line, columns, "burst")?,
        grace_hours: number(line, columns, "grace_hours")?,
        refusal: refusal?,
        description: String::new(),
    })
}

fn number(line: &Line, columns: &mut Columns<'_>, name: &str) -> Result<u32, ScriptError> {
    let text = columns.text_or(name, "0");
    text.parse().map_err(|_| line.error(format!("{name}={text} is no number")))
}

/// Percentages with commas between.
fn thresholds(line: &Line, columns: &mut Columns<'_>) -> Result<Vec<u32>, ScriptError> {
    let percents = listed(&columns.text_or("thresholds", "")).into_iter();
    let percents =
        percents.map(|it| it.parse().map_err(|_| line.error(format!("{it} is no percentage"))));
    percents.collect()
}

fn plan(line: &Line, columns: &mut Columns<'_>, rank: u32) -> Result<Plan, ScriptError> {
    let id = columns.text("id")?;
    let downgrade = match columns.text_or("downgrade", "accept").as_str() {
        "accept" => Downgrade::Accept,
        "refuse" => Downgrade::Refuse,
        _ => return Err(line.error("downgrade=accept or downgrade=refuse")),
    };
    let trial_days = columns.number("trial_days_max")?.unwrap_or(0);
    let mut plan = Plan {
        name: columns.text_or("name", &id),
        id: slug(line, &id)?,
        description: String::new(),
        product: None,
        extends: columns.optional("extends").map(|it| slug(line, &it)).transpose()?,
        rank,
        features: Vec::new(),
        prices: Vec::new(),
        trial_days_max: u32::try_from(trial_days).unwrap_or(u32::MAX),
        seats_min: columns.number("seats_min")?.unwrap_or(1),
        seats_max: columns.number("seats_max")?,
        downgrade,
        proration: proration(line, columns)?.unwrap_or_default(),
        grace_days: None,
        per_owner_max: None,
    };
    for line in &line.below {
        let mut columns = line.columns()?;
        match line.verb() {
            "includes" => {
                for (feature, text) in columns.all_of("") {
                    let feature = slug(line, &feature)?;
                    let allowance = allowance(line, &text)?;
                    let beyond = Beyond::default();
                    plan.features.push(PlanFeature { feature, allowance, beyond });
                }
            }
            "beyond" => {
                for (feature, text) in columns.all_of("") {
                    let feature = slug(line, &feature)?;
                    let all = [Beyond::Refuse, Beyond::Allow, Beyond::Bill];
                    let beyond = all.into_iter().find(|it| catalog::beyond_word(*it) == text);
                    let beyond = beyond.ok_or_else(|| line.error("refuse, allow or bill"))?;
                    let included = plan.features.iter_mut().find(|it| it.feature == feature);
                    included.ok_or_else(|| line.error("is not included"))?.beyond = beyond;
                }
            }
            "price" => plan.prices.push(price(line, &mut columns)?),
            verb => return Err(line.error(format!("a plan has no {verb}"))),
        }
        columns.end()?;
    }
    Ok(plan)
}

/// `USD=10.00` is an amount for each cycle, `USD.per_seat=2.00` one for each seat.
fn price(line: &Line, columns: &mut Columns<'_>) -> Result<Price, ScriptError> {
    let id = slug(line, &columns.text("id")?)?;
    let cycle = cycle(line, columns)?;
    let proration = proration(line, columns)?;
    let mut currencies: Vec<PriceIn> = Vec::new();
    for (key, text) in columns.all_of("") {
        let (code, kind) = match key.split_once('.') {
            Some((code, "per_seat")) => (code, ComponentKind::PerSeat),
            Some(_) => return Err(line.error(format!("{key}: USD=10.00 or USD.per_seat=2.00"))),
            None => (key.as_str(), ComponentKind::Flat),
        };
        let currency = currency_of(line, code)?;
        let component = Component { kind, amount: amount(line, &text, currency)? };
        match currencies.iter_mut().find(|it| it.currency == currency) {
            Some(known) => known.components.push(component),
            None => currencies.push(PriceIn { currency, components: vec![component] }),
        }
    }
    Ok(Price { id, cycle, proration, currencies })
}

fn add_on(line: &Line, columns: &mut Columns<'_>) -> Result<AddOn, ScriptError> {
    let id = columns.text("id")?;
    let plans = listed(&columns.text_or("plans", "")).into_iter();
    let plans: Result<Vec<Slug>, ScriptError> = plans.map(|it| slug(line, &it)).collect();
    let mut add_on = AddOn {
        name: columns.text_or("name", &id),
        id: slug(line, &id)?,
        description: String::new(),
        plans: plans?,
        features: Vec::new(),
        quantity_max: columns.number("quantity_max")?,
        prices: Vec::new(),
    };
    for line in &line.below {
        let mut columns = line.columns()?;
        match line.verb() {
            "adds" => {
                for (feature, text) in columns.all_of("") {
                    let feature = slug(line, &feature)?;
                    let allowance = allowance(line, &text)?;
                    let allowance = allowance.ok_or_else(|| line.error("adds nothing"))?;
                    add_on.features.push(AddOnFeature { feature, allowance });
                }
            }
            "price" => {
                let cycle = cycle(line, &mut columns)?;
                let mut amounts = Vec::new();
                for (code, text) in columns.all_of("") {
                    let currency = currency_of(line, &code)?;
                    let amount = amount(line, &text, currency)?;
                    amounts.push(Amount { currency, amount });
                }
                add_on.prices.push(AddOnPrice { cycle, amounts });
            }
            verb => return Err(line.error(format!("an add-on has no {verb}"))),
        }
        columns.end()?;
    }
    Ok(add_on)
}

fn allowance(line: &Line, text: &str) -> Result<Option<Allowance>, ScriptError> {
    Ok(Some(match text {
        "none" => return Ok(None),
        "on" => Allowance::On,
        "unlimited" => Allowance::Unlimited,
        "per_seat" => Allowance::Seats,
        number => Allowance::Limit(number.parse().map_err(|_| {
            line.error(format!("{number} is not on, unlimited, per_seat, none or a number"))
        })?),
    }))
}

fn cycle(line: &Line, columns: &mut Columns<'_>) -> Result<Cycle, ScriptError> {
    Cycle::parse(&columns.text("cycle")?).map_err(|error| line.error(format!("cycle {error}")))
}

fn proration(line: &Line, columns: &mut Columns<'_>) -> Result<Option<Proration>, ScriptError> {
    let Some(text) = columns.optional("proration") else { return Ok(None) };
    let all = [Proration::BySecond, Proration::ByDay, Proration::None, Proration::Full];
    let found = all.into_iter().find(|it| catalog::proration_word(*it) == text);
    found.map(Some).ok_or_else(|| line.error("proration=by_second, by_day, none or full"))
}

fn currency_of(line: &Line, code: &str) -> Result<Currency, ScriptError> {
    Currency::parse(code).ok_or_else(|| line.error(format!("{code} is no currency")))
}

fn amount(line: &Line, text: &str, currency: Currency) -> Result<i64, ScriptError> {
    let money = Money::parse_decimal(text, currency);
    money.map(|it| it.minor).map_err(|error| line.error(format!("{text} {currency} {error}")))
}

fn listed(text: &str) -> Vec<String> {
    text.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// A price list that ships.
fn shipped(line: &Line, file: &str) -> Result<Document, ScriptError> {
    let sample = exchequer_catalog_file::SAMPLES.iter().find(|it| it.name == file);
    let sample = sample.ok_or_else(|| line.error(format!("no price list {file} ships")))?;
    exchequer_catalog_file::parse(sample.text)
        .map_err(|faults| line.error(format!("{file}: {faults:?}")))
}
