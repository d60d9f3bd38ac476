//! The page by which people use a deployment: built from `app/` by the pinned bundler, and served or written as static
//! files together with the deployment's record.

mod server;
mod site;

pub use server::AppServer;
pub use site::{AppError, Site};
