//! A keeper's book that follows a chain (K1), in a process of its own and over a node with reorgs, equals the
//! contracts' storage in every word, although it is killed and its connections are cut.

mod histories;
pub(crate) mod idle;
mod process;
mod restarts;
mod strangers;
