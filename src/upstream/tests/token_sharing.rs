//! Tokens shared by replicas: each client stands for one replica, and all share a store in memory.

mod redis;

use std::path::Path;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::tokens::vendor_with;
use super::*;
use crate::simulator::{Quirks, Rotation, TokenSettings};
use crate::upstream::tokens::memory::Memory;
use crate::upstream::{TokenSharing, TokenSharingState, TokenState};

fn shared_in(store: &Memory, settings: Settings) -> Settings {
    Settings {
        id_token: None,
        token_sharing: Some(TokenSharing {
            register: Arc::new(store.another()),
            renew_alone: false,
        }),
        ..settings
    }
}

/// Replicas, each with a task that keeps in touch with the store until the set is dropped.
struct Replicas {
    clients: Vec<Arc<Upstream>>,
    _keepers: JoinSet<()>,
}

impl Replicas {
    fn start(settings: impl IntoIterator<Item = Settings>) -> Self {
        let start = |settings| Arc::new(Upstream::new(settings, Clock::system()).unwrap());
        let clients: Vec<_> = settings.into_iter().map(start).collect();
        let mut keepers = JoinSet::new();
        for client in &clients {
            let client = Arc::clone(client);
            keepers.spawn(async move { client.obtain_tokens().await });
        }
        Self {
            clients,
            _keepers: keepers,
        }
    }

    async fn all_answer(&self, vendor: &Simulator) {
        let request = request([750], 1);
        let all = join_all(self.clients.iter().map(|client| client.fetch(&request))).await;
        for fetched in &all {
            assert_true(vendor, &request, fetched);
        }
    }

    /// Sends a query to every replica until it is answered, since the replica may meanwhile have found the store away for too long.
    async fn all_come_to_answer(&self, vendor: &Simulator) {
        let request = request([750], 1);
        let answered = async |client: &Arc<Upstream>| {
            loop {
                let fetched = client.fetch(&request).await;
                if fetched.failures.is_empty() {
                    return fetched;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let all = join_all(self.clients.iter().map(answered)).await;
        for fetched in &all {
            assert_true(vendor, &request, fetched);
        }
    }

    async fn all_are(&self, state: TokenSharingState) {
        eventually(|| {
            let states = self.clients.iter().map(|it| it.status().token_sharing);
            states.into_iter().all(|it| it == state)
        })
        .await;
    }
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let limit = Duration::from_mins(1);
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, polling).await.unwrap();
}

fn kept_at(path: &Path, settings: Settings) -> Settings {
    Settings {
        token_store: Some(path.to_path_buf()),
        ..settings
    }
}

#[tokio::test]
async fn replicas_renew_once_for_all_even_if_they_need_it_at_once() {
    let vendor = vendor(Quirks::default()).await;
    let store = Memory::old();
    let five = (0..5).map(|_| shared_in(&store, settings(&vendor)));
    let replicas = Replicas::start(five);

    for round in 1..=3 {
        replicas.all_answer(&vendor).await;
        assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (round, 0));
        vendor.expire_id_tokens();
    }

    replicas.all_are(TokenSharingState::Shared).await;
    let (_, value) = store.values().into_iter().next().unwrap();
    let token = vendor.refresh_token();
    assert!(!value.windows(token.len()).any(|it| it == token.as_bytes()));
}

#[tokio::test]
async fn an_emptied_store_costs_no_renewal_and_revokes_nothing() {
    let vendor = vendor(Quirks::default()).await;
    let store = Memory::old();
    let five = (0..5).map(|_| shared_in(&store, settings(&vendor)));
    let replicas = Replicas::start(five);
    replicas.all_answer(&vendor).await;

    for round in 2..=3 {
        store.empty_and_stay_young();
        eventually(|| !store.values().is_empty()).await;
        replicas.all_are(TokenSharingState::Quarantine).await;
        replicas.all_answer(&vendor).await;
        assert_eq!(vendor.refresh_count(), round - 1);
        vendor.expire_id_tokens();
        store.grow_old();

        replicas.all_answer(&vendor).await;
        assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (round, 0));
    }
}

#[tokio::test]
async fn the_store_may_be_away_while_the_id_token_is_valid() {
    let vendor = vendor(Quirks::default()).await;
    let store = Memory::old();
    let replicas = Replicas::start((0..2).map(|_| shared_in(&store, settings(&vendor))));
    replicas.all_answer(&vendor).await;

    store.set_away(true);
    replicas.all_are(TokenSharingState::Away).await;
    replicas.all_answer(&vendor).await;
    store.set_away(false);
    replicas.all_are(TokenSharingState::Shared).await;

    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
}

