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

}  // namespace

struct Builder::Impl {
  explicit Impl(const Options& options) : state(options) {}

  Version::State state;
  std::vector<float> sample;
  std::unique_ptr<Trainer> trainer;
  // Made when training is done.
  std::shared_ptr<const Version> version;
};

Builder::Builder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Builder::~Builder() = default;

Status Builder::Begin(const Options& options, uint64_t rows, std::span<const float> sample,
                      std::unique_ptr<Builder>* out) {
  if (Status status = options.Check(); !status.ok()) return status;
  if (sample.size() % options.dims != 0) {
    return Status::Internal("a sample of " + std::to_string(sample.size()) +
                            " floats is no number of vectors");
  }
  auto impl = std::make_unique<Impl>(options);
  const size_t given = sample.size() / options.dims;
  Space& space = impl->state.space;
  space = Space(options, Space::NormBound(options, sample.data(), given));
  const uint64_t entries = rows * (options.spill ? 2 : 1);
  const uint64_t wanted = (entries + options.posting_target - 1) / options.posting_target;
  const size_t taken = std::min<size_t>(given, std::max<uint64_t>(1, wanted) * kSampleMost);
  impl->sample.resize(taken * space.stride());
  size_t placed = 0;
  for (size_t i = 0; i < taken; ++i) {
    float* to = impl->sample.data() + placed * space.stride();
    placed += space.Place(sample.data() + i * given / taken * options.dims, to) ? 1 : 0;
  }
  impl->sample.resize(placed * space.stride());

  const auto clusters =
      static_cast<uint32_t>(std::min<uint64_t>({wanted, placed / kSamplePerCentroid, 1U << 24}));
  if (clusters > 1) {
    impl->trainer = std::make_unique<Trainer>(Vectors{impl->sample.data(), placed, space.stride()},
                                              clusters, impl->state.codec, options.seed);
  }
  out->reset(new Builder(std::move(impl)));
  return {};
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
