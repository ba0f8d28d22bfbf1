//! `QueryUsage`: the request as a question to the view, and the answer as a message.

use core::time::Duration;

use exchequer_metering::{Aggregation, GROUP_BYS_MAX};
use exchequer_projection_usage::{self as view, Answer, Asking, Figures, Kept, Query, Step};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Period, TenantId, Timestamp};
use tonic::Status;

use super::query::{Asked, Usage, at_rest, of_query, range, top};
use crate::call::Call;
use crate::check::Check;
use crate::messages::instant;
use crate::status::{self, ENUM_UNKNOWN, FIELD_MISSING, Refusal, VALUE_INVALID};

const METER_NOT_FOUND: &str = exchequer_domain_usage::codes::METER_NOT_FOUND;
const TOP_DEFAULT: usize = 100;
/// Values of one filter.
const FILTER_VALUES_MAX: usize = 100;
/// Of a subject that can be asked for.
const SUBJECT_BYTES_MAX: usize = 65_536;

pub(crate) async fn query(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::QueryUsageRequest,
) -> Result<pb::QueryUsageResponse, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let meter = check.slug("meter", it.meter).map_or_else(String::new, |it| it.to_string());
    let (from, to) = range(&mut check, it.from, it.to);
    let step = grain(&mut check, it.grain);
    let filters = filters(&mut check, &it.group_by, it.filters);
    let subject = subject(&mut check, &it.subject);
    let top = top(&mut check, it.top, TOP_DEFAULT, view::TOP_MAX);
    if subject.is_some() && it.by_subject {
        check.refuse(VALUE_INVALID, "by_subject", "must be false where one subject is asked for");
    }
    check.done()?;
    let question = Query {
        tenant: &tenant,
        meter: &meter,
        version: Some(it.rules_version).filter(|version| *version > 0),
        from,
        to,
        step,
        subject: subject.as_deref(),
        by_subject: it.by_subject,
        group_by: it.group_by,
        filters,
        top,
        lateness: Duration::ZERO,
        seen: &[],
    };
    let answer = ask(usage, call, asked, &tenant, question).await?;
    Ok(pb::QueryUsageResponse {
        aggregation: answer.aggregation.map_or(0, |it| aggregation(it).into()),
        position: Some(usage.position(&answer.positions)),
        windows: answer.windows.into_iter().map(window).collect(),
    })
}

/// Asks, once what the call must see is judged. A meter that there is not is refused.
pub(crate) async fn ask(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    tenant: &TenantId,
    question: Query<'_>,
) -> Result<Answer, Status> {
    let meters = usage.await_seen(call, asked, tenant).await?;
    let set = usage.set(meters, tenant).await?;
    let lateness = set.as_ref().map_or(Duration::ZERO, |it| it.adopted.terms.lateness);
    let question = Query { lateness, seen: asked.seen(), ..question };
    let ports = &usage.edge.platform.ports;
    let store = ports.store.as_ref();
    let asking = Asking::new(store, &meters.live, &question).map_err(of_query)?;
    let ask = || asking.answer();
    let mut answer = at_rest(ports.runtime.as_ref(), call.patience, ask).await?;
    if question.step == Step::Of(Kept::Period) {
        let known = meters.definitions.tenant(tenant).await;
        let known = known.map_err(|error| status::of_engine(&error))?;
        end_periods(&mut answer, &known.adopted.periods, question.lateness);
    }
    let is_known = set
        .is_some_and(|set| set.adopted.meters.iter().any(|it| it.key.as_str() == question.meter));
    if answer.aggregation.is_none() && !is_known {
        let text =
            "the provider has no such meter, and had none: ask for one that ListMeters names";
        return Err(Refusal::new(METER_NOT_FOUND, text).field("meter").status());
    }
    Ok(answer)
}

