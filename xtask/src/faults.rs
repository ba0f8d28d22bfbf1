//! Fault rounds on real servers and processes: build the program with a cluster's clients and
//! the test that breaks things, then become that test. The rounds themselves are the business
//! of `tests/services/tests/faults`.

use crate::artefacts::build;
use crate::forward::SERVER_VARIABLE;
use crate::process::{Args, Res, command, exec};
use crate::services::{PROGRAM, SERVERS, WITH_CLIENTS};

const TEST: &str = "faults";
/// Read by the test; without them it chooses by itself.
const ROUNDS_VARIABLE: &str = "EXCHEQUER_FAULT_ROUNDS";
const SEED_VARIABLE: &str = "EXCHEQUER_FAULT_SEED";

pub(crate) fn main(args: &Args) -> Res<()> {
    let chosen = parse(args.forwarded())?;
    let built = build(&[
        "--package",
        PROGRAM,
        "--package",
        SERVERS,
        "--features",
        WITH_CLIENTS,
        "--bins",
        "--test",
        TEST,
    ])?;
    let test = built.tests().find(|it| it.target == TEST).filter(|_| built.complete);
    let test = test.ok_or("the program or its fault rounds did not build")?;
    let mut command = command(&test.executable)?;
    command.env(SERVER_VARIABLE, built.program("exchequer")?);
    command.envs(chosen).args(["rounds", "--exact", "--nocapture"]);
    exec(&mut command)
}

/// The variables that are given by flags.
fn parse(words: &[String]) -> Res<Vec<(&'static str, String)>> {
    let mut chosen = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let variable = match word.as_str() {
            "--rounds" => ROUNDS_VARIABLE,
            "--seed" => SEED_VARIABLE,
            other => return Err(format!("{other}: there are --rounds N and --seed S").into()),
        };
        let number = words.next().ok_or_else(|| format!("{word} needs a number"))?;
        if number.parse::<u64>().is_err() {
            return Err(format!("{word} {number}: no number").into());
        }
        chosen.push((variable, number.clone()));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Res<Vec<(&'static str, String)>> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_numbers() {
        assert_eq!(parsed(&[]).unwrap(), []);
        let both = [(ROUNDS_VARIABLE, "9".to_owned()), (SEED_VARIABLE, "7".to_owned())];
        assert_eq!(parsed(&["--rounds", "9", "--seed", "7"]).unwrap(), both);
        for wrong in [&["--rounds"][..], &["--seed", "x"], &["9"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
