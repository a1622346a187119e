// Whether the mean of a posting has left its centroid, from numbers that an insert can keep.
//
// The sum of the primaries' differences from the centroid would tell exactly, at the price of a
// second vector for each posting. Sixteen sums tell well enough: each coordinate is added to one of
// them, with a sign (AMS, the "tug of war" sketch); the sum of their squares has the squared length
// of the whole sum as its mean, and is off by a third as a rule.
#pragma once

#include <cstddef>

#include "spfresh/version.h"

namespace spfresh {

// Takes a primary into the posting's spread and shift.
void CountIn(const float* vector, const float* centroid, size_t stride, float distance2,
             Posting* posting);
// Takes the spread and the shift of some primaries that were counted by themselves.
void AddSums(const Posting& sums, Posting* posting);

// A posting's mean may be off its centroid by this share of the mean distance of its primaries:
// moving it would cost reading its neighbours and change hardly an assignment.
inline constexpr float kDrift = 0.1F;

// The squared length of the drift over the mean squared distance of the primaries, as the sketch
// has it. 0 where nothing is known.
float DriftShare2(const Posting& posting);

}  // namespace spfresh
