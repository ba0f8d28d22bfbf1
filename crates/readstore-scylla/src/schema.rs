//! What tables look like in the store: derived from declarations, read from the files under
//! `schemas/store/`, and from a keyspace; compared with one another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use exchequer_readstore::{Column, Kind, Table};

use crate::statements::{GENERATION, POSITION, list, quoted};

/// Tables by name.
pub(crate) type Tables = BTreeMap<String, Shape>;

/// A table, as far as the store tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Name and type.
    pub(crate) partition_key: Vec<(String, String)>,
    pub(crate) clustering: Vec<(String, String)>,
    pub(crate) columns: BTreeMap<String, String>,
}

/// What one statement of a migration does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create { table: String, shape: Shape },
    Add { table: String, column: String, kind: String },
}

impl Shape {
    pub(crate) fn of(table: &Table) -> Self {
        let typed = |column: &Column| (column.name.to_owned(), cql(column.kind).to_owned());
        let ours = |name: &str| (name.to_owned(), cql(Kind::Int).to_owned());
        Self {
            partition_key: std::iter::once(ours(GENERATION))
                .chain(table.partition_key.iter().map(typed))
                .collect(),
            clustering: table.clustering.iter().map(typed).collect(),
            columns: std::iter::once(ours(POSITION))
                .chain(table.columns.iter().map(typed))
                .collect(),
        }
    }
}

/// The statement that creates a table as it is declared, as it stands in a migration.
pub fn create_table(table: &Table) -> String {
    let mut text = format!("CREATE TABLE {} (\n", quoted(table.name));
    let ours = [(GENERATION, Kind::Int)].into_iter();
    let declared = |columns: &'static [Column]| columns.iter().map(|it| (it.name, it.kind));
    let columns = ours
        .chain(declared(table.partition_key))
        .chain(declared(table.clustering))
        .chain([(POSITION, Kind::Int)])
        .chain(declared(table.columns));
    for (name, kind) in columns {
        // Writing to a text does not fail.
        let _ = writeln!(text, "  {} {},", quoted(name), cql(kind));
    }
    let shape = Shape::of(table);
    let _ = writeln!(text, "  PRIMARY KEY ({})\n);", shape.primary_key());
    text
}

impl Shape {
    fn primary_key(&self) -> String {
        let names = |columns: &[(String, String)]| {
            let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
            list(&names)
        };
        let mut key = format!("({})", names(&self.partition_key));
        if !self.clustering.is_empty() {
            key.push_str(", ");
            key.push_str(&names(&self.clustering));
        }
        key
    }
}

impl Change {
    /// The statement, which may be repeated where that is possible.
    pub(crate) fn to_cql(&self, keyspace: &str) -> String {
        match self {
            Self::Create { table, shape } => {
                let mut columns = String::new();
                let key = shape.partition_key.iter().chain(&shape.clustering);
                for (name, kind) in
                    key.chain(&shape.columns.clone().into_iter().collect::<Vec<_>>())
                {
                    let _ = write!(columns, "{} {kind}, ", quoted(name));
                }
                let (table, key) = (quoted(table), shape.primary_key());
                format!(
                    "CREATE TABLE IF NOT EXISTS {keyspace}.{table} ({columns}PRIMARY KEY ({key}))"
                )
            }
            Self::Add { table, column, kind } => {
                format!("ALTER TABLE {keyspace}.{} ADD {} {kind}", quoted(table), quoted(column))
            }
        }
    }

    /// Does a keyspace with `tables` show it already?
    pub(crate) fn is_in(&self, tables: &Tables) -> bool {
        match self {
            Self::Create { table, .. } => tables.contains_key(table),
            Self::Add { table, column, .. } => {
                tables.get(table).is_some_and(|shape| shape.columns.contains_key(column))
            }
        }
    }

    fn apply(self, tables: &mut Tables) -> Result<(), String> {
        match self {
            Self::Create { table, shape } => {
                if tables.insert(table.clone(), shape).is_some() {
                    return Err(format!("table {table} is created twice"));
                }
            }
            Self::Add { table, column, kind } => {
                let shape = tables.get_mut(&table);
                let shape = shape.ok_or_else(|| format!("no table {table} to add to"))?;
                if shape.columns.insert(column.clone(), kind).is_some() {
                    return Err(format!("column {column} of table {table} is added twice"));
                }
            }
        }
        Ok(())
    }
}

/// In what `texts`, applied one after another, differ from what is declared. Tables and
/// columns that are not declared any more may stay.
pub fn differences<'a>(
    declared: &[&'static Table],
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    let mut tables = Tables::new();
    for text in texts {
        for change in parse(text)? {
            change.apply(&mut tables)?;
        }
    }
    Ok(missing(declared, &tables))
}

/// In what `found` differs from what is declared.
pub(crate) fn missing(declared: &[&'static Table], found: &Tables) -> Vec<String> {
    let mut problems = Vec::new();
    for table in declared {
        let (name, declared) = (table.name, Shape::of(table));
        let Some(found) = found.get(name) else {
            problems.push(format!("table {name} is missing"));
            continue;
        };
        if (&found.partition_key, &found.clustering)
            != (&declared.partition_key, &declared.clustering)
        {
            problems.push(format!("table {name} has another key"));
        }
        for (column, kind) in &declared.columns {
            match found.columns.get(column) {
                None => problems.push(format!("column {column} of table {name} is missing")),
                Some(found) if found != kind => problems
                    .push(format!("column {column} of table {name} is {found} instead of {kind}")),
                Some(_) => {}
            }
        }
    }
    problems
}

fn cql(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Int => "bigint",
        Kind::Bytes => "blob",
    }
}

