//! The word count example as its users run it, and what it should say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::OnceLock;

use super::{until, until_it_stands_still};

/// The example, built as this test was.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // For who has built it and runs this test again and again.
        if let Some(path) = std::env::var_os("RINGFENCE_WORDCOUNT") {
            return path.into();
        }
        super::example("wordcount")
    })
}

pub fn wordcount(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args);
    command
}

/// A folder of its own, gone afterwards.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringfence-test-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: impl AsRef<Path>, text: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The word rule once more, for what `--all` has to print.
pub fn expected(texts: &[&[u8]]) -> String {
    let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for text in texts {
        for word in text.split(|byte| !(byte.is_ascii_alphabetic() || *byte >= 0x80)).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_ascii_lowercase()).or_default() += 1;
        }
    }
    let mut lines = Vec::new();
    for (word, times) in counts {
        lines.extend(word);
        lines.extend(format!("\t{times}\n").bytes());
    }
    text(&lines)
}

/// Bytes so that an assertion can show them, each to be told from every other.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if *byte == b'\n' { "\n".into() } else { byte.escape_ascii().to_string() }).collect()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs with `--all` and compares every byte of stdout; gives back stderr, where the report is.
pub fn counts_to(command: &mut Command, texts: &[&[u8]]) -> String {
    let output = command.arg("--all").output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(text(&output.stdout), expected(texts), "{said}");
    assert!(said.contains("check: equal"), "{said}");
    said
}

pub fn has_compiler() -> bool {
    ["cc", "gcc", "clang"].iter().any(|name| Command::new(name).arg("--version").output().is_ok())
}

/// Some text with many different words.
pub fn prose(words: u32) -> Vec<u8> {
    let mut text = Vec::new();
    let mut state = 1u32;
    for n in 0..words {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut value = state >> 20;
        loop {
            text.push(b"aBcDeFgHiJ\xc3KlMnOp"[value as usize % 16]);
            value /= 16;
            if value == 0 {
                break;
            }
        }
        text.push(if n % 11 == 0 { b'\n' } else { b' ' });
    }
    text
}

/// A run of its own process group. Stopped if the test is killed; when dropped nothing of it is left, however it ended.
pub struct Run(pub Child);

impl Run {
    pub fn start(command: &mut Command) -> Self {
        // SAFETY: system calls only, between fork and exec; `none` is valid for the one that reads it.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                // SIGQUIT leaves no core file either.
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &none);
                Ok(())
            });
        }
        Self(command.process_group(0).spawn().unwrap())
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    pub fn segment(&self) -> PathBuf {
        format!("/dev/shm/ringfence.wordcount-{}", self.pid()).into()
    }

    /// To the whole group, as a terminal does.
    pub fn signal_all(&self, number: i32) {
        signal(-self.pid(), number);
    }

    /// Kills the group and waits for the end of all of it.
    pub fn kill_all(&mut self) {
        let workers = self.children();
        self.signal_all(libc::SIGKILL);
        self.0.wait().unwrap();
        until("no worker is left", || !workers.iter().any(|pid| runs(*pid)));
    }

    pub fn children(&self) -> Vec<i32> {
        children(self.pid())
    }

    /// How it ends by itself.
    pub fn end(&mut self) -> ExitStatus {
        let pid = self.pid();
        let mut status = None;
        until_it_stands_still("the run ends", || {
            status = self.0.try_wait().unwrap();
            (status.is_some(), time_used(pid))
        });
        status.unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.signal_all(libc::SIGKILL);
            let _ = self.0.wait();
        }
        let _ = fs::remove_file(self.segment());
    }
}

pub fn children(pid: i32) -> Vec<i32> {
    // Of all threads: a pool's workers are children of one of its own.
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// The processor time of a process and its children, to tell whether it does anything.
fn time_used(pid: i32) -> Vec<Option<Vec<String>>> {
    let used = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name: user and system time, its own and that of the children that it has reaped.
        Some(stat.rsplit(") ").next()?.split(' ').skip(11).take(4).map(str::to_owned).collect())
    };
    std::iter::once(pid).chain(children(pid)).map(used).collect()
}

pub fn signal(pid: i32, signal: i32) {
    // SAFETY: kill touches no memory; the process, or the group, is a child of ours that nobody has waited for.
    unsafe { libc::kill(pid, signal) };
}

/// Whether it runs: not gone, and not waiting for its parent to notice that it is.
pub fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
