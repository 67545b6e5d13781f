//! What the vendor's client has learned, told to the tier that keeps it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::tier::{Knowledge, Part};
use crate::upstream::Upstream;

/// What the vendor's client has learned.
#[derive(Debug)]
pub struct Learned(pub Arc<Upstream>);

impl Knowledge for Learned {
    fn changed(&self, known: &HashMap<String, u64>) -> Vec<Part> {
        let parts = self.0.learned(known).into_iter();
        let parts = parts.map(|(name, revision, content)| Part {
            name,
            revision,
            content,
        });
        parts.collect()
    }

    fn restore(&self, name: &str, content: &[u8]) -> bool {
        self.0.restore(name, content)
    }
}
