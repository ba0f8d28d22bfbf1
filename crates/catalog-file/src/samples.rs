//! The catalogs that ship, in the program itself.

/// A catalog as a file.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The catalog's id; the file is `<name>.yaml`.
    pub name: &'static str,
    pub text: &'static str,
}

/// The first is the default.
pub const SAMPLES: [Sample; 5] = [
    Sample { name: "saas", text: include_str!("../../../schemas/catalogs/saas.yaml") },
    Sample { name: "flags", text: include_str!("../../../schemas/catalogs/flags.yaml") },
    Sample { name: "flags-flat", text: include_str!("../../../schemas/catalogs/flags-flat.yaml") },
    Sample { name: "workspace", text: include_str!("../../../schemas/catalogs/workspace.yaml") },
    Sample { name: "components", text: include_str!("../../../schemas/catalogs/components.yaml") },
];
