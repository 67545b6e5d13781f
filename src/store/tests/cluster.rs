//! The link to a cluster.

use super::*;

#[tokio::test]
async fn a_command_goes_to_the_node_of_a_cluster_that_has_the_key() {
    let Some(nodes) = Redis::start_six() else {
        return;
    };
    let link = Link::new(&Settings {
        mode: Mode::Cluster,
        ..settings(&[&nodes[0].url()])
    })
    .unwrap();
    let script = Script::new("return redis.call('SET', KEYS[1], ARGV[1])");

    for key in ["one", "two", "three"] {
        let keys = [key.to_owned()];
        let set = link.eval::<()>(&script, &keys, |cmd| _ = cmd.arg(key), LIMIT);
        set.await.unwrap();
    }
    let mut read = cmd("MGET");
    read.arg(&["one", "two", "three", "four"]);
    let read: Vec<Option<String>> = link.query(&read, LIMIT).await.unwrap();

    let expected = [Some("one"), Some("two"), Some("three"), None];
    assert_eq!(read, expected.map(|it| it.map(str::to_owned)));
}

/// Writes keys of many slots. Returns whether all were accepted.
async fn writes(link: &Link) -> bool {
    for key in 0..64 {
        let mut set = cmd("SET");
        set.arg(key).arg(key);
        if link
            .query::<()>(&set, Duration::from_secs(1))
            .await
            .is_err()
        {
            return false;
        }
    }
    true
}

async fn writes_again(link: &Link) {
    let until = Instant::now() + Duration::from_mins(2);
    while !writes(link).await {
        assert!(Instant::now() < until, "the link does not follow");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn after_a_primary_dies_or_hangs_the_link_follows_its_replica() {
    let Some(mut nodes) = Redis::start_six() else {
        return;
    };
    let urls: Vec<String> = nodes.iter().map(Redis::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let link = Link::new(&Settings {
        mode: Mode::Cluster,
        ..settings(&urls)
    })
    .unwrap();
    writes_again(&link).await;

    nodes[0].kill();
    writes_again(&link).await;
    nodes[1].signal("STOP");
    writes_again(&link).await;
    nodes[1].signal("CONT");
}
