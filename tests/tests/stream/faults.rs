//! One fault after another, each with a healthy endpoint beside and without.
