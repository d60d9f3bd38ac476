//! A tokeniser for Solidity that distinguishes code from comments, strings and assembly.

use std::ops::Range;

/// The kind of a token, as far as it matters to a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An operator or a bracket.
    Sign,
}

/// A token with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) range: Range<usize>,
}

/// Operators of more than one character, longest first.
const LONG_SIGNS: [&str; 22] = [
    ">>=", "<<=", "**", "++", "--", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<=", ">=", "==", "!=", "&&", "||",
    "<<", ">>", "=>",
];

/// Returns the tokens of a source without comments and assembly blocks, which have a language of their own.
pub(super) fn tokens_of(source: &str) -> Vec<Token<'_>> {
    without_assembly(all_tokens_of(source))
}

fn all_tokens_of(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest);
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: &rest[..length], range: at..at + length });
        }
        at += length;
    }
    tokens
}

/// Returns the kind and the length of the next token; no kind where it is not code.
fn next(rest: &str) -> (Option<Kind>, usize) {
    let until = |end: &str| rest.find(end).map_or(rest.len(), |found| found + end.len());
    let while_ = |wanted: fn(char) -> bool| rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    let first = rest.chars().next().unwrap_or(' ');
    if rest.starts_with("//") {
        (None, until("\n"))
    } else if rest.starts_with("/*") {
        (None, until("*/"))
    } else if let Some(prefix) = ["\"", "hex\"", "unicode\""].iter().find(|prefix| rest.starts_with(**prefix)) {
        let end = rest[prefix.len()..].find('"').map_or(rest.len(), |found| prefix.len() + found + 1);
        (Some(Kind::Text), end)
    } else if first.is_ascii_digit() {
        (Some(Kind::Number), while_(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.'))
    } else if first.is_alphabetic() || first == '_' || first == '$' {
        (Some(Kind::Word), while_(|c| c.is_alphanumeric() || c == '_' || c == '$'))
    } else if first.is_whitespace() {
        (None, first.len_utf8())
    } else {
        let long = LONG_SIGNS.iter().find(|sign| rest.starts_with(**sign));
        (Some(Kind::Sign), long.map_or(first.len_utf8(), |sign| sign.len()))
    }
}

fn without_assembly(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        if token.text != "assembly" || token.kind != Kind::Word {
            kept.push(token);
            continue;
        }
        let mut depth = 0;
        for inner in tokens.by_ref() {
            match inner.text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                break;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_assembly_are_not_code() {
        let source = "a /* < */ += \"<\" // >\n 1_0.5e18; assembly (\"x\") { if lt(a, b) { c } } >>= b";
        let texts: Vec<&str> = tokens_of(source).iter().map(|token| token.text).collect();
        assert_eq!(texts, ["a", "+=", "\"<\"", "1_0.5e18", ";", ">>=", "b"]);
    }

    #[test]
    fn a_string_includes_its_prefix() {
        let texts: Vec<&str> = tokens_of("f(hex\"ff\", hexa, \"\")").iter().map(|token| token.text).collect();
        assert_eq!(texts, ["f", "(", "hex\"ff\"", ",", "hexa", ",", "\"\"", ")"]);
    }

    #[test]
    fn an_unterminated_comment_or_string_is_tolerated() {
        for source in ["/* never closed", "\"never closed", "assembly { {", "ä ≤ ß"] {
            tokens_of(source);
        }
    }
}
