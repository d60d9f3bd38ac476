//! A list of all secrets of this process, and their removal from texts.
//!
//! Libraries print what they are given – alloy's HTTP errors and spans show whole URLs, tungstenite logs its handshake
//! – so it is not enough that our own types print no secrets. [`scrub`] replaces every text that [`hide`] has registered,
//! in upper or lower case, and also in the forms in which `Debug` and a URL show it. Secrets are never removed from the
//! list: one that is no longer used must not appear either.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use aho_corasick::{AhoCorasick, MatchKind};
use url::form_urlencoded;

/// Placeholder that replaces a secret.
pub const REDACTED: &str = "[redacted]";

/// Length in bytes below which [`hide`] ignores a text, because it would be found inside ordinary words.
pub const MIN_SECRET_BYTES: usize = 4;

static HIDDEN: LazyLock<RwLock<Hidden>> = LazyLock::new(RwLock::default);

#[derive(Default)]
struct Hidden {
    texts: BTreeSet<String>,
    matcher: Option<Arc<AhoCorasick>>,
}

/// Registers a secret, which [`scrub`] replaces from now on. Texts shorter than [`MIN_SECRET_BYTES`] are ignored.
pub fn hide(secret: &str) {
    let mut forms = vec![secret.to_owned(), secret.trim().to_owned(), secret.escape_debug().to_string()];
    forms.push(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    forms.retain(|form| form.len() >= MIN_SECRET_BYTES);

    let mut hidden = HIDDEN.write().unwrap_or_else(PoisonError::into_inner);
    let before = hidden.texts.len();
    hidden.texts.extend(forms);
    if hidden.texts.len() > before {
        // The only errors are limits of billions of states. Without a matcher, `scrub` lets nothing through.
        hidden.matcher = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&hidden.texts)
            .ok()
            .map(Arc::new);
    }
}

/// Returns the text with every registered secret replaced by [`REDACTED`].
#[must_use]
pub fn scrub(text: &str) -> Cow<'_, str> {
    let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
    if hidden.texts.is_empty() {
        return Cow::Borrowed(text);
    }
    let Some(matcher) = hidden.matcher.clone() else { return Cow::Borrowed(REDACTED) };
    drop(hidden);
    if !matcher.is_match(text) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut kept = 0;
    for found in matcher.find_iter(text) {
        clean.push_str(&text[kept..found.start()]);
        clean.push_str(REDACTED);
        kept = found.end();
    }
    clean.push_str(&text[kept..]);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_text_is_scrubbed_in_every_form() {
        hide("s3cret \"one\"/Alpha");
        for text in [
            "s3cret \"one\"/Alpha",
            "before S3CRET \"ONE\"/ALPHA after",
            "Some(\"s3cret \\\"one\\\"/Alpha\")",
            "https://example.org/?key=s3cret+%22one%22%2FAlpha&x=1",
        ] {
            let clean = scrub(text);
            assert!(clean.contains(REDACTED), "{text}");
            assert!(!clean.to_lowercase().contains("s3cret"), "{clean}");
        }
    }

    #[test]
    fn the_longest_of_overlapping_secrets_is_replaced_as_a_whole() {
        hide("overlap-one");
        hide("overlap-one-and-two");
        assert_eq!(scrub("x overlap-one-and-two y"), "x [redacted] y");
    }

    #[test]
    fn other_texts_are_unchanged() {
        hide("abc");
        assert_eq!(scrub("abc nothing of interest abc"), "abc nothing of interest abc");
    }
}
