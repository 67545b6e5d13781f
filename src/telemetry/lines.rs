//! Buffers outgoing log lines, so that a line costs its writer neither a system call nor the waking of another thread.
//!
//! The subscriber's JSON formatter uses a serializer and a map, and the non-blocking appender wakes its thread for each line: together a
//! third of a hit. `telemetry::json` writes the event's fields straight into a line, and `telemetry::lines` gathers lines for 10 ms, or up
//! to 64 KiB, before its thread writes them. The thread wakes when there is enough to write, or when it was idle. Lines beyond the 16 MiB
//! that a slow reader may let pile up are dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Time for which lines are gathered before being written together.
const GATHER: Duration = Duration::from_millis(10);
/// Number of bytes written without waiting for more: few enough to still be in the core's own cache.
const ENOUGH: usize = 64 << 10;
/// Maximum backlog of a slow reader; beyond it, the newest lines are dropped.
const MOST: usize = 16 << 20;
/// Time limit, at the end, for a log reader that takes nothing.
pub(super) const LAST_LINES: Duration = Duration::from_millis(500);

/// Counter of dropped lines.
pub(super) const DROPPED: &str = "pitaya_log_lines_dropped_total";

/// Accepts whole lines without ever waiting. Clones share the buffer.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

/// Writes the waiting lines when dropped.
#[derive(Debug)]
pub(super) struct Flush {
    lines: Lines,
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Notified when a line arrives while the thread is asleep, when there is enough to write, and at the end.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Whether the thread has stopped gathering because no lines came.
    asleep: bool,
    ending: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let lines = Self(Arc::default());
        let (alive, ended) = channel();
        let writing = lines.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.keep_writing(out, &alive))?;
        let flush = Flush {
            lines: lines.clone(),
            ended,
        };
        Ok((lines, flush))
    }

    /// Buffers a line, or counts it as dropped.
    pub(super) fn add(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        let before = waiting.bytes.len();
        if before + line.len() > MOST {
            drop(waiting);
            metrics::counter!(DROPPED).increment(1);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        let enough = before < ENOUGH && waiting.bytes.len() >= ENOUGH;
        let was_asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if enough || was_asleep {
            self.0.changed.notify_one();
        }
    }

    fn keep_writing(&self, mut out: impl Write, _alive: &Sender<()>) {
        let mut taken = Vec::new();
        while self.take(&mut taken) {
            // An unwritable log cannot be reported, and is no reason to stop serving.
            let _ = out.write_all(&taken).and_then(|()| out.flush());
            taken.clear();
        }
    }

    /// Swaps the empty `into` for the waiting lines once it is time to write them; returns false at the end.
    fn take(&self, into: &mut Vec<u8>) -> bool {
        let Shared { waiting, changed } = &*self.0;
        let little = |waiting: &mut Waiting| waiting.bytes.len() < ENOUGH && !waiting.ending;
        let asleep = |waiting: &mut Waiting| waiting.asleep && !waiting.ending;
        let mut waiting = waiting.lock();
        loop {
            changed.wait_while_for(&mut waiting, little, GATHER);
            if waiting.ending || !waiting.bytes.is_empty() {
                break;
            }
            waiting.asleep = true;
            changed.wait_while(&mut waiting, asleep);
        }
        std::mem::swap(&mut waiting.bytes, into);
        !into.is_empty()
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.lines.0.waiting.lock().ending = true;
        self.lines.0.changed.notify_one();
        // The thread never sends: the disconnect signals that it has ended.
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Instant;

    use super::*;
    use crate::telemetry::testing::Captured;

    /// Takes nothing until released.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_every_thread_is_written_whole_and_in_order() {
        let captured = Captured::default();
        let (lines, flush) = Lines::to(captured.clone()).unwrap();

        let writers = ["a", "b", "c"].map(|name| {
            let mut lines = lines.clone();
            thread::spawn(move || {
                for number in 0..5000 {
                    lines
                        .write_all(format!("{name} {number}\n").as_bytes())
                        .unwrap();
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        drop(flush);

        let text = captured.text();
        assert_eq!(text.lines().count(), 15_000);
        for name in ["a ", "b ", "c "] {
            let numbers = text.lines().filter_map(|line| line.strip_prefix(name));
            assert!(numbers.eq((0..5000).map(|number| number.to_string())));
        }
    }

    #[test]
    fn a_line_of_any_length_wakes_the_writer() {
        let captured = Captured::default();
        let (lines, flush) = Lines::to(captured.clone()).unwrap();
        let until = |is: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_mins(1);
            while !is() && Instant::now() < deadline {
                thread::yield_now();
            }
            assert!(is());
        };

        for length in [1, ENOUGH] {
            until(&|| lines.0.waiting.lock().asleep);
            let before = captured.text().len();
            lines.add(&vec![b'x'; length]);
            until(&|| captured.text().len() == before + length);
        }
        drop(flush);
    }

    #[test]
    fn a_stuck_reader_blocks_nobody_and_its_backlog_is_bounded() {
        let (release, stuck) = sync_channel(0);
        let (mut lines, flush) = Lines::to(Stuck(stuck)).unwrap();
        let line = vec![b'x'; 1 << 20];

        for _ in 0..40 {
            lines.write_all(&line).unwrap();
        }

        assert!(lines.0.waiting.lock().bytes.len() <= MOST);
        drop(release);
        drop(flush);
    }
}
