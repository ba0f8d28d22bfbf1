//! Methods of which the rule alone does not say enough: what they ask for depends on what
//! they would change, or on whose it is. Their requests are read whole, which no other's is.

use exchequer_access::{AddressRange, Permission, Principal};
use exchequer_codec::definition_from_proto;
use exchequer_domain_access::Credential;
use exchequer_domain_flags::{Definition, DefinitionField, Flag};
use exchequer_proto::access::v1 as access;
use exchequer_proto::flags::v1 as flags;
use exchequer_types::Timestamp;
use prost::Message;

use super::caller::{Caller, CredentialInfo};
use super::judge::{About, Asker, Denied, Grounds, Judge};
use super::rules::{Need, Rule};

/// A personal token would make more than itself.
const BEYOND_TOKEN: &str = "BEYOND_TOKEN";

/// What a method's rule leaves to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing.
    Ruled,
    /// Whether production serves something else afterwards.
    Definition,
    /// Whether the flag is turned on or off.
    Targeting,
    /// Which part of a list the caller may see: the service leaves out the rest.
    Listing,
    /// Whether the personal token is the caller's own.
    OwnToken(TokenCall),
}

/// A call about one credential, or about those of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenCall {
    Create,
    Get,
    List,
    Update,
    Rotate,
    Revoke,
}

/// Why a call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) grounds: Grounds,
    /// It may while the flag is of this version, for then it changes no more than was seen.
    pub(super) version: Option<u64>,
}

/// The version of a flag in which a call was allowed. In the extensions of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenVersion(pub(crate) u64);

impl Content {
    pub(super) fn of(path: &str) -> Self {
        let Some((service, method)) = path.rsplit_once('/') else { return Self::Ruled };
        match (service, method) {
            ("/exchequer.flags.v1.FlagService", "UpdateFlag") => Self::Definition,
            ("/exchequer.flags.v1.FlagService", "SetTargeting") => Self::Targeting,
            (
                "/exchequer.flags.v1.FlagService",
                "ListProjects" | "ListEnvironments" | "ListFlags",
            ) => Self::Listing,
            ("/exchequer.access.v1.CredentialService", method) => match method {
                "CreateCredential" => Self::OwnToken(TokenCall::Create),
                "GetCredential" => Self::OwnToken(TokenCall::Get),
                "ListCredentials" => Self::OwnToken(TokenCall::List),
                "UpdateCredential" => Self::OwnToken(TokenCall::Update),
                "RotateCredential" => Self::OwnToken(TokenCall::Rotate),
                "RevokeCredential" => Self::OwnToken(TokenCall::Revoke),
                _ => Self::Ruled,
            },
            _ => Self::Ruled,
        }
    }
}

impl Judge {
    /// May the caller do what `message` asks for? A refusal comes with what is missing.
    pub(super) async fn judge_content(
        &self,
        asker: Asker<'_>,
        rule: &Rule,
        about: &About<'_>,
        message: &[u8],
    ) -> Result<Allowed, (Need, Denied)> {
        let caller = asker.caller;
        let by_rule = self.grounds_of(asker, rule.need, about).await;
        let by_rule = by_rule.map(|grounds| Allowed { grounds, version: None });
        match (rule.content, by_rule) {
            (Content::Targeting, Ok(allowed)) => {
                self.judge_targeting(caller, about, message, allowed).await
            }
            (Content::Definition, Err(denied @ Denied::Lacks { .. })) => {
                let judged = self.judge_definition(caller, rule.need, about, message, denied).await;
                judged.map_err(|denied| (rule.need, denied))
            }
            (Content::OwnToken(call), Err(denied @ Denied::Lacks { .. })) => {
                let judged = self.judge_token(caller, call, about, message, denied).await;
                let judged = match judged {
                    Err(denied @ Denied::Lacks { .. }) if call == TokenCall::List => {
                        self.judge_part(asker, rule.need, about, denied).await
                    }
                    judged => judged,
                };
                judged.map_err(|denied| (rule.need, denied))
            }
            (Content::Listing, Err(denied @ Denied::Lacks { .. })) => {
                let judged = self.judge_part(asker, rule.need, about, denied).await;
                judged.map_err(|denied| (rule.need, denied))
            }
            (_, by_rule) => by_rule.map_err(|denied| (rule.need, denied)),
        }
    }

