//! A C program that makes every call while garbage is written over its segment: it ends, and each call returns only what
//! the header says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringfence::{Array, Channel, Queue, Segment, SegmentOptions};
use ringfence_ffi_tests::lab::{Lab, Linking, root, run_well};

/// The statuses that the header names for each function, and all numbers.
fn documented() -> (BTreeMap<String, BTreeSet<String>>, BTreeMap<i32, String>) {
    let header = fs::read_to_string(root().join("include/ringfence.h")).expect("the header");
    let mut numbers = BTreeMap::new();
    let (_, listed) = header.split_once("typedef enum rf_status {").expect("the statuses");
    let (listed, _) = listed.split_once('}').expect("their end");
    for (name, number) in listed.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = ")) {
        if let Ok(number) = number.parse() {
            numbers.insert(number, name.to_owned());
        }
    }
    let mut functions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
    };
    for comment in header.split("/**").skip(1) {
        let Some((comment, rest)) = comment.split_once("*/") else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        let Some(name) = name.strip_prefix("int ") else { continue };
        let Some((_, returns)) = comment.split_once("@return") else { continue };
        // Up to the next paragraph.
        let returns = returns.split("\n *\n").next().expect("the first part");
        let mut statuses: BTreeSet<_> = words(returns).into_iter().filter(|word| word.starts_with("RF_")).collect();
        for other in words(returns).iter().filter_map(|word| functions.get(word)) {
            statuses.extend(other.clone());
        }
        functions.insert(name.to_owned(), statuses);
    }
    (functions, numbers)
}

/// Runs the program and checks what it says; what it must have met at least.
fn survives(command: &mut Command, met: &[&str]) {
    let (functions, numbers) = documented();
    let output = run_well(command);
    let mut seen = BTreeSet::new();
    for line in output.lines() {
        let (function, number) = line.split_once(' ').expect("a function and a status");
        let status = &numbers[&number.parse().expect("a number")];
        assert!(functions[function].contains(status), "{function} returned {status}, which the header does not say");
        seen.insert(format!("{function} {status}"));
    }
    assert!(seen.iter().any(|line| line.ends_with("RF_E_CORRUPTED")), "nothing was ever corrupted:\n{output}");
    for outcome in met {
        assert!(seen.contains(*outcome), "never {outcome}:\n{output}");
    }
}

#[test]
fn a_c_program_in_fenced_memory() {
    let lab = Lab::new("garbage-fenced");
    let program = lab.compile("c/garbage.c", Linking::Plain);
    let met = ["rf_queue_pop RF_OK", "rf_channel_recv RF_OK", "rf_mutex_lock RF_OK"];
    survives(&mut Command::new(program), &met);
}

#[test]
fn a_c_program_whose_segment_is_spoilt() {
    let lab = Lab::new("garbage-named");
    let program = lab.compile("c/garbage.c", Linking::Plain);
    let options = SegmentOptions::new().size(8192).participants(4).objects(16);
    let segment = Segment::create(lab.segment(), &options).expect("a new segment");
    drop(Array::<i32>::create(&segment, "array", 9).expect("an array"));
    drop(Queue::<[u64; 5]>::create(&segment, "queue", 5).expect("a queue"));
    drop(Channel::create(&segment, "channel", 240).expect("a channel"));
    let path = format!("/dev/shm/ringfence.{}", lab.segment());
    let image = fs::read(&path).expect("the segment's file");
    let file = File::options().read(true).write(true).open(&path).expect("the segment's file");
    let seed = std::env::var("RINGFENCE_SEED").map_or(88_172_645_463_325_252, |text| text.parse().expect("a number"));
    let seed = u64::max(seed, 1); // of 0 nothing else would come
    println!("RINGFENCE_SEED={seed}");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also if the program fails.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let stopped = &stop;
        scope.spawn(move || spoil(&file, &image, seed, stopped));
        let _stop = Stop(&stop);
        survives(
            Command::new(program).arg(lab.segment()),
            &["rf_queue_push RF_OK", "rf_channel_send RF_OK", "rf_segment_open RF_OK"],
        );
    });
    drop(segment);
}

/// Writes anything anywhere, and now and then puts back what was there: otherwise there would soon be nothing to spoil.
fn spoil(file: &File, image: &[u8], mut state: u64, stop: &AtomicBool) {
    let mut random = move |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    let len = image.len() as u64;
    while !stop.load(Ordering::Relaxed) {
        let at = random(len / 8) * 8;
        let mut word = [0; 8];
        file.read_exact_at(&mut word, at).expect("a word");
        let old = u64::from_ne_bytes(word);
        let new = match random(8) {
            0 => {
                file.write_all_at(image, 0).expect("the image");
                continue;
            }
            1 => random(u64::MAX),
            2 => old ^ 1 << random(64),
            3 => old.wrapping_add([1, 8, 128, u64::MAX][random(4) as usize]),
            4 => [0, u64::MAX, 1 << 63, 1 << 63 | 100, 1 << 40, u64::from(u32::MAX)][random(6) as usize],
            5 => [len, len - 128, !127, i64::MAX as u64][random(4) as usize],
            // Half of it: lengths and participants.
            6 => old & !0xffff_ffff | random(10),
            _ => old & 0xffff_ffff | random(10) << 32,
        };
        file.write_all_at(&new.to_ne_bytes(), at).expect("room for a word");
        // Not to synchronise: leaves the program time to get somewhere.
        std::thread::sleep(Duration::from_micros(random(50)));
    }
}
