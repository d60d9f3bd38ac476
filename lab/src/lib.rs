//! The demo, replays of recorded prices, measurements and mutation testing, on top of the testkit.
//!
//! [`demo`] shows the whole suite on a chain of its own, and [`replay`] what a market would have done under recorded
//! prices. [`gas`] measures what calls cost, [`book`] the keeper's in-memory state, [`tripwire`] the index of accounts with
//! several collaterals, [`latency`] the time from a head to a liquidation in the pool, [`backfill`] how fast a long history
//! is read, [`burst`] thousands of liquidatable loans in one block, [`fleet`] keepers that share a database, [`protocols`]
//! one keeper on several protocols, [`nodes`] machines that serve a language model for pay, [`surge`] what lenders lose by unbacked collateral, and [`vault`] what depositors earn; [`all`] runs all of them but the nodes.
//! [`record`] makes a recording of a block for fork tests, [`mutants`] measures the tests themselves, and
//! [`prove`] proves what no test can try out. [`output`]
//! writes what they leave on disk, [`chart`] draws it, and [`png`] renders a drawing for viewers without SVG.

pub mod all;
pub mod backfill;
pub mod book;
pub mod burst;
pub mod calendar;
pub mod chart;
pub mod cli;
pub mod demo;
pub mod dust;
pub mod fleet;
pub mod gas;
pub mod latency;
pub mod money;
pub mod mutants;
pub mod nodes;
pub mod output;
pub mod package;
pub mod png;
pub mod protocols;
pub mod prove;
pub mod record;
pub mod replay;
pub mod surge;
pub mod tripwire;
pub mod vault;
