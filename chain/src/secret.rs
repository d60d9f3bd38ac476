//! Values that cannot be printed.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::redaction::{self, REDACTED};

/// Holds a secret: `Debug` and `Display` show a placeholder, there is no `Serialize`, and memory is wiped on drop.
///
/// A secret text is also registered with [`redaction`], so that it is scrubbed from what libraries print.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value without registering it with [`redaction`]: a value that is not a text, or whose secret parts are
    /// registered one by one.
    pub const fn unlisted(value: T) -> Self {
        Self(value)
    }

    /// Returns the value itself, for the one call that needs it. It must not be formatted or logged.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl Secret<String> {
    /// Wraps a text and registers it with [`redaction`].
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
    fn a_secret_is_printed_as_a_placeholder() {
        let secret = Secret::new("correct horse battery".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[redacted] [redacted] Some([redacted])");
        assert_eq!(secret.expose(), "correct horse battery");
    }
}
