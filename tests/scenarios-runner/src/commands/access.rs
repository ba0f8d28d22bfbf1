//! Commands for who may do what: members, teams, roles, grants and credentials. A secret is
//! any word; what the platform gets is its hash, as from a gateway.

use std::collections::BTreeSet;

use exchequer_access::{AddressRange, Permission, Principal, Scope};
use exchequer_domain_access as access;
use exchequer_domain_access::{Command as A, CredentialKind, Giving, Secret};
use exchequer_tenant::Command;
use exchequer_types::{ActorId, Hash, KeyId, Protected, Slug};

use super::{Named, slug};
use crate::script::{Columns, Line, ScriptError};

const NOBODY: &str = "none";

/// The command of a line about access; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
    named: &dyn Named,
) -> Result<Option<(String, Command)>, ScriptError> {
    let mut read = Reading { line, columns, named };
    let command = match line.verb() {
        "bootstrap" => {
            let secret = read.secret()?;
            let command = A::Bootstrap(access::Bootstrap { secret });
            return Ok(Some(("platform".to_owned(), Command::Access(command))));
        }
        "add_member" | "update_member" | "remove_member" | "erase_person" => read.of_person()?,
        "create_team" | "update_team" | "delete_team" => read.of_team()?,
        "create_role" | "update_role" | "delete_role" => read.of_role()?,
        "grant_role" | "revoke_role" => read.of_grant()?,
        "set_addresses" => {
            let tenant = read.columns.text("tenant")?;
            let addresses = read.networks()?.unwrap_or_default();
            (tenant, A::SetAddresses(access::SetAddresses { addresses }))
        }
        "create_credential" => read.create_credential()?,
        "update_credential" | "rotate_credential" | "revoke_credential" => read.of_credential()?,
        _ => return Ok(None),
    };
    Ok(Some((command.0, Command::Access(command.1))))
}

/// A principal as a script names it: `ann`, `team/web` or `credential/ci`.
pub(crate) fn principal(
    line: &Line,
    named: &dyn Named,
    tenant: &str,
    text: &str,
) -> Result<Principal, ScriptError> {
    Ok(match text.split_once('/') {
        Some(("team", key)) => Principal::Team(slug(line, key)?),
        Some(("credential", name)) => {
            let id = named.credential(tenant, name);
            Principal::Credential(id.unwrap_or_else(|| NOBODY.to_owned()))
        }
        _ => Principal::Member(actor(line, text)?),
    })
}

/// The place that `project=`, `environment=` and `flag=` name.
pub(crate) fn scope(line: &Line, columns: &mut Columns<'_>) -> Result<Scope, ScriptError> {
    let mut part = |key: &str| columns.optional(key).map(|it| slug(line, &it)).transpose();
    let scope = Scope::new(part("project")?, part("environment")?, part("flag")?);
    scope.map_err(|error| line.error(error.to_string()))
}

/// What is kept of a secret that a script calls `text`.
pub(crate) fn hash(text: &str) -> Hash {
    Hash::blake3(text.as_bytes())
}

struct Reading<'a, 'b> {
    line: &'a Line,
    columns: &'a mut Columns<'b>,
    named: &'a dyn Named,
}

impl Reading<'_, '_> {
    fn of_person(&mut self) -> Result<(String, A), ScriptError> {
        let tenant = self.columns.text("tenant")?;
        let member = actor(self.line, &self.columns.text("id")?)?;
        let command = match self.line.verb() {
            "add_member" => {
                let (name, email) = (self.protected("name")?, self.protected("email")?);
                A::AddMember(access::AddMember { member, name, email })
            }
            "update_member" => {
                let (name, email) = (self.protected("name")?.map(Some), None);
                A::UpdateMember(access::UpdateMember { member, name, email })
            }
            "remove_member" => A::RemoveMember(access::RemoveMember { member }),
            _ => {
                let keys = self.columns.text_or("keys", "");
                let keys = words(&keys).map(|it| self.key(it)).collect::<Result<_, _>>()?;
                A::ErasePerson(access::ErasePerson { subject: member, keys })
            }
        };
        Ok((tenant, command))
    }

