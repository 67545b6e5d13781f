//! The accepted forms of parameters, and error messages for all others.

mod faults;
mod forms;
mod limits;

use serde_json::Value;

use crate::support::TestApp;

/// A valid query, parameter by parameter.
const GOOD: [(&str, &str); 3] = [
    ("sites", "750"),
    ("dates", "2026-02-18"),
    ("metric", "entrances"),
];

/// The valid query with that parameter replaced or added.
fn with(parameter: &str, value: &str) -> String {
    let others = GOOD.iter().filter(|(name, _)| *name != parameter);
    let pairs = others.map(|(name, value)| format!("{name}={value}"));
    pairs
        .chain([format!("{parameter}={value}")])
        .collect::<Vec<_>>()
        .join("&")
}

/// The parameters that a 400 names, and the message for each.
async fn faults(app: &TestApp, query: &str) -> Vec<(String, String)> {
    let (status, slug, body) = app.problem(query).await;
    assert_eq!(
        (status, slug.as_str()),
        (400, "invalid-parameter"),
        "{query}: {body}"
    );
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap().to_owned();
    body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (text(fault, "parameter"), text(fault, "detail")))
        .collect()
}

async fn faulty(app: &TestApp, query: &str) -> Vec<String> {
    faults(app, query)
        .await
        .into_iter()
        .map(|(parameter, _)| parameter)
        .collect()
}