#[tokio::test]
async fn without_the_store_a_rotating_vendor_is_not_called() {
    let vendor = vendor(Quirks::default()).await;
    let store = Memory::old();
    let replicas = Replicas::start((0..2).map(|_| shared_in(&store, settings(&vendor))));
    replicas.all_answer(&vendor).await;
    store.set_away(true);
    replicas.all_are(TokenSharingState::Away).await;
    vendor.expire_id_tokens();

    let request = request([750], 1);
    let fetched = replicas.clients[0].fetch(&request).await;

    assert!(matches!(
        only_error(&fetched),
        UpstreamError::Credentials(_)
    ));
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
    store.set_away(false);
    replicas.all_answer(&vendor).await;
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (2, 0));
}

#[tokio::test]
async fn without_the_store_a_vendor_that_keeps_refresh_tokens_is_called() {
    let vendor = vendor_with(TokenSettings {
        rotation: Rotation::Keep,
        ..TokenSettings::default()
    })
    .await;
    let store = Memory::old();
    let replicas = Replicas::start((0..2).map(|_| shared_in(&store, settings(&vendor))));
    replicas.all_answer(&vendor).await;
    assert_eq!(vendor.refresh_count(), 1);

    store.set_away(true);
    replicas.all_are(TokenSharingState::Away).await;
    vendor.expire_id_tokens();

    replicas.all_answer(&vendor).await;
    assert!(vendor.refresh_count() <= 3);
}

#[tokio::test]
async fn each_replica_keeps_the_newest_tokens_and_puts_them_back_into_an_emptied_store() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = vendor(Quirks::default()).await;
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    let store = Memory::old();
    let configured = settings(&vendor);
    let settings =
        |store: &Memory, path: &Path| kept_at(path, shared_in(store, configured.clone()));
    {
        let both = paths.iter().map(|path| settings(&store, path));
        let replicas = Replicas::start(both);
        for _ in 0..2 {
            replicas.all_answer(&vendor).await;
            vendor.expire_id_tokens();
        }
        for path in &paths {
            let kept = std::fs::read_to_string(path).unwrap();
            assert!(kept.contains(&vendor.refresh_token()));
        }
    }
    assert_eq!(vendor.refresh_count(), 2);

    // The store and all replicas are gone. The second file is left, for a new replica.
    let store = Memory::old();
    let first = Replicas::start([settings(&store, &paths[1])]);
    eventually(|| !store.values().is_empty()).await;
    let second = Replicas::start([shared_in(&store, configured.clone())]);
    first.all_answer(&vendor).await;
    second.all_answer(&vendor).await;

    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (3, 0));
}

#[tokio::test]
async fn foreign_values_in_the_store_cannot_make_replicas_use_their_tokens() {
    let vendor = vendor(Quirks::default()).await;
    let store = Memory::old();
    let replicas = Replicas::start((0..2).map(|_| shared_in(&store, settings(&vendor))));
    replicas.all_answer(&vendor).await;
    let genuine = store.values();

    let forged = genuine
        .keys()
        .map(|name| (name.clone(), b"\x01forged".to_vec()));
    store.set_back(forged.collect());
    eventually(|| store.values().values().all(|it| it.len() > 100)).await;
    store.grow_old();
    vendor.expire_id_tokens();
    replicas.all_answer(&vendor).await;

    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (2, 0));
    assert!(
        replicas
            .clients
            .iter()
            .all(|it| it.status().tokens == TokenState::Valid)
    );
}

#[tokio::test]
async fn a_refused_refresh_token_does_not_bring_back_a_rotated_one() {
    let vendor = vendor(Quirks::default()).await;
    let store = Memory::old();
    let replicas = Replicas::start([shared_in(&store, settings(&vendor))]);
    replicas.all_answer(&vendor).await;
    vendor.expire_id_tokens();
    vendor.inject(crate::simulator::Fault::status(403).on_tokens());

    let fetched = replicas.clients[0].fetch(&request([750], 1)).await;

    assert!(matches!(
        only_error(&fetched),
        UpstreamError::Credentials(_)
    ));
    assert_eq!(vendor.reused_tokens(), 0);
    vendor.clear_faults();
    replicas.all_come_to_answer(&vendor).await;
    assert_eq!(vendor.reused_tokens(), 0);
}
