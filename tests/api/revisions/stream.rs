//! The feed as a stream of events.

use pitaya::simulator::Revision;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{DAYS, TYLER, again, hasty, next, read, revised};
use crate::access::client;
use crate::support::{Setup, TestApp, column, problem};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A stream that a test reads event by event.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(app: &TestApp, query: &str, last: Option<&str>) -> Self {
        let request = app.get(&format!("/v1/revisions{query}"));
        let mut request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Self::of(request.send().await.unwrap())
    }

    fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                let (id, data) = (field("id: "), field("data: "));
                self.text = rest.to_owned();
                if let Some(data) = data {
                    let data: Value = serde_json::from_str(&data).unwrap();
                    assert_eq!(data["cursor"], id.unwrap());
                    return Some(data);
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("an event or the end in time").ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn events_arrive_as_they_happen_and_a_reader_resumes_where_it_stopped() {
    let app = hasty().start().await;
    app.rows(DAYS).await;
    app.vendor.revise(Revision::default());
    again(&app, DAYS).await;
    let whole = read(&app, "").await;
    let whole = whole["data"].as_array().unwrap();

    let mut events = Events::open(&app, "", None).await;
    for event in whole {
        assert_eq!(events.next().await.as_ref(), Some(event));
    }
    app.vendor.revise(revised(750, "2026-02-18"));
    again(&app, DAYS).await;
    let fifth = events.next().await.unwrap();
    assert_eq!(fifth["old"], whole[1]["new"]);
    drop(events);

    let third = whole[2]["cursor"].as_str().unwrap();
    let query = format!(
        "?sites=750&limit=1&since={}",
        whole[0]["cursor"].as_str().unwrap()
    );
    let mut events = Events::open(&app, &query, Some(third)).await;
    assert_eq!(events.next().await, Some(fifth.clone()));
    assert_eq!(events.next().await, None);
    let page = read(&app, &format!("since={third}")).await;
    assert_eq!(page["data"], json!([whole[3], fifth]));
}

#[tokio::test]
async fn a_reader_with_an_unknown_cursor_gets_410() {
    let (app, other) = (TestApp::start().await, TestApp::start().await);
    let cursor = next(&read(&other, "").await);
    let open = async |last: &str| {
        let request = app
            .get("/v1/revisions")
            .header("accept", "text/event-stream");
        request.header("last-event-id", last).send().await.unwrap()
    };

    let (status, slug, _) = problem(open(&cursor).await).await;
    assert_eq!((status, &*slug), (410, "cursor-expired"));
    let (status, slug, _) = problem(open("x").await).await;
    assert_eq!((status, &*slug), (400, "invalid-parameter"));
    assert_eq!(open("").await.status(), 200);
}

#[tokio::test]
async fn a_stream_ends_at_a_shutdown() {
    let app = TestApp::start().await;
    let mut events = Events::open(&app, "", None).await;

    drop(app);

    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_stream_follows_the_callers_current_rights_and_ends_with_its_key() {
    let one = client("one", &["one"], "");
    let two = client("two", &["two"], "admin = true");
    let app = hasty()
        .with("AUTH", "required")
        .file(&[&*one, &two].concat())
        .start()
        .await;
    let open = async || {
        let request = app.get("/v1/revisions").bearer_auth("one");
        Events::of(
            request
                .header("accept", "text/event-stream")
                .send()
                .await
                .unwrap(),
        )
    };
    let ask = async || {
        app.clock.advance(jiff::SignedDuration::from_mins(2));
        let request = app.get(&format!("/v1/traffic?{DAYS}")).bearer_auth("two");
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let reload = async |toml: &[&str]| {
        app.write_file(&toml.concat());
        let request = app.client.post(app.url("/v1/reload")).bearer_auth("two");
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    ask().await;
    let mut events = open().await;

    let austin = client("one", &["one"], "site_ids = [751]");
    reload(&[&austin, &two]).await;
    app.vendor.revise(Revision::default());
    let after = ask().await;
    for nth in [2, 3] {
        let event = events.next().await.unwrap();
        assert_eq!(event["site_id"], 751);
        assert_eq!(event["new"], column(&after, "entrances")[nth]);
    }
    reload(&[&two]).await;

    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn streams_leave_room_for_queries() {
    let app = Setup::default()
        .with("LIMITS__MAX_IN_FLIGHT", "8")
        .start()
        .await;
    let _open = [
        Events::open(&app, "", None).await,
        Events::open(&app, "", None).await,
    ];

    let refused = app
        .get("/v1/revisions")
        .header("accept", "text/event-stream");
    let (status, slug, _) = problem(refused.send().await.unwrap()).await;

    assert_eq!((status, &*slug), (503, "overloaded"));
    read(&app, "").await;
    app.rows(TYLER).await;
}