    fn of_team(&mut self) -> Result<(String, A), ScriptError> {
        let tenant = self.columns.text("tenant")?;
        let team = slug(self.line, &self.columns.text("id")?)?;
        let command = match self.line.verb() {
            "create_team" => A::CreateTeam(access::CreateTeam {
                name: self.columns.text_or("name", team.as_str()),
                team,
                members: self.actors("members")?,
                teams: self.slugs("teams")?,
            }),
            "update_team" => A::UpdateTeam(access::UpdateTeam {
                team,
                name: self.columns.optional("name"),
                add_members: self.actors("add")?,
                remove_members: self.actors("remove")?,
                add_teams: self.slugs("add_teams")?,
                remove_teams: self.slugs("remove_teams")?,
            }),
            _ => A::DeleteTeam(access::DeleteTeam { team }),
        };
        Ok((tenant, command))
    }

    fn of_role(&mut self) -> Result<(String, A), ScriptError> {
        let tenant = self.columns.text("tenant")?;
        let role = slug(self.line, &self.columns.text("id")?)?;
        let command = match self.line.verb() {
            "create_role" => A::CreateRole(access::CreateRole {
                name: self.columns.text_or("name", role.as_str()),
                role,
                permissions: self.permissions("permissions")?,
            }),
            "update_role" => A::UpdateRole(access::UpdateRole {
                role,
                name: self.columns.optional("name"),
                add_permissions: self.permissions("add")?,
                remove_permissions: self.permissions("remove")?,
            }),
            _ => A::DeleteRole(access::DeleteRole { role }),
        };
        Ok((tenant, command))
    }

    fn of_grant(&mut self) -> Result<(String, A), ScriptError> {
        let tenant = self.columns.text("tenant")?;
        let grants = self.line.verb() == "grant_role";
        let whose = self.columns.text(if grants { "to" } else { "from" })?;
        let principal = principal(self.line, self.named, &tenant, &whose)?;
        let role = slug(self.line, &self.columns.text("role")?)?;
        if grants {
            let scope = scope(self.line, self.columns)?;
            let expires_at = self.columns.instant("expires")?;
            let grant = access::GrantRole { principal, role, scope, expires_at };
            return Ok((tenant, A::GrantRole(grant)));
        }
        let id = self.named.role_grant(&tenant, &principal, &role);
        let id = id.unwrap_or_else(|| NOBODY.to_owned());
        Ok((tenant, A::RevokeRole(access::RevokeRole { id })))
    }

    fn create_credential(&mut self) -> Result<(String, A), ScriptError> {
        let tenant = self.columns.text("tenant")?;
        let kind = match self.columns.text_or("kind", "service").as_str() {
            "service" => CredentialKind::Service,
            "personal" => {
                let owner = actor(self.line, &self.columns.text("owner")?)?;
                CredentialKind::Personal { owner }
            }
            "server" => {
                let (project, environment) = self.environment()?;
                CredentialKind::ServerSdk { project, environment }
            }
            "client" => {
                let (project, environment) = self.environment()?;
                CredentialKind::ClientSdk { project, environment }
            }
            other => return Err(self.line.error(format!("{other} is no kind of credential"))),
        };
        let roles: Vec<Slug> = self.slugs("roles")?.into_iter().collect();
        let scope = scope(self.line, self.columns)?;
        let grants = roles.into_iter().map(|role| Giving { role, scope: scope.clone() });
        let create = access::CreateCredential {
            kind,
            name: self.columns.text("id")?,
            secret: self.secret()?,
            grants: grants.collect(),
            expires_at: self.columns.instant("expires")?,
            addresses: self.networks()?.unwrap_or_default(),
            requests_per_minute: self.rate()?,
        };
        Ok((tenant, A::CreateCredential(create)))
    }

