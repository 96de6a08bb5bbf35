//! `cargo run --features process --example map_reduce -- FILE..`: which words are the most frequent in some texts, counted by a pool
//! of two processes: a file is a task, and so are a few words with their counts. Without arguments: in this project's documents.
//!
//! A word is what stands between blanks and punctuation, in small letters, if it has nothing but letters; common words and lines
//! that start with `..`, comments in reStructuredText, are left out.

use std::cmp::Reverse;
use std::error::Error;
use std::fs;
use std::io::IsTerminal;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringfence::pool::Pool;
use ringfence::process;

#[path = "common/bar.rs"]
mod bar;

const STOP_WORDS: [&str; 20] = [
    "a", "an", "and", "are", "as", "be", "by", "for", "if", "in", "is", "it", "of", "or", "py", "rst", "that", "the",
    "to", "with",
];

/// The words of a file, each with a 1; or why it cannot be read.
fn words_of(file: String) -> Vec<(String, u64)> {
    println!("{} reading {file}", process::current_process().name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(".."));
    let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c.is_ascii_punctuation()));
    let words = words.filter(|word| !word.is_empty() && word.chars().all(char::is_alphabetic)).map(str::to_lowercase);
    words.filter(|word| !STOP_WORDS.contains(&word.as_str())).map(|word| (word, 1)).collect()
}

fn count(word: String, ones: Vec<u64>) -> (String, u64) {
    (word, ones.iter().sum())
}

ringfence::register!(words_of as "map_reduce.words_of");
ringfence::register!(count as "map_reduce.count");

/// Does `work` with a pool, and shows meanwhile how far that is. Not where the workers print what they read: they would write over it.
fn with_a_bar<R>(pool: &Pool, work: impl FnOnce() -> R) -> R {
    if std::io::stdout().is_terminal() {
        return work();
    }
    let (working, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut bar = bar::Bar::new();
            while over.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Ok(progress) = pool.progress() else { break };
                let busy: Vec<_> = progress.workers.iter().map(|w| format!("{} {}", w.name, w.done)).collect();
                bar.draw(progress.done, progress.total, &busy.join(", "));
            }
            bar.clear();
        });
        let result = work();
        drop(working);
        result
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    process::init();
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        let entries = fs::read_dir("docs")?.collect::<Result<Vec<_>, _>>()?;
        files.extend(entries.iter().map(|entry| entry.path().to_string_lossy().into_owned()));
        files.retain(|file| file.ends_with(".md"));
        files.sort();
    }
    let pool = Pool::new(2)?;
    let mut counts = with_a_bar(&pool, || pool.map_reduce(files, words_of, count))?;
    // Of equally frequent ones the first by its bytes.
    counts.sort_by(|(word, count), (other, others)| (Reverse(count), word).cmp(&(Reverse(others), other)));
    counts.truncate(20);
    println!("\nTop {} words\n", counts.len());
    let longest = counts.iter().map(|(word, _)| word.chars().count()).max().unwrap_or(0);
    for (word, count) in counts {
        println!("{word:<longest$}: {count:5}");
    }
    Ok(())
}
