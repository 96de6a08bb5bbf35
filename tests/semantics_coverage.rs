//! Every line of `docs/semantics.md` that applies is named by a test.
//!
//! A test names a line by its number after the word `semantics`, in a comment: `// semantics 27`, or
//! `# semantics 5, 31 and 32` for several. This does not prove that the test is any good; it proves that nobody forgot the line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where tests live, from the root of the repository.
const FOLDERS: &[&str] = &["tests", "ffi-tests", "crash-tests", "loom-tests"];
const ENDINGS: &[&str] = &[".rs", ".c", ".h", ".cpp", ".py"];

/// The lines of the page: number and whether it applies. Complains about a gap, a repetition or a missing mark.
fn lines(page: &str) -> Result<BTreeMap<u32, bool>, String> {
    let mut found = BTreeMap::new();
    for line in page.lines() {
        let Some((number, text)) = line.split_once(". ") else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        let applies = match text {
            _ if text.starts_with("[applies] ") => true,
            _ if text.starts_with("[later] ") => false,
            _ => return Err(format!("line {number} is neither [applies] nor [later]")),
        };
        if number as usize != found.len() + 1 {
            return Err(format!("line {number} follows line {}", found.len()));
        }
        found.insert(number, applies);
    }
    Ok(found)
}

/// The numbers that a test file names.
fn named(source: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    let mut listing = false;
    for word in source.split_whitespace() {
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        if listing && let Ok(number) = digits.parse() {
            numbers.insert(number);
        } else if !(listing && word == "and") {
            listing = word.trim_start_matches(|c: char| !c.is_alphanumeric()) == "semantics";
        }
    }
    numbers
}

fn missing(page: &str, tests: &[String]) -> Result<Vec<u32>, String> {
    let lines = lines(page)?;
    let named: BTreeSet<u32> = tests.iter().flat_map(|source| named(source)).collect();
    if let Some(stray) = named.iter().find(|n| !lines.contains_key(n)) {
        return Err(format!("a test names line {stray}, which does not exist"));
    }
    Ok(lines.into_iter().filter(|(n, applies)| *applies && !named.contains(n)).map(|(n, _)| n).collect())
}

fn read(folder: &Path, tests: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a test folder can be read") {
        let path = entry.expect("a test folder can be read").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" {
                read(&path, tests);
            }
        } else if name != "semantics_coverage.rs" && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            tests.push(fs::read_to_string(&path).expect("a test is text"));
        }
    }
}

#[test]
fn every_line_that_applies_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if FOLDERS.iter().any(|folder| !root.join(folder).is_dir()) {
        eprintln!("skipped: the packed crate does not carry all tests");
        return;
    }
    let page = fs::read_to_string(root.join("docs/semantics.md")).expect("docs/semantics.md is there");
    let mut tests = Vec::new();
    FOLDERS.iter().for_each(|folder| read(&root.join(folder), &mut tests));
    let missing = missing(&page, &tests).expect("docs/semantics.md and the tests agree on the numbers");
    assert!(missing.is_empty(), "no test names these lines of docs/semantics.md: {missing:?}");
}

/// Negative control: what is not named, not marked or not there is found.
#[test]
fn a_forgotten_line_is_found() {
    let page = "# Page\n1. [applies] a\n2. [later] b\n3. [applies] c 4. not a line\n4. [applies] d\n";
    let tests = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(missing(page, &tests(&["// semantics 1"])), Ok(vec![3, 4]));
    assert_eq!(missing(page, &tests(&["// semantics 1, 3", "# semantics 4: text"])), Ok(vec![]));
    assert_eq!(missing(page, &tests(&["/* semantics 1 and 3. Then 4 */"])), Ok(vec![4]));
    assert_eq!(missing(page, &tests(&["// the semantics of 1, 3, 4"])), Ok(vec![1, 3, 4]));
    assert!(missing(page, &tests(&["// semantics 5"])).is_err());
    assert!(lines("1. [applies] a\n3. [later] c\n").is_err());
    assert!(lines("1. a\n").is_err());
}
