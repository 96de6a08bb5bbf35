//! System calls that fail: a seccomp filter of the calling thread, and of the threads and processes that it makes.
#![allow(dead_code)] // each test binary uses its part

/// A system call that gets another answer.
pub struct Rule<'a> {
    pub call: i64,
    /// Only where each of these arguments, by its number, is `value` in the bits of `mask`: (number, mask, value).
    pub arguments: &'a [(u32, u32, u32)],
    /// What the filter returns: see [`errno`].
    pub answer: u32,
}

/// The call is not made and fails so.
pub const fn errno(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

/// The call is made.
pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// The call is not made and the process is killed, by SIGSYS.
pub const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

const fn statement(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

const fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn unless_equal_skip(k: u32, skip: usize) -> libc::sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip as u8, k)
}

/// From here on the calling thread's calls are answered so; whatever no rule names is as ever. There is no way back.
pub fn install(rules: &[Rule<'_>]) {
    install_or(rules, ALLOW);
}

/// As [`install`], with an answer for whatever no rule names.
pub fn install_or(rules: &[Rule<'_>], otherwise: u32) {
    // The number of the call at 0, its arguments from 16 on, 8 bytes each.
    let mut program = vec![load(0)];
    for rule in rules {
        let rest = 3 * rule.arguments.len() + 2;
        program.push(unless_equal_skip(rule.call as u32, rest - usize::from(rule.arguments.is_empty())));
        for (done, (number, mask, value)) in rule.arguments.iter().enumerate() {
            program.push(load(16 + 8 * number));
            program.push(statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, *mask));
            program.push(unless_equal_skip(*value, 3 * (rule.arguments.len() - done - 1) + 1));
        }
        program.push(statement(libc::BPF_RET | libc::BPF_K, 0, 0, rule.answer));
        if !rule.arguments.is_empty() {
            program.push(load(0));
        }
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, 0, otherwise));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter is live; the kernel copies it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    assert!(done, "no filter");
}
