//! The resources of the contract: what each is called there, and which of its fields
//! filters may name. A field is declared where its value is at hand for every row that a
//! list looks at.

use exchequer_proto::audit::v1 as audit;
use exchequer_proto::catalog::v1 as catalog;
use exchequer_proto::entitlements::v1 as entitlements;
use exchequer_proto::flags::v1 as flags;
use exchequer_proto::quotas::v1 as quotas;
use exchequer_proto::subscriptions::v1 as subscriptions;
use exchequer_proto::system::v1 as system;
use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::usage::v1 as usage;
use prost::Message;

use crate::filter::Field;
use crate::filter::Get::{Bool, Int, Name, Text, Texts, Time};

/// A message that Get and List methods answer with.
pub(crate) trait Resource: Message + Default + 'static {
    /// In full, such as `exchequer.tenants.v1.Tenant`.
    const NAME: &'static str;
    /// What filters may name; nothing where no list has it.
    const FIELDS: &'static [Field<Self>];
}

/// The name of an enum's value by its number.
macro_rules! names {
    ($enum:ty) => {
        |it| <$enum>::try_from(it).ok().map(|it| it.as_str_name())
    };
}

/// `Resource` for a message of `package`.
macro_rules! resource {
    ($package:ident :: $message:ident, $($path:literal: $get:expr),* $(,)?) => {
        impl Resource for $package::$message {
            const NAME: &'static str =
                concat!("exchequer.", stringify!($package), ".v1.", stringify!($message));
            const FIELDS: &'static [Field<Self>] = &[$(Field { path: $path, get: $get }),*];
        }
    };
}
pub(crate) use {names, resource};

resource!(
    tenants::Tenant,
    "id": Text(|it| &it.id),
    "name": Text(|it| &it.name),
    "status": Name {
        of: |it| it.status,
        name: names!(tenants::TenantStatus),
        prefix: "TENANT_STATUS_",
    },
    "provider": Bool(|it| it.provider),
    "reason": Text(|it| &it.reason),
    "version": Int(|it| Some(it.version.into())),
    "created_at": Time(|it| it.created_at),
    "updated_at": Time(|it| it.updated_at),
    "closes_at": Time(|it| it.closes_at),
    "test_clock": Time(|it| it.test_clock),
);
resource!(tenants::Settings,);

