//! A keeper's book that follows a chain (K1): in a process of its own, over a node that reorganises, while it is killed
//! and its connections are cut, every word of it equals the contracts' storage.

mod histories;
pub(crate) mod idle;
mod process;
mod restarts;
