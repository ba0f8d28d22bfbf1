//! Who is let in.

use std::path::PathBuf;
use std::sync::Arc;

use exchequer_access::AddressRange;
use exchequer_api::authn::{Algorithm, FetchKeys, FileKeys, HttpKeys, ISSUERS_MAX, Issuer};
use exchequer_types::{ActorId, Slug, TenantId};
use serde::{Deserialize, Serialize};

use super::reader::Reader;
use super::section::{anything, section};

/// Networks of proxies.
const PROXIES_MAX: usize = 64;

section! {
    /// Who is let in.
    Access "access" {
        /// Whether every call presents a credential and is judged by what it may do.
        /// Without it anybody who reaches the port may do everything, so it can be turned
        /// off on a loopback address alone.
        enabled: bool = true, "", anything;
        /// Outside issuers whose JWTs are credentials, as tables `[[access.issuers]]`: `name`,
        /// `issuer`, `audience`, one of `jwks_url` and `jwks_file`, and if need be
        /// `jwks_ca_file`, `algorithms`, `subject_claim`, `tenant`.
        issuers: Vec<IssuerSetting> = Vec::new() => "[]", "tables", anything;
        /// Networks of proxies in front of the server, such as `10.0.0.0/8`. What they say in
        /// `x-forwarded-for` is taken for the caller's address.
        trusted_proxies: Vec<String> = Vec::new() => "[]", "networks", networks;
    }
}

/// `[[access.issuers]]`: an issuer of JWTs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSetting {
    /// What its subjects are called by here, before a colon.
    pub name: String,
    /// `iss` of its tokens, to the letter.
    pub issuer: String,
    /// `aud` of tokens that are meant for this deployment.
    pub audience: String,
    /// Where its keys are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A file with its keys, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// A PEM file of authorities that vouch for the URL's host, beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<PathBuf>,
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// The claim that its people are called by, for good and in clear: an opaque one.
    #[serde(default = "subject_claim")]
    pub subject_claim: String,
    /// The tenant whose rate limits its people have.
    #[serde(default = "tenant")]
    pub tenant: String,
}

fn algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

fn subject_claim() -> String {
    "sub".to_owned()
}

fn tenant() -> String {
    TenantId::platform().into_string()
}

#[expect(clippy::ptr_arg, reason = "a check is given the setting as it is")]
fn networks(all: &Vec<String>) -> Option<String> {
    if all.len() > PROXIES_MAX {
        return Some(format!("at most {PROXIES_MAX} networks"));
    }
    let wrong = all.iter().find_map(|text| Some((text, AddressRange::parse(text).err()?)));
    if let Some((text, error)) = wrong {
        return Some(format!("a list of networks such as 10.0.0.0/8; {text} {error}"));
    }
    let everybody = all.iter().find(|text| text.ends_with("/0"));
    everybody.map(|text| {
        format!(
            "a list of the proxies' own networks; with {text} everybody could say what address \
             they have"
        )
    })
}

impl Access {
    /// Issuers must be whole and told apart, and their files be there.
    pub(super) fn check(&self, reader: &mut Reader) {
        const KEY: &str = "access.issuers";
        if self.issuers.len() > ISSUERS_MAX {
            let what = format!("has {} issuers", self.issuers.len());
            reader.wrong(KEY, what, format!("name at most {ISSUERS_MAX}"));
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            let before = &self.issuers[..index];
            if before.iter().any(|it| it.name == issuer.name || it.issuer == issuer.issuer) {
                let what = format!("{} is there twice", issuer.name);
                reader.wrong(KEY, what, "give each issuer one table and a name of its own");
            }
            if let Err(problem) = issuer.build() {
                let what = format!("{}: {} {}", issuer.name, problem.field, problem.what);
                reader.wrong(KEY, what, problem.cure);
            }
        }
    }

    /// As the edge takes them. They have been checked.
    pub(crate) fn issuers(&self) -> Vec<Issuer> {
        self.issuers.iter().filter_map(|issuer| issuer.build().ok()).collect()
    }

    pub(crate) fn proxies(&self) -> Vec<AddressRange> {
        let parse = |text: &String| AddressRange::parse(text).ok();
        self.trusted_proxies.iter().filter_map(parse).collect()
    }
}

/// What is wrong with one field of an issuer.
#[derive(Debug)]
struct Wrong {
    field: &'static str,
    what: String,
    cure: &'static str,
}

impl Wrong {
    fn new(field: &'static str, what: impl Into<String>, cure: &'static str) -> Self {
        Self { field, what: what.into(), cure }
    }
}

impl IssuerSetting {
    fn build(&self) -> Result<Issuer, Wrong> {
        let is_reserved = ["key", "cert"].contains(&self.name.as_str());
        if Slug::parse(self.name.as_str()).is_err() || self.name.len() > 27 || is_reserved {
            let cure = "write up to 27 of a-z, 0-9 and -, and neither key nor cert";
            return Err(Wrong::new("name", "cannot be used", cure));
        }
        for (field, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if text.is_empty() {
                let cure = "write it as the issuer's tokens have it";
                return Err(Wrong::new(field, "is empty", cure));
            }
        }
        if ActorId::parse(self.subject_claim.as_str()).is_err() {
            let cure = "name the claim that says who it is, such as sub";
            return Err(Wrong::new("subject_claim", "is no name of a claim", cure));
        }
        let home = TenantId::parse(self.tenant.as_str()).map_err(|error| {
            Wrong::new("tenant", error.to_string(), "name a tenant, or leave it out")
        })?;
        Ok(Issuer {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            algorithms: self.algorithms()?,
            subject_claim: self.subject_claim.clone(),
            home,
            keys: self.keys()?,
        })
    }

    fn algorithms(&self) -> Result<Vec<Algorithm>, Wrong> {
        const CURE: &str = "name some of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA";
        if self.algorithms.is_empty() {
            return Err(Wrong::new("algorithms", "is empty", CURE));
        }
        let parse = |word: &String| {
            let refused = || Wrong::new("algorithms", format!("has {word}"), CURE);
            Algorithm::parse(word).ok_or_else(refused)
        };
        self.algorithms.iter().map(parse).collect()
    }

    fn keys(&self) -> Result<Arc<dyn FetchKeys>, Wrong> {
        match (&self.jwks_url, &self.jwks_file) {
            (Some(url), None) => {
                let keys = HttpKeys::new(url, self.jwks_ca_file.as_ref());
                let keys = keys.map_err(|error| {
                    Wrong::new("jwks_url", error.to_string(), "correct it, or name a jwks_file")
                })?;
                Ok(Arc::new(keys))
            }
            (None, Some(path)) => {
                let keys = FileKeys { path: path.clone() };
                keys.check(&self.algorithms()?).map_err(|error| {
                    let cure = "name a file with a JSON Web Key Set that has a key to sign with";
                    Wrong::new("jwks_file", error.to_string(), cure)
                })?;
                Ok(Arc::new(keys))
            }
            _ => Err(Wrong::new(
                "jwks_url",
                "and jwks_file are both there, or neither is",
                "say with one of them where its keys are",
            )),
        }
    }
}
