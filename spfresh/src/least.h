// The k least scores that were offered, and when they came.
//
// Thread safety: none.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace spfresh {

class Least {
 public:
  explicit Least(uint32_t k) : k_(k) {}

  // Whether there are k.
  bool full() const { return heap_.size() >= k_; }
  // The greatest of them; infinite before there are k.
  float worst() const {
    return full() && k_ > 0 ? heap_.front().score : std::numeric_limits<float>::infinity();
  }

  void Offer(float score, uint64_t at) {
    if (k_ == 0) return;
    if (full()) {
      if (!(score < worst())) return;
      std::pop_heap(heap_.begin(), heap_.end());
      log_at_ -= heap_.back().log_at;
      heap_.pop_back();
    }
    const Entry entry{score, std::log(static_cast<float>(at)), at};
    log_at_ += entry.log_at;
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end());
  }

  // The mean of the logarithms of when they came. REQUIRES: full()
  float MeanLogAt() const { return static_cast<float>(log_at_ / k_); }
  // When all but "spare" of them had come; 0 where there are no more.
  uint64_t CameAt(size_t spare) const {
    if (heap_.size() <= spare) return 0;
    std::vector<uint64_t> times;
    for (const Entry& entry : heap_) times.push_back(entry.at);
    const auto last = times.end() - static_cast<ptrdiff_t>(spare) - 1;
    std::nth_element(times.begin(), last, times.end());
    return *last;
  }

 private:
  struct Entry {
    float score;
    float log_at;
    uint64_t at;
    friend bool operator<(const Entry& a, const Entry& b) { return a.score < b.score; }
  };

  uint32_t k_;
  // Largest on top.
  std::vector<Entry> heap_;
  double log_at_ = 0;
};

}  // namespace spfresh
