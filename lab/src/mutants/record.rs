//! The record of a run: each outcome as a line of JSON as soon as it is known, so that an interrupted run can go on.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use alloy::primitives::{B256, keccak256};
use eyre::{ContextCompat, WrapErr};
use serde::{Deserialize, Serialize};

use super::{
    operators::Mutant,
    report::{Outcome, Tested},
};

/// A line of the record.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Hash of the source as it was: an outcome says nothing about another version.
    source: B256,
    mutant: Mutant,
    outcome: Outcome,
}

/// The file to which outcomes are appended, with the hash of each source.
#[derive(Debug)]
pub(super) struct Record {
    file: File,
    hashes: HashMap<String, B256>,
}

impl Record {
    /// Opens or creates a record for these sources (paths and texts), and returns with it the outcomes that it has for
    /// them as they are now. A last line that was not finished is removed.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no record.
    pub(super) fn open(path: &Path, sources: &[(String, String)]) -> eyre::Result<(Self, Vec<(Mutant, Outcome)>)> {
        let named = || path.display().to_string();
        let hashes: HashMap<_, _> = sources.iter().map(|(name, text)| (name.clone(), keccak256(text))).collect();
        let file = OpenOptions::new().create(true).append(true).open(path).wrap_err_with(named)?;
        let text = fs::read_to_string(path).wrap_err_with(named)?;
        let finished = text.rfind('\n').map_or(0, |end| end + 1);
        if finished != text.len() {
            file.set_len(finished as u64).wrap_err_with(named)?;
        }
        let mut known = Vec::new();
        for line in text[..finished].lines() {
            let line: Line = serde_json::from_str(line).wrap_err_with(named)?;
            if hashes.get(&line.mutant.file) == Some(&line.source) {
                known.push((line.mutant, line.outcome));
            }
        }
        Ok((Self { file, hashes }, known))
    }

    /// Appends an outcome.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn append(&mut self, tested: &Tested) -> eyre::Result<()> {
        let Tested { mutant, outcome } = tested.clone();
        let source = *self.hashes.get(&mutant.file).wrap_err("a mutant of an unknown source")?;
        let mut line = serde_json::to_vec(&Line { source, mutant, outcome })?;
        line.push(b'\n');
        self.file.write_all(&line).wrap_err("the record cannot be written")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::operators::mutants_of, *};

    fn sources(body: &str) -> Vec<(String, String)> {
        vec![("C.sol".to_owned(), format!("contract C {{ function f() {{ {body} }} }}"))]
    }

    #[test]
    fn an_interrupted_record_goes_on_with_the_outcomes_of_unchanged_sources() -> eyre::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("record.jsonl");
        let before = sources("x = a + b;");
        let mutants = mutants_of(&before);
        let (mut record, known) = Record::open(&path, &before)?;
        assert_eq!(known, []);
        let killed = Outcome::Killed { by: "test_a".to_owned(), suite: "A.t.sol".to_owned() };
        record.append(&Tested { mutant: mutants[0].clone(), outcome: Outcome::Survived })?;
        record.append(&Tested { mutant: mutants[1].clone(), outcome: killed.clone() })?;
        let whole = fs::read_to_string(&path)?;
        fs::write(&path, &whole[..whole.len() - 5])?;

        let (mut record, known) = Record::open(&path, &before)?;
        assert_eq!(known.len(), 1);
        assert!(known[0].0.is_same(&mutants[0]));
        assert_eq!(known[0].1, Outcome::Survived);
        record.append(&Tested { mutant: mutants[1].clone(), outcome: killed })?;
        assert_eq!(fs::read_to_string(&path)?, whole);

        assert_eq!(Record::open(&path, &sources("x = a - b;"))?.1, []);
        Ok(())
    }
}
