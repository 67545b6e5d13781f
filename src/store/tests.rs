mod cluster;
mod sentinel;
mod tls;

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::testing::Redis;
use super::*;

/// Long enough for two busy cores.
const LIMIT: Duration = Duration::from_secs(10);
/// No answer comes within this.
const SHORT: Duration = Duration::from_millis(20);

fn settings(urls: &[&str]) -> Settings {
    Settings {
        urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
        mode: Mode::Single,
        username: None,
        password: None,
        ca: None,
    }
}

fn link_to(redis: &Redis) -> Link {
    Link::new(&settings(&[&redis.url()])).unwrap()
}

fn get(key: &str) -> Cmd {
    let mut command = cmd("GET");
    command.arg(key);
    command
}

async fn reaches(what: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !what() {
        assert!(Instant::now() < until, "it does not get there");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn commands_and_scripts_are_answered_from_the_first_call_on() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let link = link_to(&redis);

    let none: Option<String> = link.query(&get("one"), LIMIT).await.unwrap();
    let script = Script::new("return redis.call('SET', KEYS[1], ARGV[1])");
    for value in ["first", "second"] {
        let keys = ["one".to_owned()];
        let set = link.eval::<()>(&script, &keys, |cmd| _ = cmd.arg(value), LIMIT);
        set.await.unwrap();
        let got: String = link.query(&get("one"), LIMIT).await.unwrap();
        assert_eq!(got, value);
        redis.command(&["SCRIPT", "FLUSH"]);
    }

    assert_eq!(none, None);
}

#[tokio::test]
async fn a_refused_command_says_why_and_the_link_stays() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let link = link_to(&redis);
    redis.command(&["SET", "text", "no list"]);

    for _ in 0..5 {
        let mut push = cmd("LPUSH");
        push.arg("text").arg(1);
        let refused = link.query::<()>(&push, LIMIT).await;
        assert_eq!(refused, Err(Unavailable::Refused("WRONGTYPE".into())));
    }
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let mut set = cmd("SET");
    set.arg("other").arg(1);
    let refused = link.query::<()>(&set, LIMIT).await;

    assert_eq!(refused, Err(Unavailable::Refused("OOM".into())));
    assert!(link.is_connected());
    assert_eq!(link.connections(), 1);
}

#[tokio::test]
async fn a_store_that_dies_is_skipped_and_found_again() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    let link = link_to(&redis);
    link.query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();

    redis.kill();
    reaches(|| !link.is_connected()).await;
    let skipped = link.query::<Option<String>>(&get("a"), LIMIT).await;
    redis.run();
    reaches(|| link.is_connected()).await;

    assert_eq!(skipped, Err(Unavailable::Skipped));
    link.query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_hanging_store_costs_three_time_limits_and_then_the_link_reconnects() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let link = link_to(&redis);
    link.query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();

    redis.signal("STOP");
    let mut failures = Vec::new();
    while link.is_connected() {
        failures.push(link.query::<Option<String>>(&get("a"), SHORT).await);
    }
    let skipped = link.query::<Option<String>>(&get("a"), LIMIT).await;
    redis.signal("CONT");
    reaches(|| link.is_connected()).await;

    assert!(failures.len() <= 3, "{failures:?}");
    assert!(failures.iter().all(|it| *it == Err(Unavailable::TimedOut)));
    assert_eq!(skipped, Err(Unavailable::Skipped));
    link.query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_link_leaves_a_store_that_has_become_a_replica_at_once() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let link = link_to(&redis);
    let mut set = cmd("SET");
    set.arg("a").arg(1);
    link.query::<()>(&set, LIMIT).await.unwrap();

    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let failed = link.query::<()>(&set, LIMIT).await;

    assert!(matches!(failed, Err(Unavailable::Failed(_))), "{failed:?}");
    reaches(|| link.connections() > 1).await;
}

#[tokio::test]
async fn an_absent_store_is_skipped_after_the_first_attempt() {
    let link = Link::new(&settings(&["redis://127.0.0.1:1"])).unwrap();

    let skipped = link.query::<Option<String>>(&get("a"), LIMIT).await;

    assert_eq!(skipped, Err(Unavailable::Skipped));
    assert!(!link.is_connected());
}

#[tokio::test]
async fn a_user_and_a_password_are_sent() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let user = ["ACL", "SETUSER", "pitaya", "on", ">secret", "~*", "+@all"];
    redis.command(&user);
    redis.command(&["ACL", "SETUSER", "default", "off"]);
    let with = |password: &str| Settings {
        username: Some("pitaya".into()),
        password: Some(SecretString::from(password)),
        ..settings(&[&redis.url()])
    };

    let right = Link::new(&with("secret")).unwrap();
    let wrong = Link::new(&with("wrong")).unwrap();

    right
        .query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();
    let skipped = wrong.query::<Option<String>>(&get("a"), LIMIT).await;
    assert_eq!(skipped, Err(Unavailable::Skipped));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let ca = Settings {
        ca: Some(b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n".to_vec()),
        ..settings(&["rediss://127.0.0.1:1"])
    };

    assert!(Link::new(&ca).is_err());
    assert!(Link::new(&settings(&[])).is_err());
    assert!(Link::new(&settings(&["http://127.0.0.1:1"])).is_err());
}