    /// Whoever may not see all of a list may see what they may of it, if there is any place
    /// where that could be.
    async fn judge_part(
        &self,
        asker: Asker<'_>,
        need: Need,
        about: &About<'_>,
        denied: Denied,
    ) -> Result<Allowed, Denied> {
        match self.grounds_of_part(asker, need, about).await {
            Ok(grounds) => Ok(Allowed { grounds, version: None }),
            Err(Denied::Unavailable) => Err(Denied::Unavailable),
            Err(_) => Err(denied),
        }
    }

    /// Whoever may not change production may change what production does not serve.
    async fn judge_definition(
        &self,
        caller: &Caller,
        need: Need,
        about: &About<'_>,
        message: &[u8],
        denied: Denied,
    ) -> Result<Allowed, Denied> {
        // What is no message is refused by the service, and changes nothing.
        let Ok(asked) = flags::UpdateFlagRequest::decode(message) else { return Err(denied) };
        let served = served_fields(&asked);
        let version = if served.is_empty() {
            None
        } else {
            let flag = self.flag(about.tenant, &asked.project, &asked.key).await?;
            match (flag, definition_from_proto(asked.definition)) {
                (Some(flag), Ok(wanted)) if is_served_alike(&flag, &wanted, &served) => {
                    Some(flag.version)
                }
                // That it is not there is for the service to say.
                (None, _) => None,
                _ => return Err(denied),
            }
        };
        let grounds = self.grounds_outside(caller, need, about).await?;
        Ok(Allowed { grounds, version })
    }

    /// Turning a flag on or off takes `flags.toggle`, by whichever method.
    async fn judge_targeting(
        &self,
        caller: &Caller,
        about: &About<'_>,
        message: &[u8],
        allowed: Allowed,
    ) -> Result<Allowed, (Need, Denied)> {
        let toggle = Need::Permission(Permission::FlagsToggle);
        let Err(denied) = self.judge(caller, toggle, about).await else { return Ok(allowed) };
        let Ok(asked) = flags::SetTargetingRequest::decode(message) else { return Ok(allowed) };
        let flag = self.flag(about.tenant, &asked.project, &asked.key).await;
        let flag = flag.map_err(|_| (toggle, Denied::Unavailable))?;
        let Some(flag) = flag else { return Ok(allowed) };
        let is_on = |it: &exchequer_domain_flags::Targeting| it.enabled;
        let mut targeting = flag.targeting.iter();
        let is_on =
            targeting.any(|(key, it)| key.as_str() == asked.environment.as_str() && is_on(it));
        if is_on == asked.targeting.is_some_and(|it| it.enabled) {
            Ok(Allowed { version: Some(flag.version), ..allowed })
        } else {
            Err((toggle, denied))
        }
    }

    /// A member needs no permission for its own personal tokens.
    async fn judge_token(
        &self,
        caller: &Caller,
        call: TokenCall,
        about: &About<'_>,
        message: &[u8],
        denied: Denied,
    ) -> Result<Allowed, Denied> {
        let Principal::Member(member) = &caller.principal else { return Err(denied) };
        // Somebody of a tenant above is nobody here, however they are called.
        if self.grounds(caller, Need::Member, about).await != Ok(Grounds::Own) {
            return Err(denied);
        }
        let Some(mut asked) = AskedToken::read(call, message) else { return Err(denied) };
        let is_own = match &asked.whose {
            Whose::Owner(owner) => owner == member.as_str(),
            Whose::Credential(id) => {
                let found = self.credential(about.tenant, id).await?;
                if let Some(found) = found.as_ref().filter(|_| call == TokenCall::Rotate) {
                    asked.becomes(found);
                }
                found.is_some_and(|it| it.kind.owner() == Some(member))
            }
        };
        if !is_own {
            return Err(denied);
        }
        match caller.credential() {
            Some(own) if !asked.is_within(own) => {
                Err(Denied::Lacks { rule: BEYOND_TOKEN, grant: None })
            }
            _ => Ok(Allowed { grounds: Grounds::Own, version: None }),
        }
    }
}

