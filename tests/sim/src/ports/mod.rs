//! A process's handles to the world's ports, with every fault that the ports'
//! contracts allow.

pub(crate) mod inputs;
pub(crate) mod journal;
pub(crate) mod store;
