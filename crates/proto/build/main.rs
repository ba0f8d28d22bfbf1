//! Compiles the contract under `proto/` without a system protoc, and refuses one that
//! leaves open who may call a method.

mod personal;
mod rules;

use std::error::Error;
use std::path::{Path, PathBuf};

use exchequer_access::Permission;

#[expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let is_permission = |word: &str| Permission::parse(word).is_ok();
    let rules = rules::read(&compiler.descriptor_pool(), &is_permission)
        .map_err(|wrong| format!("the contract is not complete:\n  {}", wrong.join("\n  ")))?;
    personal::check(&compiler.descriptor_pool(), personal::ENCRYPTED)
        .map_err(|wrong| format!("the contract leaves data open:\n  {}", wrong.join("\n  ")))?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("methods.rs"), rules::source(&rules))?;
    let encrypted = format!("pub const ENCRYPTED: &[&str] = &{:?};\n", personal::ENCRYPTED);
    std::fs::write(out.join("encrypted.rs"), encrypted)?;
    // With the options, which the types of prost drop.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let descriptors = compiler.file_descriptor_set();
    // Lies outside of our packages, so ours are told where.
    let mut foreign = descriptors.clone();
    foreign.file.retain(|file| !file.package().starts_with("exchequer."));
    tonic_prost_build::configure().bytes(".io.cloudevents.v1").compile_fds(foreign)?;
    tonic_prost_build::configure()
        .extern_path(".io.cloudevents.v1", "crate::io::cloudevents::v1")
        .bytes(".exchequer.journal.v1")
        .bytes(".exchequer.usage.v1")
        .compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
