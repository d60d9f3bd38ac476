//! Joins the parts: what the stream brings goes into the book, what strategies make of it to the sender, and what became
//! of that onto the page.

mod follow;

pub use self::follow::{FollowError, Follower, Loaded, News};
