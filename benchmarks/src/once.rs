//! What is done once: what it costs to find it done.

use std::hint::black_box;
use std::sync::OnceLock;

use ringfence::{Once, OnceValue};

use crate::crew::per_op;
use crate::ours::Scene;
use crate::table::{Book, Contestant, Demand, contestant};

const TIMES: u64 = 20_000_000;

fn race<R>(name: &str, mut look: impl FnMut() -> R + 'static) -> Contestant<'static> {
    contestant(name, move || {
        per_op(TIMES, || {
            black_box(look());
        })
    })
}

const GET: &str = "ringfence OnceValue<u64>::get";
const INIT: &str = "ringfence OnceValue<u64>::get_or_init";
const WIDE: &str = "ringfence OnceValue<[u64; 8]>::get";
const CALL: &str = "ringfence Once::call_once";
const STD: &str = "std OnceLock<u64>::get";
const STD_INIT: &str = "std OnceLock<u64>::get_or_init";
const STD_CALL: &str = "std Once::call_once";

/// Runs the race.
pub fn measure(book: &mut Book) {
    let scene = Scene::new(64 << 10);
    let open = || OnceValue::<u64>::open_or_create(&scene.segment, "value").expect("a value");
    let (get, init) = (open(), open());
    get.set(7).expect("it is not set");
    let wide = OnceValue::<[u64; 8]>::create(&scene.segment, "wide").expect("a value");
    wide.set([7; 8]).expect("it is not set");
    let once = Once::create(&scene.segment, "once").expect("a once");
    once.call_once(|_| ()).expect("nobody is at it");
    let (std_get, std_init, std_once) = (OnceLock::from(7_u64), OnceLock::from(7_u64), std::sync::Once::new());
    std_once.call_once(|| ());
    let contestants = vec![
        race(GET, move || black_box(&get).get()),
        race(STD, move || black_box(&std_get).get().copied()),
        race(INIT, move || black_box(&init).get_or_init(|_| 8).expect("there is one")),
        race(STD_INIT, move || *black_box(&std_init).get_or_init(|| 8)),
        race(CALL, move || black_box(&once).call_once(|_| ()).expect("it is done")),
        race(STD_CALL, move || black_box(&std_once).call_once(|| ())),
        race(WIDE, move || black_box(&wide).get()),
    ];
    let mut results = book.close_race("once, get of what is there", "ns", contestants);
    results.against(GET, &[STD], Demand::Shown).against(INIT, &[STD_INIT], Demand::Shown).against(
        CALL,
        &[STD_CALL],
        Demand::Shown,
    );
}
