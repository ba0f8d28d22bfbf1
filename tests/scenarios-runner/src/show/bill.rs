//! A bill, line by line, from the messages in which the API tells of charges.

use core::fmt::Write as _;

use exchequer_codec::instant;
use exchequer_proto::catalog::v1::Proration;
use exchequer_proto::subscriptions::v1::{Charge, ChargeLine, LineComponent, LineKind, PriceRef};
use exchequer_types::{Currency, Timestamp, Zone};

use super::text::{amount, local, money, none, table};

/// Every line of the bill with its working, and what they come to. `zone` is the
/// customer's: its local times stand beside those in UTC.
pub(super) fn bill(charges: &[Charge], zone: Zone) -> Result<String, String> {
    let mut rows = Vec::new();
    for charge in charges {
        let currency = currency(charge)?;
        let mut first = vec![time(charge.at.as_ref())?.to_string(), cause(charge)];
        for line in &charge.lines {
            let (from, to) = (time(line.from.as_ref())?, time(line.to.as_ref())?);
            let mut row = core::mem::replace(&mut first, vec![String::new(), String::new()]);
            row.extend([what(charge, line), working(line, currency)]);
            row.extend([from.to_string(), to.to_string()]);
            if zone != Zone::UTC {
                row.extend([local(from, zone), local(to, zone)]);
            }
            row.extend([amount(line.amount, currency), currency.code().to_owned()]);
            rows.push(row);
        }
    }
    let there = format!("from, {zone}");
    let mut heads = vec!["charged", "why", "what", "working", "from", "to"];
    if zone != Zone::UTC {
        heads.extend([there.as_str(), "to, there"]);
    }
    heads.extend([">amount", ""]);
    Ok(if rows.is_empty() { String::new() } else { table(&heads, rows.into_iter()) }
        + &balance(charges)?)
}

/// What all charges come to, by currency. What a charge says of itself must be the sum of
/// its lines.
pub(super) fn balance(charges: &[Charge]) -> Result<String, String> {
    let mut sums: Vec<(Currency, i64, usize)> = Vec::new();
    for charge in charges {
        let of_lines: i64 = charge.lines.iter().map(|line| line.amount).sum();
        if of_lines != charge.total {
            return Err(format!("charge {} is {}, its lines {of_lines}", charge.id, charge.total));
        }
        let currency = currency(charge)?;
        match sums.iter_mut().find(|(known, ..)| *known == currency) {
            Some((_, sum, lines)) => {
                *sum += charge.total;
                *lines += charge.lines.len();
            }
            None => sums.push((currency, charge.total, charge.lines.len())),
        }
    }
    let mut out = String::new();
    for (currency, sum, lines) in sums {
        let unit = if lines == 1 { "line" } else { "lines" };
        let _ = writeln!(out, "{lines} {unit}, together {}", money(sum, currency));
    }
    Ok(if out.is_empty() { "nothing is charged\n".to_owned() } else { out })
}

fn currency(charge: &Charge) -> Result<Currency, String> {
    Currency::parse(&charge.currency).ok_or_else(|| format!("no currency: {}", charge.currency))
}

fn time(at: Option<&prost_types::Timestamp>) -> Result<Timestamp, String> {
    let at = at.ok_or("a charge without a time")?;
    let micros = at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos) / 1_000);
    let read = Timestamp::from_micros(micros).map_err(|error| error.to_string())?;
    if instant(read) == *at { Ok(read) } else { Err(format!("{at:?} is no instant")) }
}

fn cause(charge: &Charge) -> String {
    charge.cause().as_str_name().trim_start_matches("CHARGE_CAUSE_").to_lowercase()
}

fn what(charge: &Charge, line: &ChargeLine) -> String {
    let (sign, of) = match line.kind() {
        LineKind::Credit => ("back: ", &charge.credited),
        _ => ("", &charge.charged),
    };
    let name = |it: &PriceRef| {
        let plan = it.plan.as_ref().map(|plan| plan.plan.as_str()).unwrap_or_default();
        format!("{plan} {}", it.price)
    };
    let part = match line.component() {
        LineComponent::Flat => "base price".to_owned(),
        LineComponent::PerSeat => "seats".to_owned(),
        _ => format!("add-on {}", line.add_on),
    };
    format!("{sign}{}, {part}", of.as_ref().map_or_else(none, name))
}

/// `4 x 6.00 x 1296000/2592000 s`
fn working(line: &ChargeLine, currency: Currency) -> String {
    let whole = format!("{} x {}", line.quantity, amount(line.unit_amount, currency));
    let unit = match line.proration() {
        Proration::BySecond => " s",
        Proration::ByDay => " days",
        _ => "",
    };
    match (line.num, line.den) {
        (1, 1) => whole,
        (num, den) => format!("{whole} x {num}/{den}{unit}"),
    }
}
