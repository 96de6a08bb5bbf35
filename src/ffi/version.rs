//! # Versions
//!
//! Three numbers, each for another reader: the version of the library (semantic versioning), the soname for the dynamic
//! linker (a program built against an older header with the same soname works), and the version of the layout in shared
//! memory (processes that share a segment need the same one).

use core::ffi::{CStr, c_char};

use crate::layout::segment::LAYOUT_VERSION;

const LOADED: &CStr = c"0.1.0";
const SONAME: &CStr = c"libringfence.so.0.1";

const _: () = {
    // The soname follows from the crate's version as cargo-c has it: MAJOR, and before 1.0 also MINOR.
    let (loaded, cargo) = (LOADED.to_bytes(), env!("CARGO_PKG_VERSION").as_bytes());
    let (soname, prefix) = (SONAME.to_bytes(), b"libringfence.so.".len());
    assert!(loaded.len() == cargo.len());
    let mut index = 0;
    while index < cargo.len() {
        assert!(loaded[index] == cargo[index]);
        assert!(prefix + index >= soname.len() || soname[prefix + index] == cargo[index]);
        index += 1;
    }
};

/// The version of the library that is loaded, "MAJOR.MINOR.PATCH", to compare with `RF_VERSION`.
///
/// @return a string that is never NULL and never freed
#[unsafe(no_mangle)]
pub extern "C" fn rf_version() -> *const c_char {
    LOADED.as_ptr()
}

/// The name under which the dynamic linker knows this library when it is installed: "libringfence.so.0.1".
///
/// @return a string that is never NULL and never freed
#[unsafe(no_mangle)]
pub extern "C" fn rf_version_soname() -> *const c_char {
    SONAME.as_ptr()
}

/// The version of the layout in shared memory. Opening a segment of another one fails with `RF_E_VERSION`.
///
/// @return the number
#[unsafe(no_mangle)]
pub extern "C" fn rf_version_layout() -> u32 {
    LAYOUT_VERSION
}
