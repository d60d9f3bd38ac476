//! Keepers that share a PostgreSQL database.

mod journal;
mod take_over;