resource!(
    audit::Entry,
    "seq": Int(|it| Some(it.seq.into())),
    "action": Text(|it| &it.action),
    "actor": Text(|it| &it.actor),
    "resource.type": Text(|it| it.resource.as_ref().map_or("", |it| &it.r#type)),
    "resource.id": Text(|it| it.resource.as_ref().map_or("", |it| &it.id)),
    "occurred_at": Time(|it| it.occurred_at),
    "recorded_at": Time(|it| it.recorded_at),
    "command_id": Text(|it| &it.command_id),
);

resource!(
    catalog::Catalog,
    "catalog": Text(|it| &it.catalog),
    "revision": Int(|it| Some(it.revision.into())),
    "latest.version": Int(|it| it.latest.as_ref().map(|it| it.version.into())),
    "latest.status": Name {
        of: |it| it.latest.as_ref().map_or(0, |it| it.status),
        name: names!(catalog::VersionStatus),
        prefix: "VERSION_STATUS_",
    },
    "draft.saved_at": Time(|it| it.draft.as_ref().and_then(|it| it.saved_at)),
    "created_at": Time(|it| it.created_at),
    "updated_at": Time(|it| it.updated_at),
);
resource!(
    catalog::CatalogVersion,
    "version": Int(|it| Some(it.version.into())),
    "status": Name {
        of: |it| it.status,
        name: names!(catalog::VersionStatus),
        prefix: "VERSION_STATUS_",
    },
    "hash": Text(|it| &it.hash),
    "published_at": Time(|it| it.published_at),
    "retired_at": Time(|it| it.retired_at),
);
resource!(catalog::Draft,);

resource!(
    flags::Project,
    "key": Text(|it| &it.key),
    "name": Text(|it| &it.name),
    "version": Int(|it| Some(it.version.into())),
    "created_at": Time(|it| it.created_at),
);
resource!(
    flags::Environment,
    "key": Text(|it| &it.key),
    "name": Text(|it| &it.name),
    "version": Int(|it| Some(it.version.into())),
    "created_at": Time(|it| it.created_at),
);
resource!(
    flags::Flag,
    "key": Text(|it| &it.key),
    "definition.name": Text(|it| it.definition.as_ref().map_or("", |it| &it.name)),
    "definition.description": Text(|it| it.definition.as_ref().map_or("", |it| &it.description)),
    "definition.tags": Texts(|it| it.definition.as_ref().map_or(&[], |it| &it.tags)),
    "definition.kind": Name {
        of: |it| it.definition.as_ref().map_or(0, |it| it.kind),
        name: names!(flags::Kind),
        prefix: "KIND_",
    },
    "archived": Bool(|it| it.archived),
    "version": Int(|it| Some(it.version.into())),
    "created_at": Time(|it| it.created_at),
    "updated_at": Time(|it| it.updated_at),
);

resource!(
    entitlements::Entitlement,
    "feature": Text(|it| &it.feature),
    "allowed": Bool(|it| it.allowed),
    "reason": Name {
        of: |it| it.reason,
        name: names!(entitlements::Reason),
        prefix: "REASON_",
    },
    "used": Int(|it| Some(it.used.into())),
    "remaining": Int(|it| it.remaining.map(i128::from)),
    "expires_at": Time(|it| it.expires_at),
);
resource!(
    entitlements::Grant,
    "id": Text(|it| &it.id),
    "feature": Text(|it| &it.feature),
    "kind": Name {
        of: |it| it.kind,
        name: names!(entitlements::GrantKind),
        prefix: "GRANT_KIND_",
    },
    "reason": Text(|it| &it.reason),
    "granted_at": Time(|it| it.granted_at),
    "expires_at": Time(|it| it.expires_at),
    "ended_at": Time(|it| it.ended_at),
);

resource!(
    quotas::Quota,
    "feature": Text(|it| &it.feature),
    "limit": Int(|it| it.limit.map(i128::from)),
    "beyond": Name {
        of: |it| it.beyond,
        name: names!(quotas::Beyond),
        prefix: "BEYOND_",
    },
    "used": Int(|it| Some(it.used.into())),
    "reserved": Int(|it| Some(it.reserved.into())),
    "held": Int(|it| Some(it.held.into())),
    "remaining": Int(|it| it.remaining.map(i128::from)),
    "resets_at": Time(|it| it.resets_at),
    "meter": Text(|it| &it.meter),
);

resource!(subscriptions::Subscription,);
resource!(
    subscriptions::ScheduledChange,
    "id": Text(|it| &it.id),
    "at": Time(|it| it.at),
    "at_period_end": Bool(|it| it.at_period_end),
);
resource!(
    subscriptions::Charge,
    "id": Text(|it| &it.id),
    "subscription": Text(|it| &it.subscription),
    "at": Time(|it| it.at),
    "cause": Name {
        of: |it| it.cause,
        name: names!(subscriptions::ChargeCause),
        prefix: "CHARGE_CAUSE_",
    },
    "period.index": Int(|it| it.period.as_ref().map(|it| it.index.into())),
    "currency": Text(|it| &it.currency),
    "total": Int(|it| Some(it.total.into())),
);

resource!(
    usage::Meter,
    "key": Text(|it| &it.key),
    "rules_version": Int(|it| Some(it.rules_version.into())),
    "rules.event_type": Text(|it| it.rules.as_ref().map_or("", |it| &it.event_type)),
    "rules.aggregation": Name {
        of: |it| it.rules.as_ref().map_or(0, |it| it.aggregation),
        name: names!(usage::Aggregation),
        prefix: "AGGREGATION_",
    },
    "rules.unit": Text(|it| it.rules.as_ref().map_or("", |it| &it.unit)),
    "retired": Bool(|it| it.retired),
    "version": Int(|it| Some(it.version.into())),
    "created_at": Time(|it| it.created_at),
    "updated_at": Time(|it| it.updated_at),
);
resource!(
    usage::MeterBackfillProgress,
    "id": Text(|it| &it.id),
    "meter": Text(|it| &it.meter),
    "rules_version": Int(|it| Some(it.rules_version.into())),
    "state": Name {
        of: |it| it.state,
        name: names!(usage::MeterBackfillState),
        prefix: "METER_BACKFILL_STATE_",
    },
    "asked_at": Time(|it| it.asked_at),
    "started_at": Time(|it| it.started_at),
    "ended_at": Time(|it| it.ended_at),
);
resource!(
    usage::EventSchemaInfo,
    "schema.type": Text(|it| it.schema.as_ref().map_or("", |it| &it.r#type)),
    "schema.version": Int(|it| it.schema.as_ref().map(|it| it.version.into())),
    "retired": Bool(|it| it.retired),
    "version": Int(|it| Some(it.version.into())),
    "set_at": Time(|it| it.set_at),
    "updated_at": Time(|it| it.updated_at),
);

resource!(system::Status,);
resource!(system::GetOutcomeResponse,);
resource!(system::Keys,);
resource!(
    system::DeadLetter,
    "id": Text(|it| &it.id),
    "reason": Text(|it| &it.reason),
    "recorded_at": Time(|it| it.recorded_at),
    "stream": Text(|it| &it.stream),
    "type": Text(|it| &it.r#type),
);
resource!(
    system::ParkedTenant,
    "tenant": Text(|it| &it.tenant),
    "reason": Text(|it| &it.reason),
    "parked_at": Time(|it| it.parked_at),
);
