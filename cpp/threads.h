// What of Linux's scheduler only a plain system call reaches.
#pragma once

#include <cstdint>

namespace nearlake {

// How long the calling thread means to run at a time, in nanoseconds: one that wakes and means to
// run for less goes first. Linux takes 0.1 to 100 ms, and from 6.12 on heeds it. What of the
// thread's scheduling is set otherwise stays. Returns 0, or an errno: ENOSYS where there is no such
// thing.
int32_t set_thread_slice(uint64_t nanos) noexcept;

}  // namespace nearlake