    fn of_credential(&mut self) -> Result<(String, A), ScriptError> {
        let tenant = self.columns.text("tenant")?;
        let name = self.columns.text("id")?;
        let id = self.named.credential(&tenant, &name).unwrap_or_else(|| NOBODY.to_owned());
        let command = match self.line.verb() {
            "update_credential" => A::UpdateCredential(access::UpdateCredential {
                id,
                name: None,
                expires_at: self.columns.instant("expires")?,
                addresses: self.networks()?,
                requests_per_minute: self.rate()?.map(Some),
            }),
            "rotate_credential" => A::RotateCredential(access::RotateCredential {
                id,
                secret: self.secret()?,
                overlap_seconds: self.columns.number("overlap_seconds")?.unwrap_or(0),
            }),
            _ => A::RevokeCredential(access::RevokeCredential { id }),
        };
        Ok((tenant, command))
    }

    fn environment(&mut self) -> Result<(Slug, Slug), ScriptError> {
        let project = slug(self.line, &self.columns.text("project")?)?;
        Ok((project, slug(self.line, &self.columns.text("environment")?)?))
    }

    fn secret(&mut self) -> Result<Secret, ScriptError> {
        let text = self.columns.text("secret")?;
        let hint: String = text.chars().rev().take(4).collect();
        Ok(Secret { hash: hash(&text), hint: hint.chars().rev().collect() })
    }

    fn rate(&mut self) -> Result<Option<u32>, ScriptError> {
        let rate = self.columns.number("requests_per_minute")?;
        Ok(rate.map(|it| u32::try_from(it).unwrap_or(u32::MAX)))
    }

    fn networks(&mut self) -> Result<Option<Vec<AddressRange>>, ScriptError> {
        let Some(text) = self.columns.optional("networks") else { return Ok(None) };
        let parse = |it: &str| {
            AddressRange::parse(it).map_err(|error| self.line.error(format!("{it} {error}")))
        };
        words(&text).map(parse).collect::<Result<_, _>>().map(Some)
    }

    /// `name=7:Ann` is the text Ann, encrypted under key 7; here it stays as it is, for no
    /// key store stands behind a script.
    fn protected(&mut self, key: &str) -> Result<Option<Protected>, ScriptError> {
        let Some(text) = self.columns.optional(key) else { return Ok(None) };
        let (number, text) = text.split_once(':').unwrap_or(("0", &text));
        Ok(Some(Protected { key: self.key(number)?, text: text.as_bytes().to_vec() }))
    }

    fn key(&self, number: &str) -> Result<KeyId, ScriptError> {
        let byte = number.parse().map_err(|_| self.line.error(format!("{number} is no key")))?;
        Ok(KeyId([byte; 16]))
    }

    fn actors(&mut self, key: &str) -> Result<BTreeSet<ActorId>, ScriptError> {
        let text = self.columns.text_or(key, "");
        words(&text).map(|it| actor(self.line, it)).collect()
    }

    fn slugs(&mut self, key: &str) -> Result<BTreeSet<Slug>, ScriptError> {
        let text = self.columns.text_or(key, "");
        words(&text).map(|it| slug(self.line, it)).collect()
    }

    fn permissions(&mut self, key: &str) -> Result<BTreeSet<Permission>, ScriptError> {
        let text = self.columns.text_or(key, "");
        let parse = |it: &str| {
            let unknown = || self.line.error(format!("{it} is no permission"));
            Permission::parse(it).map_err(|_| unknown())
        };
        words(&text).map(parse).collect()
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|it| !it.is_empty())
}

fn actor(line: &Line, text: &str) -> Result<ActorId, ScriptError> {
    ActorId::parse(text).map_err(|error| line.error(format!("{text:?}: {error}")))
}
