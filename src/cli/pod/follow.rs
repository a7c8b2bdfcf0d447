//! `pod list --watch`: a line for every pod whose row changes.

use super::list::{ListArgs, Row};
use super::watch::Watch;
use crate::container::Host;
use crate::error::Result;
use crate::model::ids::PodUid;
use crate::pod::PodKind;
use crate::state::atomic;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What bare pods do is written down nowhere, nor that whoever made a pod has died: they are looked at so often.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// Longer than this nobody sleeps, to no other end.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Namespace and name of a pod, and what was shown of it.
type Shown = BTreeMap<(String, String), Row>;

/// Prints the list and then what changes in it, until somebody ends it.
///
/// # Errors
/// When the pods cannot be watched, or stdout cannot be written.
pub fn follow(list: &ListArgs, host: &Host) -> Result<()> {
    let names = host.layout.pod_names();
    atomic::make_directories(&names)?;
    let watch = Watch::on(&[])?;
    watch.names(&names)?;
    let mut watched: BTreeSet<PodUid> = BTreeSet::new();
    let (mut shown, mut first) = (Shown::new(), true);
    loop {
        let rows = list.rows(host)?;
        let mut unseen = false;
        for uid in rows.iter().filter_map(|row| row.seen.pod.uid()) {
            if watched.insert(uid.clone()) {
                watch.add(&host.layout.pod(uid))?;
                unseen = true;
            }
        }
        let unheard = rows.iter().any(|row| row.seen.pod.kind() == PodKind::Bare || row.partial);
        let changed = compare(&mut shown, rows);
        list.print_changed(&shown.values().collect::<Vec<_>>(), &changed, std::mem::take(&mut first))?;
        shown.retain(|_, row| !row.gone);
        // What has changed before a pod was watched is looked for at once.
        if !unseen {
            watch.next(None, Instant::now() + if unheard { LOOK_AROUND } else { LONGEST_SLEEP })?;
        }
    }
}

/// Takes over the rows, and returns the places in `shown` of those that have changed. A pod that is gone is shown once
/// more, as one that ends, unless that was to be seen already. One that is not all there is about to be or to go, and stays
/// as it was shown; unless it is what a killed command has left.
fn compare(shown: &mut Shown, rows: Vec<Row>) -> Vec<usize> {
    let mut changed = BTreeSet::new();
    let mut present = BTreeSet::new();
    for row in rows {
        let key = (row.seen.pod.namespace().to_string(), row.seen.pod.name().to_string());
        if row.partial && (row.summary.status != "Failed" || shown.contains_key(&key)) {
            present.insert(key);
            continue;
        }
        if shown.get(&key).is_none_or(|known| known.differs(&row)) {
            changed.insert(key.clone());
        }
        present.insert(key.clone());
        shown.insert(key, row);
    }
    for (key, row) in shown.iter_mut().filter(|(key, _)| !present.contains(*key)) {
        row.gone = true;
        if row.summary.status != "Terminating" {
            row.summary.status = "Terminating".to_owned();
            changed.insert(key.clone());
        }
    }
    shown.keys().enumerate().filter(|(_, key)| changed.contains(*key)).map(|(place, _)| place).collect()
}
