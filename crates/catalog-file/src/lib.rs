//! Catalogs as YAML files: read with the path, line and column of everything that is
//! wrong, written so that they read back, and the samples that ship. Amounts are read
//! digit by digit, never through a floating-point number.

mod parse;
mod reader;
mod rejection;
mod samples;
mod tree;
mod write;

pub use reader::PROBLEMS_MAX;
pub use rejection::{Place, Problem, codes};
pub use samples::{SAMPLES, Sample};
pub use tree::{DEPTH_MAX, FILE_BYTES_MAX};
pub use write::write;

use exchequer_domain_catalog::{Document, check};

use reader::Reader;

/// The document in the bytes of a file, as [`parse`] reads its text.
pub fn parse_bytes(bytes: &[u8]) -> Result<Document, Vec<Problem>> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(vec![tree::too_large()]);
    }
    match core::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => Err(vec![tree::not_text(bytes, error.valid_up_to())]),
    }
}

/// The document in `text`, or all that is wrong with it, at most [`PROBLEMS_MAX`], from
/// top to bottom.
pub fn parse(text: &str) -> Result<Document, Vec<Problem>> {
    let root = tree::read(text).map_err(|problem| vec![problem])?;
    let mut reader = Reader::default();
    let document = parse::document(&mut reader, &root);
    let mut problems = reader.problems;
    if let (true, Some(document)) = (problems.is_empty(), document) {
        let violations = check(&document);
        if violations.is_empty() {
            return Ok(document);
        }
        problems.extend(violations.into_iter().map(|it| Problem {
            code: it.code,
            place: root.locate(&it.path),
            path: it.path,
            message: it.message,
        }));
    }
    problems.sort_by_key(|problem| problem.place);
    Err(problems)
}
