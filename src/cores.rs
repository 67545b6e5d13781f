//! Runs work that takes a processor for milliseconds, outside the threads that serve connections, and never more at a time than there are
//! cores.

use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, block_in_place, spawn_blocking};

/// More threads would finish nothing earlier, and each retains freed memory. Waits for a disk or the network do not suffer: they take no
/// permit here.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores))
});

/// Runs `work` when its turn comes; the work must not block. If no caller waits for it any longer, it does not begin; once begun, it
/// finishes.
///
/// # Errors
///
/// If `work` panics, or the runtime ends before it has begun.
///
/// # Panics
///
/// Never: nobody closes the semaphore.
pub async fn work<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let place = Arc::clone(&PLACES).acquire_owned().await;
    let place = place.expect("nobody closes the semaphore");
    spawn_blocking(move || {
        let _until_it_is_done = place;
        work()
    })
    .await
}

/// Does `work` on this thread; where it is `heavy`, the connections of this thread go on meanwhile on another, if there is one.
pub fn aside<T>(heavy: bool, work: impl FnOnce() -> T) -> T {
    let has_others = || {
        let runtime = Handle::try_current();
        runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if heavy && has_others() {
        block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn no_more_work_is_done_at_a_time_than_there_are_cores() {
        let cores = available_parallelism().unwrap().get();
        let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let one = || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            work(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        };

        let done = join_all((0..50 * cores).map(|_| one())).await;

        assert!(done.iter().all(Result::is_ok));
        assert!(most.load(Ordering::SeqCst) <= cores, "{most:?}");
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_place_back() {
        let cores = available_parallelism().unwrap().get();

        for _ in 0..=cores {
            assert!(work(|| panic!("as intended")).await.is_err());
        }

        assert_eq!(work(|| 7).await.unwrap(), 7);
    }
}
