//! Deployment on real nodes: from a manifest to a chain and back.

mod changes;
mod crashes;
mod explorers;
mod http;
mod refusals;
mod site;
mod strangers;
