//! What the small examples print, in Rust and in C.
#![allow(dead_code)] // not all of them exist everywhere

/// Ends where it began.
pub fn bank(printed: &str) {
    assert_eq!(printed, "200 before\n200 after 100000 changes\n");
}

/// Each worker's two lines follow each other.
pub fn lock(printed: &str) {
    let lines: Vec<_> = printed.lines().collect();
    let mut workers: Vec<u32> = lines
        .chunks(2)
        .map(|block| {
            let number = block[0].strip_prefix("worker ").and_then(|line| line.strip_suffix(" has the lock"));
            let number = number.unwrap_or_else(|| panic!("{printed}"));
            assert_eq!(block[1], format!("worker {number} gives it back"), "{printed}");
            number.parse().unwrap()
        })
        .collect();
    workers.sort_unstable();
    assert!(workers.into_iter().eq(0..10), "{printed}");
}

/// No block is mixed with another.
pub fn append(printed: &str) {
    assert_eq!(printed, "1000 lines, 200 of 200 blocks whole\n");
}

/// Everybody was active, and never more than three.
pub fn active_pool(printed: &str) {
    let mut seen = std::collections::BTreeSet::new();
    for line in printed.lines() {
        let active: Vec<_> = line.strip_prefix("active: ").unwrap_or_else(|| panic!("{line}")).split(' ').collect();
        assert!(active.len() <= 3, "{line}");
        seen.extend(active);
    }
    let all: std::collections::BTreeSet<_> = (0..10).map(|worker| format!("worker-{worker}")).collect();
    assert!(seen.into_iter().eq(all.iter()), "{printed}");
}

/// The patient process sees the event, the other does not.
pub fn event(printed: &str) {
    assert_eq!(printed, "waited for two seconds: false\nthe event is set\nwaited as long as it took: true\n");
}

/// Stage 2 begins after stage 1, in each of its processes.
pub fn condition(printed: &str) {
    let mut lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.remove(0), "stage 1", "{printed}");
    lines.sort_unstable();
    assert_eq!(lines, ["stage 2, worker 0", "stage 2, worker 1"]);
}

/// Each task is done, and its result arrives.
pub fn pipeline(printed: &str) {
    let expected: String = (0..10).map(|n| format!("{n} * {n} = {}\n", n * n)).collect();
    assert_eq!(printed, expected);
}

/// Each number is popped, in order; the queue never holds more than it has room for.
pub fn producer_consumer(printed: &str) {
    let mut lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.pop(), Some("empty at the end: true"), "{printed}");
    assert_eq!(lines.drain(..2).collect::<Vec<_>>(), ["nothing to pop: true", "full with 4: true"]);
    let (mut popped, mut pushed) = (0, 4);
    for line in lines {
        if let Some(rest) = line.strip_prefix("pushed ") {
            let (number, held) = rest.split_once(", the queue holds ").unwrap_or_else(|| panic!("{printed}"));
            assert_eq!((number.parse(), held.parse().map(|held: u32| held <= 4)), (Ok(pushed), Ok(true)), "{printed}");
            pushed += 1;
        } else if line == "shut down and empty" {
            assert_eq!(popped, 10, "{printed}");
            popped += 1;
        } else {
            assert_eq!(line, format!("popped {popped}"), "{printed}");
            popped += 1;
        }
    }
    assert_eq!((popped, pushed), (11, 10), "{printed}");
}

/// Every message comes back, and each end is told of.
pub fn pipe(printed: &str) {
    let expected = "something there before we ask: false\n\
        sent 5 bytes, the same came back: true\n\
        sent 0 bytes, the same came back: true\n\
        sent 1048576 bytes, the same came back: true\n\
        end of file after a close\n\
        news: still alive\n\
        end of file after a kill: true\n\
        a broken pipe without a reader: true\n";
    assert_eq!(printed, expected);
}

/// Every report arrives, whole.
pub fn typed(printed: &str) {
    let expected = "long: 101 words, mostly Some(\"word\")\n\
        short: 5 words, mostly Some(\"a\")\n\
        the longest word: None\n\
        the longest word: Some(\"semaphore\")\n";
    assert_eq!(printed, expected);
}

/// Each end is told, and the last process is waited for.
pub fn process(printed: &str) {
    let expected = "before: alive false, exit code None\n\
        patient waits\n\
        during: alive true, exit code None\n\
        joined in 10 ms: false\n\
        active: [\"patient\"]\n\
        after: alive false, exit code Some(-15)\n\
        active: 0\n\
        exits with 1: Some(1)\n\
        returns: Some(0)\n\
        panics: Some(1)\n\
        it said: there was an error\n\
        is terminated: Some(-15)\n\
        returns a value: Some(0), and the value is 1\n\
        worker-0 is number 0\n\
        worker-1 is number 1\n\
        worker-2 is number 2\n\
        worker-3 is number 3\n\
        worker-4 is number 4\n\
        [\"hello ring\", \"hello fence\"]\n\
        a core at least: true\n\
        worker-5 is number 5\n";
    assert_eq!(printed, expected);
}

/// Each way to call, each way to fail, and both ends.
pub fn pool(printed: &str) {
    let expected = "apply: 100\n\
        apply_async: 400\n\
        map: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n\
        starmap: [0, 7, 14, 21, 28]\n\
        imap: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n\
        imap_unordered, sorted: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n\
        callback: 120\n\
        error callback: attempt to divide by zero\n\
        killed: the worker was killed by signal 9 in the task\n\
        apply: attempt to divide by zero\n\
        map: attempt to divide by zero\n\
        imap: 360\n\
        imap: 720\n\
        imap: attempt to divide by zero\n\
        imap: -720\n\
        too early: the result was not there in time\n\
        ready: false, successful: the result is not there yet\n\
        later: 200\n\
        ready: true, successful: true\n\
        closed: the pool is closed\n\
        max_tasks_per_child: Clerk-1 Clerk-1 Clerk-2 Clerk-2 Clerk-3 Clerk-3\n\
        dropped: the pool was terminated before the task was done\n";
    assert_eq!(printed, expected);
}
