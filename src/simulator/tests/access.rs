use std::time::Duration;

use super::*;

#[tokio::test]
async fn reports_need_a_live_id_token() {
    let vendor = Vendor::start(Settings::default()).await;
    let good = vendor.simulator.id_token();
    let status = async |token: &str| vendor.ask_with(token, &tyler()).await.unwrap().status();

    assert_eq!(status(&good).await, 200);
    assert_eq!(status("").await, 401);
    assert_eq!(status(&vendor.simulator.refresh_token()).await, 401);
    vendor.simulator.expire_id_tokens();
    assert_eq!(status(&good).await, 401);
    vendor.refresh(&vendor.simulator.refresh_token()).await;
    assert_eq!(status(&vendor.simulator.id_token()).await, 200);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_reused_one_revokes_all() {
    let vendor = Vendor::start(Settings::default()).await;
    let first = vendor.simulator.refresh_token();

    let (status, answer) = vendor.refresh(&first).await;
    assert_eq!(status, 200);
    assert_eq!(answer["refreshToken"], vendor.simulator.refresh_token());
    let id_token = answer["idToken"].as_str().unwrap();
    assert_eq!(
        vendor.ask_with(id_token, &tyler()).await.unwrap().status(),
        200
    );

    assert_eq!(vendor.refresh(&first).await.0, 401);
    assert_eq!(vendor.simulator.reused_tokens(), 1);
    assert_eq!(
        vendor.ask_with(id_token, &tyler()).await.unwrap().status(),
        401
    );
    assert_eq!(
        vendor.refresh(&vendor.simulator.refresh_token()).await.0,
        401
    );

    let fresh = vendor.simulator.reissue();
    assert_eq!(
        vendor
            .ask_with(&fresh.id_token, &tyler())
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(vendor.refresh(&fresh.refresh_token).await.0, 200);
    assert_eq!(vendor.simulator.refresh_count(), 4);
}

#[tokio::test]
async fn a_jwt_contains_its_expiry() {
    use base64::Engine;
    let vendor = Vendor::start(Settings::default()).await;
    let token = vendor.simulator.id_token();

    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    let claims: Value = serde_json::from_slice(&payload.unwrap()).unwrap();

    let lives = claims["exp"].as_i64().unwrap() - NOW.as_second();
    assert!((3600..=3601).contains(&lives), "{lives}");
}

#[tokio::test]
async fn the_token_answer_has_the_configured_names() {
    let vendor = Vendor::start(Settings {
        tokens: TokenSettings {
            ttl: Duration::from_secs(90),
            opaque: true,
            answer: TokenAnswer {
                wrapper: Some("AuthenticationResult"),
                id_field: "IdToken",
                refresh_field: "RefreshToken",
                expires_field: Some("ExpiresIn"),
                decoy_field: Some("AccessToken"),
            },
            ..TokenSettings::default()
        },
        ..Settings::default()
    })
    .await;

    let (_, answer) = vendor.refresh(&vendor.simulator.refresh_token()).await;

    let tokens = &answer["AuthenticationResult"];
    assert_eq!(tokens["IdToken"], vendor.simulator.id_token());
    assert_eq!(tokens["RefreshToken"], vendor.simulator.refresh_token());
    assert_eq!(tokens["ExpiresIn"], 90);
    let decoy = tokens["AccessToken"].as_str().unwrap();
    assert_eq!(
        vendor.ask_with(decoy, &tyler()).await.unwrap().status(),
        401
    );
}

#[tokio::test]
async fn a_refresh_may_need_authorization_too() {
    let vendor = Vendor::start(Settings {
        tokens: TokenSettings {
            bearer_on_refresh: true,
            ..TokenSettings::default()
        },
        ..Settings::default()
    })
    .await;
    let body = json!({ "refreshToken": vendor.simulator.refresh_token() });
    let request = vendor.client.post(vendor.simulator.token_url()).json(&body);
    let with_bearer = request
        .try_clone()
        .unwrap()
        .bearer_auth(vendor.simulator.id_token());

    assert_eq!(request.send().await.unwrap().status(), 401);
    assert_eq!(with_bearer.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_covers_the_configured_customers() {
    let vendor = Vendor::start(Settings {
        customers: vec![CustomerId::new(7).unwrap()],
        ..Settings::default()
    })
    .await;

    assert_eq!(vendor.ask(&tyler()).await.unwrap().status(), 403);
}
