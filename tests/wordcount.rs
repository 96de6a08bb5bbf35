//! The word count example as its users run it: real processes, real files.

mod common;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use common::wordcount::{Folder, counts_to, expected, has_compiler, prose, stderr, text, wordcount};

#[test]
fn the_repository_counts_itself() {
    let output = wordcount(&[]).env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("     count  word\n"));
    assert_eq!(said.lines().skip(1).take_while(|line| line.starts_with(' ')).count(), 20);
    for line in ["throughput: ", "killed: worker ", "check: equal "] {
        assert!(said.contains(line), "{said}");
    }
    if has_compiler() {
        assert!(said.contains("workers: C "), "{said}");
    }
    // Killed in the middle: when half was done, but for what was in somebody's hands.
    let (_, behind) = said.split_once("SIGKILL, after ").unwrap();
    let mut numbers = behind.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
    let (done, all) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(done + 20 >= all / 2 && done < all, "{said}");
}

#[test]
fn every_worker_takes_part_and_one_dies_however_small_the_input() {
    for text in [&b"Hello"[..], b"a b c d e f g"] {
        let folder = Folder::new(&format!("tiny-{}", text.len()));
        let file = folder.file("tiny", text);
        let said = counts_to(wordcount(&["--task-bytes", "2", "--workers", "2", "--no-c"]).arg(&file), &[text]);
        assert!(said.contains("with SIGKILL") && said.contains("in the middle of another"), "{said}");
        // Beside a worker in C, which may be the one that takes the only task.
        let said = counts_to(wordcount(&["--task-bytes", "2", "--workers", "2"]).arg(&file), &[text]);
        assert!(said.contains("with SIGKILL"), "{said}");
        if text.len() > 5 {
            assert!(said.contains("in the middle of another"), "{said}");
            assert!(!has_compiler() || said.contains("workers: C "), "{said}");
        }
    }
}

#[test]
fn nothing_to_count_is_counted() {
    let folder = Folder::new("empty");
    let file = folder.file("empty", b"");
    let output = wordcount(&["--all"]).arg(file).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{}", stderr(&output));
    let said = counts_to(wordcount(&[]).arg(folder.file("gaps", b"1 2 3\0")), &[]);
    assert!(said.contains(" 0 words"), "{said}");
}

#[test]
fn binary_empty_and_oddly_named_files_are_counted() {
    let folder = Folder::new("odd");
    let binary: Vec<u8> = (0..50_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::create_dir(folder.0.join("-sub")).unwrap();
    folder.file(OsString::from_vec(b"not utf-8 \xff\xfe".to_vec()), b"first file");
    folder.file("a\nnew line\t", b"second file");
    folder.file(" --all ", b"third file");
    folder.file("-sub/.hidden", b"hidden file");
    folder.file("-sub/binary", &binary);
    folder.file("empty", b"");
    // None of these is a file: a loop, a link to nothing, a pipe that nobody writes to.
    symlink(".", folder.0.join("loop")).unwrap();
    symlink("nowhere", folder.0.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.0.join("pipe")).status().unwrap().success());
    let texts: &[&[u8]] = &[b"first file", b"second file", b"third file", b"hidden file", &binary];
    for size in ["3", "1000", "1000000"] {
        let said = counts_to(wordcount(&["--task-bytes", size]).arg(&folder.0), texts);
        assert!(!said.contains("skipped"), "{said}");
    }
    // Named with a hyphen, after the end of the options; and relative.
    let output = wordcount(&["--all", "--", "-sub"]).current_dir(&folder.0).output().unwrap();
    assert_eq!(text(&output.stdout), expected(&[b"hidden file", &binary]), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = Folder::new("trouble");
    let good = folder.file("good", b"good words");
    symlink("self", folder.0.join("self")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.0.join("pipe")).status().unwrap().success());
    for (name, why) in [("missing", "no such file"), ("self", "symbolic links"), ("pipe", "not a regular file")] {
        let output = wordcount(&["--all"]).arg(folder.0.join(name)).arg(&good).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(text(&output.stdout), expected(&[b"good words"]));
        assert!(said.contains(&format!("{name}\" is skipped: ")) && said.contains(why), "{said}");
    }
    // A folder is as good as what can be read in it.
    fs::set_permissions(folder.file("secret", b"secret words"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = wordcount(&["--all"]);
    // SAFETY: system calls only, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // root reads everything, unless it is made to forget how (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
            libc::prctl(libc::PR_CAPBSET_DROP, 1);
            libc::prctl(libc::PR_CAPBSET_DROP, 2);
            Ok(())
        });
    }
    let output = command.arg(&folder.0).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("secret\" is skipped: permission denied"), "{said}");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected(&[b"good words"])), "{said}");
}

