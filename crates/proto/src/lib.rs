//! The contract: messages and services generated from `proto/`, and who may call
//! each method.

#![expect(
    clippy::pedantic,
    clippy::large_enum_variant,
    reason = "generated code, judged by its generator"
)]

mod methods;

pub use methods::{AuditClass, ENCRYPTED, METHODS, Method};

pub mod access {
    pub mod v1 {
        tonic::include_proto!("exchequer.access.v1");
    }
}
pub mod audit {
    pub mod v1 {
        tonic::include_proto!("exchequer.audit.v1");
    }
}
pub mod catalog {
    pub mod v1 {
        tonic::include_proto!("exchequer.catalog.v1");
    }
}
pub mod common {
    pub mod v1 {
        tonic::include_proto!("exchequer.common.v1");
    }
}
pub mod entitlements {
    pub mod v1 {
        tonic::include_proto!("exchequer.entitlements.v1");
    }
}
pub mod flags {
    pub mod v1 {
        tonic::include_proto!("exchequer.flags.v1");
    }
}
pub mod io {
    pub mod cloudevents {
        pub mod v1 {
            tonic::include_proto!("io.cloudevents.v1");
        }
    }
}
pub mod journal {
    pub mod v1 {
        tonic::include_proto!("exchequer.journal.v1");
    }
}
pub mod options {
    pub mod v1 {
        tonic::include_proto!("exchequer.options.v1");
    }
}
pub mod quotas {
    pub mod v1 {
        tonic::include_proto!("exchequer.quotas.v1");
    }
}
pub mod subscriptions {
    pub mod v1 {
        tonic::include_proto!("exchequer.subscriptions.v1");
    }
}
pub mod system {
    pub mod v1 {
        tonic::include_proto!("exchequer.system.v1");
    }
}
pub mod tenants {
    pub mod v1 {
        tonic::include_proto!("exchequer.tenants.v1");
    }
}
pub mod usage {
    pub mod v1 {
        tonic::include_proto!("exchequer.usage.v1");
    }
}

/// The serialized `google.protobuf.FileDescriptorSet` of all of it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
