//! The parts of the word count example that need no processes: the word rule, cutting, messages, the books.

#![allow(dead_code)] // each part is used by the example as a whole

#[path = "../examples/wordcount/check.rs"]
mod check;
#[path = "../examples/wordcount/files.rs"]
mod files;
#[path = "../examples/wordcount/ledger.rs"]
mod ledger;
#[path = "../examples/wordcount/text.rs"]
mod text;
#[path = "../examples/wordcount/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use ledger::{Arrival, Ledger};
use text::{Counter, Counts};
use wire::{HEADER, Malformed, Part};

fn counted(chunks: &[&[u8]]) -> (BTreeMap<Vec<u8>, u64>, u64) {
    let mut counter = Counter::new();
    for chunk in chunks {
        counter.add(&mut chunk.to_vec());
    }
    let (counts, words) = counter.finish();
    (plain(&counts), words)
}

fn plain(counts: &Counts) -> BTreeMap<Vec<u8>, u64> {
    counts.iter().map(|(word, times)| (word.to_vec(), *times)).collect()
}

fn counts_of(text: &[u8]) -> Counts {
    let mut counter = Counter::new();
    counter.add(&mut text.to_vec());
    counter.finish().0
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
fn the_top_is_by_count_and_then_by_bytes() {
    let counts = counts_of(b"b b a a c \xff \xff \xff");
    assert_eq!(text::top(&counts, 3), [(&b"\xff"[..], 3), (b"a", 2), (b"b", 2)]);
    assert_eq!(
        text::sorted(&counts).iter().map(|(word, _)| *word).collect::<Vec<_>>(),
        [&b"a"[..], b"b", b"c", b"\xff"]
    );
}

#[test]
fn ranges_cover_the_file_and_no_word_crosses_a_border() {
    let text = b"alpha beta\xc3\xa9gamma  delta e\n\n\0zeta";
    let file = file_of(text);
    let whole = counted(&[text]);
    for size in 1..text.len() as u64 + 2 {
        let ranges = files::cut(&file, text.len() as u64, size).unwrap();
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
    let ranges = files::cut(&file_of(&text), text.len() as u64, 64).unwrap();
    assert_eq!(ranges, [(0, 100_000), (100_000, 100_011)]);
    text.truncate(100_000);
    assert_eq!(files::cut(&file_of(&text), 100_000, 64).unwrap(), [(0, 100_000)]);
    assert_eq!(files::cut(&file_of(b""), 0, 64).unwrap(), []);
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
    let ranges = files::cut(&file, size, border).unwrap();
    assert!(bytes_read() - before < 8 << 20);
    assert_eq!(ranges[0], (0, border + 5));
    assert_eq!(ranges.last().unwrap().1, size);
    assert_eq!(ranges.len() as u64, size / border);
}

#[test]
fn a_file_that_has_shrunk_is_cut_to_an_end() {
    let file = file_of(b"abc");
    assert_eq!(files::cut(&file, 1000, 100).unwrap(), [(0, 1000)]);
    let mut seen = Vec::new();
    files::read_range(&file, 0, 1000, |chunk| seen.extend_from_slice(chunk)).unwrap();
    assert_eq!(seen, b"abc");
}

/// All messages of a result.
fn messages(task: u64, worker: u32, text: &[u8], size: usize, last: u32) -> Vec<Vec<u8>> {
    let counts = counts_of(text);
    let head = Part { task, words: counts.values().sum(), worker, part: 0, last, errno: 0 };
    let mut sent = Vec::new();
    wire::send_parts(head, &wire::encode(&counts), size, |message| {
        assert!(message.len() <= size);
        sent.push(message.to_vec());
        Ok::<(), ()>(())
    })
    .unwrap();
    sent
}

fn feed(ledger: &mut Ledger, message: &[u8]) -> Result<Arrival, Malformed> {
    let (part, body) = Part::read(message).unwrap();
    ledger.arrived(&part, body)
}

fn books(tasks: usize) -> Ledger {
    let mut ledger = Ledger::new(tasks);
    while ledger.next().is_some() {
        ledger.given_out();
    }
    ledger
}

#[test]
fn a_result_survives_being_cut_into_messages_of_any_size() {
    let long = [b'q'; 300];
    let text = [b"one two two \xff ".as_slice(), &long].concat();
    for size in HEADER + 1..HEADER + 400 {
        let mut ledger = books(1);
        let sent = messages(0, 3, &text, size, 1);
        let (last, rest) = sent.split_last().unwrap();
        for message in rest {
            assert_eq!(feed(&mut ledger, message), Ok(Arrival::Part));
        }
        let Ok(Arrival::Whole(0, stream)) = feed(&mut ledger, last) else { panic!("size {size}") };
        let decoded: BTreeMap<_, _> = wire::decode(&stream).map(|e| e.map(|(w, n)| (w.to_vec(), n)).unwrap()).collect();
        assert_eq!(decoded, counted(&[&text]).0);
        assert_eq!(ledger.left(), 0);
    }
}

#[test]
fn a_task_without_words_is_one_message() {
    let sent = messages(0, 0, b" 1 2 ", 100, 1);
    assert_eq!(sent.len(), 1);
    assert_eq!(feed(&mut books(1), &sent[0]), Ok(Arrival::Whole(0, Vec::new())));
}

#[test]
fn a_result_that_arrives_twice_counts_once() {
    let mut ledger = books(2);
    let first = messages(1, 0, b"a b", 1000, 1);
    assert!(matches!(feed(&mut ledger, &first[0]), Ok(Arrival::Whole(1, _))));
    assert_eq!(feed(&mut ledger, &first[0]), Ok(Arrival::Twice(1)));
    assert_eq!(feed(&mut ledger, &messages(1, 7, b"a b", 1000, 1)[0]), Ok(Arrival::Twice(1)));
    assert_eq!((ledger.left(), ledger.twice), (1, 2));
}

#[test]
fn a_torso_counts_nothing_and_another_result_does() {
    let mut ledger = books(1);
    let torso = messages(0, 0, b"a b c d", HEADER + 4, 0);
    for message in &torso {
        assert_eq!(feed(&mut ledger, message), Ok(Arrival::Part));
    }
    assert_eq!((ledger.left(), ledger.torsos()), (1, 1));
    // The same again, from its beginning: another torso. What lacks a beginning is nothing.
    assert_eq!(feed(&mut ledger, &torso[0]), Ok(Arrival::Part));
    assert_eq!(ledger.torsos(), 2);
    let whole = messages(0, 0, b"a b c d", HEADER + 4, 1);
    assert_eq!(feed(&mut ledger, whole.last().unwrap()), Ok(Arrival::Stray));
    assert_eq!(ledger.left(), 1);
    assert!(matches!(feed(&mut ledger, &messages(0, 1, b"a b c d", 1000, 2)[0]), Ok(Arrival::Whole(0, _))));
    assert_eq!((ledger.left(), ledger.again, ledger.torsos()), (0, 1, 2));
}

#[test]
fn a_result_whose_worker_died_before_it_said_so_counts_and_the_next_one_does_not() {
    let mut ledger = books(1);
    let first = messages(0, 0, b"a b c d", HEADER + 4, 1);
    let second = messages(0, 1, b"a b c d", HEADER + 4, 2);
    assert_eq!(first.len(), second.len());
    let (last, rest) = first.split_last().unwrap();
    for (first, second) in rest.iter().zip(&second) {
        assert_eq!(feed(&mut ledger, first), Ok(Arrival::Part));
        assert_eq!(feed(&mut ledger, second), Ok(Arrival::Part));
    }
    assert!(matches!(feed(&mut ledger, last), Ok(Arrival::Whole(0, _))));
    assert_eq!(feed(&mut ledger, second.last().unwrap()), Ok(Arrival::Twice(0)));
    assert_eq!((ledger.left(), ledger.twice, ledger.again, ledger.torsos()), (0, 1, 0, 0));
}

#[test]
fn results_of_two_workers_may_mix() {
    let mut ledger = books(2);
    let a = messages(0, 0, b"a b c", HEADER + 2, 1);
    let b = messages(1, 1, b"d e f", HEADER + 2, 1);
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        feed(&mut ledger, a).unwrap();
        feed(&mut ledger, b).unwrap();
    }
    assert_eq!(ledger.left(), 0);
}

#[test]
fn tasks_are_given_out_in_order_and_once() {
    let mut ledger = Ledger::new(2);
    assert_eq!((ledger.next(), ledger.next()), (Some(0), Some(0)));
    ledger.given_out();
    assert_eq!(ledger.next(), Some(1));
    ledger.given_out();
    assert_eq!((ledger.next(), ledger.left()), (None, 2));
}

#[test]
fn what_is_no_result_is_refused_whole() {
    let good = messages(0, 0, b"word", 1000, 1).remove(0);
    assert_eq!(Part::read(&good[..HEADER - 1]), None);
    let mut short = good.clone();
    short.pop();
    assert_eq!(feed(&mut books(1), &short), Err(Malformed));
    let mut unknown = good.clone();
    unknown[0] = 9;
    assert_eq!(feed(&mut books(1), &unknown), Err(Malformed));
    let mut wrong_sum = good.clone();
    wrong_sum[8] = 9;
    assert_eq!(feed(&mut books(1), &wrong_sum), Err(Malformed));
    for stream in
        [&[0, 1, b'a'][..], &[1, 0], &[1], &[0x80; 12], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
    {
        assert_eq!(wire::check(stream, 1), Err(Malformed), "{stream:?}");
    }
}

#[test]
fn differences_are_found_both_ways() {
    let shared = counts_of(b"a a b d");
    let single = [("a", 1), ("c", 1), ("d", 1)].map(|(word, times)| (word.as_bytes().to_vec(), times)).into();
    let found = check::differences(&shared, &single);
    let found: Vec<_> = found.iter().map(|d| (d.word.as_slice(), d.shared, d.single)).collect();
    assert_eq!(found, [(&b"a"[..], 2, 1), (b"b", 1, 0), (b"c", 0, 1)]);
}
