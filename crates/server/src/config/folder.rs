//! What a start would find in the data folder, for `--check-config`: whether it is one
//! that these settings fit. It takes no lock, so a server may use the folder meanwhile.

use exchequer_journal_local::JournalReader;
use exchequer_vault_local::ROWS_FILE;

use super::{Config, ConfigError, Problem};

impl Config {
    /// Refuses settings that a start with the data folder as it is would end with.
    pub async fn check_folder(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if self.is_cluster() {
            return Ok(());
        }
        if self.place.data.join("journal/meta").exists() {
            self.check_journal(&mut problems);
        }
        if self.place.data.join("keys").join(ROWS_FILE).exists() {
            self.check_persons(&mut problems).await;
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    async fn check_persons(&self, problems: &mut Vec<Problem>) {
        let Err(error) = crate::persons::check(self).await else { return };
        let from_text = self.keys.master.expose().is_some();
        let key = if from_text { "keys.master" } else { "keys.master_path" }.to_owned();
        let cause = core::error::Error::source(&error).map(|it| format!(": {it}"));
        let what = format!("{error}{}", cause.unwrap_or_default());
        let cure = "name the master keys that this folder's keys were made with".to_owned();
        problems.push(Problem { key, place: String::new(), what, cure });
    }

    fn check_journal(&self, problems: &mut Vec<Problem>) {
        let data = &self.place.data;
        let mut note = |key: &str, what: String, cure: &str| {
            let (key, place, cure) = (key.to_owned(), String::new(), cure.to_owned());
            problems.push(Problem { key, place, what, cure });
        };
        if let Err(error) = crate::logs::check_level(data) {
            note("data", error.to_string(), "no older program reads what it has written");
            return;
        }
        let journal = match JournalReader::open(data) {
            Ok(journal) => journal,
            Err(error) => {
                note("data", error.to_string(), "`exchequer verify journal` tells more");
                return;
            }
        };
        let (found, asked) = (journal.partitions(), self.journal.partitions);
        if found != asked {
            let what = format!("is {asked}, and the journal has {found}");
            note("journal.partitions", what, "their number is fixed when a folder is made");
        }
        if self.keys.deployment_file.is_none() && !data.join("keys/deployment.key").exists() {
            let what = format!("{} has a journal and no keys/deployment.key", data.display());
            note("keys.deployment_file", what, "put the key back from a backup");
        }
        let rows = data.join("keys").join(ROWS_FILE);
        let has_records = journal.records().next().is_some();
        if has_records && !self.keys.accept_loss && !rows.exists() {
            let what = format!("{} is missing, and there is a journal", rows.display());
            let cure = "put a backup back with `exchequer admin keys restore --from <file>`; only \
                        when the keys are lost for ever, set it to true";
            note("keys.accept_loss", what, cure);
        }
    }
}
