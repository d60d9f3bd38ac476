//! The top folders of a crate depend on one another without circles: a circle shows a wrong cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use eyre::{ContextCompat, ensure};
use plimsoll_testkit::workspace::workspace;

const CRATES: [&str; 5] = ["chain", "deploy", "keeper", "lab", "testkit"];
/// A circle that is meant: from a suite lead its conveniences, the keeper and the exchange, which work on a suite.
const MEANT: [(&str, &str); 1] = [("testkit", "deployment")];

type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_top_folder_of_a_crate_is_in_an_import_circle() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let mut circles = Vec::new();
    for name in CRATES {
        let mut imports = Imports::new();
        read_folder(&root.join(name).join("src"), None, &mut imports)?;
        ensure!(imports.len() > 2, "hardly any import was found in {name}");
        for (_, module) in MEANT.iter().filter(|(of, _)| *of == name) {
            imports.remove(*module);
        }
        let circular = imports.keys().filter(|module| reaches(&imports, module, module, &mut BTreeSet::new()));
        circles.extend(circular.map(|module| format!("{name}: {module} imports {:?}", imports.get(module))));
    }
    ensure!(circles.is_empty(), "modules import one another in a circle:\n{}", circles.join("\n"));
    Ok(())
}

/// Cargo reads the manifests of all crates, whichever it builds.
#[test]
fn the_images_build_context_has_every_crate_of_the_workspace() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let members = manifest["workspace"]["members"].as_array().wrap_err("a workspace without members")?;
    ensure!(!members.is_empty(), "a workspace without members");
    let context = fs::read_to_string(root.join(".dockerignore"))?;
    for member in members.iter().filter_map(toml::Value::as_str) {
        let line = format!("!{member}");
        ensure!(
            context.lines().any(|found| found == line),
            ".dockerignore leaves out {member}: it needs the line {line}"
        );
    }
    Ok(())
}

/// Notes which top modules each top module names as `crate::…`, tests left out.
fn read_folder(folder: &Path, top: Option<&str>, imports: &mut Imports) -> eyre::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if stem == "tests" || stem == "lib" || stem == "main" {
            continue;
        }
        let module = top.unwrap_or(&stem);
        if path.is_dir() {
            read_folder(&path, Some(module), imports)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let code: String = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
            let named = imports.entry(module.to_owned()).or_default();
            named.extend(code.split("crate::").skip(1).flat_map(first_segments).filter(|name| name != module));
        }
    }
    Ok(())
}

/// The first segments of the paths after `crate::`: one, or each of a group in braces.
fn first_segments(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return word(rest).into_iter().collect() };
    let (mut names, mut depth, mut begins) = (Vec::new(), 1, true);
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            letter if begins && letter.is_alphabetic() => {
                names.extend(word(&group[place..]));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn reaches(imports: &Imports, from: &str, to: &str, seen: &mut BTreeSet<String>) -> bool {
    let mut next = imports.get(from).into_iter().flatten();
    next.any(|next| next == to || (seen.insert(next.clone()) && reaches(imports, next, to, seen)))
}

#[test]
fn a_circle_is_found() {
    let imports = |text: &str| first_segments(text).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(imports("{a::B, c::{d, e}, f};"), ["a", "c", "f"].map(str::to_owned).into());
    let circle = Imports::from([("a".to_owned(), imports("b::C")), ("b".to_owned(), imports("{x, a::D}"))]);
    assert!(reaches(&circle, "a", "a", &mut BTreeSet::new()) && !reaches(&circle, "x", "x", &mut BTreeSet::new()));
}
