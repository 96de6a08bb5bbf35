//! Makes `include/ringfence.h`: one chapter per file of `src/ffi`, its module documentation as the introduction, and
//! what cbindgen makes of its declarations.

use std::fs;
use std::path::Path;

/// The chapters in the order of the book. The introduction is the documentation of the module itself.
const CHAPTERS: [&str; 29] = [
    "version.rs",
    "status.rs",
    "boundary.rs",
    "flag.rs",
    "segment.rs",
    "listing.rs",
    "mutex.rs",
    "reentrant_mutex.rs",
    "rwlock.rs",
    "semaphore.rs",
    "event.rs",
    "condvar.rs",
    "barrier.rs",
    "once.rs",
    "once_value.rs",
    "value.rs",
    "array.rs",
    "queue.rs",
    "channel.rs",
    "spsc.rs",
    "byte_ring.rs",
    "work_queue.rs",
    "worker.rs",
    "broadcast.rs",
    "blackboard.rs",
    "pipe.rs",
    "wait_any.rs",
    "ready_fd.rs",
    "log.rs",
];

const OPENING: &str = "\
/* Generated from src/ffi by cbindgen. Do not edit: see CONTRIBUTING. */

#ifndef RINGFENCE_H
#define RINGFENCE_H

";

const INCLUDES: &str = "\
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
";

/// The header for the sources under `root`, the repository.
///
/// # Panics
/// If a source cannot be read or understood: this is a tool for developers.
pub fn generate(root: &Path) -> String {
    let folder = root.join("src/ffi");
    let mut header = OPENING.to_owned();
    header += &comment(&folder.join("mod.rs"));
    header += "\n";
    header += INCLUDES;
    header += "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
    header += &format!(
        "\n/** The version of the library that this header belongs to. */\n#define RF_VERSION \"{}\"\n",
        version(root)
    );
    for chapter in CHAPTERS {
        header += "\n";
        // The boundary's introduction is about its inside.
        if chapter != "boundary.rs" {
            header += &comment(&folder.join(chapter));
            header += "\n";
        }
        header += short(declarations(root, &folder.join(chapter)).trim()).trim_end();
        header += "\n";
    }
    header += "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n";
    header + "\n#endif /* RINGFENCE_H */\n"
}

/// The version in the manifest.
fn version(root: &Path) -> String {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version in Cargo.toml");
    line.trim_matches('"').to_owned()
}

/// Puts each comment of one line into one line.
fn short(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        let (line, next) = (lines[at], lines.get(at + 1).map_or("", |next| next.trim_start()));
        if line.trim() == "/**" && lines.get(at + 2).is_some_and(|line| line.trim() == "*/") {
            out += &format!("{} {} */\n", line, next.trim_start_matches("* "));
            at += 3;
        } else {
            out += line;
            out += "\n";
            at += 1;
        }
    }
    out
}

fn declarations(root: &Path, source: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate();
    let mut text = Vec::new();
    bindings.unwrap_or_else(|error| panic!("{}: {error}", source.display())).write(&mut text);
    String::from_utf8(text).expect("cbindgen writes UTF-8")
}

/// The module documentation of a file as a C comment. Code between fences is indented instead.
fn comment(source: &Path) -> String {
    let text = fs::read_to_string(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let mut comment = String::new();
    let mut fenced = false;
    for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        assert!(!line.contains("*/"), "{}: a comment inside a comment: {line}", source.display());
        let start = if comment.is_empty() { "/*" } else { " *" };
        let indent = if fenced { "     " } else { " " };
        comment += format!("{start}{indent}{line}").trim_end();
        comment += "\n";
    }
    comment + " */\n"
}
