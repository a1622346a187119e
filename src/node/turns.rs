//! Which thread goes first where there are more of them than cores.
//!
//! Linux lets a thread that runs keep its core for some milliseconds, whoever wakes meanwhile, unless
//! that one means to run for less at a time. So threads that answer say that they run for moments, and
//! threads that compute for long that they do: each still gets its share, but nobody who asks for a row
//! waits for a model or an index. Kernels before 6.12 and other systems do not heed it.

use crate::index::set_thread_slice;
use std::time::Duration;

/// The least and the most that Linux takes.
const MOMENT: Duration = Duration::from_micros(100);
const LONG: Duration = Duration::from_millis(100);

/// How far the threads that embed stand behind the others, of 19: they take every core for tens of
/// milliseconds at a time, again and again.
#[cfg(target_os = "linux")]
const NICENESS_OF_MODELS: i32 = 10;

/// For a thread that answers clients, and all that it starts from now on.
pub fn for_answers() {
    run_for(MOMENT);
}

/// For a thread that tends indexes.
pub(super) fn for_upkeep() {
    run_for(LONG);
}

/// For a thread that runs models. Those that ONNX Runtime starts there are like it.
pub(super) fn for_models() {
    run_for(LONG);
    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS_OF_MODELS) {
        tracing::debug!(%error, "embedding runs at the priority of queries");
    }
}

fn run_for(slice: Duration) {
    if let Err(error) = set_thread_slice(slice) {
        tracing::debug!(%error, ?slice, "the system does not take how long a thread runs at a time");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// What the kernel says of this thread, if it does.
    fn kernels_slice() -> Option<Duration> {
        let told = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = told.lines().find(|line| line.starts_with("se.slice"))?;
        Some(Duration::from_nanos(line.split_whitespace().last()?.parse().ok()?))
    }

    #[test]
    fn the_kernel_takes_both_slices_and_threads_inherit_them() {
        std::thread::spawn(|| {
            for slice in [MOMENT, LONG] {
                set_thread_slice(slice).unwrap();
                if let Some(taken) = kernels_slice() {
                    assert_eq!(taken, slice);
                    let of_child = std::thread::spawn(kernels_slice).join().unwrap();
                    assert_eq!(of_child, Some(slice));
                }
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_embeds_is_behind_the_others() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let behind = std::thread::spawn(move || {
            for_models();
            niceness()
        });
        assert_eq!(behind.join().unwrap(), before.max(NICENESS_OF_MODELS));
        assert_eq!(niceness(), before);
    }
}
