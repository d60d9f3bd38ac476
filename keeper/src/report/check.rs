//! `keeper check`: what is right, what is wrong, and what to do about it.

use serde::Serialize;

use super::paint;

/// All that was looked at.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckReport {
    /// Whether nothing is wrong.
    pub good: bool,
    /// Each thing.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind: endpoints, contracts, keys, and so on.
    pub area: &'static str,
    /// Which.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do, where something is not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Right,
    /// It works, and less well than it could.
    Note,
    /// It does not work.
    Wrong,
}

impl CheckReport {
    /// Adds what is right.
    pub fn right(&mut self, area: &'static str, name: impl Into<String>, what: impl Into<String>) {
        self.add(area, name, Verdict::Right, what, None);
    }

    /// Adds what could be better, and how.
    pub fn note(
        &mut self,
        area: &'static str,
        name: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(area, name, Verdict::Note, what, Some(remedy.into()));
    }

    /// Adds what is wrong, and the remedy.
    pub fn wrong(
        &mut self,
        area: &'static str,
        name: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(area, name, Verdict::Wrong, what, Some(remedy.into()));
    }

    fn add(
        &mut self,
        area: &'static str,
        name: impl Into<String>,
        verdict: Verdict,
        what: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.findings.push(Finding { area, name: name.into(), verdict, what: what.into(), remedy });
        self.good = self.findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        let mut area = "";
        for finding in &self.findings {
            if finding.area != area {
                area = finding.area;
                text += &format!("{area}\n");
            }
            let verdict = match finding.verdict {
                Verdict::Right => paint("32", "right"),
                Verdict::Note => paint("33", "note "),
                Verdict::Wrong => paint("31", "wrong"),
            };
            text += &format!("  {verdict}  {:<width$}  {}\n", finding.name, finding.what);
            if let Some(remedy) = &finding.remedy {
                text += &format!("         {:<width$}  → {remedy}\n", "");
            }
        }
        let wrong = self.findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count();
        text += &match wrong {
            0 => paint("32", "\nEverything that the keeper needs is there.\n"),
            1 => paint("31", "\nOne thing is wrong.\n"),
            more => paint("31", &format!("\n{more} things are wrong.\n")),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_remedy_and_spoils_the_verdict() {
        let mut report = CheckReport::default();
        report.right("endpoints", "node", "block 7");
        report.note("endpoints", "other", "no WebSocket", "add one");
        assert!(report.good && report.text().ends_with("Everything that the keeper needs is there.\n"));
        report.wrong("keys", "liquidations", "not set", "set it");
        assert!(!report.good);
        let text = report.text();
        assert!(text.contains("  wrong  liquidations  not set\n                       → set it\n"), "{text}");
        assert!(text.ends_with("One thing is wrong.\n"), "{text}");
    }
}
