//! The list of events that `describe` shows: bounded, and equal ones merged.

use crate::model::ids::ContainerName;
use crate::model::status::{Event, EventKind, MOST_EVENTS};

/// Adds an event, as the latest. One like it in the list is counted up and moves to the end instead.
pub fn add(
    events: &mut Vec<Event>,
    at: u64,
    kind: EventKind,
    reason: &str,
    container: Option<&ContainerName>,
    message: String,
) {
    let same = events.iter().position(|event| {
        event.kind == kind
            && event.reason == reason
            && event.container.as_ref() == container
            && event.message == message
    });
    let (count, first) = same.map_or((0, at), |position| {
        let before = events.remove(position);
        (before.count, before.first)
    });
    let count = count.saturating_add(1);
    if events.len() >= MOST_EVENTS {
        events.drain(..=events.len() - MOST_EVENTS);
    }
    events.push(Event {
        at,
        first,
        count,
        kind,
        reason: reason.to_owned(),
        container: container.cloned(),
        message,
    });
}
