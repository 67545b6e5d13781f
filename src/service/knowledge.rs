//! The learned facts and the revisions, for the tier that keeps them, and the part of them that replicas share.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::revisions::Revisions;
use crate::tier::{Allowance, Knowledge, Left, Part, Told};
use crate::upstream::Upstream;

/// The facts that were learned along with cells.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The vendor's client.
    pub upstream: Arc<Upstream>,
    /// The feed of revisions.
    pub revisions: Arc<Revisions>,
}

/// The vendor's client of one replica among several. They share what it has learned, and what the vendor allows. Each has its own feed of
/// revisions, since a cursor of one means nothing to another.
#[derive(Clone, Debug)]
pub struct OneOfMany(Arc<Upstream>);

impl OneOfMany {
    /// The client of a replica, which shares its places at the vendor from now on.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>) -> Self {
        upstream.begin_sharing();
        Self(upstream)
    }
}

impl Knowledge for Learned {
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part> {
        let mut parts = parts(&self.upstream, known);
        parts.extend(self.revisions.changed(known));
        parts
    }

    fn written(&self, part: &Part) {
        if Revisions::is_name(&part.name) {
            self.revisions.written(part.revision);
        }
    }

    fn restore(&self, name: &str, content: &[u8]) -> bool {
        if Revisions::is_name(name) {
            self.revisions.restore(content)
        } else {
            self.upstream.restore(name, content)
        }
    }
}

impl Knowledge for OneOfMany {
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part> {
        parts(&self.0, known)
    }

    fn written(&self, _: &Part) {}

    fn restore(&self, name: &str, content: &[u8]) -> bool {
        self.0.restore(name, content)
    }
}

impl Allowance for OneOfMany {
    fn tell(&self) -> Told {
        let told = self.0.tell();
        Told {
            places: told.places.all,
            wanted: told.places.wanted,
            held: told.places.held,
            throttled: told.throttled.unwrap_or_default(),
        }
    }

    fn hear(&self, left: Left) {
        self.0.hear(left.places, left.is_alone, left.throttled);
    }

    fn miss(&self, replicas: usize, is_silent: bool) {
        self.0.miss(replicas, is_silent);
    }

    fn until_urgent(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.until_urgent())
    }
}

fn parts(upstream: &Upstream, known: &HashMap<String, u64>) -> Vec<Part> {
    let parts = upstream.learned(known).into_iter();
    let parts = parts.map(|(name, revision, content)| Part {
        name,
        revision,
        content,
    });
    parts.collect()
}
