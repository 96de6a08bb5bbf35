//! A module imports only from the layers below it, and each outside world has one door.
//!
//! The sources are read as tokens (comments, strings and character literals dropped), every path that starts at
//! `crate`, `super` or an outside crate is resolved, grouped imports included, and each is held against [`LAYERS`] and
//! [`DOORS`]. Names that `lib.rs` re-exports, and exported macros, count as the layer they come from, so a re-export
//! is no way around.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The layers, lowest first. Modules of one line do not import from each other.
const LAYERS: &[&[&str]] = &[
    &["error", "plain", "primitive"],
    &["sys"],
    &["layout"],
    &["raw"],
    &["segment"],
    &["sync"],
    &["queue", "ring", "cell"],
    &["typed"],
    &["process"],
    &["pool"],
    &["ffi"],
];

/// What only one layer may name: path, layer.
const DOORS: &[(&[&str], &str)] = &[
    (&["rustix"], "sys"),
    (&["libc"], "sys"),
    (&["loom"], "primitive"),
    (&["serde"], "typed"),
    (&["rmp_serde"], "typed"),
    (&["inventory"], "process"),
    (&["core", "sync", "atomic"], "primitive"),
    (&["std", "sync", "atomic"], "primitive"),
];

/// Exceptions: file under `src/`, path that it may name, why. An exception that nothing uses fails the test.
const ALLOWED: &[(&str, &[&str], &str)] = &[
    (
        "sys/futex.rs",
        &["std", "sync", "atomic"],
        "the modelled futex is the kernel's side: its flags must not be scheduling points of the model",
    ),
    ("sys/futex.rs", &["loom"], "the modelled futex parks loom's threads, as the kernel parks real ones"),
    (
        "sys/nap.rs",
        &["core", "sync", "atomic"],
        "the rig's switch is private to the process and thrown before anything that a model would look at",
    ),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSep,
    Other(char),
}