#[test]
fn a_word_longer_than_a_task_is_one_word() {
    let folder = Folder::new("long");
    let mut long = vec![0xe4; 3_000_000];
    long[0] = b'X';
    let text = [&b"short "[..], &long, b" short"].concat();
    let file = folder.file("long", &text);
    counts_to(wordcount(&["--task-bytes", "1000"]).arg(&file), &[&text]);
}

#[test]
fn one_rust_worker_is_enough_even_when_it_is_the_one_to_die() {
    let folder = Folder::new("alone");
    let prose = prose(20_000);
    let file = folder.file("prose", &prose);
    let said = counts_to(wordcount(&["--workers", "1", "--no-c"]).arg(&file), &[&prose]);
    assert!(said.contains("killed: worker Rust-1 ") && said.contains("in the middle of another"), "{said}");
    assert!(said.contains("; Rust-2 ") || said.contains("workers: Rust-2 "), "{said}");
}

#[test]
fn it_goes_on_without_a_c_compiler_and_says_why() {
    let folder = Folder::new("no-cc");
    let file = folder.file("file", b"some words");
    let said = counts_to(wordcount(&[]).arg(&file).env("PATH", "").env("CC", "no-such-cc -O2"), &[b"some words"]);
    assert!(
        said.contains("going on without a C worker: no C compiler found (tried no-such-cc, cc, gcc, clang)"),
        "{said}"
    );
    let said = counts_to(wordcount(&[]).arg(&file).env("CC", "false"), &[b"some words"]);
    assert!(said.contains("going on without a C worker: false failed"), "{said}");
}

#[test]
fn usage_errors_are_explained() {
    for args in [&["--wrong"][..], &["--workers"], &["--workers", "0"], &["--worker", "x"], &["--task-bytes", "x"]] {
        let output = wordcount(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).starts_with("wordcount: "), "{args:?}");
    }
    let output = wordcount(&["--help"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"Counts the words"));
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let folder = Folder::new("reader");
    let file = folder.file("file", &prose(50_000));
    for args in [&["--all"][..], &[]] {
        let mut child = wordcount(args).arg(&file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_difference_is_exit_code_1() {
    let folder = Folder::new("difference");
    let mut text = vec![b'.'; 16 << 20];
    text.extend(b" before");
    let path = folder.file("file", &text);
    let mut child = wordcount(&[]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("throughput: ") {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
    }
    // Counted, and the check has 16 MiB to go before it comes here.
    File::options().write(true).open(&path).unwrap().write_all_at(b"behind", 1 + (16 << 20)).unwrap();
    out.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("check: DIFFERENT in 2 words"), "{said}");
    assert!(said.contains("before: 1 here, 0 by one process"), "{said}");
}

#[test]
fn progress_is_drawn_on_a_terminal_only() {
    let folder = Folder::new("terminal");
    // Nothing, and much of it: what is over in a moment needs no bar.
    let file = folder.file("file", b"");
    File::options().write(true).open(&file).unwrap().set_len(200 << 20).unwrap();
    let output = wordcount(&["--no-check"]).arg(&file).output().unwrap();
    assert!(!stderr(&output).contains('\r'), "{}", stderr(&output));

    let (mut master, mut slave) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: two places for descriptors; a name, settings and a size are not asked for or given.
    assert_eq!(unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) }, 0);
    // SAFETY: openpty has just made both, and nobody else knows them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut child =
        wordcount(&["--no-check"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::from(slave)).spawn().unwrap();
    let mut drawn = Vec::new();
    // The terminal ends with EIO when nobody has its other side any more.
    let _ = File::from(master).read_to_end(&mut drawn);
    assert!(child.wait().unwrap().success());
    let drawn = String::from_utf8_lossy(&drawn).into_owned();
    assert!(drawn.contains("\r[") && drawn.contains(" MB/s") && drawn.ends_with("\r\x1b[K"), "{drawn:?}");
}

#[test]
fn the_disk_being_full_is_an_error() {
    let folder = Folder::new("full");
    let file = folder.file("file", b"some words");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = wordcount(&["--all"]).arg(&file).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
