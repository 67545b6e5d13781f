//! Tests of what one replica may do.

use super::*;

const ME: u64 = 1;
const OTHER: u64 = 2;

fn tokens() -> Tokens {
    Tokens {
        refresh: "refresh".into(),
        id: Some("id".into()),
        received_ms: 0,
        lifetime: Duration::from_mins(30),
    }
}

fn record(serial: u64, step: u64, phase: Phase, rotates: Option<bool>) -> Record {
    Record {
        serial,
        step,
        phase,
        rotates,
        tokens: Some(tokens()),
    }
}

fn fleet(phase: Phase, rotates: Option<bool>, now: Instant) -> Fleet {
    Fleet::new(ME, false, record(3, 1, phase, rotates), now)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn just_before(limit: Duration) -> Duration {
    limit.saturating_sub(seconds(1))
}

#[test]
fn one_replica_at_a_time_spends_a_token() {
    let now = Instant::now();
    let mut mine = fleet(Phase::Free, Some(true), now);

    let mark = mine.claim(now).unwrap();
    assert_eq!(mark.phase, Phase::Spending(ME));
    assert_eq!(mark.rank(), (3, 2));
    let mut theirs = Fleet::new(OTHER, false, record(3, 1, Phase::Free, Some(true)), now);
    assert!(!theirs.learn(Some(mark.clone()), now));
    assert_eq!(theirs.claim(now).unwrap_err(), Denied::Busy);

    mine.wrote(mark, now);
    mine.asks(now);
    assert!(mine.claim(now).is_err(), "not twice at a time");
    mine.renewed(tokens(), true, now);
    assert!(!theirs.learn(Some(mine.newest().clone()), now));
    assert_eq!(theirs.to_adopt().unwrap().serial, 4);
    assert!(mine.to_adopt().is_none());
    assert!(theirs.claim(now).is_ok());
}

#[test]
fn the_newest_record_is_put_back_and_an_older_one_is_not_learned() {
    let now = Instant::now();
    let mut fleet = fleet(Phase::Spending(OTHER), Some(true), now);

    for lost in [
        None,
        Some(record(3, 0, Phase::Free, Some(true))),
        Some(record(2, 9, Phase::Free, Some(true))),
    ] {
        assert!(fleet.learn(lost, now));
        assert_eq!(fleet.newest().rank(), (3, 1));
        assert_eq!(fleet.claim(now).unwrap_err(), Denied::Busy);
    }
    assert!(!fleet.was_kept());
    fleet.wrote(fleet.newest().clone(), now);
    assert!(fleet.learn(None, now) && fleet.was_kept());
    assert!(!Fleet::new(ME, false, Record::FIRST, now).learn(None, now));
}

#[test]
fn a_token_in_doubt_is_spent_again_only_if_that_is_harmless_or_the_operator_says_so() {
    let now = Instant::now();
    let spending = Phase::Spending(OTHER);
    let claimed = |rotates, renew_alone, after| {
        let record = record(3, 1, spending, rotates);
        Fleet::new(ME, renew_alone, record, now)
            .claim(now + after)
            .map(|_| ())
    };

    for rotates in [None, Some(false), Some(true)] {
        for renew_alone in [false, true] {
            let early = claimed(rotates, renew_alone, just_before(SILENCE));
            assert_eq!(early, Err(Denied::Busy));
        }
    }
    assert_eq!(claimed(Some(false), false, SILENCE), Ok(()));
    assert_eq!(claimed(None, false, SILENCE), Ok(()));
    let day = seconds(86_400);
    assert_eq!(claimed(Some(true), false, day), Err(Denied::InDoubt));
    let nearly = just_before(CERTAIN_SILENCE);
    assert_eq!(claimed(Some(true), true, nearly), Err(Denied::InDoubt));
    assert_eq!(claimed(Some(true), true, CERTAIN_SILENCE), Ok(()));
}

#[test]
fn a_replica_that_waits_for_the_vendor_says_so_and_is_not_in_doubt() {
    let start = Instant::now();
    let mut mine = fleet(Phase::Free, Some(true), start);
    let mut theirs = Fleet::new(OTHER, false, mine.newest().clone(), start);
    let mark = mine.claim(start).unwrap();
    mine.wrote(mark.clone(), start);
    mine.asks(start);
    theirs.learn(Some(mark), start);

    for second in 1..60 {
        let now = start + seconds(second);
        if let Some(beat) = mine.upkeep(true, now) {
            mine.wrote(beat.clone(), now);
            theirs.learn(Some(beat), now);
        }
        assert_eq!(theirs.claim(now).unwrap_err(), Denied::Busy, "{second}");
    }
}

#[test]
fn a_mark_without_a_call_is_taken_back_but_not_one_with_a_lost_outcome() {
    let now = Instant::now();
    let mut fleet = fleet(Phase::Free, Some(true), now);
    let mark = fleet.claim(now).unwrap();
    fleet.learn(Some(mark), now);

    assert!(fleet.upkeep(true, now).is_none());
    assert_eq!(fleet.upkeep(false, now).unwrap().phase, Phase::Free);
    assert!(fleet.claim(now).is_ok());
    fleet.asks(now);
    assert!(fleet.upkeep(false, now).is_none());
    let later = now + CERTAIN_SILENCE;
    assert_eq!(fleet.claim(later).unwrap_err(), Denied::InDoubt);
}

#[test]
fn a_failed_attempt_makes_all_replicas_pause_and_outranks_a_beat_on_its_way() {
    let now = Instant::now();
    let mut mine = fleet(Phase::Free, Some(true), now);
    let mark = mine.claim(now).unwrap();
    mine.wrote(mark, now);
    mine.asks(now);
    let beat = mine.upkeep(true, now + BEAT).unwrap();

    mine.failed(seconds(5), true, now);
    mine.wrote(beat.clone(), now);

    assert!(mine.learn(Some(beat), now), "it is put back");
    let mut theirs = Fleet::new(OTHER, false, Record::FIRST, now);
    theirs.learn(Some(mine.newest().clone()), now);
    let paused = Denied::Paused { refused: true };
    assert_eq!(theirs.claim(now + seconds(4)).unwrap_err(), paused);
    assert!(theirs.claim(now + seconds(5)).is_ok());
}

#[test]
fn without_the_store_only_a_vendor_that_does_not_rotate_is_asked() {
    let start = Instant::now();
    let alone = |rotates, renew_alone, phase, after| {
        Fleet::new(ME, renew_alone, record(3, 1, phase, rotates), start).claim_alone(start + after)
    };
    let day = seconds(86_400);

    assert_eq!(
        alone(Some(false), false, Phase::Free, Duration::ZERO),
        Ok(())
    );
    for rotates in [None, Some(true)] {
        let denied = |after| alone(rotates, false, Phase::Free, after).unwrap_err();
        assert_eq!(denied(just_before(BLINK)), Denied::Away);
        assert_eq!(denied(BLINK), Denied::Alone);
        assert_eq!(denied(day), Denied::Alone);
        let lifted = |after| alone(rotates, true, Phase::Free, after);
        assert_eq!(lifted(just_before(AWAY_FOR_ALONE)), Err(Denied::Away));
        assert_eq!(lifted(AWAY_FOR_ALONE), Ok(()));
    }
    let spending = alone(Some(true), true, Phase::Spending(OTHER), AWAY_FOR_ALONE);
    assert_eq!(spending, Err(Denied::Busy), "it may be on its way");
}

#[test]
fn contact_with_the_store_ends_its_absence() {
    let start = Instant::now();
    let mut fleet = Fleet::new(ME, true, record(3, 1, Phase::Free, Some(true)), start);
    let later = start + AWAY_FOR_ALONE;
    let stored = fleet.newest().clone();

    fleet.learn(Some(stored), later);

    assert_eq!(fleet.claim_alone(later), Err(Denied::Away));
    assert_eq!(fleet.claim_alone(later + AWAY_FOR_ALONE), Ok(()));
}
