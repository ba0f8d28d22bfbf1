//! Records of the usage log and of the seals: their bytes, their heads for the fold, and
//! what a seal takes over from the journal. `docs/reference/usage-format.md` is the
//! description of all of it.

mod adopted;
mod fate;
mod produced;
mod record;
mod revision;
mod root;
mod seal;
#[cfg(test)]
mod tests;
mod wire;

pub use adopted::{adopted_from_proto, adopted_to_proto};
pub use fate::{Counts, counts_from_proto, counts_to_proto, fate_from_proto, fate_to_proto};
pub use produced::{Headers, encode_produced};
pub use record::{
    decode_record, encode_correction, encode_event, encode_forwarded, encode_refused,
};
pub use revision::{revisions_from_proto, revisions_to_proto, why_from_proto, why_to_proto};
pub use root::Root;
pub use seal::{claim_level, decode_seal, encode_claim, encode_seal, seal_head};
