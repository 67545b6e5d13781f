//! Calls every route and method with every kind of key.

use reqwest::Method;

use super::*;

#[tokio::test]
async fn every_route_and_method_requires_the_right_key() {
    let app = guarded().start().await;
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE",
    ];
    let traffic = format!("/v1/traffic?{TYLER}");
    let explain = format!("/v1/explain?{TYLER}");
    let under_v1 = [
        (traffic.as_str(), "GET"),
        (explain.as_str(), "GET"),
        ("/v1/sites", "GET"),
        ("/v1/cache", "DELETE"),
        ("/v1/reload", "POST"),
        ("/v1/nothing", ""),
        ("/v1/", ""),
    ];
    let open = OPEN_PATHS.into_iter().chain(OPERATORS_PATHS);
    let paths = under_v1
        .into_iter()
        .chain(open.map(|path| (path, "GET")))
        .chain([("/nothing", ""), ("/v1", "")]);
    let mut walked = 0;

    for (path, has) in paths {
        for method in methods {
            for key in [None, Some("wrong"), Some("tyler"), Some("operator")] {
                let mut request = app.client.request(
                    Method::from_bytes(method.as_bytes()).unwrap(),
                    app.url(path),
                );
                if let Some(key) = key {
                    request = request.header("x-api-key", key);
                }

                let response = request.send().await.unwrap();

                let known = matches!(key, Some("tyler" | "operator"));
                let offered = method == has || (method == "HEAD" && has == "GET");
                let expected = if path.starts_with("/v1/") && !known && method != "OPTIONS" {
                    401
                } else if has.is_empty() {
                    404
                } else if method == "OPTIONS" {
                    204
                } else if !offered {
                    405
                } else if ["/v1/cache", "/v1/reload"].contains(&path) && key == Some("tyler") {
                    403
                } else if (path == traffic || path == explain) && key == Some("operator") {
                    // This key's scope has both customers, and the query names neither.
                    400
                } else {
                    200
                };
                let status = response.status().as_u16();
                assert_eq!(status, expected, "{method} {path} with {key:?}");
                assert!(
                    response.headers().contains_key("allow") || ![204, 405].contains(&status),
                    "{method} {path}"
                );
                assert!(
                    response.headers().contains_key("x-request-id"),
                    "{method} {path}"
                );
                if status >= 400 {
                    assert_eq!(
                        response.headers()["content-type"],
                        "application/problem+json",
                        "{method} {path}"
                    );
                }
                walked += 1;
            }
        }
    }
    assert_eq!(walked, (7 + 11 + 2) * 9 * 4);
    assert_eq!(app.vendor.report_count(), 1);
}
