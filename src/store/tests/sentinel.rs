//! The link to a primary, found through sentinels.

use super::*;
use crate::store::testing::Sentinel;

fn through(sentinels: &[&str]) -> Settings {
    Settings {
        mode: Mode::Sentinel {
            master: "main".into(),
        },
        ..settings(sentinels)
    }
}

async fn is_set(link: &Link, key: &str) -> bool {
    let mut set = cmd("SET");
    set.arg(key).arg("there");
    link.query::<()>(&set, LIMIT).await.is_ok()
}

async fn sets(link: &Link, key: &str) {
    let until = Instant::now() + Duration::from_mins(2);
    while !is_set(link, key).await {
        assert!(Instant::now() < until, "the link does not follow");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_primary_is_followed_through_a_failover() {
    let Some(mut first) = Redis::start(&[]) else {
        return;
    };
    let port = first.port.to_string();
    let second = Redis::start(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let sentinel = Sentinel::of(&first, "");
    // One sentinel is dead, and one of the ports belongs to no sentinel.
    let link = Link::new(&through(&[
        "redis://127.0.0.1:1",
        &second.url(),
        &sentinel.url(),
    ]))
    .unwrap();
    sets(&link, "before").await;
    while second.command(&["GET", "before"]) != "there" {
        sleep(Duration::from_millis(5)).await;
    }
    reaches(|| sentinel.knows_a_replica()).await;

    sentinel.give_up_after("500");
    first.kill();
    sets(&link, "after").await;

    assert_eq!(second.command(&["GET", "after"]), "there");
    assert_eq!(second.command(&["GET", "before"]), "there");
}

#[tokio::test]
async fn sentinels_get_a_password_only_if_they_need_one() {
    let Some(redis) = Redis::start(&["--requirepass", "secret"]) else {
        return;
    };
    let auth = "sentinel auth-pass main secret";
    let open = Sentinel::of(&redis, auth);
    let closed = Sentinel::of(&redis, &format!("{auth}\nrequirepass secret"));

    for sentinel in [&open, &closed] {
        let link = Link::new(&Settings {
            password: Some(SecretString::from("secret")),
            ..through(&[&sentinel.url()])
        })
        .unwrap();
        sets(&link, "a").await;
    }
}
