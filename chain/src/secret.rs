//! A value that cannot be printed.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::redaction::{self, REDACTED};

/// Holds a secret: `Debug` and `Display` show a placeholder, there is no `Serialize`, and memory is wiped on drop.
///
/// A secret text is also made known to [`redaction`], so that it is scrubbed from what libraries print.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a value out of sight that is no text, or whose secret parts [`redaction`] was told one by one.
    pub const fn unlisted(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one call that needs it. Never format or log it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl Secret<String> {
    /// Takes a text out of sight, and has it scrubbed from every log line and error from now on.
    #[must_use]
    pub fn new(text: String) -> Self {
        redaction::hide(&text);
        Self(text)
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret<String> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("correct horse battery".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[redacted] [redacted] Some([redacted])");
        assert_eq!(secret.expose(), "correct horse battery");
    }
}
