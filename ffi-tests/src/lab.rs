//! A place to compile and run programs against the library that cargo has built, and to leave nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, process, thread};

/// No program of ours takes this long.
const LIMIT: Duration = Duration::from_secs(400);

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_path_buf()
}

/// How a program finds the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linking {
    /// `-L DIR -lringfence`.
    Plain,
    /// The archive as an argument.
    Static,
    /// What `pkg-config --cflags --libs ringfence` says.
    PkgConfig,
}

/// A temporary folder, and a name for segments that nobody else uses. Both are gone when it is dropped.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    segment: String,
}

impl Lab {
    /// A lab for the test of that name.
    ///
    /// # Panics
    /// If the library is not where cargo puts it.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let segment = format!("ffi-tests.{test}.{}", process::id());
        let folder = env::temp_dir().join(format!("ringfence-{segment}"));
        fs::create_dir_all(folder.join("lib")).expect("a temporary folder");
        let lab = Self { folder, segment };
        // The library lies beside the test programs, which are linked against it. A folder of its own, so that nothing
        // else in there is found by the linker.
        let built = env::current_exe().expect("this program").parent().expect("its folder").to_path_buf();
        for name in ["libringfence.so", "libringfence.a"] {
            let file = built.join(name);
            assert!(
                file.exists(),
                "{} is missing: cargo builds it for `cargo test -p ringfence-ffi-tests`",
                file.display()
            );
            std::os::unix::fs::symlink(file, lab.library(name)).expect("a link to the library");
        }
        lab
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the library.
    #[must_use]
    pub fn library(&self, name: &str) -> PathBuf {
        self.folder.join("lib").join(name)
    }

    /// The name of the segment.
    #[must_use]
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// Compiles a program (C11, or C++17 for `.cpp`) without a warning and returns its path.
    ///
    /// # Panics
    /// If it does not compile.
    #[must_use]
    pub fn compile(&self, source: &str, linking: Linking) -> PathBuf {
        let source = root().join("ffi-tests").join(source);
        let program = self.folder.join(source.file_stem().expect("a name"));
        let is_cpp = source.extension() == Some(OsStr::new("cpp"));
        let mut compiler = Command::new(if is_cpp { "c++" } else { "cc" });
        compiler.arg(if is_cpp { "-std=c++17" } else { "-std=c11" }).args(WARNINGS).args(["-g", "-O1", "-pthread"]);
        compiler.arg(&source).arg("-o").arg(&program);
        let lib = self.folder.join("lib");
        match linking {
            Linking::Plain => {
                compiler.arg("-I").arg(root().join("include")).arg("-L").arg(&lib).arg("-lringfence").arg(rpath(&lib));
            }
            Linking::Static => {
                compiler.arg("-I").arg(root().join("include")).arg(self.library("libringfence.a"));
                // What `rustc --print native-static-libs` says.
                compiler.args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]);
            }
            Linking::PkgConfig => {
                compiler.args(self.pkg_config()).arg(rpath(&lib));
            }
        }
        let output = run(&mut compiler);
        assert!(output.status.success(), "{} does not compile:\n{}", source.display(), text(&output.stderr));
        program
    }

    /// What pkg-config says about an installation in the build folder.
    fn pkg_config(&self) -> Vec<String> {
        let description = format!(
            "libdir={}\nincludedir={}\n\nName: ringfence\nDescription: as built\nVersion: 0\nCflags: -I${{includedir}}\n\
             Libs: -L${{libdir}} -lringfence\n",
            self.folder.join("lib").display(),
            root().join("include").display()
        );
        fs::write(self.folder.join("ringfence.pc"), description).expect("ringfence.pc");
        let mut command = Command::new("pkg-config");
        let output = run(command.args(["--cflags", "--libs", "ringfence"]).env("PKG_CONFIG_PATH", &self.folder));
        assert!(output.status.success(), "pkg-config: {}", text(&output.stderr));
        text(&output.stdout).split_whitespace().map(str::to_owned).collect()
    }
}

fn rpath(lib: &Path) -> String {
    format!("-Wl,-rpath,{}", lib.display())
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&format!("ringfence.{}", self.segment)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Runs a command to its end. One that takes too long is killed, with all its children.
///
/// # Panics
/// If it cannot be started, or takes too long.
pub fn run(command: &mut Command) -> Output {
    // cargo tells programs where its libraries are: ours have to find them by themselves.
    command.env_remove("LD_LIBRARY_PATH").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let group = -i32::try_from(child.id()).expect("a pid");
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let output = result.recv_timeout(LIMIT);
    if output.is_err() {
        // SAFETY: the group is of our making, and its leader has not been waited for.
        unsafe { libc::kill(group, libc::SIGKILL) };
        panic!("{command:?} took more than {LIMIT:?}");
    }
    output.expect("just checked").expect("its output")
}

/// Output as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program, checks that it ends well, and returns what it printed.
///
/// # Panics
/// If it ends badly.
pub fn run_well(command: &mut Command) -> String {
    let output = run(command);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    assert_eq!(err, "", "{command:?} prints errors");
    out
}
