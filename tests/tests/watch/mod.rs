//! `plimsoll-keeper watch` on Morpho Blue's real bytecode.

mod commands;
mod fixture;
mod histories;
