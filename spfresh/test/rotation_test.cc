#include "rotation.h"

#include <cmath>

#include "gtest/gtest.h"
#include "random.h"
#include "targets.h"

namespace spfresh {
namespace {

constexpr size_t kSizes[] = {64, 80, 112, 256, 304, 384, 400, 768, 1536};

std::vector<float> Draw(Random* random, size_t count) {
  std::vector<float> values(count);
  for (float& x : values) x = random->Unit() * 2 - 1;
  return values;
}

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

TEST(Rotation, KeepsInnerProductsAndComesBack) {
  Random random(1);
  for (const size_t size : kSizes) {
    const Rotation rotation(size, 7);
    const std::vector<float> a = Draw(&random, size), b = Draw(&random, size);
    std::vector<float> turned_a = a, turned_b = b;
    rotation.Apply(turned_a.data());
    rotation.Apply(turned_b.data());
    const double scale = std::sqrt(Dot(a, a) * Dot(b, b));
    EXPECT_NEAR(Dot(turned_a, turned_b), Dot(a, b), 1e-5 * scale) << size;
    EXPECT_NEAR(Dot(turned_a, turned_a), Dot(a, a), 1e-5 * Dot(a, a)) << size;
    rotation.Invert(turned_a.data());
    for (size_t i = 0; i < size; ++i) EXPECT_NEAR(turned_a[i], a[i], 1e-5) << size;
  }
}

// What is concentrated in one coordinate is spread: none keeps a third of the squared length.
TEST(Rotation, SpreadsAnyAxis) {
  for (const size_t size : kSizes) {
    const Rotation rotation(size, 11);
    for (size_t axis = 0; axis < size; ++axis) {
      std::vector<float> unit(size);
      unit[axis] = 1;
      rotation.Apply(unit.data());
      for (const float x : unit) ASSERT_LT(x * x, 0.3F) << size << " axis " << axis;
    }
  }
}

TEST(Rotation, IsAFunctionOfItsSeed) {
  std::vector<float> a(64, 1.0F), b = a, c = a;
  Rotation(64, 1).Apply(a.data());
  Rotation(64, 1).Apply(b.data());
  Rotation(64, 2).Apply(c.data());
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

// Additions of the same numbers in the same order: every target gives the same bits, so that an
// index that was written by one machine is read by another.
TEST(Rotation, IsTheSameOnEveryTarget) {
  Random random(2);
  for (const size_t size : kSizes) {
    const std::vector<float> from = Draw(&random, size);
    std::vector<float> first;
    test::ForEachTarget([&](const char* target) {
      std::vector<float> turned = from;
      Rotation(size, 3).Apply(turned.data());
      if (first.empty()) first = turned;
      EXPECT_EQ(turned, first) << target << " size " << size;
    });
  }
}

}  // namespace
}  // namespace spfresh
