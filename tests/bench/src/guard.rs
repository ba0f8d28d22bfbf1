//! What the guard costs a call, in process: credential, rate and permission of a caller
//! who was here before, and the credential of one who comes for the first time.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use exchequer_access::{Principal, Scope};
use exchequer_api::authn::token::mint;
use exchequer_api::authn::{Authenticator, Issuers, Peer, PlatformDirectory, TokenKind, Trust};
use exchequer_api::guard::{Access, Guard};
use exchequer_api::limits::{Defaults, Limits, PlatformLimits};
use exchequer_domain_access as domain;
use exchequer_kernel::Status;
use exchequer_proto::flags::v1 as flags;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, Hash, Slug, Timestamp};
use prost::Message as _;
use tokio::sync::watch;
use tonic::codegen::http::{HeaderMap, HeaderValue, header};

use crate::report::Figure;
use crate::world::{PATIENCE, ViewsRun, World, submission};
use crate::{Args, Failure};

const NAME: &str = "guard";
const TENANT: &str = "t0";
const PATH: &str = "/exchequer.flags.v1.FlagService/GetFlag";
const MEMBERS: usize = 200;
const CREDENTIALS: usize = 500;
const ROUNDS: usize = 7;
/// Never reached here.
const REQUESTS_PER_MINUTE: u32 = 60_000_000;

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 4, ViewsRun::All).await?;
    world.create_tenants(0, 1).await?;
    let tokens = people(&world).await?;
    let stopping = watch::Sender::new(false);
    let guard = Guard::new(&world.platform, access(&world), stopping.subscribe())?;
    let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), certificate: None };
    let message = question();
    // The tenant's snapshot, its limit and everything else that is not the credential.
    check(&guard, tokens.last().ok_or("no tokens")?, &peer, &message).await?;

    let began = Instant::now();
    for token in &tokens[..CREDENTIALS] {
        check(&guard, token, &peer, &message).await?;
    }
    let cold = began.elapsed().as_secs_f64() * 1e6 / CREDENTIALS as f64;

    let calls = 50_000 * args.scale;
    let mut rounds = Vec::new();
    let headers: Vec<HeaderMap> =
        tokens.iter().map(|token| headers(token)).collect::<Result<_, _>>()?;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for call in 0..calls {
            let headers = &headers[call % 16];
            let known = guard.check(black_box(PATH), headers, &peer, &message).await;
            black_box(known.map_err(|status| status.to_string())?);
        }
        rounds.push(began.elapsed().as_nanos() as f64 / calls as f64);
    }
    rounds.sort_by(f64::total_cmp);
    world.stop().await;
    let cached = rounds[rounds.len() / 2];
    Ok(vec![
        Figure::new(
            NAME,
            "credential, rate and permission, cached, ns",
            cached,
            Some(("<", 500.0)),
        ),
        Figure::new(NAME, "the same with a credential never seen, us", cold, Some(("<", 20.0))),
    ])
}

async fn check(guard: &Guard, token: &str, peer: &Peer, message: &[u8]) -> Result<(), Failure> {
    let known = guard.check(PATH, &headers(token)?, peer, message).await;
    known.map(|_| ()).map_err(|status| status.to_string().into())
}

fn headers(token: &str) -> Result<HeaderMap, Failure> {
    let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
    let agent = HeaderValue::from_static("exchequer-bench/1");
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, bearer), (header::USER_AGENT, agent)]))
}

fn question() -> Vec<u8> {
    let (tenant, project, key) = (TENANT.to_owned(), "shop".to_owned(), "dark-mode".to_owned());
    flags::GetFlagRequest { tenant, project, key, ..<_>::default() }.encode_to_vec()
}

fn access(world: &World) -> Access {
    let platform = &world.platform;
    let runtime = &platform.ports.runtime;
    let trust = Trust {
        proof: None,
        issuers: Issuers::new(Vec::new(), Arc::clone(runtime)),
        certificates: false,
        proxies: Vec::new(),
    };
    let directory = Arc::new(PlatformDirectory { platform: platform.clone() });
    let authenticator = Arc::new(Authenticator::new(directory, trust, Arc::clone(runtime)));
    let defaults = Defaults { requests_per_minute: REQUESTS_PER_MINUTE, burst: None };
    let plans = Arc::new(PlatformLimits::new(platform.clone()));
    Access { authenticator, limits: Limits::new(defaults, plans, Arc::clone(runtime)) }
}

/// Members with roles, and tokens of theirs.
async fn people(world: &World) -> Result<Vec<String>, Failure> {
    let mut tokens = Vec::new();
    for number in 0..MEMBERS {
        let member = ActorId::parse(format!("member-{number}"))?;
        let add = domain::AddMember { member: member.clone(), name: None, email: None };
        submit(world, domain::Command::AddMember(add)).await?;
        let grant = domain::GrantRole {
            principal: Principal::Member(member),
            role: Slug::parse("developer")?,
            scope: Scope::tenant(),
            expires_at: None,
        };
        submit(world, domain::Command::GrantRole(grant)).await?;
    }
    for number in 0..=CREDENTIALS {
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&u64::try_from(number)?.to_le_bytes());
        let minted = mint(TokenKind::Personal, &entropy);
        let owner = ActorId::parse(format!("member-{}", number % MEMBERS))?;
        let create = domain::CreateCredential {
            kind: domain::CredentialKind::Personal { owner },
            name: "bench".to_owned(),
            secret: domain::Secret { hash: Hash(minted.hash.0), hint: minted.hint.clone() },
            grants: Vec::new(),
            expires_at: Some(Timestamp::MAX),
            addresses: Vec::new(),
            requests_per_minute: None,
        };
        submit(world, domain::Command::CreateCredential(create)).await?;
        tokens.push(minted.text);
    }
    Ok(tokens)
}

async fn submit(world: &World, command: domain::Command) -> Result<(), Failure> {
    let id = format!("{:?}", world.platform.ports.runtime.nonce()).replace([' ', ','], "");
    let mut submission = submission(TENANT, id, Command::Access(command))?;
    submission.actor = ActorId::parse(domain::DEPLOYMENT_ACTOR)?;
    let answer = world.platform.gateway.submit(submission, PATIENCE).await?;
    match answer.status() {
        Some(Status::Accepted) => Ok(()),
        other => Err(format!("{other:?}: {}", answer.outcome.code).into()),
    }
}
