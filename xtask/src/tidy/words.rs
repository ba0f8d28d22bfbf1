//! Words that must not stand anywhere: work left undone, and whatever only means
//! something to the people and machines that made this. The lists are put
//! together from halves, so that this file passes its own check.

use crate::tree::Tree;

/// As whole words.
const UNDONE: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// As parts of a line, in any case.
const WORKPLACE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("../sha", "red"),
    concat!("design", ".md"),
    concat!("issues ", "show"),
    concat!("this ses", "sion"),
    concat!("previous ses", "sion"),
    concat!("language mo", "del"),
    concat!("anth", "ropic"),
    concat!("cla", "ude"),
    concat!("chat", "gpt"),
    concat!("artif", "actory"),
    concat!("/opt/", "wheels"),
    concat!("index", "-url"),
];

const FOREIGN: &[&str] = &["LICENSE", "Cargo.lock"];

pub(super) fn problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| !FOREIGN.contains(&file.name())) {
        for (number, line) in file.text.lines().enumerate() {
            let at = format!("{}:{}", file.path, number + 1);
            if let Some(word) = UNDONE.iter().find(|word| has_word(line, word)) {
                problems.push(format!(
                    "{at}: {word}; do it, or write down elsewhere that it is to be done"
                ));
            }
            let lower = line.to_lowercase();
            if let Some(word) = WORKPLACE.iter().find(|word| lower.contains(*word)) {
                problems.push(format!("{at}: \"{word}\" means nothing to a stranger"));
            }
        }
    }
    problems
}

/// Tags tie tests to requirements: the word and a colon, then codes such as `KER-01` between commas.
pub(super) fn tag_problems(tree: &Tree) -> Vec<String> {
    const TAG: &str = concat!("RE", "Q:");
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_suffix(&[".rs", ".py"])) {
        for (number, line) in file.text.lines().enumerate() {
            let Some((before, codes)) = line.split_once(TAG) else { continue };
            let is_comment =
                before.trim_start().starts_with("//") || before.trim_start().starts_with('#');
            if is_comment && !codes.split(',').all(is_code) {
                problems.push(format!(
                    "{}:{}: malformed tag, write `{TAG} KER-01, KER-02`",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    problems
}

pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

/// `KER-01`, with a space before and perhaps words after it.
fn is_code(text: &str) -> bool {
    let Some((family, number)) = text.trim().split(' ').next().unwrap_or_default().split_once('-')
    else {
        return false;
    };
    text.starts_with(' ')
        && family.len() == 3
        && family.chars().all(|it| it.is_ascii_uppercase())
        && number.len() == 2
        && number.chars().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree;

    #[test]
    fn undone_work_is_found_as_a_word() {
        let line = format!("// {}: later", UNDONE[0]);
        assert_eq!(problems(&tree(&[("a.rs", &line)])).len(), 1);
        assert!(problems(&tree(&[("a.rs", &format!("let {}S_MAX = 1;", UNDONE[0]))])).is_empty());
    }

    #[test]
    fn workplace_words_are_found_in_any_case() {
        let line = format!("see {}main", WORKPLACE[0].to_uppercase());
        assert_eq!(problems(&tree(&[("docs/a.md", &line), ("LICENSE", &line)])).len(), 1);
    }

    #[test]
    fn tags_have_codes() {
        let line = |codes: &str| format!("// {}{codes}\n", concat!("RE", "Q:"));
        for good in [" KER-01", " KER-01, AUD-12", " KER-03 (answer rule)"] {
            assert!(tag_problems(&tree(&[("a.rs", &line(good))])).is_empty(), "{good}");
        }
        for bad in ["KER-01", " KER-1", " ker-01", " KER-01,AUD-02", " KER-01 AUD-2, ", ""] {
            assert_eq!(tag_problems(&tree(&[("a.rs", &line(bad))])).len(), 1, "{bad}");
        }
    }
}
