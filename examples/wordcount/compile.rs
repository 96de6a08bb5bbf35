//! Building the C worker, if there is a C compiler.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::scratch::TempDir;

const SOURCE: &str = include_str!("c_worker.c");
const HEADER: &str = include_str!("../../include/ringfence.h");
const LIBRARY: &str = "libringfence.so";

/// Compiles the C worker into `folder`. The error is the reason to go on without one, in one line.
pub fn c_worker(scratch: &TempDir) -> Result<PathBuf, String> {
    let folder = scratch.path();
    let library = find_library().ok_or_else(|| format!("no {LIBRARY} beside this program"))?;
    let home = library.parent().expect("a file has a folder");
    let source = folder.join("c_worker.c");
    let program = folder.join("c_worker");
    fs::write(&source, SOURCE).map_err(|e| e.to_string())?;
    fs::write(folder.join("ringfence.h"), HEADER).map_err(|e| e.to_string())?;

    let mut tried = Vec::new();
    for compiler in compilers() {
        let Some((name, flags)) = compiler.split_first() else { continue };
        let mut rpath = OsString::from("-Wl,-rpath,");
        rpath.push(home);
        let mut command = Command::new(name);
        scratch.keep_for(&mut command);
        let output = command
            .args(flags)
            .args(["-std=c11", "-O2", "-o"])
            .arg(&program)
            .arg("-I")
            .arg(folder)
            .arg(&source)
            .arg(&library)
            .arg(rpath)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(program),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                let line = text.lines().find(|line| line.contains("error:") || line.contains("undefined"));
                let line = line.or(text.lines().next()).unwrap_or("no reason");
                return Err(format!("{name} failed: {}", line.trim()));
            }
            Err(_) => tried.push(name.clone()),
        }
    }
    Err(format!("no C compiler found (tried {})", tried.join(", ")))
}

/// `$CC` first, as make does, which may carry flags of its own.
fn compilers() -> Vec<Vec<String>> {
    let chosen = env::var("CC").unwrap_or_default();
    let chosen: Vec<String> = chosen.split_whitespace().map(str::to_owned).collect();
    let usual = ["cc", "gcc", "clang"].map(|name| vec![name.to_owned()]);
    std::iter::once(chosen).filter(|words| !words.is_empty()).chain(usual).collect()
}

/// The shared library that cargo built along with this program: `target/<profile>/` and its `deps/`, of which the one
/// written last, since cargo does not refresh both in every build.
fn find_library() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let examples = program.parent()?;
    let profile = examples.parent()?;
    [profile.join("deps"), profile.to_owned(), examples.to_owned()]
        .into_iter()
        .map(|folder| folder.join(LIBRARY))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max_by_key(|(modified, _)| *modified)
        .map(|(_, path)| path)
}
