//! Checks of a request's fields where they come in. All that is wrong is found
//! before anything is done; what is wrong is replaced by a harmless value, which
//! [`Check::done`] keeps from being used.

use std::collections::BTreeMap;

use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as pb;
use exchequer_types::{CommandId, IdError, Issuer, Slug, StreamId, TenantId, Timestamp};
use tonic::Status;

use crate::status::{
    self, ENUM_UNKNOWN, FIELD_MISSING, ID_INVALID, PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID, Refusal,
    SETTING_REPEATED, TIMESTAMP_INVALID, VALUE_INVALID,
};
use crate::{json, pages};

const PAGE_SIZE_DEFAULT: usize = 100;
const PAGE_SIZE_MAX: usize = 1_000;
/// Further violations are not told.
const VIOLATIONS_MAX: usize = 16;

/// What is wrong with a request, so far.
#[derive(Debug, Default)]
pub(crate) struct Check {
    violations: Vec<(&'static str, String, String)>,
}

/// Options of a call that writes.
#[derive(Debug)]
pub(crate) struct Write {
    /// None: to be made.
    pub(crate) id: Option<CommandId>,
    pub(crate) expected_version: Option<u64>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) validate_only: bool,
}

/// What [`Check::done`] lets through is there.
pub(crate) fn unchecked() -> Status {
    status::internal("check", "a field is missing that was not refused")
}

impl Check {
    pub(crate) fn refuse(&mut self, code: &'static str, field: &str, text: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push((code, field.to_owned(), text.into()));
        }
    }

    /// Everything was right, or the refusal that says what was not.
    pub(crate) fn done(self) -> Result<(), Status> {
        if self.violations.is_empty() {
            return Ok(());
        }
        Err(Refusal::of_fields(self.violations).status())
    }

    pub(crate) fn tenant(&mut self, field: &str, text: String) -> TenantId {
        self.id(field, TenantId::parse(text)).unwrap_or_else(TenantId::platform)
    }

    /// The root when empty.
    pub(crate) fn tenant_or_root(&mut self, field: &str, text: String) -> TenantId {
        if text.is_empty() { TenantId::platform() } else { self.tenant(field, text) }
    }

    /// An id within a tenant, of a plan, feature, flag or the like.
    pub(crate) fn slug(&mut self, field: &str, text: String) -> Option<Slug> {
        self.id(field, Slug::parse(text))
    }

    /// A tenant, or a partition's own stream, which may be parked too.
    pub(crate) fn stream(&mut self, field: &str, text: &str, partitions: u32) -> StreamId {
        match self.id(field, StreamId::parse(text)) {
            Some(StreamId::Partition(own)) if own.0 >= partitions => {
                self.refuse(ID_INVALID, field, format!("must name one of {partitions} partitions"));
                StreamId::Tenant(TenantId::platform())
            }
            Some(stream) => stream,
            None => StreamId::Tenant(TenantId::platform()),
        }
    }

    pub(crate) fn command_id(&mut self, field: &str, text: String) -> Option<CommandId> {
        self.id(field, CommandId::parse(text))
    }

    pub(crate) fn issuer(&mut self, field: &str, text: String) -> Option<Issuer> {
        self.id(field, Issuer::parse(text))
    }

    fn id<T>(&mut self, field: &str, parsed: Result<T, IdError>) -> Option<T> {
        parsed.map_err(|error| self.refuse(ID_INVALID, field, error.to_string())).ok()
    }

    pub(crate) fn write(&mut self, write: Option<WriteOptions>) -> Write {
        let it = write.unwrap_or_default();
        let id = match it.command_id {
            id if id.is_empty() => None,
            id => self.command_id("write.command_id", id),
        };
        Write {
            id,
            expected_version: it.expected_version,
            not_after: self.timestamp("write.not_after", it.not_after),
            validate_only: it.validate_only,
        }
    }

    /// Microseconds are kept, what is finer is cut off.
    pub(crate) fn timestamp(
        &mut self,
        field: &str,
        at: Option<prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        let at = at?;
        if !(0..1_000_000_000).contains(&at.nanos) {
            self.refuse(TIMESTAMP_INVALID, field, "must have nanos of 0 to 999999999");
            return None;
        }
        let micros = at
            .seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(at.nanos / 1_000)))
            .unwrap_or(i64::MAX);
        Timestamp::from_micros(micros)
            .map_err(|error| self.refuse(TIMESTAMP_INVALID, field, error.to_string()))
            .ok()
    }

    pub(crate) fn required_timestamp(
        &mut self,
        field: &str,
        at: Option<prost_types::Timestamp>,
    ) -> Timestamp {
        if at.is_none() {
            self.refuse(FIELD_MISSING, field, "must be given");
        }
        self.timestamp(field, at).unwrap_or(Timestamp::MIN)
    }

    pub(crate) fn page_size(&mut self, size: u32) -> usize {
        match size as usize {
            0 => PAGE_SIZE_DEFAULT,
            size if size <= PAGE_SIZE_MAX => size,
            _ => {
                let text = format!("must be at most {PAGE_SIZE_MAX}");
                self.refuse(PAGE_SIZE_INVALID, "page_size", text);
                PAGE_SIZE_DEFAULT
            }
        }
    }

    /// Where the page begins: what [`pages::seal`] was given; None for the first page.
    pub(crate) fn page_token<T>(
        &mut self,
        scope: &[impl AsRef<str>],
        token: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if token.is_empty() {
            return None;
        }
        let found = pages::open(scope, token).and_then(|text| parse(&text));
        if found.is_none() {
            let text = "must be a reply's next_page_token, with the same filters";
            self.refuse(PAGE_TOKEN_INVALID, "page_token", text);
        }
        found
    }

    pub(crate) fn settings(
        &mut self,
        field: &str,
        settings: Vec<pb::Setting>,
    ) -> BTreeMap<String, String> {
        let count = settings.len();
        let map: BTreeMap<_, _> = settings.into_iter().map(|it| (it.key, it.value)).collect();
        if map.len() < count {
            self.refuse(SETTING_REPEATED, field, "must name each key once");
        }
        map
    }

    pub(crate) fn statuses(
        &mut self,
        field: &str,
        statuses: &[i32],
    ) -> Vec<exchequer_types::TenantStatus> {
        let mut known = Vec::new();
        for (index, status) in statuses.iter().enumerate() {
            match exchequer_codec::status_from_proto(*status) {
                Some(status) if !known.contains(&status) => known.push(status),
                Some(_) => {}
                None => {
                    let text = "must be ACTIVE, SUSPENDED or CLOSED";
                    self.refuse(ENUM_UNKNOWN, &format!("{field}[{index}]"), text);
                }
            }
        }
        known
    }

    /// Canonical JSON; empty when absent.
    pub(crate) fn value(&mut self, field: &str, value: Option<prost_types::Value>) -> String {
        let Some(value) = value else { return String::new() };
        self.json(field, json::canonical(value))
    }

    /// Canonical JSON; empty when absent.
    pub(crate) fn object(&mut self, field: &str, object: Option<prost_types::Struct>) -> String {
        let Some(object) = object else { return String::new() };
        let kind = prost_types::value::Kind::StructValue(object);
        self.json(field, json::canonical(prost_types::Value { kind: Some(kind) }))
    }

    fn json(&mut self, field: &str, json: Result<String, String>) -> String {
        json.map_err(|text| self.refuse(VALUE_INVALID, field, text)).unwrap_or_default()
    }
}
