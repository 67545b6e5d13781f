use super::*;

#[tokio::test]
async fn faults_and_quirks_are_switched_over_http() {
    let vendor = Vendor::start(Settings::default()).await;
    let url = |name: &str| {
        vendor
            .simulator
            .base_url()
            .join("_simulator/")
            .unwrap()
            .join(name)
            .unwrap()
    };
    let client = &vendor.client;

    let set = client
        .put(url("faults"))
        .body("status=503*2,delay=1ms")
        .send()
        .await
        .unwrap();
    assert_eq!(set.status(), 204);
    assert_eq!(vendor.ask(&tyler()).await.unwrap().status(), 503);
    let quirks = json!({"mapping": "empty", "regions": 2});
    let set = client
        .put(url("quirks"))
        .json(&quirks)
        .send()
        .await
        .unwrap();
    assert_eq!(set.status(), 204);
    let state: Value = client
        .get(url("state"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(state["reports"], 1);
    assert_eq!(state["faults"], "status=503*1,delay=1ms");
    assert_eq!(state["quirks"]["mapping"], "empty");

    assert_eq!(
        client.delete(url("faults")).send().await.unwrap().status(),
        204
    );
    let answer = vendor.answer(&tyler()).await;
    assert_eq!(answer["data"]["InsightResponse"]["site_mapping"], json!({}));
}

#[tokio::test]
async fn a_wrong_switch_changes_nothing_and_names_the_valid_form() {
    let vendor = Vendor::start(Settings::default()).await;
    let base = vendor.simulator.base_url();
    for (path, body) in [
        ("_simulator/faults", "explode"),
        ("_simulator/quirks", "{\"mapping\": \"odd\"}"),
    ] {
        let request = vendor.client.put(base.join(path).unwrap()).body(body);

        let response = request.send().await.unwrap();

        assert_eq!(response.status(), 400);
        assert!(response.text().await.unwrap().contains("error"));
    }
    assert_eq!(vendor.ask(&tyler()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn new_credentials_are_issued_by_hand() {
    let vendor = Vendor::start(Settings::default()).await;
    vendor.simulator.revoke_all();
    assert_eq!(vendor.ask(&tyler()).await.unwrap().status(), 401);
    let url = vendor
        .simulator
        .base_url()
        .join("_simulator/tokens")
        .unwrap();

    let fresh: Value = vendor
        .client
        .post(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();

    let id_token = fresh["id_token"].as_str().unwrap();
    assert_eq!(
        vendor.ask_with(id_token, &tyler()).await.unwrap().status(),
        200
    );
}
