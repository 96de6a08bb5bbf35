//! `cargo run --example append`: two processes append blocks of lines to one file, each block under a lock; no block is
//! mixed with another.

mod common;

use std::fs::{self, File};
use std::io::Write;

use ringfence::Mutex;

const BLOCKS: usize = 100;
const LINES: usize = 5;

fn main() -> common::Outcome {
    let (crew, worker) = common::join("append")?;
    // The lock holds what it protects besides the file: how many blocks there are.
    let blocks = Mutex::<u64>::open_or_create(&crew.segment, "blocks", 0)?;
    let Some(worker) = worker else {
        let run = crew.run(2);
        let text = fs::read_to_string(crew.file());
        let _ = fs::remove_file(crew.file());
        run?;
        let text = text?;
        let lines: Vec<_> = text.lines().collect();
        let whole =
            lines.chunks(LINES).filter(|block| block.len() == LINES && block.iter().all(|line| *line == block[0]));
        let written = *blocks.lock().map_err(|error| error.to_string())?;
        println!("{} lines, {} of {written} blocks whole", lines.len(), whole.count());
        return Ok(());
    };
    let mut file = File::options().append(true).create(true).open(crew.file())?;
    for block in 0..BLOCKS {
        let mut blocks = blocks.lock().map_err(|error| error.to_string())?;
        for _ in 0..LINES {
            writeln!(file, "worker {worker}, block {block}")?;
        }
        *blocks += 1;
    }
    Ok(())
}
