//! Joins Solidity files into one block for `alloy::sol!`, and refuses what that block would silently get wrong.
//!
//! `sol!` resolves neither imports nor inheritance, so files that import one another are put into the same block. It
//! omits inherited functions, gives overloads numbered names, and cannot decode an error or event that is declared
//! outside every interface: each of these is an error here, with the file and the remedy.

/// A Solidity file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the project, for messages.
    pub(crate) name: String,
    /// Contents.
    pub(crate) text: String,
}

/// Returns the Rust text of one `sol!` block over all sources, or a message for each construct that prevents it.
pub(crate) fn sol_block(sources: &[Source]) -> Result<String, Vec<String>> {
    let mut problems = Vec::new();
    let mut block = String::from("alloy::sol! {\n#![sol(rpc, all_derives)]\n");
    for source in sources {
        problems.extend(problems_in(source));
        block.push_str(&source.text);
        block.push('\n');
    }
    block.push_str("}\n");
    if problems.is_empty() { Ok(block) } else { Err(problems) }
}

fn problems_in(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &source.name;
    let bare = without_comments_and_strings(&source.text);
    let mut words = Words::of(&bare);
    let mut depth = 0_usize;
    // The interface being read, with its functions so far.
    let mut interface: Option<(&str, Vec<&str>)> = None;
    while let Some(word) = words.next() {
        match word {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    interface = None;
                }
            }
            "interface" if depth == 0 => {
                let this = words.next().unwrap_or_default();
                if words.peek() == Some("is") {
                    problems.push(format!(
                        "{name}: the interface {this} inherits, and the Rust binding would lack what it inherits; \
                         write those functions, events and errors out in {this} itself"
                    ));
                }
                interface = Some((this, Vec::new()));
            }
            "error" | "event" if depth == 0 => {
                let item = words.next().unwrap_or_default();
                problems.push(format!(
                    "{name}: the {word} {item} is declared outside every interface, and the Rust binding could not decode \
                     it; move it into each interface whose contract uses it"
                ));
            }
            "function" if depth == 1 => {
                if let Some((this, functions)) = &mut interface {
                    let function = words.next().unwrap_or_default();
                    if functions.contains(&function) {
                        problems.push(format!(
                            "{name}: the interface {this} overloads {function}, and Rust would see {function}_0 and \
                             {function}_1; give each function a name of its own"
                        ));
                    }
                    functions.push(function);
                }
            }
            _ => {}
        }
    }
    problems
}

/// Iterator over the words and single punctuation marks of Solidity text.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    const fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    fn peek(&self) -> Option<&'a str> {
        Words { rest: self.rest }.next()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let first = text.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let length = if is_word(first) { text.find(|c| !is_word(c)).unwrap_or(text.len()) } else { first.len_utf8() };
        let (word, rest) = text.split_at(length);
        self.rest = rest;
        Some(word)
    }
}

/// The text with every comment and string literal replaced by a space.
fn without_comments_and_strings(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' || first == '\'' {
            string_length(rest, first)
        } else {
            bare.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        bare.push(' ');
        rest = &rest[length..];
    }
    bare
}

fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let source = Source { name: "contracts/src/interfaces/IThing.sol".into(), text: text.into() };
        sol_block(&[source]).err().unwrap_or_default()
    }

    #[test]
    fn an_interface_that_inherits_is_refused_by_file_and_name() {
        let problems =
            problems("import {IBase} from './IBase.sol';\ninterface IThing is IBase { function a() external; }");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("contracts/src/interfaces/IThing.sol: the interface IThing inherits"));
    }

    #[test]
    fn an_overloaded_function_is_refused_by_name() {
        let problems = problems(
            "interface IThing { function a() external; function b() external; function a(uint256 x) external; }",
        );
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("overloads a"), "{problems:?}");
    }

    #[test]
    fn the_same_function_in_two_interfaces_is_no_overload() {
        assert!(problems("interface IA { function a() external; } interface IB { function a() external; }").is_empty());
    }

    #[test]
    fn libraries_may_overload_because_nothing_of_them_is_bound() {
        assert!(problems("library L { function a() internal {} function a(uint256 x) internal {} }").is_empty());
    }

    #[test]
    fn an_error_outside_every_interface_is_refused() {
        let problems = problems("error TooMuch(uint256 asked);\ninterface IThing { error Fine(); }");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("the error TooMuch"), "{problems:?}");
    }

    #[test]
    fn comments_and_strings_are_not_read_as_code() {
        let text = "// interface IFake is IReal {\n/* error Loose(); */\n/// function a() and function a() of 'IThing'\n\
                    interface IThing { function a() external; } string constant S = \"} error Loose(); \\\" {\";";
        assert!(problems(text).is_empty());
    }
}
