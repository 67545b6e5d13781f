//! A gate that delays answers, so that tests of concurrency need no sleeps.

use std::sync::Arc;

use tokio::sync::watch;

/// The gate: open unless held.
#[derive(Clone, Debug, Default)]
pub(super) struct Pause(Arc<watch::Sender<usize>>);

impl Pause {
    /// Closes the gate until the returned guard is dropped.
    pub(super) fn hold(&self) -> Hold {
        self.0.send_modify(|holds| *holds += 1);
        Hold(Self::clone(self))
    }

    /// Waits until the gate is open.
    pub(super) async fn pass(&self) {
        // The sender lives as long as `self`, so this does not fail.
        let _ = self.0.subscribe().wait_for(|holds| *holds == 0).await;
    }
}

/// Delays answers until dropped or released.
#[derive(Debug)]
#[must_use = "answers are held only as long as this lives"]
pub struct Hold(Pause);

impl Hold {
    /// Releases the answers.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.send_modify(|holds| *holds -= 1);
    }
}
