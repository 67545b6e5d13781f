//! A replica tells what it learned before it writes the cells that came with it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::tier::Part;

/// Knows one part. While `busy`, another replica always tells something just before.
struct Contested {
    redis: Arc<Redis>,
    busy: AtomicBool,
    times: AtomicU64,
}

fn fleet_key(what: &str) -> String {
    format!("test:{{fleet.{}}}:{what}", codec().namespace)
}

impl Knowledge for Contested {
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part> {
        if known.contains_key("part") {
            return Vec::new();
        }
        if self.busy.load(Ordering::Relaxed) {
            self.redis.command(&["INCR", &fleet_key("known-revision")]);
            self.times.fetch_add(1, Ordering::Relaxed);
        }
        vec![Part {
            name: "part".into(),
            revision: 1,
            content: b"content".to_vec(),
        }]
    }

    fn written(&self, _: &Part) {}

    fn restore(&self, _: &str, _: &[u8]) -> bool {
        true
    }
}

#[tokio::test]
async fn cells_wait_until_the_facts_are_told_however_often_others_are_faster() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let redis = Arc::new(redis);
    let knowledge = Arc::new(Contested {
        redis: Arc::clone(&redis),
        busy: AtomicBool::new(true),
        times: AtomicU64::new(0),
    });
    let told: Arc<dyn Knowledge> = knowledge.clone();
    let ignorance = Arc::new(Ignorance);
    let a = replica_that_knows(&redis, Mode::Single, Clock::system(), ignorance, told).await;
    let (lease, _) = claim(&a, 1, 0b0010).await;
    let page = a.core.key(&SeriesMonth::of(&key(1, 0)));

    let before = knowledge.times.load(Ordering::Relaxed);
    let putting = put(&a, lease, vec![(key(1, 0), cell(1, now()))]);
    let watched = async {
        while knowledge.times.load(Ordering::Relaxed) < before + 20 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(redis.command(&["EXISTS", &page]), "0");
        knowledge.busy.store(false, Ordering::Relaxed);
    };
    tokio::join!(putting, watched);

    assert_eq!(redis.command(&["EXISTS", &page]), "1");
    let known = fleet_key("known");
    assert_eq!(redis.command(&["HEXISTS", &known, "part"]), "1");
}
