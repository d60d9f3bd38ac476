//! The page for borrowers and lenders, in a real browser on a real node: every verb, and every fault that a person meets.

mod demo;
mod earn;
mod every_verb;
mod faults;
mod fixture;
mod governance;
mod looks;
mod nodes;
mod orders;
pub(crate) mod sources;
mod verbs;
