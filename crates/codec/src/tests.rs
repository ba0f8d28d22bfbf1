//! What is encoded is read back; what is not ours is refused with its reason.

mod envelope;
mod message;
mod record;
mod values;
