//! The resources of access control: which of their fields filters may name.

use exchequer_proto::access::v1 as access;

use crate::filter::Field;
use crate::filter::Get::{Bool, Int, Name, Text, Texts, Time};
use crate::resources::{Resource, names, resource};

// Names and e-mail addresses are encrypted where lists are made.
resource!(
    access::Member,
    "id": Text(|it| &it.id),
    "added_at": Time(|it| it.added_at),
);
resource!(
    access::Team,
    "key": Text(|it| &it.key),
    "name": Text(|it| &it.name),
    "members": Texts(|it| &it.members),
    "teams": Texts(|it| &it.teams),
);
resource!(
    access::Role,
    "key": Text(|it| &it.key),
    "name": Text(|it| &it.name),
    "permissions": Texts(|it| &it.permissions),
    "built_in": Bool(|it| it.built_in),
);
resource!(
    access::Grant,
    "id": Text(|it| &it.id),
    "role": Text(|it| &it.role),
    "scope.project": Text(|it| it.scope.as_ref().map_or("", |it| &it.project)),
    "scope.environment": Text(|it| it.scope.as_ref().map_or("", |it| &it.environment)),
    "scope.flag": Text(|it| it.scope.as_ref().map_or("", |it| &it.flag)),
    "expires_at": Time(|it| it.expires_at),
    "granted_at": Time(|it| it.granted_at),
);
resource!(access::Addresses,);
resource!(
    access::Allowed,
    "rule.grant": Text(|it| it.rule.as_ref().map_or("", |it| &it.grant)),
    "rule.role": Text(|it| it.rule.as_ref().map_or("", |it| &it.role)),
    "rule.team": Text(|it| it.rule.as_ref().map_or("", |it| &it.team)),
);
resource!(
    access::Credential,
    "id": Text(|it| &it.id),
    "kind": Name {
        of: |it| it.kind,
        name: names!(access::CredentialKind),
        prefix: "CREDENTIAL_KIND_",
    },
    "name": Text(|it| &it.name),
    "owner": Text(|it| &it.owner),
    "project": Text(|it| &it.project),
    "environment": Text(|it| &it.environment),
    "status": Name {
        of: |it| it.status,
        name: names!(access::CredentialStatus),
        prefix: "CREDENTIAL_STATUS_",
    },
    "requests_per_minute": Int(|it| Some(it.requests_per_minute.into())),
    "created_at": Time(|it| it.created_at),
    "expires_at": Time(|it| it.expires_at),
    "revoked_at": Time(|it| it.revoked_at),
);