/// Billing periods end where the subscription says now, whatever it said when events were
/// counted in them.
pub(crate) fn end_periods(answer: &mut Answer, known: &[Period], lateness: Duration) {
    let through = answer.through;
    // What lay in one that is gone has moved to another.
    let first = known.first().map_or(Timestamp::MAX, |first| first.start);
    let is_known = |start| start < first || known.iter().any(|known| known.start == start);
    answer.windows.retain(|it| is_known(it.window.start));
    for it in &mut answer.windows {
        if let Some(known) = known.iter().find(|known| known.start == it.window.start) {
            it.window.end = known.end;
            it.open = through < it.window.end.saturating_add(lateness);
        }
    }
}

pub(crate) fn grain(check: &mut Check, grain: i32) -> Step {
    match pb::UsageGrain::try_from(grain) {
        Ok(pb::UsageGrain::Minute) => Step::Of(Kept::Minute),
        Ok(pb::UsageGrain::Hour) => Step::Of(Kept::Hour),
        Ok(pb::UsageGrain::Day) => Step::Of(Kept::Day),
        Ok(pb::UsageGrain::Month) => Step::Of(Kept::Month),
        Ok(pb::UsageGrain::BillingPeriod) => Step::Of(Kept::Period),
        Ok(pb::UsageGrain::Whole) => Step::Whole,
        Ok(pb::UsageGrain::Unspecified) => {
            check.refuse(FIELD_MISSING, "grain", "must be given");
            Step::Whole
        }
        Err(_) => {
            let text = "must be MINUTE, HOUR, DAY, MONTH, BILLING_PERIOD or WHOLE";
            check.refuse(ENUM_UNKNOWN, "grain", text);
            Step::Whole
        }
    }
}

/// The filters; and group-bys and filters are few.
pub(crate) fn filters(
    check: &mut Check,
    group_by: &[String],
    filters: Vec<pb::UsageFilter>,
) -> Vec<(String, Vec<String>)> {
    for (field, count) in [("group_by", group_by.len()), ("filters", filters.len())] {
        if count > GROUP_BYS_MAX {
            check.refuse(
                VALUE_INVALID,
                field,
                format!("must have at most {GROUP_BYS_MAX} members"),
            );
        }
    }
    for (index, name) in group_by.iter().enumerate() {
        if group_by[..index].contains(name) {
            check.refuse(VALUE_INVALID, &format!("group_by[{index}]"), "must be named once");
        }
    }
    for (index, filter) in filters.iter().enumerate() {
        if !(1..=FILTER_VALUES_MAX).contains(&filter.values.len()) {
            let text = format!("must have 1 to {FILTER_VALUES_MAX} members");
            check.refuse(VALUE_INVALID, &format!("filters[{index}].values"), text);
        }
    }
    filters.into_iter().map(|it| (it.name, it.values)).collect()
}

pub(crate) fn subject(check: &mut Check, subject: &str) -> Option<String> {
    if subject.len() > SUBJECT_BYTES_MAX {
        let text = format!("must have at most {SUBJECT_BYTES_MAX} bytes");
        check.refuse(VALUE_INVALID, "subject", text);
    }
    Some(subject.to_owned()).filter(|it| !it.is_empty())
}

pub(crate) fn window(figures: Figures) -> pb::UsageWindow {
    let figure = |it: view::Figure| pb::UsageFigure {
        values: it.values,
        quantity: it.figure.map(|it| it.to_string()).unwrap_or_default(),
    };
    pb::UsageWindow {
        start: Some(instant(figures.window.start)),
        end: Some(instant(figures.window.end)),
        open: figures.open,
        rules_version: figures.version,
        figures: figures.groups.into_iter().map(figure).collect(),
    }
}

fn aggregation(it: Aggregation) -> pb::Aggregation {
    match it {
        Aggregation::Count => pb::Aggregation::Count,
        Aggregation::Sum => pb::Aggregation::Sum,
        Aggregation::Min => pb::Aggregation::Min,
        Aggregation::Max => pb::Aggregation::Max,
        Aggregation::Average => pb::Aggregation::Average,
        Aggregation::Last => pb::Aggregation::Last,
        Aggregation::UniqueCount => pb::Aggregation::UniqueCount,
    }
}
