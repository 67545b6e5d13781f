use std::collections::HashMap;

use jiff::SignedDuration;
use jiff::civil::date;
use proptest::prelude::*;

use super::log::{CHUNK, CHUNKS};
use super::*;
use crate::domain::bucket::VendorBucket;
use crate::domain::metric::VendorMetric;
use crate::domain::revision::RevisionKind;
use crate::domain::site::{CustomerId, SiteId};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// The finding of a comparison of a site's day, whose entrances were asked for before at `was` and lead to `figure` at `second`.
fn found(site: u64, figure: u32, (was, second): (i64, i64), minutes: u16) -> Compared {
    Compared::of(
        Revision {
            subject: Subject {
                customer: CustomerId::new(1).unwrap(),
                site: SiteId::new(site).unwrap(),
                metric: VendorMetric::Entrances,
                date: date(2026, 2, 18),
            },
            seen_at: at(second),
            kind: RevisionKind::Changed,
            old: None,
            new: Some(f64::from(figure)),
            buckets: 3,
            age: SignedDuration::from_hours(50),
            bucket: VendorBucket::from_minutes(minutes).unwrap(),
            state: u64::from(figure) << 16 | u64::from(minutes),
            process: 0,
        },
        at(was),
    )
}

fn figures(page: &RevisionPage) -> Vec<f64> {
    let events = page.events.iter();
    events.map(|(_, event)| event.new.unwrap()).collect()
}

fn all(feed: &Revisions, since: Since) -> Result<Vec<f64>, Expired> {
    let page = feed.page(since, usize::MAX, |_| true)?;
    Ok(figures(&page))
}

/// The parts of a feed on a disk, by name.
type Disk = HashMap<String, Part>;

/// Writes what has changed, as a commit does.
fn commit(feed: &Revisions, disk: &mut Disk) {
    let known = disk.iter();
    let known = known.map(|(name, part)| (name.clone(), part.revision));
    for part in feed.changed(&known.collect()) {
        disk.insert(part.name.clone(), part);
    }
    for part in disk.values() {
        feed.written(part.revision);
    }
}

/// A new process with that disk.
fn restarted(disk: &Disk, second: i64) -> Revisions {
    let feed = Revisions::new(at(second));
    for part in disk.values() {
        assert!(feed.restore(&part.content));
    }
    feed
}

#[test]
fn an_event_is_shown_once_it_is_written_with_its_cells() {
    let (feed, mut disk) = (Revisions::new(at(0)), Disk::new());
    let mut more = feed.watch();

    feed.record([found(1, 7, (0, 1), 15)], true);
    assert_eq!(all(&feed, Since::Beginning), Ok(vec![]));
    assert!(!more.has_changed().unwrap());
    commit(&feed, &mut disk);
    assert_eq!(all(&feed, Since::Beginning), Ok(vec![7.0]));
    assert!(more.has_changed().unwrap());
    more.mark_unchanged();
    feed.record([found(1, 8, (1, 2), 15)], false);
    assert_eq!(all(&feed, Since::Beginning), Ok(vec![7.0, 8.0]));
    assert!(more.has_changed().unwrap());
}

#[test]
fn a_return_to_the_figures_of_the_last_event_is_an_event() {
    let feed = Revisions::new(at(0));
    feed.record([found(1, 7, (0, 1), 15)], false);
    // Between these two, a purge has hidden another change.
    feed.record([found(1, 7, (2, 3), 15)], false);

    assert_eq!(all(&feed, Since::Beginning), Ok(vec![7.0, 7.0]));
}

#[test]
fn a_killed_process_loses_nothing_that_was_shown_and_tells_nothing_twice() {
    let (feed, mut disk) = (Revisions::new(at(0)), Disk::new());
    commit(&feed, &mut disk);
    let start = feed.page(Since::Beginning, 9, |_| true).unwrap().next;
    feed.record([found(1, 7, (0, 1), 15)], true);
    commit(&feed, &mut disk);
    let seen = feed.page(Since::Beginning, 9, |_| true).unwrap().next;
    // Neither this event nor its cell is written.
    feed.record([found(2, 8, (0, 2), 15)], true);

    let feed = restarted(&disk, 10);
    // The cell of the first event was not written, so it is compared again. The second event is found again.
    feed.record([found(1, 7, (0, 11), 15), found(2, 8, (0, 12), 15)], true);
    commit(&feed, &mut disk);

    assert_eq!(all(&feed, Since::Cursor(start)), Ok(vec![7.0, 8.0]));
    assert_eq!(all(&feed, Since::Cursor(seen)), Ok(vec![8.0]));
}

#[test]
fn a_cursor_of_an_event_that_no_disk_has_is_expired() {
    let (feed, mut disk) = (Revisions::new(at(0)), Disk::new());
    commit(&feed, &mut disk);
    let start = feed.page(Since::Beginning, 9, |_| true).unwrap().next;
    // The disk cannot be written, so the event is shown at once.
    feed.record([found(1, 7, (0, 1), 15)], false);
    let lost = feed.page(Since::Beginning, 9, |_| true).unwrap().next;

    let feed = restarted(&disk, 10);
    feed.record([found(2, 8, (0, 11), 15)], false);

    assert_eq!(all(&feed, Since::Cursor(lost)), Err(Expired));
    assert_eq!(all(&feed, Since::Cursor(start)), Ok(vec![8.0]));
    let other = Revisions::new(at(0));
    assert_eq!(all(&other, Since::Cursor(start)), Err(Expired));
    assert_eq!(all(&other, Since::Time(at(-1000))), Ok(vec![]));
}

