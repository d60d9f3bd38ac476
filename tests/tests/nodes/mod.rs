//! Payment channels and x402's published client, server and facilitator, which know nothing of us.

mod challenge;
mod client;
mod headers;
mod network;
mod payment;
mod vectors;
