#include "threads.h"

#include <cerrno>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nearlake {

#ifdef __linux__

namespace {

// The first version of what the kernel calls sched_attr, which it will always take.
struct Attributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};
static_assert(sizeof(Attributes) == 48);

}  // namespace

int32_t set_thread_slice(uint64_t nanos) noexcept {
  Attributes attributes{};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return errno;
  attributes.runtime = nanos;
  return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0 ? 0 : errno;
}

#else

int32_t set_thread_slice(uint64_t) noexcept { return ENOSYS; }

#endif

}  // namespace nearlake
