//! Reservations by id, shared between copies of a state: a copy copies two pointers, a
//! change the 16 + 16 pointers on the way to one leaf and what is in it. Ended ones are
//! remembered in their leaf, so that a repetition is known as one.

use core::time::Duration;
use std::sync::{Arc, LazyLock};

use exchequer_types::{Slug, Timestamp};

/// Open reservations of one tenant. All of them may expire in one commit, which must hold
/// their ids.
pub const RESERVATIONS_MAX: usize = 8_192;
/// Ended reservations that are remembered, of all leaves; each leaf keeps its latest.
pub const ENDED_MAX: usize = LEAVES * LEAF_ENDED_MAX;
/// How long an ended reservation is remembered after it would have expired, at least while
/// no later ones take its place: who had no answer comes again, and is not to count twice.
pub const ENDED_KEPT_SECONDS: u64 = 3_600;
/// Leaves by the hash of the id.
pub const LEAVES: usize = FAN * FAN;

const FAN: usize = 16;
const LEAF_ENDED_MAX: usize = 16;

/// Units set aside for work to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// As the caller named it.
    pub id: String,
    pub feature: Slug,
    pub amount: u64,
    pub reserved_at: Timestamp,
    /// The first instant at which it does not hold any more.
    pub expires_at: Timestamp,
    /// None while it is open.
    pub end: Option<End>,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// So many of its units are used.
    Finalised {
        amount: u64,
    },
    Released,
    Expired,
}

/// Open reservations, then ended ones from the first to the last.
type Leaf = Vec<Arc<Reservation>>;
type Branch = [Arc<Leaf>; FAN];
type Root = [Arc<Branch>; FAN];

/// What nearly all tenants have.
static EMPTY: LazyLock<Arc<Root>> = LazyLock::new(|| {
    let leaf = Arc::new(Leaf::new());
    let branch: Arc<Branch> = Arc::new(core::array::from_fn(|_| Arc::clone(&leaf)));
    Arc::new(core::array::from_fn(|_| Arc::clone(&branch)))
});

/// Reservations by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservations {
    root: Arc<Root>,
    open: usize,
    ended: usize,
}

impl Default for Reservations {
    fn default() -> Self {
        Self { root: Arc::clone(&EMPTY), open: 0, ended: 0 }
    }
}

impl Reservations {
    /// Open, or ended and still remembered.
    pub fn get(&self, id: &str) -> Option<&Reservation> {
        let (branch, leaf) = place(id);
        let leaf = self.root.get(branch)?.get(leaf)?;
        leaf.iter().map(Arc::as_ref).find(|it| it.id == id)
    }

    /// How many are open.
    pub fn open_count(&self) -> usize {
        self.open
    }

    /// How many have ended and are remembered.
    pub fn ended_count(&self) -> usize {
        self.ended
    }

    /// All of them, in the order of the hash of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Reservation> + '_ {
        self.root.iter().flat_map(|it| it.iter()).flat_map(|it| it.iter()).map(Arc::as_ref)
    }

    /// Those that hold units.
    pub fn open(&self) -> impl Iterator<Item = &Reservation> + '_ {
        self.iter().filter(|it| it.end.is_none())
    }

    /// Adds one whose id none has. For what was kept elsewhere too.
    pub fn insert(&mut self, reservation: Reservation) {
        let is_open = reservation.end.is_none();
        if is_open {
            self.open += 1;
        } else {
            self.ended += 1;
        }
        let Some(leaf) = self.leaf(&reservation.id) else { return };
        let at = if is_open {
            leaf.iter().take_while(|it| it.end.is_none()).count()
        } else {
            leaf.len()
        };
        leaf.insert(at, Arc::new(reservation));
    }

    /// Ends an open one, if there is one of this id.
    pub(crate) fn end(&mut self, id: &str, end: End) {
        let Some(leaf) = self.leaf(id) else { return };
        let Some(at) = leaf.iter().position(|it| it.end.is_none() && it.id == id) else { return };
        let mut ended = leaf.remove(at);
        Arc::make_mut(&mut ended).end = Some(end);
        leaf.push(ended);
        let open = leaf.iter().take_while(|it| it.end.is_none()).count();
        let is_full = leaf.len() - open > LEAF_ENDED_MAX;
        if is_full {
            leaf.remove(open);
        }
        self.open -= 1;
        self.ended += usize::from(!is_full);
    }

    /// Forgets ended ones that would have expired so long before `at` that nobody comes
    /// back for them.
    pub(crate) fn forget_ended(&mut self, at: Timestamp) {
        let kept = Duration::from_secs(ENDED_KEPT_SECONDS);
        let is_old =
            |it: &Arc<Reservation>| it.end.is_some() && it.expires_at.saturating_add(kept) <= at;
        let mut forgotten = 0;
        let root = Arc::make_mut(&mut self.root);
        for branch in root {
            if !branch.iter().any(|leaf| leaf.iter().any(is_old)) {
                continue;
            }
            for leaf in Arc::make_mut(branch) {
                if leaf.iter().any(is_old) {
                    let before = leaf.len();
                    Arc::make_mut(leaf).retain(|it| !is_old(it));
                    forgotten += before - leaf.len();
                }
            }
        }
        self.ended -= forgotten;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn leaf(&mut self, id: &str) -> Option<&mut Leaf> {
        let (branch, leaf) = place(id);
        let branch = Arc::make_mut(&mut self.root).get_mut(branch)?;
        Arc::make_mut(branch).get_mut(leaf).map(Arc::make_mut)
    }
}

/// Branch and leaf of an id: FNV-1a of its bytes, folded.
fn place(id: &str) -> (usize, usize) {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = hash ^ (hash >> 32);
    let nibble = |bits: u64| usize::try_from(bits & 0xf).unwrap_or(0);
    (nibble(folded >> 4), nibble(folded ^ (folded >> 16)))
}
