//! One file per command: its fields, its rule, its rejections in order of precedence.

mod adopt;
mod discard_draft;
mod publish;
mod retire;
mod save_draft;

pub use discard_draft::DiscardDraft;
pub use publish::Publish;
pub use retire::Retire;
pub use save_draft::SaveDraft;

use exchequer_types::Slug;

use crate::event::Adoption;

/// What can be asked of a provider's catalogs, or of a partition's own stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    SaveDraft(SaveDraft),
    DiscardDraft(DiscardDraft),
    Publish(Publish),
    Retire(Retire),
    Adopt(Adoption),
}

impl Command {
    /// Whether it is addressed to a partition's own stream, by a process.
    pub fn is_adoption(&self) -> bool {
        matches!(self, Self::Adopt(_))
    }

    /// The catalog that a provider's command is addressed to.
    pub(crate) fn catalog(&self) -> &Slug {
        match self {
            Self::SaveDraft(it) => &it.catalog,
            Self::DiscardDraft(it) => &it.catalog,
            Self::Publish(it) => &it.catalog,
            Self::Retire(it) => &it.catalog,
            Self::Adopt(it) => &it.catalog,
        }
    }
}