/// Splits a source into words and punctuation, without comments, strings and character literals.
fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let mut i = 0;
    while i < text.len() {
        match text[i] {
            '/' if at(i + 1) == '/' => {
                while i < text.len() && text[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 1;
                i += 2;
                while i < text.len() && depth > 0 {
                    match (text[i], at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                }
            }
            '"' => {
                i += 1;
                while i < text.len() && text[i] != '"' {
                    i += if text[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character literal, or a lifetime (which has no closing quote two or more characters on).
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && text[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if c.is_alphanumeric() || c == '_' => {
                let start = i;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = text[start..i].iter().collect();
                let hashes = text[i..].iter().take_while(|c| **c == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                    // A raw string ends at a quote with as many hashes.
                    i += hashes + 1;
                    while i < text.len() && !(text[i] == '"' && (0..hashes).all(|h| at(i + 1 + h) == '#')) {
                        i += 1;
                    }
                    i += hashes + 1;
                } else if !(word == "r" && hashes == 1) {
                    found.push(Token::Word(word));
                }
            }
            ':' if at(i + 1) == ':' => {
                found.push(Token::PathSep);
                i += 2;
            }
            c if c.is_whitespace() => i += 1,
            c => {
                found.push(Token::Other(c));
                i += 1;
            }
        }
    }
    found
}

/// Reads the path (or the tree of an import) that starts at token `i`; returns each full path and where it ends.
fn paths_at(tokens: &[Token], mut i: usize, prefix: &[String]) -> (Vec<Vec<String>>, usize) {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(i) {
            Some(Token::Word(word)) => {
                path.push(word.clone());
                i += 1;
                if tokens.get(i) != Some(&Token::PathSep) {
                    return (vec![path], i);
                }
                i += 1;
            }
            Some(Token::Other('{')) => {
                let mut all = Vec::new();
                i += 1;
                while let Some(token) = tokens.get(i) {
                    match token {
                        Token::Other('}') => return (all, i + 1),
                        Token::Other(',') => i += 1,
                        Token::Word(word) if word == "as" => i += 2,
                        Token::Word(_) | Token::Other('{') => {
                            let (inner, end) = paths_at(tokens, i, &path);
                            all.extend(inner);
                            i = end;
                        }
                        _ => i += 1,
                    }
                }
                return (all, i);
            }
            // `::<T>`, `::*`: the path so far is what counts.
            _ => return (vec![path], i),
        }
    }
}

/// Every path in a file, with `crate`, `self` and `super` resolved to a path from the root that starts with `crate`.
fn paths(file: &str, source: &str) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let mut home: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(home.last().map(String::as_str), Some("mod" | "lib")) {
        home.pop();
    }
    let mut inline: Vec<Option<String>> = Vec::new();
    let mut all = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let word = match &tokens[i] {
            Token::Word(word) => word.as_str(),
            Token::Other('{') => {
                let module = match (i.checked_sub(2).map(|j| &tokens[j]), i.checked_sub(1).map(|j| &tokens[j])) {
                    (Some(Token::Word(kind)), Some(Token::Word(name))) if kind == "mod" => Some(name.clone()),
                    _ => None,
                };
                inline.push(module);
                i += 1;
                continue;
            }
            Token::Other('}') => {
                inline.pop();
                i += 1;
                continue;
            }
            _ => {
                i += 1;
                continue;
            }
        };
        let continues = i >= 2 && tokens[i - 1] == Token::PathSep && matches!(tokens[i - 2], Token::Word(_));
        let starts = !continues && (tokens.get(i + 1) == Some(&Token::PathSep) || (i > 0 && is_use(&tokens[i - 1])));
        if !starts {
            i += 1;
            continue;
        }
        let here: Vec<String> = home.iter().cloned().chain(inline.iter().flatten().cloned()).collect();
        let root_word = matches!(word, "crate" | "self" | "super");
        let (found, end) = paths_at(&tokens, i, &[]);
        i = end;
        for path in found {
            if !root_word {
                all.push(path);
                continue;
            }
            let mut base = if path[0] == "crate" { Vec::new() } else { here.clone() };
            let mut rest = path.as_slice();
            while let Some(first) = rest.first().filter(|w| matches!(w.as_str(), "crate" | "self" | "super")) {
                if first == "super" {
                    base.pop();
                }
                rest = &rest[1..];
            }
            all.push(["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned()).collect());
        }
    }
    all
}

fn is_use(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word == "use")
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|line| line.contains(&layer))
}

/// What the root of the crate re-exports, and which layer it comes from.
fn reexports(lib: &str) -> BTreeMap<String, String> {
    let mut tokens = tokens(lib);
    for token in &mut tokens {
        // `a::B as C` read as `a::B::C`: the first word gives the layer, the last one the name.
        if *token == Token::Word("as".to_owned()) {
            *token = Token::PathSep;
        }
    }
    let mut names = BTreeMap::new();
    for i in (0..tokens.len()).filter(|&i| is_use(&tokens[i])) {
        for path in paths_at(&tokens, i + 1, &[]).0 {
            let path: Vec<String> = path.into_iter().filter(|w| w != "crate" && w != "self").collect();
            if let (Some(first), Some(last)) = (path.first(), path.last())
                && rank(first).is_some()
            {
                names.insert(last.clone(), first.clone());
            }
        }
    }
    names
}

/// The macros that a file exports to the root of the crate.
fn macros(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    tokens
        .windows(3)
        .filter_map(|w| match w {
            [Token::Word(rules), Token::Other('!'), Token::Word(name)] if rules == "macro_rules" => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// Checks all files (path under `src/`, source); returns what is wrong and which exceptions were used.
fn check(files: &[(String, String)]) -> (Vec<String>, Vec<usize>) {
    let layer_of = |file: &str| file.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
    let mut root_names = BTreeMap::new();
    for (file, source) in files {
        if file == "lib.rs" {
            root_names.extend(reexports(source));
        }
        root_names.extend(macros(source).into_iter().map(|name| (name, layer_of(file))));
    }

    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for (file, source) in files {
        let layer = layer_of(file);
        let own_rank = rank(&layer);
        if own_rank.is_none() && layer != "lib" {
            wrong.push(format!("src/{file}: `{layer}` is in no layer: give it one in tests/layers.rs"));
        }
        for path in paths(file, source) {
            let name = path.join("::");
            for (door, keeper) in DOORS {
                let named = path.len() >= door.len() && path.iter().zip(door.iter()).all(|(a, b)| a == b);
                if !named || layer == *keeper {
                    continue;
                }
                match ALLOWED.iter().position(|(f, p, _)| f == file && p == door) {
                    Some(exception) => used.push(exception),
                    None => wrong.push(format!("src/{file}: names {name}, which only {keeper} may")),
                }
            }
            if path[0] != "crate" || layer == "lib" {
                continue;
            }
            let Some(target) = path.get(1) else { continue };
            let target = root_names.get(target).unwrap_or(target);
            match (rank(target), own_rank) {
                _ if *target == layer => {}
                (Some(theirs), Some(ours)) if theirs < ours => {}
                (Some(_), _) => wrong.push(format!("src/{file}: {layer} imports {name}, which is not below it")),
                (None, _) => wrong.push(format!("src/{file}: {name}: no layer has that name")),
            }
        }
    }
    (wrong, used)
}

fn read(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("src/ can be read") {
        let path = entry.expect("src/ can be read").path();
        let name = format!("{prefix}{}", path.file_name().expect("an entry has a name").to_string_lossy());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(&path).expect("a source is text")));
        }
    }
}

#[test]
fn imports_point_downwards() {
    let mut files = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(files.len() > 5, "the sources were not found");
    let (wrong, used) = check(&files);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (i, (file, path, why)) in ALLOWED.iter().enumerate() {
        assert!(used.contains(&i), "src/{file} no longer names {}: remove the exception", path.join("::"));
        assert!(!why.is_empty());
    }
}

/// Negative control: each planted import is found, and what only looks like one is not.
#[test]
fn a_planted_import_is_found() {
    let lib = ("lib.rs".to_owned(), "pub use sync::{Guard, Mutex as Lock}; pub use error::Error;".to_owned());
    let cases: &[(&str, &str, bool)] = &[
        ("raw/x.rs", "use crate::segment::Segment;", true),
        ("raw/x.rs", "use crate::{primitive::Ordering, ffi::{a, b}};", true),
        ("raw/x.rs", "fn f() { crate::segment::g::<u8>() }", true),
        ("raw/x.rs", "use super::super::cell::Value;", true),
        ("raw/x.rs", "mod inner { use super::super::super::queue; }", true),
        ("segment/mod.rs", "use super::queue::Queue;", true),
        ("segment/x.rs", "fn f(g: crate::Guard) {}", true),
        ("queue/x.rs", "use crate::cell::Value;", true),
        ("queue/x.rs", "use std::sync::{Arc, atomic::{AtomicU32, Ordering}};", true),
        ("queue/x.rs", "fn f() { ::core::sync::atomic::fence() }", true),
        ("raw/x.rs", "fn f() -> i32 { unsafe { libc::getpid() } }", true),
        ("raw/x.rs", "use rustix as r;", true),
        ("raw/x.rs", "use loom::thread;", true),
        ("raw/x.rs", "use crate::nowhere::x;", true),
        ("stray.rs", "", true),
        ("lib.rs", "use libc::c_int;", true),
        ("raw/x.rs", "use crate::sys::nap::{Nap, Wait}; use super::Peers; use crate::Error;", false),
        ("raw/x.rs", "//! [`x`](crate::segment::x)\n/* crate::ffi::y /* */ libc::z */ fn f<'a>() {}", false),
        (
            "raw/x.rs",
            "const S: &str = \"crate::ffi::x\\\"\"; const C: char = '\"'; const R: &str = r#\"libc::\"x\"#;",
            false,
        ),
        ("raw/x.rs", "mod inner { use super::super::Peers; }", false),
        ("sys/x.rs", "use rustix::io; use libc::c_int;", false),
        ("primitive.rs", "pub use core::sync::atomic::AtomicU32; use loom::sync;", false),
        ("ffi/x.rs", "use crate::{Lock, cell::Value, error::Error}; use std::sync::Arc;", false),
    ];
    for (file, source, bad) in cases {
        let mut files = vec![((*file).to_owned(), (*source).to_owned())];
        if *file != "lib.rs" {
            files.push(lib.clone());
        }
        let (wrong, _) = check(&files);
        assert_eq!(!wrong.is_empty(), *bad, "src/{file}: {source}: {wrong:?}");
    }
}
