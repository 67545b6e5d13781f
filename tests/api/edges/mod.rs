//! HTTP at its edges: every answer is clear, marked, and reveals nothing.

mod answers;
mod cors;
mod ranges;
mod requests;

use serde_json::Value;

use crate::support::TestApp;

const TRAFFIC: &str = "/v1/traffic?sites=750&dates=2026-02-18&metric=entrances&bucket=day";

/// One answer as received on the wire.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// Parses bytes that hold one answer, to a request other than HEAD.
    fn of(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    /// Slug of the problem, which must be complete.
    fn slug(&self) -> String {
        assert_eq!(
            self.field("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        assert_eq!(
            self.field("x-content-type-options"),
            Some("nosniff"),
            "{}",
            self.head
        );
        assert_eq!(
            self.field("content-length"),
            Some(self.body.len().to_string().as_str()),
            "{}",
            self.head
        );
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        assert_eq!(body["request_id"].as_str(), self.field("x-request-id"));
        body["type"]
            .as_str()
            .unwrap()
            .strip_prefix("/problems/")
            .unwrap()
            .to_owned()
    }
}

/// A GET that ends its connection.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: pitaya\r\nConnection: close\r\n{fields}\r\n")
}

async fn refusal(app: &TestApp, request: impl AsRef<[u8]>) -> (u16, String) {
    let answer = Answer::of(&app.raw(request).await);
    (answer.status, answer.slug())
}
