//! Sends the queries of the cookbook to the demo, on the day of the printed answers.

use std::path::Path;

use serde_json::Value;

use crate::support::{Setup, TestApp};

const PAGE: &str = "docs/cookbook.md";
/// The time of the answers on the page.
const NOW: &str = "2026-11-27T18:00:00Z";
/// The demo's address on the page.
const SHOWN: &str = "http://127.0.0.1:8080";

/// A query on the page, with the answer that the page shows.
struct Example {
    title: String,
    path: String,
    language: String,
    answer: String,
}

/// Every query that is followed by its answer in the same section.
fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let (mut title, mut path) = (String::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            (title, path) = (line.trim_start_matches('#').trim().to_owned(), None);
        }
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let ("sh", [query]) = (language, &*block) {
            let query = query.strip_prefix(&format!("curl '{SHOWN}"));
            path = query.and_then(|query| query.strip_suffix('\''));
        } else if let ("json" | "csv", Some(path)) = (language, path.take()) {
            examples.push(Example {
                title: title.clone(),
                path: path.to_owned(),
                language: language.to_owned(),
                answer: block.join("\n"),
            });
        }
    }
    examples
}

/// The differences between `answer` and the part of it that the page shows. Lists must be complete; objects need not be.
fn differences(shown: &Value, answer: &Value, place: &str) -> Vec<String> {
    match (shown, answer) {
        (Value::Object(shown), Value::Object(answer)) => shown
            .iter()
            .flat_map(|(key, shown)| {
                let answer = answer.get(key).unwrap_or(&Value::Null);
                differences(shown, answer, &format!("{place}.{key}"))
            })
            .collect(),
        (Value::Array(shown), Value::Array(answer)) if shown.len() == answer.len() => shown
            .iter()
            .zip(answer)
            .enumerate()
            .flat_map(|(at, (shown, answer))| differences(shown, answer, &format!("{place}[{at}]")))
            .collect(),
        (shown, answer) if shown == answer => Vec::new(),
        (shown, answer) => vec![format!("{place} is {answer}, and the page says {shown}")],
    }
}

async fn asked(app: &TestApp, example: &Example) -> Vec<String> {
    let response = app.get(&example.path).send().await.unwrap();
    let status = response.status();
    let answer = response.text().await.unwrap();
    assert_eq!(status, 200, "{}: {answer}", example.title);
    if example.language == "csv" {
        let (answer, shown) = (answer.replace("\r\n", "\n"), &example.answer);
        let is_same = answer.trim_end() == shown;
        return if is_same { Vec::new() } else { vec![answer] };
    }
    let shown: Value = serde_json::from_str(&example.answer).unwrap();
    assert!(shown.get("data").or(shown.get("cells")).is_some());
    differences(
        &shown,
        &serde_json::from_str(&answer).unwrap(),
        "the answer",
    )
}

#[tokio::test]
async fn the_demo_gives_every_answer_in_the_cookbook() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(page).unwrap();
    let (questions, _) = page.split_once("\n## Recipes\n").unwrap();
    let app = Setup::demo(NOW).start().await;

    let mut wrong = Vec::new();
    for example in examples(&page) {
        let differences = asked(&app, &example).await;
        wrong.extend(
            differences
                .iter()
                .map(|told| format!("{}: {told}", example.title)),
        );
    }

    assert_eq!(questions.matches("\n### ").count(), 10);
    assert_eq!(examples(questions).len(), 10);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
