//! The committed header is what the sources say. `RINGFENCE_BLESS=1 cargo test -p ringfence-ffi-tests --test header`
//! writes it anew.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let path = root.join("include/ringfence.h");
    let fresh = ringfence_ffi_tests::header::generate(root);
    if env::var_os("RINGFENCE_BLESS").is_some() {
        fs::write(&path, &fresh).expect("include/ringfence.h");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let difference = fresh.lines().zip(committed.lines()).position(|(fresh, committed)| fresh != committed);
    assert!(
        fresh == committed,
        "include/ringfence.h is not what src/ffi says (first difference in line {:?}): run this test with RINGFENCE_BLESS=1",
        difference.map(|line| line + 1)
    );
}
