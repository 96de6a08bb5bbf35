//! The parts of the word count example that need no processes: the word rule, cutting, what the workers do.

#![allow(dead_code)] // each part is used by the example as a whole

#[path = "../examples/wordcount/check.rs"]
mod check;
#[path = "../examples/wordcount/count.rs"]
mod count;
#[path = "../examples/wordcount/files.rs"]
mod files;
#[path = "../examples/wordcount/text.rs"]
mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use serde_bytes::ByteBuf;
use text::Counter;

fn counted(chunks: &[&[u8]]) -> (BTreeMap<Vec<u8>, u64>, u64) {
    let mut counter = Counter::default();
    for chunk in chunks {
        counter.add(&mut chunk.to_vec());
    }
    drained(&mut counter)
}

fn drained(counter: &mut Counter) -> (BTreeMap<Vec<u8>, u64>, u64) {
    let mut counts = BTreeMap::new();
    counter.drain(|word, times| assert_eq!(counts.insert(word.to_vec(), times), None));
    let words = counts.values().sum();
    (counts, words)
}

/// A file without a name.
fn file_of(text: &[u8]) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = std::env::temp_dir();
    let file = File::options().read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder).unwrap();
    file.write_all_at(text, 0).unwrap();
    file
}

#[test]
fn a_word_is_a_run_of_letters_and_high_bytes_in_lower_case() {
    let (counts, words) = counted(&[b"The cat's THE\0caf\xc3\xa9_\xff\x80 a1b AZ[az`{@"]);
    let expected: &[(&[u8], u64)] =
        &[(b"\xff\x80", 1), (b"a", 1), (b"az", 2), (b"b", 1), (b"caf\xc3\xa9", 1), (b"cat", 1), (b"s", 1), (b"the", 2)];
    assert_eq!(counts, expected.iter().map(|(word, times)| (word.to_vec(), *times)).collect());
    assert_eq!(words, 10);
    // Only ASCII letters change: a capital letter beyond ASCII stays another word.
    assert_eq!(counted(&["Ä ä".as_bytes()]).0.len(), 2);
}

#[test]
fn every_byte_is_either_part_of_a_word_or_between_words() {
    for byte in 0..=255u8 {
        let word = counted(&[&[byte]]).1 == 1;
        assert_eq!(word, text::is_word_byte(byte));
        assert_eq!(word, matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | 0x80..));
    }
}

#[test]
fn chunks_may_end_anywhere() {
    let text = b"one two  Three\nTHREE\xc3\xa9\0four";
    let whole = counted(&[text]);
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(counted(&[&text[..first], &text[first..second], &text[second..]]), whole, "{first} {second}");
        }
    }
    assert_eq!(counted(&[]).1, 0);
}

#[test]
fn a_counter_that_is_used_again_counts_the_next_text_alone() {
    let mut counter = Counter::default();
    counter.add(&mut b"one two two".to_vec());
    assert_eq!(drained(&mut counter), counted(&[b"one two two"]));
    counter.add(&mut [&b"two "[..], &[b'x'; 1000]].concat());
    assert_eq!(drained(&mut counter), counted(&[b"two ", &[b'x'; 1000]]));
    assert_eq!(drained(&mut counter), counted(&[]));
}

#[test]
fn ranges_cover_the_file_and_no_word_crosses_a_border() {
    let text = b"alpha beta\xc3\xa9gamma  delta e\n\n\0zeta";
    let file = file_of(text);
    let whole = counted(&[text]);
    for size in 1..text.len() as u64 + 2 {
        let ranges = files::cut(&file, text.len() as u64, size, u64::MAX).unwrap();
        let mut sum = BTreeMap::new();
        let mut at = 0;
        for (from, to) in ranges {
            assert_eq!(from, at);
            assert!(to > from);
            at = to;
            for (word, times) in counted(&[&text[from as usize..to as usize]]).0 {
                *sum.entry(word).or_insert(0) += times;
            }
        }
        assert_eq!(at, text.len() as u64);
        assert_eq!(sum, whole.0, "tasks of {size}");
    }
}

#[test]
fn a_word_longer_than_a_task_is_not_cut() {
    let mut text = vec![0x80; 100_000];
    text.push(b' ');
    text.extend([b'x'; 10]);
    let ranges = files::cut(&file_of(&text), text.len() as u64, 64, u64::MAX).unwrap();
    assert_eq!(ranges, [(0, 100_000), (100_000, 100_011)]);
    text.truncate(100_000);
    assert_eq!(files::cut(&file_of(&text), 100_000, 64, u64::MAX).unwrap(), [(0, 100_000)]);
    assert_eq!(files::cut(&file_of(b""), 0, 64, u64::MAX).unwrap(), []);
}