/// The fields of the request that every environment serves from.
fn served_fields(asked: &flags::UpdateFlagRequest) -> Vec<DefinitionField> {
    use DefinitionField as F;
    let served = [F::Variants, F::DefaultVariant, F::OffVariant];
    let paths = asked.update_mask.as_ref().map(|it| it.paths.as_slice()).unwrap_or_default();
    let is_set = |field: &F| {
        paths.is_empty() || paths.iter().any(|path| path == "*" || path == field.as_str())
    };
    served.into_iter().filter(is_set).collect()
}

fn is_served_alike(flag: &Flag, wanted: &Definition, fields: &[DefinitionField]) -> bool {
    let now = &flag.definition;
    fields.iter().all(|field| match field {
        DefinitionField::Variants => now.variants == wanted.variants,
        DefinitionField::DefaultVariant => now.default_variant == wanted.default_variant,
        DefinitionField::OffVariant => now.off_variant == wanted.off_variant,
        DefinitionField::Name | DefinitionField::Description | DefinitionField::Tags => true,
    })
}

/// Which token is meant.
enum Whose {
    Owner(String),
    Credential(String),
}

/// A call about a token, as far as it must stay within the token by which it comes.
struct AskedToken {
    whose: Whose,
    expires_at: Option<i64>,
    /// None: as they are.
    networks: Option<Vec<String>>,
    /// None: as it is. 0: without a limit of its own.
    requests_per_minute: Option<u32>,
}

impl AskedToken {
    fn read(call: TokenCall, message: &[u8]) -> Option<Self> {
        let plain =
            |whose| Self { whose, expires_at: None, networks: None, requests_per_minute: None };
        let of_id = |id: String| plain(Whose::Credential(id));
        Some(match call {
            TokenCall::Create => {
                let it = access::CreateCredentialRequest::decode(message).ok()?;
                if it.kind() != access::CredentialKind::Personal {
                    return None;
                }
                Self {
                    expires_at: it.expires_at.map(|at| at.seconds),
                    networks: Some(it.networks),
                    requests_per_minute: Some(it.requests_per_minute),
                    ..plain(Whose::Owner(it.owner))
                }
            }
            TokenCall::Update => {
                let it = access::UpdateCredentialRequest::decode(message).ok()?;
                Self {
                    expires_at: it.expires_at.map(|at| at.seconds),
                    networks: it.networks.map(|it| it.networks),
                    requests_per_minute: it.requests_per_minute,
                    ..of_id(it.id)
                }
            }
            TokenCall::List => {
                plain(Whose::Owner(access::ListCredentialsRequest::decode(message).ok()?.owner))
            }
            TokenCall::Get => of_id(access::GetCredentialRequest::decode(message).ok()?.id),
            TokenCall::Rotate => of_id(access::RotateCredentialRequest::decode(message).ok()?.id),
            TokenCall::Revoke => of_id(access::RevokeCredentialRequest::decode(message).ok()?.id),
        })
    }

    /// Whoever gets the credential's secret has all that it has.
    fn becomes(&mut self, credential: &Credential) {
        let end = credential.expiry.as_ref().map(|it| it.at.micros().div_euclid(1_000_000));
        self.expires_at = end;
        self.networks = Some(credential.addresses.iter().map(ToString::to_string).collect());
        self.requests_per_minute = Some(credential.requests_per_minute.unwrap_or(0));
    }

    /// What comes of it lasts no longer, is accepted from nowhere else, and is used no more
    /// often than `own`.
    fn is_within(&self, own: &CredentialInfo) -> bool {
        let lasts = |end: Timestamp| {
            self.expires_at.is_none_or(|seconds| seconds <= end.micros().div_euclid(1_000_000))
        };
        let is_inside = |text: &String| {
            AddressRange::parse(text).is_ok_and(|it| own.addresses.iter().any(|all| all.holds(&it)))
        };
        let comes = |networks: &Vec<String>| {
            own.addresses.is_empty() || (!networks.is_empty() && networks.iter().all(is_inside))
        };
        let is_slow =
            |limit: u32| self.requests_per_minute.is_none_or(|it| (1..=limit).contains(&it));
        own.expires_at.is_none_or(lasts)
            && self.networks.as_ref().is_none_or(comes)
            && own.requests_per_minute.is_none_or(is_slow)
    }
}
