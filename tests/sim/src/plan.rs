//! What a seed stands for: the shape of the deployment, its bounds, and how often
//! which fault happens.

use core::time::Duration;

use exchequer_engine::Settings;

use crate::rng::Rng;

/// How the platform is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Everything in one process; input dies with it; views in atomic batches.
    Embedded,
    /// A process for each role; input is durable; rows one after the other.
    Cluster,
}

/// Chances in a thousand, for each time that the fault could happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// At each step of a port: the process dies there.
    pub(crate) crash: u64,
    /// At each step of a port: it takes up to 3 s.
    pub(crate) slow: u64,
    /// Each append: acknowledged without an offset.
    pub(crate) no_offset: u64,
    /// Each append: an error, yet it lands, now or later.
    pub(crate) late: u64,
    /// Each append: an error, and it never lands.
    pub(crate) lost: u64,
    /// Each append: it lands twice.
    pub(crate) twice: u64,
    /// Each input: on the wrong partition.
    pub(crate) astray: u64,
    /// Each call of the store: it fails, a write maybe half done.
    pub(crate) store: u64,
    /// Each write: it goes on although the writer died.
    pub(crate) detached: u64,
    /// Each read of the journal: a part of what is there.
    pub(crate) stale: u64,
}

impl Rates {
    pub(crate) const NONE: Self = Self {
        crash: 0,
        slow: 0,
        no_offset: 0,
        late: 0,
        lost: 0,
        twice: 0,
        astray: 0,
        store: 0,
        detached: 0,
        stale: 0,
    };

    fn draw(rng: &mut Rng) -> Self {
        let mut rate = |max: u64| if rng.chance(300) { 0 } else { rng.below(max + 1) };
        Self {
            crash: rate(4),
            slow: rate(6),
            no_offset: rate(60),
            late: rate(50),
            lost: rate(30),
            twice: rate(30),
            astray: rate(60),
            store: rate(15),
            detached: rate(200),
            stale: rate(400),
        }
    }
}

/// Everything that follows from the seed before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) atomic_store: bool,
    pub(crate) partitions: u32,
    pub(crate) settings: Settings,
    pub(crate) rates: Rates,
    pub(crate) clients: u64,
    pub(crate) commands_per_client: u64,
    pub(crate) tenants: u64,
    /// Who sell, the root among them.
    pub(crate) providers: u64,
    pub(crate) commands_per_merchant: u64,
    pub(crate) customers: u64,
    pub(crate) sandboxes: u64,
    /// People who act for customers.
    pub(crate) shoppers: u64,
    pub(crate) commands_per_shopper: u64,
    /// People who look after the staff of customers.
    pub(crate) personnel: u64,
    pub(crate) commands_per_personnel: u64,
    /// People who reserve units for customers.
    pub(crate) holders: u64,
    pub(crate) commands_per_holder: u64,
    /// Weeks pass at once, during the storm and in calm.
    pub(crate) months_pass: bool,
    /// Length of the part with faults.
    pub(crate) storm_micros: u64,
    /// Deciding the command of this id panics, until it is calm.
    pub(crate) poisoned: Option<String>,
    /// Mean time between two of the driver's interventions.
    pub(crate) intervention_micros: u64,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let months_pass = rng.chance(600);
        let shape = if rng.chance(350) { Shape::Embedded } else { Shape::Cluster };
        Self {
            shape,
            atomic_store: shape == Shape::Embedded || rng.chance(150),
            partitions: rng.within(2, 4) as u32,
            settings: settings(rng, months_pass),
            rates: Rates::draw(rng),
            clients: rng.within(3, 7),
            commands_per_client: rng.within(15, 40),
            tenants: rng.within(4, 12),
            providers: rng.within(1, 4),
            commands_per_merchant: rng.within(10, 50),
            customers: rng.within(2, 8),
            sandboxes: rng.below(3),
            shoppers: rng.within(3, 9),
            commands_per_shopper: rng.within(30, 90),
            personnel: rng.within(1, 4),
            commands_per_personnel: rng.within(20, 60),
            holders: 0,
            commands_per_holder: 0,
            months_pass,
            storm_micros: rng.within(20, 60) * 1_000_000,
            poisoned: rng.chance(200).then(|| format!("c-{}", rng.within(3, 60))),
            intervention_micros: rng.within(300, 4_000) * 1_000,
        }
    }
}

impl Plan {
    /// Few people but those who reserve.
    pub(crate) fn draw_reservations(rng: &mut Rng) -> Self {
        let plan = Self::draw(rng);
        Self {
            clients: 1,
            commands_per_client: 10,
            commands_per_merchant: rng.within(4, 12),
            providers: 1,
            customers: rng.within(1, 4),
            sandboxes: rng.below(2),
            shoppers: 2,
            commands_per_shopper: rng.within(10, 25),
            personnel: 0,
            holders: rng.within(2, 6),
            commands_per_holder: rng.within(20, 60),
            ..plan
        }
    }
}

fn settings(rng: &mut Rng, months_pass: bool) -> Settings {
    // What falls due in months has to fit one commit, as far as one command decides it.
    let commit_bytes = if months_pass { (700_000, 900_000) } else { (30_000, 120_000) };
    let mut of = |small: u64, large: u64| rng.within(small, large) as usize;
    Settings {
        state_bytes_max: of(2_000, 40_000),
        identity_entries_max: of(3, 60),
        identity_filter_bytes_max: of(16, 4_000),
        read_ahead_inputs_max: of(2, 40),
        commit_inputs_max: of(1, 10),
        flush_interval: Duration::from_millis(of(5, 1_500) as u64),
        flush_streams_max: of(1, 12),
        tenant_commands_max: of(6, 40),
        commands_max: of(40, 200),
        tail_bytes_max: of(500, 40_000),
        live_bytes_max: of(500, 40_000),
        view_rows_max: of(1, 60),
        read_bytes_max: of(1, 40_000),
        claim_retry: Duration::from_millis(of(20, 200) as u64),
        commit_bytes_max: of(commit_bytes.0, commit_bytes.1),
        ..Settings::default()
    }
}
