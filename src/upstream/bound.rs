//! A learned bound of one measure of a report, and how it grows again.

/// Answers near the learned bound before one report goes a little beyond it, at first and at most.
pub(super) const PATIENCE: u32 = 10;
const MOST_PATIENCE: u32 = 5120;
/// How far beyond, in quarters of the bound, at most.
const MOST_BOLDNESS: u64 = 4;

/// What was learned of one measure of a report.
#[derive(Debug)]
pub(super) struct Bound {
    /// Nothing larger is asked for, but for a trial.
    size: Option<u64>,
    /// Answers near the bound since the last trial.
    near: u32,
    /// How many of them it takes until the next: each trial that fails doubles it.
    patience: u32,
    /// How far beyond the bound the next trial goes, in quarters of it: each trial that is answered doubles it.
    boldness: u64,
    /// The size of the trial under way.
    trial: Option<u64>,
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            size: None,
            near: 0,
            patience: PATIENCE,
            boldness: 1,
            trial: None,
        }
    }
}

impl Bound {
    /// Nothing larger is asked for, but for a trial.
    pub(super) fn size(&self) -> u64 {
        self.size.unwrap_or(u64::MAX)
    }

    /// The bound, if one was learned.
    pub(super) fn learned(&self) -> Option<u64> {
        self.size
    }

    /// Whether `size` may be asked for.
    pub(super) fn admits(&self, size: u64) -> bool {
        size <= self.size() || self.trial == Some(size)
    }

    /// How large a trial may be, where it is time for one; it is larger than the bound by `step` at least.
    pub(super) fn due(&self, step: u64) -> Option<u64> {
        let size = self.size.filter(|_| self.near >= self.patience)?;
        let beyond = (size / 4).saturating_mul(self.boldness);
        Some(size.saturating_add(beyond.max(step)))
    }

    /// Whether a report of `size` is a trial, which begins.
    pub(super) fn begins(&mut self, size: u64) -> bool {
        if size <= self.size() {
            // Nothing of that shape lies in between: whoever comes next goes further.
            self.embolden();
            return false;
        }
        self.near = 0;
        self.trial = Some(size);
        true
    }

    fn embolden(&mut self) {
        self.boldness = (self.boldness * 2).min(MOST_BOLDNESS);
    }

    /// Ends the trial of `size`; whether there was one.
    pub(super) fn end_trial(&mut self, size: u64) -> bool {
        self.trial.take_if(|trial| *trial == size).is_some()
    }

    /// Forgets the bound, but not how patient trials have become.
    pub(super) fn forget(&mut self) {
        self.size = None;
    }

    /// Makes `size` the bound.
    pub(super) fn lower(&mut self, size: u64) {
        self.size = Some(size);
        self.near = 0;
    }

    /// Learns that `size` was not answered, for being too large.
    pub(super) fn was_too_large(&mut self, size: u64) {
        if self.end_trial(size) {
            self.boldness = 1;
            self.patience = self.patience.saturating_mul(2).min(MOST_PATIENCE);
        }
    }

    /// Learns that `size` was answered.
    pub(super) fn was_answered(&mut self, size: u64) {
        let Some(limit) = self.size else { return };
        if self.end_trial(size) {
            self.patience = PATIENCE;
            self.embolden();
            self.size = Some(limit.max(size));
            // What has begun to give way is tried again at once.
            self.near = PATIENCE;
        } else if size > limit / 2 {
            self.near = self.near.saturating_add(1);
        }
    }
}
