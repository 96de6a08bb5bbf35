//! What `sys::membarrier` rests on: a registration is copied by fork.
#![cfg(not(ringfence_loom))]

mod common;

use common::skip;
use ringfence::sys::membarrier;

/// Asks the kernel (6.3 and later) which registrations this process has; `None` if it cannot say.
fn registrations() -> Option<i64> {
    const GET_REGISTRATIONS: libc::c_int = 1 << 9;
    // SAFETY: three integers.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, GET_REGISTRATIONS, 0, 0) };
    (answer >= 0).then_some(answer)
}

#[test]
fn a_child_inherits_the_registration() {
    const GLOBAL_EXPEDITED: i64 = 1 << 2;
    if !membarrier::register() {
        skip("no membarrier here, so everybody fences");
        return;
    }
    assert!(membarrier::registered() && membarrier::register() && membarrier::barrier());
    let Some(ours) = registrations() else {
        skip("the kernel cannot be asked");
        return;
    };
    assert_ne!(ours & GLOBAL_EXPEDITED, 0);
    // SAFETY: the child only makes system calls.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let inherited = registrations().is_some_and(|theirs| theirs & GLOBAL_EXPEDITED != 0);
        let noted = membarrier::registered();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(i32::from(!(inherited && noted))) };
    }
    let mut status = 0;
    // SAFETY: our child, a valid out-pointer.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child is not registered");
}
