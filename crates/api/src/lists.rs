//! What every List method takes and gives alike: page size and token, filter, mask. A
//! token holds for the method, for what is listed, and for the filter it was given with.

use std::fmt::Display;

use prost_types::FieldMask;
use tonic::Status;

use crate::check::Check;
use crate::filter::Filter;
use crate::mask::Mask;
use crate::pages;
use crate::resources::Resource;
use crate::status::FILTER_INVALID;

/// The fields that a List request has beside those that say what is listed.
#[derive(Debug, Default)]
pub(crate) struct ListOptions {
    pub(crate) page_size: u32,
    pub(crate) page_token: String,
    pub(crate) filter: String,
    pub(crate) read_mask: Option<FieldMask>,
}

/// Takes the [`ListOptions`] out of a request.
macro_rules! list_options {
    ($it:ident) => {
        crate::lists::ListOptions {
            page_size: $it.page_size,
            page_token: $it.page_token,
            filter: $it.filter,
            read_mask: $it.read_mask,
        }
    };
}
pub(crate) use list_options;

/// A list of `R` as a call asks for it, that goes on at a place `P`.
#[derive(Debug)]
pub(crate) struct List<R: Resource, P> {
    /// At least 1.
    pub(crate) limit: usize,
    /// Where the page begins; None for the first one.
    pub(crate) place: Option<P>,
    filter: Filter<R>,
    mask: Mask,
    scope: Vec<String>,
}

impl Check {
    /// Reads what the List method `method` was asked for; `of` says what is listed, with
    /// every other field that narrows it. `place` reads what [`List::token`] was given.
    pub(crate) fn list<R: Resource, P>(
        &mut self,
        method: &'static str,
        of: &[&str],
        options: ListOptions,
        place: impl FnOnce(&str) -> Option<P>,
    ) -> List<R, P> {
        let limit = self.page_size(options.page_size);
        let filter = Filter::parse(&options.filter, R::FIELDS).unwrap_or_else(|error| {
            let text = format!("is wrong at character {}: {}", error.at, error.message);
            self.refuse(FILTER_INVALID, "filter", text);
            Filter::all()
        });
        let mask = Mask::read::<R>(self, "read_mask", options.read_mask);
        let parts = [method].into_iter().chain(of.iter().copied()).chain([options.filter.trim()]);
        let scope: Vec<String> = parts.map(str::to_owned).collect();
        let place = self.page_token(&scope, &options.page_token, place);
        List { limit, place, filter, mask, scope }
    }
}

impl<R: Resource, P> List<R, P> {
    /// Does the filter let the resource through that `message` makes? It is made only
    /// when there is a filter.
    pub(crate) fn wants(&self, message: impl FnOnce() -> R) -> bool {
        self.filter.is_all() || self.filter.holds(&message())
    }

    /// The reply's items.
    pub(crate) fn items(&self, items: Vec<R>) -> Result<Vec<R>, Status> {
        self.mask.apply_all(items)
    }

    /// The reply's token; empty on the last page.
    pub(crate) fn token(&self, next: Option<impl Display>) -> String {
        next.map(|next| pages::seal(&self.scope, &next.to_string())).unwrap_or_default()
    }

    /// The page of a list that is in memory as a whole, in the order of `place_of`: its
    /// items and the reply's token.
    pub(crate) fn page_of(
        &self,
        all: impl Iterator<Item = R>,
        place_of: impl Fn(&R) -> P,
    ) -> Result<(Vec<R>, String), Status>
    where
        P: Ord + Display,
    {
        let behind = all.filter(|it| self.place.as_ref().is_none_or(|at| place_of(it) > *at));
        let wanted = behind.filter(|it| self.filter.holds(it));
        let mut page: Vec<R> = wanted.take(self.limit + 1).collect();
        let is_end = page.len() <= self.limit;
        page.truncate(self.limit);
        let next = page.last().filter(|_| !is_end).map(place_of);
        let token = self.token(next);
        Ok((self.items(page)?, token))
    }
}
