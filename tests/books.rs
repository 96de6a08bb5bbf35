//! The documents agree with the code and with each other, where a machine can tell.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                documents(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The targets of the links in a document that lead to files.
fn links(document: &str) -> Vec<&str> {
    let targets = document.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty())
        .collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut found = Vec::new();
    documents(&root(), &mut found);
    assert!(found.len() > 10, "the documents were not found");
    for path in found {
        let document = fs::read_to_string(&path).unwrap();
        for target in links(&document) {
            let folder = path.parent().unwrap();
            let file = folder.join(target).canonicalize();
            let inside = file.is_ok_and(|file| file.starts_with(root().canonicalize().unwrap()));
            assert!(inside, "{}: {target} is not in the repository", path.display());
        }
    }
}

#[test]
fn a_broken_link_is_found() {
    let document = "[a](nowhere.md) [b](https://x.y) [c](#here) [d](docs/design.md#3)";
    assert_eq!(links(document), ["nowhere.md", "docs/design.md"]);
}

#[test]
fn the_layout_page_has_the_layout_version() {
    let version = ringfence::layout::segment::LAYOUT_VERSION;
    assert!(text("docs/layout.md").starts_with(&format!("# Layout, version {version}\n")));
    assert!(text("CHANGELOG.md").contains(&format!("Layout version {version}.")));
}

#[test]
fn the_programs_shown_are_the_examples() {
    let readme = text("README.md");
    let shown = |fence: &str| readme.split_once(fence).unwrap().1.split_once("```\n").unwrap().0.to_owned();
    assert!(text("examples/hello.rs").ends_with(&format!("\n\n{}", shown("```rust,no_run\n"))));
    let hello = text("examples/c/hello.c");
    assert_eq!(shown("```c\n"), hello);
    let commented: String = hello.lines().map(|line| format!("//! {line}").trim_end().to_owned() + "\n").collect();
    assert!(text("src/ffi/mod.rs").contains(&format!("//! ```c\n{commented}//! ```\n")));
}

#[test]
fn the_readme_has_the_minimum_rust_version() {
    let manifest = text("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(text("README.md").contains(&format!("Minimum Rust version: {}.", line.trim_matches('"'))));
}

#[test]
fn every_decision_is_listed() {
    let list = text("docs/decisions/README.md");
    for entry in fs::read_dir(root().join("docs/decisions")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || list.contains(&name), "{name} is not listed");
    }
}

/// Only in the repository: the packed crate has no scripts.
#[test]
fn every_step_that_is_named_exists() {
    let Ok(steps) = fs::read_dir(root().join("scripts/steps")) else { return };
    let mut steps: Vec<String> = steps.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let named = |script: &str| -> Vec<String> {
        let script = text(script);
        let line = script.lines().find(|line| line.contains("|| set -- ")).unwrap();
        line.split_once("set -- ").unwrap().1.split_whitespace().map(str::to_owned).collect()
    };
    let mut all = named("scripts/test");
    all.extend(named("scripts/long"));
    all.sort();
    all.dedup();
    steps.sort();
    assert_eq!(all, steps, "scripts/test and scripts/long together name each script in scripts/steps");
}
