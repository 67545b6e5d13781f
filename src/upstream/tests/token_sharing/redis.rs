//! Tokens shared by replicas, in a real store.

use super::*;
use crate::store::testing::Redis;
use crate::store::{self, Link};
use crate::upstream::{Away, Seen, TokenRegister, TokensInStore};

fn register(redis: &Redis) -> TokensInStore {
    let settings = store::Settings {
        urls: vec![redis.url().parse().unwrap()],
        mode: store::Mode::Single,
        username: None,
        password: None,
        ca: None,
    };
    TokensInStore::new(Link::new(&settings).unwrap(), "pitaya")
}

/// The content of `register`, once the store answers.
async fn seen(register: &TokensInStore) -> Seen {
    seen_as(register, "name").await
}

async fn seen_as(register: &TokensInStore, name: &str) -> Seen {
    loop {
        match register.look(name).await {
            Ok(seen) => return seen,
            Err(Away) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Whether `register` has swapped, once the store answers: on a busy machine it may have swapped without an answer in time.
async fn swapped(
    register: &TokensInStore,
    expected: Option<&[u8]>,
    new: &[u8],
    min_life: Duration,
) -> bool {
    loop {
        match register.swap("name", expected, new, min_life).await {
            Ok(swapped) => return swapped.done,
            Err(Away) if seen(register).await.value.as_deref() == Some(new) => return true,
            Err(Away) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn only_the_expected_value_is_replaced_and_only_after_the_quarantine() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let register = register(&redis);
    let hour = Duration::from_hours(1);
    // Not text, and with bytes that a script might mishandle.
    let (first, second) = (&b"\x00\xff 1|\r\n"[..], &b"second"[..]);

    assert_eq!(seen(&register).await.value, None);
    assert!(!swapped(&register, Some(second), first, Duration::ZERO).await);
    assert!(!swapped(&register, None, first, hour).await, "too young");
    assert!(swapped(&register, None, first, Duration::ZERO).await);
    assert!(!swapped(&register, None, second, Duration::ZERO).await);
    assert!(swapped(&register, Some(first), second, Duration::ZERO).await);

    let kept = seen(&register).await;
    assert_eq!(kept.value.as_deref(), Some(second));
    let time: i64 = redis
        .command(&["TIME"])
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((time - kept.now_ms / 1000).abs() < 60);
    assert_eq!(seen_as(&register, "another name").await.value, None);
}

#[tokio::test]
async fn a_flush_and_a_restart_with_all_data_begin_a_new_life_of_the_store() {
    let Some(mut redis) = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let register = register(&redis);
    assert!(swapped(&register, None, b"kept", Duration::ZERO).await);
    let older = async |than: Duration| {
        while seen(&register).await.life <= than {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let brief = Duration::from_millis(300);

    older(brief).await;
    redis.command(&["FLUSHALL"]);
    let flushed = seen(&register).await;
    assert_eq!(flushed.value, None);
    assert!(swapped(&register, None, b"kept", Duration::ZERO).await);
    older(flushed.life + brief).await;
    let before = seen(&register).await.life;
    redis.kill();
    redis.run();

    // The data that it has read back may lack the last second.
    let restarted = seen(&register).await;
    assert_eq!(restarted.value.as_deref(), Some(&b"kept"[..]));
    assert!(restarted.life < before, "{restarted:?}, {before:?}");
}

#[tokio::test]
async fn a_store_whose_memory_is_full_still_takes_the_tokens() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let register = register(&redis);
    assert!(swapped(&register, None, b"kept", Duration::ZERO).await);

    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);

    assert!(swapped(&register, Some(b"kept"), b"new", Duration::ZERO).await);
    assert_eq!(seen(&register).await.value.as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn five_replicas_never_use_a_token_twice_even_if_the_store_is_emptied_twice() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor(Quirks::default()).await;
    let five = (0..5).map(|_| Settings {
        id_token: None,
        token_sharing: Some(TokenSharing {
            register: Arc::new(register(&redis)),
            renew_alone: false,
        }),
        ..settings(&vendor)
    });
    let replicas = Replicas::start(five);
    replicas.all_come_to_answer(&vendor).await;
    assert_eq!(vendor.refresh_count(), 1);

    for round in 2..=3 {
        redis.kill();
        replicas.all_are(TokenSharingState::Away).await;
        replicas.all_come_to_answer(&vendor).await;
        assert_eq!(vendor.refresh_count(), round - 1);
        redis.run();
        vendor.expire_id_tokens();

        replicas.all_come_to_answer(&vendor).await;
        assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (round, 0));
        let token = vendor.refresh_token();
        for key in redis.command(&["KEYS", "*"]).lines() {
            assert!(key.starts_with("pitaya:1:{t."), "{key}");
            assert_eq!(redis.command(&["TTL", key]), "-1");
            assert!(!redis.command(&["GET", key]).contains(&token));
        }
    }
}
