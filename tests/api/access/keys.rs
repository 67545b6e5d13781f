//! Only the key identifies the caller.

use super::*;

#[tokio::test]
async fn a_key_is_taken_from_either_field_and_both_keys_of_a_rotation_work() {
    let app = with_file(&client("rotating", &["old", "new"], "customer_ids = [123]"))
        .start()
        .await;
    let path = format!("/v1/traffic?{TYLER}");

    for (name, value) in [
        ("authorization", "Bearer old"),
        ("authorization", "Bearer new"),
        ("Authorization", "bearer new"),
        ("authorization", "BEARER   old"),
        ("x-api-key", "old"),
        ("X-API-Key", "new"),
        ("authorization", "Basic ZXhjZWw6b2xk"),
        ("authorization", "basic Om5ldw=="),
    ] {
        let response = app.get(&path).header(name, value).send().await.unwrap();

        assert_eq!(response.status(), 200, "{name}: {value}");
    }
    for other in ["Bearer nobody's", "Basic Og==", "Digest x", ""] {
        let decided = app.get(&path).header("authorization", other);
        let decided = decided.header("x-api-key", "old").send().await.unwrap();
        assert_eq!(decided.status(), 200, "{other}");
    }
}

#[tokio::test]
async fn missing_wrong_and_multiple_keys_are_refused_before_any_look_up() {
    let app = guarded().start().await;
    answer(&app, "tyler", TYLER).await;
    app.vendor.reset_counts();
    let almost = &"tyler"[..4];
    let hashed = hash("tyler");

    for fields in [
        vec![],
        vec![("x-api-key", "unknown")],
        vec![("x-api-key", almost)],
        vec![("x-api-key", "Tyler")],
        vec![("x-api-key", hashed.as_str())],
        vec![("x-api-key", "")],
        vec![("x-api-key", "tyler"), ("x-api-key", "tyler")],
        vec![("x-api-key", "unknown"), ("authorization", "Bearer tyler")],
        vec![("x-api-key", ""), ("authorization", "Bearer tyler")],
        vec![("authorization", "tyler")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer tyler austin")],
        vec![
            ("authorization", "Bearer tyler"),
            ("authorization", "Bearer austin"),
        ],
        vec![("authorization", "Basic dHlsZXI6")],
        vec![("authorization", "Basic dHlsZXI=")],
        vec![("authorization", "Basic tyler")],
        vec![("authorization", "Basic")],
        vec![("authorization", "Digest tyler")],
        vec![("cookie", "key=tyler")],
    ] {
        let mut request = app.get(&format!("/v1/traffic?{TYLER}"));
        for (name, value) in &fields {
            request = request.header(*name, *value);
        }

        let response = request.send().await.unwrap();

        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            challenge.starts_with("Bearer realm=\"pitaya\""),
            "{challenge}"
        );
        assert!(!response.headers().contains_key("cache-status"));
        let (status, slug, body) = problem(response).await;
        assert_eq!(
            (status, slug.as_str()),
            (401, "unauthenticated"),
            "{fields:?}"
        );
        assert!(!body.to_string().contains("tyler"), "{body}");
    }
    let in_the_query = app
        .get(&format!("/v1/traffic?{TYLER}&key=tyler"))
        .send()
        .await
        .unwrap();
    assert_eq!(in_the_query.status(), 401);
    assert_eq!(app.vendor.report_count(), 0);
}
