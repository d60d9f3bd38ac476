//! Every link between documents leads to a file and to a heading in it, and every page is in the book's contents.

use std::path::{Component, Path, PathBuf};

use eyre::ensure;
use plimsoll_testkit::workspace::workspace;

use super::{commands::documents, read};

const CONTENTS: &str = "docs/SUMMARY.md";

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let (mut broken, mut found) = (Vec::new(), 0);
    for (file, text) in documents()? {
        for target in targets(&text) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { file.clone() } else { beside(&file, path) };
            let leads =
                root.join(&path).exists() && (heading.is_empty() || has_heading(&read(&root.join(&path))?, heading));
            found += 1;
            if !leads {
                broken.push(format!("{target} in {}", file.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "links lead nowhere: {broken:#?}");
    ensure!(found > 50, "only {found} links were found");
    Ok(())
}

#[test]
fn every_page_is_in_the_books_contents() -> eyre::Result<()> {
    let contents = read(&workspace()?.root().join(CONTENTS))?;
    let pages = documents()?.into_iter().map(|(file, _)| file);
    let pages = pages.filter_map(|file| Some(file.strip_prefix("docs").ok()?.display().to_string()));
    let missing: Vec<_> =
        pages.filter(|page| page != "SUMMARY.md" && !contents.contains(&format!("({page})"))).collect();
    ensure!(missing.is_empty(), "{CONTENTS} does not list {missing:?}");
    Ok(())
}

/// Returns the targets of a document's links, those to other hosts left out.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.is_empty() && !target.contains([':', ' ']))
}

/// Returns the path that a link in a document leads to.
fn beside(document: &Path, link: &str) -> PathBuf {
    let mut path = document.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// Returns whether a document has a heading with this anchor.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor_of(line.trim_start_matches('#').trim())).any(|found| found == anchor)
}

/// Returns the anchor that Markdown renderers give to a heading.
fn anchor_of(heading: &str) -> String {
    let letters = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    letters.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[test]
fn a_link_to_a_missing_heading_is_noticed() {
    let text = "# Health and liquidation\n\nSee [zones](#zones), [this](https://a.b/c) and [that](other.md#x).";
    assert!(targets(text).eq(["#zones", "other.md#x"]));
    assert!(has_heading(text, "health-and-liquidation") && !has_heading(text, "zones"));
    assert_eq!(beside(Path::new("docs/a/b.md"), "../c/d.md"), Path::new("docs/c/d.md"));
}
