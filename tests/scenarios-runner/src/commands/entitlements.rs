//! Commands for what a tenant may use beside its plan, and for what it uses.

use exchequer_domain_entitlements as entitlements;
use exchequer_domain_entitlements::{Amount, GrantKind};
use exchequer_tenant::Command;

use super::{Named, slug};
use crate::script::{Columns, Line, ScriptError};

/// The command of a line about entitlements; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
    named: &dyn Named,
) -> Result<Option<(String, Command)>, ScriptError> {
    use entitlements::Command as E;
    if !matches!(line.verb(), "grant" | "revoke" | "report_use") {
        return Ok(None);
    }
    let tenant = columns.text("tenant")?;
    let command = match line.verb() {
        "grant" => {
            let kind = columns.text("kind")?;
            let known = GrantKind::ALL.into_iter().find(|it| it.word() == kind);
            E::Grant(entitlements::GrantFeature {
                feature: slug(line, &columns.text("feature")?)?,
                amount: amount(line, &columns.text("amount")?)?,
                kind: known.ok_or_else(|| line.error(format!("{kind} is no kind of grant")))?,
                reason: columns.text("reason")?,
                expires_at: columns.instant("expires")?,
            })
        }
        "revoke" => {
            let number = columns.number("grant")?.unwrap_or(0);
            let id = named.grant(&tenant, number).unwrap_or_else(|| "grt_none".to_owned());
            E::Revoke(entitlements::Revoke { id, reason: columns.text("reason")? })
        }
        _ => E::ReportUse(entitlements::ReportUse {
            feature: slug(line, &columns.text("feature")?)?,
            used: columns.number("used")?.unwrap_or(0),
        }),
    };
    Ok(Some((tenant, Command::Entitlements(command))))
}

fn amount(line: &Line, text: &str) -> Result<Amount, ScriptError> {
    Ok(match text {
        "on" => Amount::On,
        "unlimited" => Amount::Unlimited,
        number => Amount::Units(
            number
                .parse()
                .map_err(|_| line.error(format!("{number} is not on, unlimited or a number")))?,
        ),
    })
}
