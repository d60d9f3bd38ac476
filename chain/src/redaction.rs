//! Every secret text that this process knows, and how it is taken out of other texts.
//!
//! Libraries print what they are given – alloy's HTTP errors and spans show whole URLs, tungstenite logs its handshake
//! – so it is not enough that our own types are silent. What [`hide`] was told once, [`scrub`] removes everywhere, in
//! upper or lower case, and also in the forms in which `Debug`, a URL or an authorization header would show it.
//! The list lives as long as the process: a secret that is no longer used must not appear either.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use aho_corasick::{AhoCorasick, MatchKind};
use url::form_urlencoded;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Shorter texts would be found in innocent words. They are not worth the name of a secret either.
pub const SHORTEST_SECRET_BYTES: usize = 4;

static HIDDEN: LazyLock<RwLock<Hidden>> = LazyLock::new(RwLock::default);

#[derive(Default)]
struct Hidden {
    texts: BTreeSet<String>,
    matcher: Option<Arc<AhoCorasick>>,
}

/// Has a text scrubbed from now on. Texts shorter than [`SHORTEST_SECRET_BYTES`] are left alone.
pub fn hide(secret: &str) {
    let mut forms = vec![secret.to_owned(), secret.trim().to_owned(), secret.escape_debug().to_string()];
    forms.push(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    forms.retain(|form| form.len() >= SHORTEST_SECRET_BYTES);

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

/// The text without any secret that this process knows.
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
    fn a_hidden_text_is_scrubbed_wherever_and_however_it_is_written() {
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
    fn the_longest_of_overlapping_secrets_goes_as_a_whole() {
        hide("overlap-one");
        hide("overlap-one-and-two");
        assert_eq!(scrub("x overlap-one-and-two y"), "x [redacted] y");
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        hide("abc");
        assert_eq!(scrub("abc nothing of interest abc"), "abc nothing of interest abc");
    }
}
