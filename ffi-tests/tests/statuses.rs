//! The status codes as the header declares them, held against docs/semantics.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Name and value of each status in the header.
fn statuses() -> BTreeMap<String, i32> {
    let header = text("include/ringfence.h");
    let start = header.find("RF_OK = 0").expect("the enum of statuses");
    let body = &header[start..start + header[start..].find('}').unwrap()];
    let pairs = body.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// Lines of docs/semantics.md and the statuses that tell their outcomes apart.
const OUTCOMES: &[(u32, &[&str])] = &[
    (4, &["RF_E_BUSY", "RF_E_FULL", "RF_E_EMPTY"]),
    (5, &["RF_E_TIMED_OUT"]),
    (6, &["RF_E_INTERRUPTED"]),
    (8, &["RF_OWNER_DIED"]),
    (22, &["RF_E_FULL", "RF_E_EMPTY", "RF_E_CLOSED"]),
    (28, &["RF_E_CLOSED"]),
    (60, &["RF_E_WOULD_DEADLOCK"]),
    (61, &["RF_E_NOT_OWNER"]),
    (62, &["RF_E_NOT_RECOVERABLE"]),
    (68, &["RF_E_BUSY", "RF_E_EMPTY"]),
    (73, &["RF_E_MESSAGE_TOO_LONG"]),
    (74, &["RF_E_BUFFER_TOO_SHORT"]),
    (76, &["RF_E_EXISTS", "RF_E_MISSING"]),
    (78, &["RF_E_WRONG_TYPE", "RF_E_WRONG_SHAPE"]),
    (82, &["RF_E_BUSY"]),
    (84, &["RF_E_NO_SPACE"]),
    (86, &["RF_E_INVALID"]),
];

// semantics 85
#[test]
fn each_outcome_has_a_status_of_its_own() {
    let statuses = statuses();
    let page = text("docs/semantics.md");
    for (line, names) in OUTCOMES {
        assert!(page.contains(&format!("\n{line}. [applies]")), "line {line} does not apply");
        for name in *names {
            assert!(statuses.contains_key(*name), "line {line} needs {name}");
        }
    }
    let mut values: Vec<i32> = statuses.values().copied().collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), statuses.len(), "two statuses share a number");
    for (name, value) in &statuses {
        let fits = match name.as_str() {
            "RF_OK" => *value == 0,
            name if name.starts_with("RF_E_") => *value < 0,
            _ => *value > 0,
        };
        assert!(fits, "{name} is {value}: negative is failure, positive is success with a remark");
    }
}
