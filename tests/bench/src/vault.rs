//! What it costs to encrypt what one audit entry says of persons, and to read it,
//! with the keys at hand: every call that writes has its address and agent encrypted.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use exchequer_types::{TenantId, Timestamp};
use exchequer_vault::{Key, MasterKeys, MemoryKeys, Vault};
use exchequer_vault_local::OsEntropy;

use crate::report::Figure;
use crate::{Args, Failure};

const ROUNDS: usize = 7;
const NAME: &str = "vault";
/// About what an address and the name of a client take.
const ORIGIN_BYTES: usize = 64;

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let calls = 100_000 * args.scale;
    let master = BTreeMap::from([(1, Key::new([7; 32]))]);
    let kms = MasterKeys::new(master, Arc::new(OsEntropy)).ok_or("a master key is there")?;
    let clock = Arc::new(|| Timestamp::MIN);
    let keys = Arc::new(MemoryKeys::default());
    let vault = Vault::new(keys, Arc::new(kms), Arc::new(OsEntropy), clock);
    let tenant = TenantId::parse("acme")?;
    let origin = [b'x'; ORIGIN_BYTES];
    let sealed = vault.protect_bytes(&tenant, "u-1", "journal.origin", &origin).await?;
    let (mut writes, mut pairs, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..calls {
            black_box(vault.protect_bytes(&tenant, "u-1", "journal.origin", &origin).await?);
        }
        writes.push(began.elapsed().as_secs_f64() * 1e6 / calls as f64);
        let began = Instant::now();
        for _ in 0..calls {
            black_box(vault.protect_bytes(&tenant, "u-1", "journal.origin", &origin).await?);
            black_box(vault.protect(&tenant, "u-2", "audit.entry.name", "Ada Lovelace").await?);
        }
        pairs.push(began.elapsed().as_secs_f64() * 1e6 / calls as f64);
        let began = Instant::now();
        for _ in 0..calls {
            black_box(vault.reveal_bytes(&tenant, "journal.origin", &sealed).await?);
        }
        reads.push(began.elapsed().as_secs_f64() * 1e6 / calls as f64);
    }
    let median = |mut rounds: Vec<f64>| {
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    };
    let goal = Some(("<", 3.0));
    Ok(vec![
        Figure::new(NAME, "an entry's origin encrypted, us", median(writes), goal),
        Figure::new(NAME, "origin and one personal field encrypted, us", median(pairs), None),
        Figure::new(NAME, "an entry's origin read, us", median(reads), None),
    ])
}