/// What this thread has read so far, of which the kernel keeps count; 0 where it does not.
fn bytes_read() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn gigabytes_are_cut_without_being_read() {
    let size = 40 << 30;
    let file = file_of(b"");
    file.set_len(size).unwrap();
    let border = 4 << 20;
    file.write_all_at(b"straddling", border - 5).unwrap();
    let before = bytes_read();
    let ranges = files::cut(&file, size, border, u64::MAX).unwrap();
    assert!(bytes_read() - before < 8 << 20);
    assert_eq!(ranges[0], (0, border + 5));
    assert_eq!(ranges.last().unwrap().1, size);
    assert_eq!(ranges.len() as u64, size / border);
}

#[test]
fn the_last_quarter_is_cut_finer() {
    let file = file_of(b"");
    file.set_len(80).unwrap();
    let sizes: Vec<_> = files::cut(&file, 80, 20, 60).unwrap().iter().map(|(from, to)| to - from).collect();
    assert_eq!(sizes, [20, 20, 20, 5, 5, 5, 5]);
}

#[test]
fn a_file_that_has_shrunk_is_cut_to_an_end() {
    let file = file_of(b"abc");
    assert_eq!(files::cut(&file, 1000, 100, u64::MAX).unwrap(), [(0, 1000)]);
    let mut seen = Vec::new();
    files::read_range(&file, 0, 1000, |chunk| seen.extend_from_slice(chunk)).unwrap();
    assert_eq!(seen, b"abc");
}

fn unpacked(packed: &[u8]) -> Vec<(String, u64)> {
    let mut rest = packed;
    let mut counts = Vec::new();
    while !rest.is_empty() {
        let (word, times) = count::take(&mut rest).unwrap();
        counts.push((String::from_utf8_lossy(word).into_owned(), times));
    }
    counts
}

/// A task of a file in a folder, here.
fn task(path: &std::path::Path, from: u64, to: u64) -> Vec<(u32, ByteBuf)> {
    use std::os::unix::ffi::OsStrExt;
    count::count((ByteBuf::from(path.as_os_str().as_bytes()), from, to, 7, true))
}

#[test]
fn counts_of_tasks_are_summed_by_part() {
    let long = "q".repeat(300);
    let path = std::env::temp_dir().join(format!("ringfence-test-parts-{}", std::process::id()));
    let text = format!("b a b \u{e4} {long} B {}", "many ".repeat(1000));
    std::fs::write(&path, &text).unwrap();
    let border = text.len() as u64 - 500;
    let tasks = [task(&path, 0, border), task(&path, border, text.len() as u64)];
    std::fs::remove_file(&path).unwrap();
    let mut parts: BTreeMap<u32, Vec<ByteBuf>> = BTreeMap::new();
    tasks.into_iter().flatten().for_each(|(part, packed)| parts.entry(part).or_default().push(packed));
    let mut sums = BTreeMap::new();
    for (part, packed) in parts {
        let (same, packed) = count::sum(part, packed).unwrap();
        assert_eq!(same, part);
        let counts = unpacked(&packed);
        assert!(counts.is_sorted());
        if part == count::PARTS {
            let me = ringfence::process::current_process().name;
            assert_eq!(counts, [(format!("bytes {me}"), text.len() as u64), (format!("tasks {me}"), 2)]);
        } else {
            sums.extend(counts);
        }
    }
    let expected = [("a", 1), ("b", 3), ("many", 1000), (&long, 1), ("\u{e4}", 1)];
    assert_eq!(sums, expected.map(|(word, times)| (word.to_owned(), times)).into());
}

#[test]
fn what_cannot_be_read_is_a_counter() {
    let missing = task(std::path::Path::new("/no/such/file"), 0, 9);
    let [(count::PARTS, counters)] = missing.as_slice() else { panic!("{missing:?}") };
    assert!(unpacked(counters).contains(&(format!("unread 7 {}", libc::ENOENT), 1)));
}

#[test]
fn what_is_no_count_is_refused_whole() {
    for bytes in [&[1, 2, b'a'][..], &[1], &[0x80; 12], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]] {
        assert_eq!(count::sum(0, vec![ByteBuf::from(bytes)]), None, "{bytes:?}");
    }
    assert_eq!(count::sum(3, vec![ByteBuf::new()]), Some((3, ByteBuf::new())));
}

#[test]
fn differences_are_found_both_ways() {
    let shared = [("a", 2), ("b", 1), ("d", 1)].map(|(word, times)| (word.as_bytes().to_vec(), times));
    let single = [("a", 1), ("c", 1), ("d", 1)].map(|(word, times)| (word.as_bytes().to_vec(), times)).into();
    let found = check::differences(&shared, single);
    let found: Vec<_> = found.iter().map(|d| (d.word.as_slice(), d.shared, d.single)).collect();
    assert_eq!(found, [(&b"a"[..], 2, 1), (b"b", 1, 0), (b"c", 0, 1)]);
}
