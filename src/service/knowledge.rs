//! What the vendor's client has learned, and the revisions that were seen, told to the tier that keeps them.

use std::collections::HashMap;
use std::sync::Arc;

use super::revisions::Revisions;
use crate::tier::{Knowledge, Part};
use crate::upstream::Upstream;

/// What was learned beside cells.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The vendor's client.
    pub upstream: Arc<Upstream>,
    /// The feed of revisions.
    pub revisions: Arc<Revisions>,
}

/// What the vendor's client has learned, alone: for replicas, each of which has a feed of revisions of its own, as the cursors of one mean
/// nothing in another.
#[derive(Clone, Debug)]
pub struct LearnedOfSites(pub Arc<Upstream>);

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

impl Knowledge for LearnedOfSites {
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part> {
        parts(&self.0, known)
    }

    fn written(&self, _: &Part) {}

    fn restore(&self, name: &str, content: &[u8]) -> bool {
        self.0.restore(name, content)
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
