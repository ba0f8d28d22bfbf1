//! The few strings of a request that say what it is about, read from its bytes without
//! decoding the rest. They are read exactly as the service will read them: the last of
//! several counts, and parts of a message that comes twice are merged.

use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

/// Messages on the way to a field.
const PATHS: usize = 4;

/// The request is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The strings at `paths`, each the numbers of the fields on the way; None where there is
/// nothing, or an empty string, which is the same.
pub(crate) fn find<'a>(
    message: &'a [u8],
    paths: [&[u32]; PATHS],
) -> Result<[Option<&'a str>; PATHS], Malformed> {
    let mut found = [None; PATHS];
    scan(message, paths, &mut found)?;
    Ok(found.map(|it: Option<&str>| it.filter(|text| !text.is_empty())))
}

/// `paths` get shorter with each level, so this ends.
fn scan<'a>(
    mut rest: &'a [u8],
    paths: [&[u32]; PATHS],
    found: &mut [Option<&'a str>; PATHS],
) -> Result<(), Malformed> {
    while rest.has_remaining() {
        let (number, wire) = decode_key(&mut rest).map_err(|_| Malformed)?;
        let wanted = paths.iter().any(|path| path.first() == Some(&number));
        if wire != WireType::LengthDelimited {
            if wanted {
                return Err(Malformed);
            }
            skip(wire, &mut rest)?;
            continue;
        }
        let length = decode_varint(&mut rest).map_err(|_| Malformed)?;
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (body, behind) = rest.split_at_checked(length).ok_or(Malformed)?;
        rest = behind;
        if wanted {
            take(body, number, paths, found)?;
        }
    }
    Ok(())
}

fn take<'a>(
    body: &'a [u8],
    number: u32,
    paths: [&[u32]; PATHS],
    found: &mut [Option<&'a str>; PATHS],
) -> Result<(), Malformed> {
    let mut inner: [&[u32]; PATHS] = [&[]; PATHS];
    for (index, path) in paths.into_iter().enumerate() {
        match path.split_first() {
            Some((first, [])) if *first == number => {
                found[index] = Some(str::from_utf8(body).map_err(|_| Malformed)?);
            }
            Some((first, behind)) if *first == number => inner[index] = behind,
            _ => {}
        }
    }
    if inner.iter().any(|path| !path.is_empty()) { scan(body, inner, found) } else { Ok(()) }
}

fn skip(wire: WireType, rest: &mut &[u8]) -> Result<(), Malformed> {
    let bytes = match wire {
        WireType::Varint => return decode_varint(rest).map(|_| ()).map_err(|_| Malformed),
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        // Groups are of a syntax that the contract does not use.
        _ => return Err(Malformed),
    };
    *rest = rest.get(bytes..).ok_or(Malformed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use exchequer_proto::access::v1 as access;
    use exchequer_proto::flags::v1 as pb;
    use prost::Message as _;

    use super::*;

    const TOGGLE: [&[u32]; 4] = [&[1], &[2], &[4], &[3]];

    fn toggle(tenant: &str, environment: &str) -> Vec<u8> {
        let (project, key) = ("shop".to_owned(), "dark".to_owned());
        let (tenant, environment) = (tenant.to_owned(), environment.to_owned());
        pb::ToggleFlagRequest { tenant, project, key, environment, enabled: true, write: None }
            .encode_to_vec()
    }

    #[test]
    fn what_a_request_names_is_found() {
        let bytes = toggle("acme", "");
        assert_eq!(find(&bytes, TOGGLE), Ok([Some("acme"), Some("shop"), None, Some("dark")]));
        assert_eq!(find(&[], TOGGLE), Ok([None; 4]));
        let scope = access::Scope { project: "shop".to_owned(), ..Default::default() };
        let grant = access::GrantRoleRequest {
            tenant: "acme".to_owned(),
            scope: Some(scope),
            ..Default::default()
        };
        let paths: [&[u32]; 4] = [&[1], &[4, 1], &[4, 2], &[4, 3]];
        let bytes = grant.encode_to_vec();
        assert_eq!(find(&bytes, paths), Ok([Some("acme"), Some("shop"), None, None]));
    }

    /// The guard must not judge another tenant than the one that the service acts in.
    // REQ: IAM-16
    #[test]
    fn a_field_that_comes_twice_is_read_as_the_service_reads_it() {
        for (first, second) in [("mine", "theirs"), ("theirs", ""), ("", "theirs")] {
            let mut bytes = toggle(first, "staging");
            // Two messages behind each other are one. An empty string is not written by the
            // encoder, so it is put there by hand.
            bytes.extend([0x0a, u8::try_from(second.len()).unwrap()]);
            bytes.extend(second.as_bytes());
            let service = pb::ToggleFlagRequest::decode(&bytes[..]).unwrap();
            let guard = find(&bytes, TOGGLE).unwrap();
            assert_eq!(guard[0].unwrap_or_default(), service.tenant);
            assert_eq!(guard[2].unwrap_or_default(), service.environment);
        }
        // An inner message that comes twice is merged.
        let scope = |project: &str, flag: &str| access::GrantRoleRequest {
            scope: Some(access::Scope {
                project: project.to_owned(),
                environment: String::new(),
                flag: flag.to_owned(),
            }),
            ..Default::default()
        };
        let mut bytes = scope("shop", "dark").encode_to_vec();
        bytes.extend(scope("", "light").encode_to_vec());
        let service = access::GrantRoleRequest::decode(&bytes[..]).unwrap().scope.unwrap();
        let guard = find(&bytes, [&[], &[4, 1], &[4, 2], &[4, 3]]).unwrap();
        assert_eq!(guard[1], Some(service.project.as_str()));
        assert_eq!(guard[3], Some(service.flag.as_str()));
    }

    /// Whatever the bytes: where the service finds a message, the guard has read the same
    /// names in it; where the guard finds none, the service does not either, groups excepted.
    // REQ: IAM-16
    #[test]
    fn the_guard_and_the_service_never_disagree() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut read = 0;
        for _ in 0..20_000 {
            let mut bytes = toggle("acme", "staging");
            for _ in 0..random() % 4 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(1 + random() as usize % (bytes.len() * 2));
            let service = pb::ToggleFlagRequest::decode(&bytes[..]);
            if let (Ok(service), Ok(guard)) = (service, find(&bytes, TOGGLE)) {
                let guard = guard.map(Option::unwrap_or_default);
                let service = [service.tenant, service.project, service.environment, service.key];
                assert_eq!(guard.map(str::to_owned), service, "{bytes:?}");
                read += 1;
            }
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let cases: [&[u8]; 7] = [
            // A key alone; a length without its bytes; one that is too long for any message.
            &[0x0a],
            &[0x0a, 5, b'a'],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            // Field 0; the tenant as a number; no UTF-8; a group.
            &[0x02, 0],
            &[0x08, 1],
            &[0x0a, 1, 0xff],
            &[0x7b, 0x7c],
        ];
        for bytes in cases {
            assert_eq!(find(bytes, TOGGLE), Err(Malformed), "{bytes:?}");
        }
    }
}
