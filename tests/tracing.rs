//! The events of the feature `tracing`.

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex as Shared};

use common::{Name, Role, hear, role, say, small};
use ringfence::Segment;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    assert_eq!(role, "member");
    let _segment = Segment::open(&arguments[0]).unwrap();
    say("in");
    hear();
}

/// Keeps what events say.
#[derive(Clone, Default)]
struct Keeper(Arc<Shared<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ringfence")
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_recovery_is_told() {
    let name = Name::new("tracing");
    let segment = name.create(&small());
    let mut member = Role::start("member", &[&name.0]);
    member.expect("in");
    let pid = member.pid();
    member.kill();
    let keeper = Keeper::default();
    tracing::subscriber::with_default(keeper.clone(), || assert_eq!(segment.recover(), Ok(1)));
    let said = keeper.0.lock().unwrap().clone();
    assert!(said.len() == 1 && said[0].contains("recovered") && said[0].contains(&format!("pid={pid} ")), "{said:?}");
}
