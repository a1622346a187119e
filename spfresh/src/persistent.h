// An array whose copies share pages: a page is copied when one of its sharers changes it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace spfresh {

template <class T, size_t kEach>
class PersistentArray {
 public:
  PersistentArray() = default;
  PersistentArray(const PersistentArray& other) : pages_(other.pages_) {
    for (Page& page : pages_) page.owned = false;
  }
  PersistentArray(PersistentArray&&) = default;
  PersistentArray& operator=(const PersistentArray&) = delete;
  PersistentArray& operator=(PersistentArray&&) = default;

  // A multiple of kEach.
  size_t size() const { return pages_.size() * kEach; }
  const T& operator[](size_t i) const { return (*pages_[i / kEach].values)[i % kEach]; }
  T& Change(size_t i) {
    Page& page = pages_[i / kEach];
    if (!page.owned) page.values = std::make_shared<Values>(*page.values);
    page.owned = true;
    return const_cast<Values&>(*page.values)[i % kEach];
  }
  // Makes it so large that "i" is within. New values are "fill": in one page for all that come at
  // once, until they are changed.
  void Reach(size_t i, const T& fill) {
    if (i < size()) return;
    auto values = std::make_shared<Values>();
    values->fill(fill);
    pages_.resize(i / kEach + 1, {std::move(values), false});
  }

 private:
  using Values = std::array<T, kEach>;
  struct Page {
    std::shared_ptr<const Values> values;
    // Whether we made it since we were copied, so that nobody else has seen it.
    bool owned = false;
  };
  std::vector<Page> pages_;
};

}  // namespace spfresh