/// The statements of a migration, which are of two kinds: `CREATE TABLE` with one primary key,
/// and `ALTER TABLE … ADD` of one column. Comments begin with `--`.
pub(crate) fn parse(text: &str) -> Result<Vec<Change>, String> {
    let lines: Vec<_> = text.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    let lines = lines.join("\n");
    let spaced = ["(", ")", ",", ";"]
        .iter()
        .fold(lines, |text, mark| text.replace(mark, &format!(" {mark} ")));
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0 };
    let mut changes = Vec::new();
    while words.at < words.words.len() {
        changes.push(words.statement()?);
    }
    Ok(changes)
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word.ok_or_else(|| "the last statement is not whole".to_owned())
    }

    fn is(&self, word: &str) -> bool {
        self.words.get(self.at).is_some_and(|it| it.eq_ignore_ascii_case(word))
    }

    fn expect(&mut self, expected: &str) -> Result<(), String> {
        for expected in expected.split(' ') {
            let found = self.next()?;
            if !found.eq_ignore_ascii_case(expected) {
                return Err(format!("expected {expected}, found {found}"));
            }
        }
        Ok(())
    }

    fn name(&mut self) -> Result<String, String> {
        let word = self.next()?;
        let name = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
        let name = name.filter(|name| !name.is_empty() && !name.contains('"'));
        name.map(str::to_owned).ok_or_else(|| format!("expected a name in quotes, found {word}"))
    }

    fn kind(&mut self) -> Result<String, String> {
        let word = self.next()?;
        let known = [Kind::Text, Kind::Int, Kind::Bytes].map(cql).contains(&word);
        if known { Ok(word.to_owned()) } else { Err(format!("{word} is no type of a column")) }
    }

    fn names(&mut self) -> Result<Vec<String>, String> {
        let mut names = vec![self.name()?];
        while self.is(",") {
            self.expect(",")?;
            names.push(self.name()?);
        }
        self.expect(")")?;
        Ok(names)
    }

    fn statement(&mut self) -> Result<Change, String> {
        if self.is("ALTER") {
            self.expect("ALTER TABLE")?;
            let table = self.name()?;
            self.expect("ADD")?;
            let (column, kind) = (self.name()?, self.kind()?);
            self.expect(";")?;
            return Ok(Change::Add { table, column, kind });
        }
        self.expect("CREATE TABLE")?;
        let table = self.name()?;
        self.expect("(")?;
        let mut columns = BTreeMap::new();
        while !self.is("PRIMARY") {
            let (name, kind) = (self.name()?, self.kind()?);
            if columns.insert(name.clone(), kind).is_some() {
                return Err(format!("{table}: column {name} stands twice"));
            }
            self.expect(",")?;
        }
        self.expect("PRIMARY KEY ( (")?;
        let partition_key = self.names()?;
        let clustering = if self.is(",") {
            self.expect(",")?;
            self.names()?
        } else {
            self.expect(")")?;
            Vec::new()
        };
        self.expect(") ;")?;
        let mut typed = |names: Vec<String>| -> Result<Vec<_>, String> {
            let typed = names.into_iter().map(|name| {
                let kind = columns.remove(&name);
                let kind = kind.ok_or_else(|| format!("{table}: no column {name} for the key"))?;
                Ok((name, kind))
            });
            typed.collect()
        };
        let (partition_key, clustering) = (typed(partition_key)?, typed(clustering)?);
        Ok(Change::Create { table, shape: Shape { partition_key, clustering, columns } })
    }
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::conformance::example::{NARROW, TABLE, WIDE};

    use super::*;

    #[test]
    fn a_declaration_reads_back_from_its_statement() {
        for table in [TABLE, WIDE, NARROW] {
            let text = create_table(table);
            assert_eq!(differences(&[table], [text.as_str()]), Ok(Vec::new()), "{text}");
        }
        let expected = "CREATE TABLE \"conformance\" (\n  \"row_generation\" bigint,\n  \"tenant\" text,\n  \"number\" bigint,\n  \"row_position\" bigint,\n  \"title\" text,\n  PRIMARY KEY ((\"row_generation\", \"tenant\"), \"number\")\n);\n";
        assert_eq!(create_table(TABLE), expected);
    }

    // REQ: KER-07
    #[test]
    fn what_differs_is_named() {
        let text = create_table(TABLE);
        let found = |text: &str| differences(&[TABLE], [text]).unwrap();
        assert_eq!(found(""), ["table conformance is missing"]);
        let without = text.replace("  \"title\" text,\n", "");
        assert_eq!(found(&without), ["column title of table conformance is missing"]);
        let blob = text.replace("\"title\" text", "\"title\" blob");
        assert_eq!(found(&blob), ["column title of table conformance is blob instead of text"]);
        let other = text.replace("\"number\" bigint", "\"number\" text");
        assert_eq!(found(&other), ["table conformance has another key"]);
        let added = "ALTER TABLE \"conformance\" ADD \"title\" text; -- later";
        assert_eq!(differences(&[TABLE], [without.as_str(), added]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let text = create_table(TABLE);
        let refused = |texts: &[&str]| differences(&[], texts.iter().copied()).unwrap_err();
        assert_eq!(refused(&["DROP TABLE x;"]), "expected CREATE, found DROP");
        assert_eq!(refused(&[&text[..text.len() - 4]]), "the last statement is not whole");
        assert_eq!(refused(&[&text, &text]), "table conformance is created twice");
        let add = "ALTER TABLE \"conformance\" ADD \"title\" text;";
        assert_eq!(refused(&[&text, add]), "column title of table conformance is added twice");
        assert_eq!(refused(&[add]), "no table conformance to add to");
        assert_eq!(refused(&[&text.replace("text", "map")]), "map is no type of a column");
    }
}
