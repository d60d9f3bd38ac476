//! Decisions in a market with the book's own arithmetic and a constant-product pool.

mod at_risk;
mod fixture;
mod selection;
mod skip_reasons;
mod slices;
mod speculation;
