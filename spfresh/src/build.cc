#include "spfresh/build.h"

#include <algorithm>

#include "spfresh/distance.h"
#include "trainer.h"
#include "version_state.h"

namespace spfresh {
namespace {

// Fewer vectors of the sample than this for a centroid teach it nothing.
constexpr size_t kSamplePerCentroid = 8;
// More teach it little.
constexpr size_t kSampleMost = 32;
// Of the whole sample, however little memory there is.
constexpr uint64_t kSampleLeast = 1024;

}  // namespace

struct Builder::Impl {
  Impl(const Options& options, uint64_t rows_, uint64_t sample_rows_)
      : state(options), rows(rows_), sample_rows(std::min(sample_rows_, rows_)) {
    sample.reserve(sample_rows * state.space.stride());
  }

  Version::State state;
  uint64_t rows;
  uint64_t sample_rows;
  // As it came, each vector in the room of a placed one, until the training starts.
  std::vector<float> sample;
  std::unique_ptr<Trainer> trainer;
  // Made when training is done.
  std::shared_ptr<const Version> version;
};

Builder::Builder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Builder::~Builder() = default;

namespace {

uint64_t Wanted(const Options& options, uint64_t rows) {
  const uint64_t entries = rows * (options.spill == Spill::kSoar ? 2 : 1);
  return std::max<uint64_t>(1, (entries + options.posting_target - 1) / options.posting_target);
}

}  // namespace

uint64_t Builder::SampleRows(const Options& options, uint64_t rows, uint64_t bytes) {
  const uint64_t each = Space(options, 0).stride() * sizeof(float);
  return std::min(
      {rows, Wanted(options, rows) * kSampleMost, std::max(bytes / each, kSampleLeast)});
}

Status Builder::Begin(const Options& options, uint64_t rows, uint64_t sample_rows,
                      std::unique_ptr<Builder>* out) {
  if (Status status = options.Check(); !status.ok()) return status;
  out->reset(new Builder(std::make_unique<Impl>(options, rows, sample_rows)));
  return {};
}

Status Builder::AddSample(std::span<const float> vectors) {
  const uint32_t dims = impl_->state.space.dims(), stride = impl_->state.space.stride();
  if (vectors.size() % dims != 0) {
    return Status::Internal("a sample of " + std::to_string(vectors.size()) +
                            " floats is no number of vectors");
  }
  std::vector<float>& sample = impl_->sample;
  const uint64_t room = impl_->sample_rows - sample.size() / stride;
  const size_t taken = std::min<uint64_t>(vectors.size() / dims, room) * dims;
  for (size_t from = 0; from < taken; from += dims) {
    sample.insert(sample.end(), vectors.data() + from, vectors.data() + from + dims);
    sample.resize(sample.size() + stride - dims);
  }
  return {};
}

void Builder::Start() {
  Version::State& state = impl_->state;
  std::vector<float>& sample = impl_->sample;
  const uint32_t stride = state.space.stride();
  const Rows given{sample.data(), sample.size() / stride, state.space.dims(), stride};
  state.space = Space(state.options, Space::NormBound(state.options, given));
  // In place: a vector that has none is written over by the next.
  float* to = sample.data();
  std::vector<float> vector(stride);
  for (size_t i = 0; i < given.count; ++i) {
    std::copy_n(given.data + i * stride, stride, vector.data());
    to += state.space.Place(vector.data(), to) ? stride : 0;
  }
  sample.resize(static_cast<size_t>(to - sample.data()));
  const size_t placed = sample.size() / stride;
  const auto clusters = static_cast<uint32_t>(std::min<uint64_t>(
      {Wanted(state.options, impl_->rows), placed / kSamplePerCentroid, 1U << 24}));
  if (clusters > 1) {
    impl_->trainer = std::make_unique<Trainer>(Vectors{sample.data(), placed, stride}, clusters,
                                               state.codec, state.options.seed);
  }
}

bool Builder::Train() {
  if (impl_->version != nullptr) return false;
  if (impl_->trainer != nullptr && impl_->trainer->Step()) return true;
  if (impl_->trainer != nullptr) {
    const std::vector<float>& centroids = impl_->trainer->centroids();
    const uint32_t stride = impl_->state.space.stride();
    impl_->state.centroids.SetOrigin(MeanOf(centroids, stride).data());
    for (size_t c = 0; c < centroids.size(); c += stride) {
      const auto id = static_cast<uint32_t>(c / stride);
      impl_->state.centroids.Place(id, centroids.data() + c);
    }
    impl_->state.centroids.Group(impl_->state.options.seed);
  } else if (!impl_->sample.empty()) {
    const std::vector<float> mean = MeanOf(impl_->sample, impl_->state.space.stride());
    impl_->state.centroids.SetOrigin(mean.data());
    impl_->state.centroids.Add(mean.data());
  }
  impl_->trainer.reset();
  impl_->sample = {};
  impl_->version = Seal(std::move(impl_->state));
  return false;
}

float Builder::trained() const {
  return impl_->trainer == nullptr ? 1.0F : impl_->trainer->progress();
}

std::shared_ptr<const Version> Builder::version() const { return impl_->version; }

uint32_t Builder::train_units() const {
  return impl_->trainer == nullptr ? 0 : impl_->trainer->units();
}

void Builder::RunTrainUnit(uint32_t unit) { impl_->trainer->RunUnit(unit); }

}  // namespace spfresh
