//! The programs that this project runs, and where it runs them: everything between this library and the machine.
//!
//! [`workspace`] finds the repository, [`tools`] installs the pinned EVM tools in it, [`process`] runs programs that end
//! with this one, [`scratch`] makes temporary folders that do, too, [`node`] runs Anvil, and [`progress`] prints to stderr
//! what is being done. Nothing here knows about
//! manifests, contracts or deployments.

pub mod node;
pub mod process;
pub mod progress;
pub mod scratch;
pub mod tools;
pub mod workspace;
