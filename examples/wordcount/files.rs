//! Finding the files, and cutting them into tasks between words.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::text::is_word_byte;

/// A file to count, as long as it was when it was found: what is appended later belongs to the next run.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    pub len: u64,
}

/// A range of one of the sources.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub file: usize,
    pub from: u64,
    pub to: u64,
}

/// What a walk came back with.
#[derive(Default, Debug)]
pub struct Found {
    pub sources: Vec<Source>,
    /// What could not be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// Whether a path that the user named is among the skipped.
    pub named_skipped: bool,
}

/// Which files of a folder are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taste {
    /// All of them: the user named the folder.
    Everything,
    /// Text only, and nothing hidden or made by a build: the default input is a repository.
    Repository,
}

/// All files under `paths`, folders in bytewise order of their entries.
///
/// A symbolic link is followed if it was named, never inside a folder: so no loop can be entered. Pipes, sockets and
/// devices are skipped.
pub fn walk(paths: &[PathBuf], taste: Taste) -> Found {
    let mut found = Found::default();
    for path in paths {
        let before = found.skipped.len();
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                walk_folder(path, taste, &mut found);
                // Something inside that cannot be read is not the folder that was named.
                found.named_skipped |= found.skipped[before..].iter().any(|(skipped, _)| skipped == path);
            }
            Ok(meta) => {
                take(path, &meta, &mut found);
                found.named_skipped |= found.skipped.len() > before;
            }
            Err(e) => {
                found.skipped.push((path.clone(), reason(&e)));
                found.named_skipped = true;
            }
        }
    }
    found
}

/// Walks with a list of its own, not by recursion: folders may be nested deeper than a stack is long.
fn walk_folder(folder: &Path, taste: Taste, found: &mut Found) {
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = match fs::symlink_metadata(&path) {
            // Named folders may be links; whoever pushed anything else has seen that it is none.
            Ok(meta) if meta.is_symlink() && path == folder => fs::metadata(&path),
            other => other,
        };
        match meta {
            Ok(meta) if meta.is_dir() => match entries(&path, taste) {
                // Reversed: the list is taken from the end.
                Ok(inside) => pending.extend(inside.into_iter().rev()),
                Err(e) => found.skipped.push((path, reason(&e))),
            },
            Ok(meta) if meta.is_file() => {
                if taste == Taste::Everything || looks_like_text(&path) {
                    take(&path, &meta, found);
                }
            }
            Ok(_) => {} // a link, a pipe, a socket, a device
            Err(e) => found.skipped.push((path, reason(&e))),
        }
    }
}

fn entries(folder: &Path, taste: Taste) -> io::Result<Vec<PathBuf>> {
    let mut inside = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if taste == Taste::Repository {
            if name == OsStr::new("CACHEDIR.TAG") {
                return Ok(Vec::new()); // a build folder: cargo marks it so
            }
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
        }
        inside.push(folder.join(name));
    }
    inside.sort_unstable();
    Ok(inside)
}

/// No zero byte near the beginning.
fn looks_like_text(path: &Path) -> bool {
    let mut head = [0; 4096];
    match open(path).and_then(|file| file.read_at(&mut head, 0)) {
        Ok(n) => !head[..n].contains(&0),
        Err(_) => true, // found out, and said, when it is taken
    }
}

fn take(path: &Path, meta: &fs::Metadata, found: &mut Found) {
    if !meta.is_file() {
        found.skipped.push((path.to_owned(), "not a regular file".into()));
        return;
    }
    match open(path) {
        Ok(_) => found.sources.push(Source { path: path.to_owned(), len: meta.len() }),
        Err(e) => found.skipped.push((path.to_owned(), reason(&e))),
    }
}

/// Opens a file for reading. Never waits, should the file have become a pipe in the meantime.
pub fn open(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// The reason alone, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Cuts the first `len` bytes of a file into ranges of about `size` bytes, each border between two words.
///
/// Reads a few bytes around each border and nothing else, so gigabytes cost as little as they should. A word longer
/// than `size` makes its range longer. From `fine` on the ranges are a quarter as long.
pub fn cut(file: &File, len: u64, size: u64, fine: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while from < len {
        let size = if from < fine { size } else { size / 4 };
        let target = from.saturating_add(size.max(1));
        let to = if target >= len { len } else { first_gap(file, target, len)? };
        ranges.push((from, to));
        from = to;
    }
    Ok(ranges)
}

/// The first position from `at` on that is not inside a word, or `len`. Where a gap byte stands no word can cross.
fn first_gap(file: &File, mut at: u64, len: u64) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut room = 64; // most words end soon
    while at < len {
        let n = read_some(file, &mut buffer[..room], at)?;
        if n == 0 {
            return Ok(len); // shorter than it was: the last task will see that
        }
        if let Some(gap) = buffer[..n].iter().position(|byte| !is_word_byte(*byte)) {
            return Ok((at + gap as u64).min(len));
        }
        at += n as u64;
        room = buffer.len();
    }
    Ok(len)
}

/// One read at a position, through interruptions by signals.
pub fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Hands the bytes of a range to `each`, chunk by chunk. Ends early where the file does.
pub fn read_range(file: &File, from: u64, to: u64, mut each: impl FnMut(&mut [u8])) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut at = from;
    while at < to {
        let room = buffer.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        let n = read_some(file, &mut buffer[..room], at)?;
        if n == 0 {
            break;
        }
        each(&mut buffer[..n]);
        at += n as u64;
    }
    Ok(())
}

/// Cuts all files into tasks, those of the last quarter smaller: so that the workers end at about the same time, whatever one
/// of them has met with. A file that cannot be read joins the skipped.
pub fn cut_all(found: &mut Found, size: u64) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut kept = Vec::new();
    let mut coarse = found.sources.iter().map(|source| source.len).sum::<u64>() / 4 * 3;
    for source in found.sources.drain(..) {
        let fine = coarse;
        coarse = coarse.saturating_sub(source.len);
        match open(&source.path).and_then(|file| cut(&file, source.len, size, fine)) {
            Ok(cuts) => {
                ranges.extend(cuts.into_iter().map(|(from, to)| Range { file: kept.len(), from, to }));
                kept.push(source);
            }
            Err(e) => found.skipped.push((source.path, e.to_string())),
        }
    }
    found.sources = kept;
    ranges
}
