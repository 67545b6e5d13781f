//! TLS with private authorities.

use super::*;

#[tokio::test]
async fn the_link_talks_only_to_a_server_that_the_configured_authority_vouches_for() {
    let Some((redis, port)) = Redis::start_with_tls() else {
        return;
    };
    let trusting = |ca: Option<&str>| {
        let settings = Settings {
            ca: ca.map(|name| std::fs::read(redis.file(name)).unwrap()),
            ..settings(&[&format!("rediss://127.0.0.1:{port}")])
        };
        Link::new(&settings).unwrap()
    };

    let right = trusting(Some("ca.pem"));
    reaches(|| right.is_connected()).await;
    right
        .query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();
    for wrong in [trusting(Some("other.pem")), trusting(None)] {
        let skipped = wrong.query::<Option<String>>(&get("a"), LIMIT).await;
        assert_eq!(skipped, Err(Unavailable::Skipped));
    }
}
