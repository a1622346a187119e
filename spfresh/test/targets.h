// Runs something once for each set of instructions that this machine has and the kernels were
// compiled for.
#pragma once

#include "hwy/highway.h"
#include "spfresh/distance.h"

namespace spfresh::test {

template <class Call>
void ForEachTarget(Call call) {
  const int64_t all = hwy::SupportedTargets() & HWY_TARGETS;
  for (int64_t rest = all; rest != 0; rest &= rest - 1) {
    hwy::SetSupportedTargetsForTest(rest & -rest);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    call(KernelTarget());
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace spfresh::test