#[test]
fn one_change_in_buckets_of_two_lengths_is_one_event() {
    let feed = Revisions::new(at(0));

    feed.record([found(1, 7, (0, 10), 15)], false);
    feed.record([found(1, 7, (0, 20), 60)], false);
    assert_eq!(all(&feed, Since::Beginning), Ok(vec![7.0]));
    // Changed again between the two.
    feed.record([found(1, 9, (5, 30), 5)], false);
    assert_eq!(all(&feed, Since::Beginning), Ok(vec![7.0, 9.0]));
    // Back, seen in quarters first.
    feed.record([found(1, 7, (20, 40), 60)], false);
    feed.record([found(1, 7, (30, 50), 5)], false);
    assert_eq!(all(&feed, Since::Beginning), Ok(vec![7.0, 9.0, 7.0]));
}

#[test]
fn the_oldest_events_go_and_what_follows_them_is_expired() {
    let (feed, mut disk) = (Revisions::new(at(0)), Disk::new());
    let kept = (CHUNKS - 1) * CHUNK;
    let start = feed.page(Since::Beginning, 1, |_| true).unwrap().next;
    for number in 1..=kept + CHUNK + 1 {
        let second = i64::try_from(number).unwrap();
        let figure = u32::try_from(number).unwrap();
        feed.record([found(number, figure, (0, second), 15)], true);
        if number % 5000 == 0 {
            commit(&feed, &mut disk);
        }
    }
    commit(&feed, &mut disk);

    for feed in [feed, restarted(&disk, 0)] {
        let page = feed.page(Since::Beginning, 2, |_| true).unwrap();
        assert_eq!(figures(&page), [1025.0, 1026.0]);
        assert_eq!(all(&feed, Since::Cursor(start)), Err(Expired));
        assert_eq!(all(&feed, Since::Time(at(1000))), Err(Expired));
        let recent = Since::Time(at(i64::try_from(kept).unwrap()));
        assert_eq!(all(&feed, recent).unwrap().len() as u64, CHUNK + 2);
        let whole = all(&feed, Since::Beginning).unwrap();
        assert_eq!(whole.len() as u64, kept + 1);
    }
    assert_eq!(disk.len() as u64, CHUNKS);
}

#[test]
fn bytes_that_are_no_part_are_refused() {
    let (feed, mut disk) = (Revisions::new(at(0)), Disk::new());
    feed.record([found(1, 7, (0, 1), 15)], true);
    commit(&feed, &mut disk);
    let content = disk.into_values().next().unwrap().content;

    let other = Revisions::new(at(5));
    for length in 0..content.len() {
        let whole_chunk_without_events = content.len() - length == content.len() - 21;
        assert_eq!(
            other.restore(&content[..length]),
            whole_chunk_without_events,
            "{length}"
        );
    }
    for version in 2..=255 {
        let mut other_version = content.clone();
        other_version[0] = version;
        assert!(!other.restore(&other_version));
    }
}

proptest! {
    /// Against a list of all events, over processes that end in order or are killed.
    #[test]
    fn every_cursor_leads_to_what_came_after_it(
        steps in prop::collection::vec(prop_oneof![
            6 => (1_u64..4).prop_map(Some),
            2 => Just(None),
        ], 1..60),
        killed in prop::collection::vec(any::<bool>(), 60),
        limit in 1_usize..5,
    ) {
        let (mut feed, mut disk) = (Revisions::new(at(0)), Disk::new());
        commit(&feed, &mut disk);
        let mut written: Vec<f64> = Vec::new();
        let mut pending: Vec<f64> = Vec::new();
        let mut cursors: Vec<(Cursor, usize)> = Vec::new();
        for (nth, (step, killed)) in (1..).zip(steps.iter().zip(killed)) {
            if let Some(site) = step {
                feed.record([found(*site, nth, (0, nth.into()), 15)], true);
                pending.push(nth.into());
            } else {
                if killed {
                    pending.clear();
                } else {
                    commit(&feed, &mut disk);
                    written.append(&mut pending);
                }
                feed = restarted(&disk, nth.into());
            }
            let page = feed.page(Since::Beginning, usize::MAX, |_| true).unwrap();
            prop_assert_eq!(&figures(&page), &written);
            let text = page.next.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            cursors.push((text.parse().unwrap(), written.len()));
        }
        for (mut cursor, seen) in cursors {
            let mut came: Vec<f64> = Vec::new();
            loop {
                let page = feed.page(Since::Cursor(cursor), limit, |_| true).unwrap();
                prop_assert!(page.events.len() <= limit);
                came.extend(figures(&page));
                cursor = page.next;
                if page.events.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(came, written[seen..].to_vec());
        }
    }
}
