//! Map and reduce on a pool, and the example that counts words.
mod common;

use std::fs;
use std::process::Command;

use common::example;
use ringfence::pool::{Pool, PoolOptions, TaskError};
use ringfence::process::init_test;

const ENTRY: &str = "child_entry";

/// The letters of a text, each with the number of its text; those of a text that starts with `!` never come.
fn letters(text: String) -> Vec<(char, String)> {
    assert!(!text.starts_with('!'), "not {text}");
    text.chars().map(|letter| (letter, text.clone())).collect()
}

fn joined(letter: char, texts: Vec<String>) -> String {
    assert!(letter != '?', "no {letter}");
    format!("{letter}: {}", texts.join(" "))
}

/// Kills its process the first time, as the file tells that it makes then.
fn dies_once(file: String) -> Vec<(u8, u8)> {
    if fs::File::create_new(&file).is_ok() {
        // SAFETY: the signal is for this process alone.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    vec![(1, 2)]
}

fn count(_: u8, values: Vec<u8>) -> usize {
    values.len()
}

ringfence::register!(letters);
ringfence::register!(joined);
ringfence::register!(dies_once);
ringfence::register!(count);

#[test]
fn child_entry() {
    init_test(ENTRY);
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// semantics 203
#[test]
fn equal_keys_come_together_in_order() {
    init_test(ENTRY);
    let pool = Pool::new(2).unwrap();
    let found = pool.map_reduce(texts(&["ab", "ba", "c", ""]), letters, joined).unwrap();
    assert_eq!(found, ["a: ab ba", "b: ab ba", "c: c"]);
    assert_eq!(pool.map_reduce(texts(&[]), letters, joined).unwrap(), Vec::<String>::new());
    // Many inputs: more than there is room for in the pool at once.
    let many: Vec<String> = (0..5000).map(|number| format!("x{number}")).collect();
    let found = pool.map_reduce(many.clone(), letters, joined).unwrap();
    assert_eq!(found.last(), Some(&format!("x: {}", many.join(" "))));
}

/// semantics 204
#[test]
fn the_first_error_is_told_and_the_pool_goes_on() {
    init_test(ENTRY);
    let pool = Pool::new(2).unwrap();
    let failed = |inputs: &[&str]| match pool.map_reduce(texts(inputs), letters, joined) {
        Err(TaskError::Panicked(panic)) => panic.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(&["a", "!1", "!2"]), "not !1");
    assert_eq!(failed(&["a", "?"]), "no ?");
    assert_eq!(pool.map_reduce(texts(&["a"]), letters, joined).unwrap(), ["a: a"]);
}

/// semantics 204
#[test]
fn a_killed_worker_s_inputs_are_mapped_once() {
    init_test(ENTRY);
    let folder = std::env::temp_dir().join(format!("ringfence-map-reduce-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let files: Vec<String> = (0..4).map(|n| folder.join(n.to_string()).to_string_lossy().into_owned()).collect();
    let pool = PoolOptions::new().workers(2).retries(8).create().unwrap();
    let found = pool.map_reduce(files, dies_once, count);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found.unwrap(), [4]);
}

/// semantics 205
#[test]
fn the_example_counts() {
    let folder = std::env::temp_dir().join(format!("ringfence-map-reduce-example-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (one, other) = (folder.join("one.rst"), folder.join("other.rst"));
    fs::write(&one, "The Größe, the größe: x1 it's\n .. left out\nzeta alpha\n").unwrap();
    fs::write(&other, "alpha-beta (GRÖSSE) größe; été\n").unwrap();
    let run = Command::new(example("map_reduce")).args([&one, &other]).output();
    fs::remove_dir_all(&folder).unwrap();
    let run = run.unwrap();
    let printed = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && run.stderr.is_empty(), "{printed}{}", String::from_utf8_lossy(&run.stderr));
    let (reading, table) = printed.split_once("\nTop 7 words\n\n").unwrap_or_else(|| panic!("{printed}"));
    let mut reading: Vec<_> = reading.lines().map(|line| line.split_once(" reading ").unwrap()).collect();
    assert!(reading.iter().all(|(worker, _)| worker.starts_with("PoolWorker-")), "{reading:?}");
    reading.sort_by_key(|(_, file)| *file);
    assert_eq!(
        reading.iter().map(|(_, file)| *file).collect::<Vec<_>>(),
        [one.to_str().unwrap(), other.to_str().unwrap()]
    );
    let rows = [("größe", 3), ("alpha", 2), ("beta", 1), ("grösse", 1), ("s", 1), ("zeta", 1), ("été", 1)];
    let rows: String = rows.iter().map(|(word, count)| format!("{word:<6}: {count:5}\n")).collect();
    assert_eq!(table, rows);
}
