//! A temporary folder that goes with us, and those of runs that were killed.
//!
//! `<temporary>/ringfence-wordcount-PID-N` belongs to whoever holds its lock. The kernel drops that with the last
//! process that has it: the owner, or the compiler at work for it. A folder whose lock is free belongs to nobody.
//!
//! Making one takes two steps, and a sweep may come in between: whoever gets the lock looks whether the folder is still
//! there, and the maker takes another name if not.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

const PREFIX: &str = "ringfence-wordcount-";

/// A folder of our own that goes with us.
pub struct TempDir {
    path: PathBuf,
    lock: File,
}

impl TempDir {
    /// A new folder that nobody else may enter.
    pub fn new() -> io::Result<Self> {
        let base = env::temp_dir();
        for attempt in 0..1000 {
            let path = base.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
            match take(&path) {
                Ok(Some(lock)) => return Ok(Self { path, lock }),
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has `command`, and what it starts, keep the folder as long as they run, also if we are killed meanwhile.
    pub fn keep_for(&self, command: &mut Command) {
        let fd = self.lock.as_raw_fd();
        // SAFETY: a system call only, between fork and exec. It changes the child's descriptor, not ours.
        unsafe {
            command.pre_exec(move || match libc::fcntl(fd, libc::F_SETFD, 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Nothing to be done about a failure, and nothing depends on it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of runs that were killed. Nothing depends on it.
pub fn sweep() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_ours)
            && let Ok(Some(_lock)) = take(&entry.path())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it is named `PREFIX`, digits, hyphen, digits.
fn is_ours(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(pid, attempt)| number(pid) && number(attempt))
}

/// The lock of a folder of this user; `None` if another process has it, or if the folder is no more what it was.
fn take(path: &Path) -> io::Result<Option<File>> {
    // What is not a folder, a link to one included, is not opened.
    let folder = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
    let opened = folder.metadata()?;
    if opened.uid() != rustix::process::geteuid().as_raw() {
        return Ok(None);
    }
    if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let now = fs::symlink_metadata(path)?;
    Ok(((now.dev(), now.ino()) == (opened.dev(), opened.ino())).then_some(folder))
}
