//! Every method of the contract, by its descriptor: nothing here knows a service. A method
//! without a request in `requests.json` fails the first test below, and with it the rest
//! covers every method.

mod behaviour;
mod isolation;
pub(crate) mod methods;
mod permissions;
mod stage;
pub(crate) mod wire;

use std::collections::BTreeSet;

use methods::{all, requests};

// REQ: IAM-16, EDG-05
#[test]
fn every_method_has_a_request() {
    let methods: BTreeSet<String> = all().into_iter().map(|it| it.name).collect();
    let requests: BTreeSet<String> = requests().into_keys().collect();
    let missing: Vec<_> = methods.difference(&requests).collect();
    assert!(missing.is_empty(), "write a request for each into requests.json: {missing:#?}");
    let unknown: Vec<_> = requests.difference(&methods).collect();
    assert!(unknown.is_empty(), "no method is called so: {unknown:#?}");
}
