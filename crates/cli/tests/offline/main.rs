//! The tools that need no server, on folders on disk.

#[cfg(test)]
mod usage;
#[cfg(test)]
mod verify;
