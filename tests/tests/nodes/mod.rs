//! Payment channels and x402's published client, server and facilitator, which know nothing of us.

mod client;
mod fixture;
mod headers;
mod payment;
mod vectors;
