//! `docs/reference/permissions.md`: what can be granted, the roles built in, and what
//! each method asks for. Whatever the contract leaves open fails here, with its method.

use super::Output;
use crate::process::{Res, cargo};

const PAGE: &str = "docs/reference/permissions.md";

/// The page, as the program beside the contract writes it.
pub(super) fn output() -> Res<Output> {
    let words = ["run", "--quiet", "--package", "exchequer-proto", "--example", "permissions_page"];
    let made = cargo(&words)?.output()?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        return Err(format!("the contract's permissions cannot be written:\n{said}").into());
    }
    Ok((PAGE.to_owned(), String::from_utf8(made.stdout)?))
}
