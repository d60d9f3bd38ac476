//! The result of `plimsoll-keeper check`: what works, what does not, and how to repair it.

use serde::Serialize;

use super::paint;
use crate::amount::counted;

/// The findings about everything that the keeper needs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckReport {
    /// True if no finding is a failure.
    pub good: bool,
    /// One entry for each thing that was checked.
    pub findings: Vec<Finding>,
}

/// A finding about one thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The group that it belongs to, such as endpoints, contracts or keys.
    pub area: &'static str,
    /// The name of the thing that was checked.
    pub name: String,
    /// How serious the finding is; `verdict` in JSON.
    #[serde(rename = "verdict")]
    pub status: CheckStatus,
    /// What the check found, in words.
    pub what: String,
    /// How to repair it, unless everything is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CheckStatus {
    /// It works; `right` in JSON.
    #[serde(rename = "right")]
    Ok,
    /// It works with restrictions; `note` in JSON.
    #[serde(rename = "note")]
    Warning,
    /// It does not work; `wrong` in JSON.
    #[serde(rename = "wrong")]
    Failure,
}

impl CheckReport {
    /// Adds a finding that something works.
    pub fn ok(&mut self, area: &'static str, name: impl Into<String>, what: impl Into<String>) {
        self.add(area, name, CheckStatus::Ok, what, None);
    }

    /// Adds a finding that something works with restrictions, and how to lift them.
    pub fn warn(
        &mut self,
        area: &'static str,
        name: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(area, name, CheckStatus::Warning, what, Some(remedy.into()));
    }

    /// Adds a finding that something does not work, and how to repair it.
    pub fn fail(
        &mut self,
        area: &'static str,
        name: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(area, name, CheckStatus::Failure, what, Some(remedy.into()));
    }

    fn add(
        &mut self,
        area: &'static str,
        name: impl Into<String>,
        status: CheckStatus,
        what: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.findings.push(Finding { area, name: name.into(), status, what: what.into(), remedy });
        self.good = self.findings.iter().all(|finding| finding.status != CheckStatus::Failure);
    }

    /// Formats the findings for people, grouped by area, with a closing line that sums them up.
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
            let status = match finding.status {
                CheckStatus::Ok => paint("32", "ok     "),
                CheckStatus::Warning => paint("33", "warning"),
                CheckStatus::Failure => paint("31", "failure"),
            };
            text += &format!("  {status}  {:<width$}  {}\n", finding.name, finding.what);
            if let Some(remedy) = &finding.remedy {
                text += &format!("           {:<width$}  → {remedy}\n", "");
            }
        }
        let count = |status| self.findings.iter().filter(|finding| finding.status == status).count();
        let warnings = count(CheckStatus::Warning);
        text += &match count(CheckStatus::Failure) {
            0 if warnings == 0 => paint("32", "\nEverything that the keeper needs is there.\n"),
            0 => {
                let warnings = counted(u64::try_from(warnings).unwrap_or(u64::MAX), "warning");
                paint("33", &format!("\nThe keeper can run, with {warnings}.\n"))
            }
            1 => paint("31", "\nOne check failed.\n"),
            more => paint("31", &format!("\n{more} checks failed.\n")),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_listed_with_its_remedy_and_fails_the_report() {
        let mut report = CheckReport::default();
        report.ok("endpoints", "node", "block 7");
        assert!(report.text().ends_with("Everything that the keeper needs is there.\n"));
        report.warn("endpoints", "other", "no WebSocket", "add one");
        assert!(report.good && report.text().ends_with("The keeper can run, with 1 warning.\n"));
        report.fail("keys", "liquidations", "not set", "set it");
        assert!(!report.good);
        let text = report.text();
        assert!(text.contains("  failure  liquidations  not set\n                         → set it\n"), "{text}");
        assert!(text.ends_with("One check failed.\n"), "{text}");
    }

    #[test]
    fn json_keeps_its_names() {
        let mut report = CheckReport::default();
        report.fail("keys", "liquidations", "not set", "set it");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["good"], &json["findings"][0]["verdict"]), (&false.into(), &"wrong".into()));
    }
}
