//! What the shared library exports is what `symbols.txt` lists and the header declares. `RINGFENCE_BLESS=1 cargo test -p
//! ringfence-ffi-tests --test symbols` writes the list anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use ringfence_ffi_tests::lab::{Lab, root, text};

fn exported(library: &Path) -> BTreeSet<String> {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().expect("nm");
    assert!(output.status.success(), "nm {}: {}", library.display(), text(&output.stderr));
    text(&output.stdout).lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("include/ringfence.h")).expect("the header");
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/']));
    code.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("rf_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_library_exports_what_is_listed_and_declared() {
    let lab = Lab::new("symbols");
    let exported = exported(&lab.library("libringfence.so"));
    let path = root().join("ffi-tests/symbols.txt");
    if env::var_os("RINGFENCE_BLESS").is_some() {
        let list: String = exported.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&path, list).expect("symbols.txt");
    }
    let listed = fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect();
    assert_eq!(exported, listed, "exported (left) against ffi-tests/symbols.txt (right)");
    assert_eq!(exported, declared(), "exported (left) against include/ringfence.h (right)");
}

/// Every function that can be given something bad is given it in bad.c or bad_null.c.
#[test]
fn every_function_is_tried_with_bad_arguments() {
    let bad: String = ["bad.c", "bad_null.c"]
        .map(|name| fs::read_to_string(root().join("ffi-tests/c").join(name)).expect(name))
        .concat();
    let sweep = "rf_segment_sweep"; // its only argument may be NULL
    let missing: Vec<_> =
        declared().into_iter().filter(|name| name != sweep && !bad.contains(&format!("{name}("))).collect();
    assert_eq!(missing, Vec::<String>::new(), "not tried");
}

/// Every entry point that returns a status goes through the one boundary, itself or by calling one that does.
#[test]
fn there_is_one_panic_boundary() {
    let folder = root().join("src/ffi");
    let mut catchers = Vec::new();
    let mut functions = 0;
    for entry in fs::read_dir(folder).expect("src/ffi") {
        let path = entry.expect("an entry").path();
        let source = fs::read_to_string(&path).expect("a source");
        let code: String = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        if code.contains("catch_unwind(") {
            catchers.push(path.file_name().expect("a name").to_owned());
        }
        for function in code.split("#[unsafe(no_mangle)]").skip(1) {
            functions += 1;
            let end = function.find("\n}\n").expect("the end of a function");
            let (signature, body) = function[..end].split_once("{\n").expect("a body");
            let plain = ["rf_status_str", "rf_last_errno", "rf_array_get", "rf_array_set"];
            let is_plain = plain.iter().any(|name| signature.contains(&format!("fn {name}(")));
            if signature.contains("-> c_int") && !is_plain {
                assert!(body.contains("boundary("), "no boundary in {signature}");
            }
        }
    }
    assert_eq!(catchers, ["boundary.rs"]);
    assert_eq!(functions, declared().len());
}

/// The pure Rust crate has no C symbol.
#[test]
fn without_the_feature_nothing_is_exported() {
    let target = root().join("target/without-capi");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--locked", "--quiet", "-p", "ringfence", "--no-default-features", "--target-dir"])
        .arg(&target);
    let output = build.current_dir(root()).output().expect("cargo");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let library = target.join("debug/libringfence.so");
    let ours: Vec<_> = exported(&library).into_iter().filter(|name| name.starts_with("rf_")).collect();
    assert_eq!(ours, Vec::<String>::new());
}
