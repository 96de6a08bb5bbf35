//! Every outcome has a status of its own, with a number that never changes and a sentence of its own.
//! semantics 85

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char, c_int};
use std::fs;

use ringfence as _;
use ringfence_ffi_tests::lab::root;

unsafe extern "C" {
    fn rf_status_str(status: c_int) -> *const c_char;
}

/// The numbers as they were given. Lines are added, never changed.
const GIVEN: [(&str, c_int); 55] = [
    ("RF_OK", 0),
    ("RF_OWNER_DIED", 1),
    ("RF_DIFFERENT", 2),
    ("RF_LAST", 3),
    ("RF_YOUR_TURN", 5),
    ("RF_YOUR_TURN_AGAIN", 6),
    ("RF_E_INVALID", -1),
    ("RF_E_NAME", -2),
    ("RF_E_NOT_SUPPORTED", -3),
    ("RF_E_INTERNAL", -4),
    ("RF_E_SYSTEM", -5),
    ("RF_E_NO_MEMORY", -6),
    ("RF_E_NO_SPACE", -7),
    ("RF_E_PERMISSION", -8),
    ("RF_E_EXISTS", -9),
    ("RF_E_MISSING", -10),
    ("RF_E_WRONG_TYPE", -11),
    ("RF_E_WRONG_SHAPE", -12),
    ("RF_E_VERSION", -13),
    ("RF_E_CORRUPTED", -14),
    ("RF_E_TOO_MANY_PARTICIPANTS", -15),
    ("RF_E_DIRECTORY_FULL", -16),
    ("RF_E_NO_DESCRIPTORS", -17),
    ("RF_E_STALE", -18),
    ("RF_E_TIMED_OUT", -20),
    ("RF_E_INTERRUPTED", -21),
    ("RF_E_BUSY", -22),
    ("RF_E_NOT_LOCKED", -30),
    ("RF_E_NOT_OWNER", -31),
    ("RF_E_WOULD_DEADLOCK", -32),
    ("RF_E_NOT_RECOVERABLE", -33),
    ("RF_E_MAXIMUM_REACHED", -34),
    ("RF_E_BROKEN", -35),
    ("RF_E_OTHER_MUTEX", -36),
    ("RF_E_PARTY_DIED", -37),
    ("RF_E_COMPLETED", -38),
    ("RF_E_FULL", -40),
    ("RF_E_EMPTY", -41),
    ("RF_E_CLOSED", -42),
    ("RF_E_END_OF_FILE", -43),
    ("RF_E_WRONG_DIRECTION", -44),
    ("RF_E_MESSAGE_TOO_LONG", -45),
    ("RF_E_BUFFER_TOO_SHORT", -46),
    ("RF_E_NOT_LEASED", -47),
    ("RF_E_TOO_MANY_DONE", -48),
    ("RF_E_ROLE_TAKEN", -49),
    ("RF_E_ALONE", -50),
    ("RF_E_MISSED", -51),
    ("RF_E_DEAD_LETTERS", -52),
    ("RF_E_BROKEN_PIPE", -53),
    ("RF_E_NOT_READY", -60),
    ("RF_E_WORKER_DIED", -61),
    // Not statuses, but as frozen as they are.
    ("RF_CREATE", 1),
    ("RF_EXCL", 2),
    ("RF_INTERRUPTIBLE", 4),
];

