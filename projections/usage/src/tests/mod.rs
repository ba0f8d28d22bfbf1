//! Rows and queries against sums from zero: in whatever way seals are cut into segments,
//! segments are written in part, and meters begin anew.

mod figures;
mod harness;
mod moving;
mod packed;
mod property;
mod recounted;
mod sets;
mod stretches;
