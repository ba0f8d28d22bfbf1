//! Events of use as they come in: by HTTP in each mode, by gRPC, from those who may and
//! those who may not, and while the log does not take them.

pub(crate) mod client;
mod grpc;
mod guarded;
mod http;
mod log;

pub(crate) use log::Log;
