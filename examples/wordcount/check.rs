//! The count again, by one process and as plainly as possible: no tasks, no cutting, no table of our own, so that a
//! mistake in any of them shows.

use std::collections::HashMap;
use std::io;

use crate::files::{self, Source};

/// Counts the words of all files. `go_on` is asked now and then; `Ok(None)` if it said no.
pub fn count(sources: &[Source], mut go_on: impl FnMut() -> bool) -> io::Result<Option<HashMap<Vec<u8>, u64>>> {
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut buffer = vec![0; 64 << 10];
    for source in sources {
        let file = files::open(&source.path)?;
        let mut word = Vec::new();
        let mut at = 0;
        loop {
            if !go_on() {
                return Ok(None);
            }
            let room = buffer.len().min(usize::try_from(source.len - at).unwrap_or(usize::MAX));
            let n = files::read_some(&file, &mut buffer[..room], at)?;
            for byte in &buffer[..n] {
                match byte {
                    b'a'..=b'z' | 0x80..=0xff => word.push(*byte),
                    b'A'..=b'Z' => word.push(*byte + 32),
                    _ => add(&mut counts, &mut word),
                }
            }
            if n == 0 {
                break;
            }
            at += n as u64;
        }
        add(&mut counts, &mut word);
    }
    Ok(Some(counts))
}

fn add(counts: &mut HashMap<Vec<u8>, u64>, word: &mut Vec<u8>) {
    if !word.is_empty() {
        if let Some(times) = counts.get_mut(word.as_slice()) {
            *times += 1;
        } else {
            counts.insert(word.clone(), 1);
        }
        word.clear();
    }
}

/// A word that the two counts do not agree on, with what each says.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub word: Vec<u8>,
    pub shared: u64,
    pub single: u64,
}

/// All differences, in bytewise order.
pub fn differences(shared: &[(Vec<u8>, u64)], mut single: HashMap<Vec<u8>, u64>) -> Vec<Difference> {
    let mut found = Vec::new();
    for (word, times) in shared {
        let other = single.remove(word).unwrap_or(0);
        if *times != other {
            found.push(Difference { word: word.clone(), shared: *times, single: other });
        }
    }
    found.extend(single.into_iter().map(|(word, times)| Difference { word, shared: 0, single: times }));
    found.sort_unstable_by(|a, b| a.word.cmp(&b.word));
    found
}
