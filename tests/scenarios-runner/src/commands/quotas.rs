//! Commands for limits that are kept: reservations and what becomes of them.

use exchequer_domain_quotas as quotas;
use exchequer_tenant::Command;
use exchequer_types::Quantity;

use super::slug;
use crate::script::{Columns, Line, ScriptError};

/// The command of a line about quotas; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<Option<(String, Command)>, ScriptError> {
    use quotas::Command as Q;
    let verbs = ["reserve", "finalise", "release", "adjust_held", "note_threshold"];
    if !verbs.contains(&line.verb()) {
        return Ok(None);
    }
    let tenant = columns.text("tenant")?;
    let command = match line.verb() {
        "reserve" => {
            let ttl = columns.number("ttl_seconds")?;
            let ttl = ttl.unwrap_or_else(|| u64::from(quotas::TTL_SECONDS_DEFAULT));
            Q::Reserve(quotas::Reserve {
                id: columns.text("id")?,
                feature: slug(line, &columns.text("feature")?)?,
                amount: columns.number("amount")?.unwrap_or(1),
                ttl_seconds: u32::try_from(ttl).unwrap_or(u32::MAX),
            })
        }
        "finalise" => {
            let (id, amount) = (columns.text("id")?, columns.number("amount")?);
            Q::Finalise(quotas::Finalise { id, amount })
        }
        "release" => Q::Release(quotas::Release { id: columns.text("id")? }),
        "adjust_held" => Q::AdjustHeld(quotas::AdjustHeld {
            feature: slug(line, &columns.text("feature")?)?,
            units: columns.number("units")?.unwrap_or(1),
            reason: columns.text("reason")?,
        }),
        _ => {
            let percent = columns.number("percent")?.unwrap_or(0);
            let used = columns.text("used")?;
            Q::NoteThreshold(quotas::NoteThreshold {
                feature: slug(line, &columns.text("feature")?)?,
                window_start: columns.instant("window")?,
                percent: u32::try_from(percent).unwrap_or(u32::MAX),
                used: Quantity::parse(&used).map_err(|error| line.error(error.to_string()))?,
            })
        }
    };
    Ok(Some((tenant, Command::Quotas(command))))
}