/// The lines of `docs/semantics.md` that speak of an outcome, and the statuses by which a C caller (or a wrapper that has
/// to give another language's errors) tells it from the others of the same call.
const LINES: [(u32, &[&str]); 77] = [
    (2, &["RF_E_NOT_LOCKED", "RF_E_NOT_OWNER"]),
    (3, &["RF_E_BUSY", "RF_E_NOT_OWNER"]),
    (4, &["RF_E_BUSY", "RF_E_TIMED_OUT"]),
    (5, &["RF_E_TIMED_OUT"]),
    (6, &["RF_E_INTERRUPTED"]),
    (7, &["RF_E_MAXIMUM_REACHED"]),
    (8, &["RF_OWNER_DIED"]),
    (9, &["RF_E_NOT_OWNER"]),
    (11, &["RF_E_TIMED_OUT"]),
    (15, &["RF_E_TIMED_OUT"]),
    (18, &["RF_LAST", "RF_E_BROKEN"]),
    (19, &["RF_E_BROKEN", "RF_E_TIMED_OUT"]),
    (20, &["RF_E_BROKEN"]),
    (22, &["RF_E_FULL", "RF_E_EMPTY", "RF_E_CLOSED"]),
    (23, &["RF_E_FULL", "RF_E_TIMED_OUT"]),
    (28, &["RF_E_CLOSED"]),
    (30, &["RF_E_TOO_MANY_DONE", "RF_E_NOT_LEASED"]),
    (31, &["RF_E_TIMED_OUT"]),
    (34, &["RF_E_END_OF_FILE"]),
    (35, &["RF_E_BROKEN_PIPE"]),
    (36, &["RF_E_END_OF_FILE"]),
    (37, &["RF_E_WRONG_DIRECTION", "RF_E_CLOSED"]),
    (38, &["RF_E_BUFFER_TOO_SHORT"]),
    (39, &["RF_E_INVALID"]),
    (41, &["RF_E_TIMED_OUT"]),
    (42, &["RF_DIFFERENT", "RF_E_NOT_SUPPORTED"]),
    (44, &["RF_E_EXISTS", "RF_E_MISSING", "RF_E_INVALID", "RF_E_BUSY"]),
    (52, &["RF_E_NOT_READY", "RF_E_TIMED_OUT"]),
    (56, &["RF_E_WORKER_DIED"]),
    (60, &["RF_E_WOULD_DEADLOCK", "RF_E_BUSY"]),
    (61, &["RF_E_NOT_OWNER"]),
    (62, &["RF_OWNER_DIED", "RF_E_NOT_RECOVERABLE"]),
    (68, &["RF_E_BUSY", "RF_E_EMPTY"]),
    (73, &["RF_E_MESSAGE_TOO_LONG", "RF_E_FULL"]),
    (74, &["RF_E_BUFFER_TOO_SHORT"]),
    (76, &["RF_E_EXISTS", "RF_E_MISSING"]),
    (77, &["RF_E_MISSING"]),
    (78, &["RF_E_WRONG_TYPE", "RF_E_WRONG_SHAPE"]),
    (81, &["RF_E_NOT_OWNER"]),
    (82, &["RF_E_BUSY"]),
    (83, &["RF_OWNER_DIED"]),
    (84, &["RF_E_NO_SPACE", "RF_E_NO_MEMORY"]),
    (85, &["RF_OK"]),
    (86, &["RF_E_INVALID"]),
    (102, &["RF_E_OTHER_MUTEX", "RF_E_MAXIMUM_REACHED", "RF_E_NOT_OWNER"]),
    (104, &["RF_OWNER_DIED", "RF_E_NOT_RECOVERABLE"]),
    (106, &["RF_OK", "RF_YOUR_TURN", "RF_E_BUSY", "RF_E_TIMED_OUT"]),
    (107, &["RF_YOUR_TURN", "RF_YOUR_TURN_AGAIN"]),
    (108, &["RF_E_WOULD_DEADLOCK", "RF_E_NOT_OWNER"]),
    (109, &["RF_OK", "RF_E_BUSY", "RF_E_TIMED_OUT"]),
    (110, &["RF_E_NOT_READY", "RF_E_COMPLETED"]),
    (111, &["RF_E_PARTY_DIED", "RF_E_BROKEN"]),
    (112, &["RF_E_PARTY_DIED", "RF_E_NOT_OWNER"]),
    (113, &["RF_E_INTERRUPTED"]),
    (117, &["RF_E_ROLE_TAKEN"]),
    (120, &["RF_E_FULL", "RF_E_EMPTY"]),
    (121, &["RF_E_CLOSED"]),
    (122, &["RF_E_ALONE", "RF_E_TIMED_OUT"]),
    (123, &["RF_E_NOT_OWNER"]),
    (124, &["RF_E_MESSAGE_TOO_LONG", "RF_E_BUFFER_TOO_SHORT"]),
    (128, &["RF_OK", "RF_E_MISSED"]),
    (129, &["RF_E_FULL", "RF_E_TIMED_OUT", "RF_E_MAXIMUM_REACHED"]),
    (131, &["RF_E_ROLE_TAKEN"]),
    (132, &["RF_E_CLOSED"]),
    (133, &["RF_E_MESSAGE_TOO_LONG", "RF_E_BUFFER_TOO_SHORT"]),
    (136, &["RF_E_NOT_OWNER"]),
    (138, &["RF_E_EMPTY", "RF_E_TIMED_OUT"]),
    (141, &["RF_OK", "RF_E_NOT_LEASED"]),
    (144, &["RF_E_DEAD_LETTERS", "RF_E_FULL"]),
    (145, &["RF_E_NOT_LEASED"]),
    (146, &["RF_E_TOO_MANY_DONE"]),
    (147, &["RF_E_NOT_READY", "RF_E_TIMED_OUT"]),
    (148, &["RF_E_CLOSED", "RF_E_EMPTY", "RF_E_TIMED_OUT"]),
    (149, &["RF_E_FULL", "RF_E_MESSAGE_TOO_LONG"]),
    (156, &["RF_E_END_OF_FILE"]),
    (157, &["RF_E_FULL", "RF_E_EMPTY", "RF_E_TIMED_OUT"]),
    (159, &["RF_E_CLOSED"]),
];

fn in_header() -> BTreeMap<String, c_int> {
    let header = fs::read_to_string(root().join("include/ringfence.h")).expect("the header");
    let named = header.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "));
    named.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect()
}

#[test]
fn numbers_never_change() {
    let header = in_header();
    for (name, number) in GIVEN {
        assert_eq!(header.get(name), Some(&number), "{name}");
    }
    for name in header.keys().filter(|name| name.starts_with("RF_E_")) {
        assert!(GIVEN.iter().any(|(given, _)| given == name), "{name} is new: give it a line here, for good");
    }
}

#[test]
fn each_status_has_a_number_and_a_sentence_of_its_own() {
    let statuses = GIVEN.iter().take_while(|(name, _)| *name != "RF_CREATE");
    let (mut numbers, mut sentences) = (BTreeSet::new(), BTreeSet::new());
    for (name, number) in statuses {
        assert!(numbers.insert(*number), "{name} has the number of another");
        // SAFETY: any number will do, and the string is static.
        let sentence = unsafe { CStr::from_ptr(rf_status_str(*number)) };
        assert!(sentence != c"unknown status" && sentences.insert(sentence), "{name}: {sentence:?}");
    }
}

#[test]
fn lines_of_the_semantics_have_statuses() {
    let page = fs::read_to_string(root().join("docs/semantics.md")).expect("docs/semantics.md");
    for (line, statuses) in LINES {
        assert!(page.lines().any(|text| text.starts_with(&format!("{line}. ["))), "no line {line}");
        let distinct: BTreeSet<_> = statuses.iter().collect();
        assert_eq!(distinct.len(), statuses.len(), "line {line}");
        for status in statuses {
            assert!(GIVEN.iter().any(|(given, _)| given == status), "line {line}: {status}");
        }
    }
}
