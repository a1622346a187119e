#include "spfresh/build.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "cluster.h"
#include "spfresh/distance.h"
#include "version_state.h"

namespace spfresh {
namespace {

// Fewer vectors of the sample than this for a centroid teach it nothing.
constexpr size_t kSamplePerCentroid = 8;

}  // namespace

struct Builder::Impl {
  explicit Impl(const Options& options) : state(options) {}

  Version::State state;
  std::vector<float> sample;
  std::unique_ptr<Trainer> trainer;
  // The version that vectors are assigned by; made when training is done.
  std::shared_ptr<const Version> version;
  // The chunks of each posting so far.
  std::map<uint32_t, std::vector<std::shared_ptr<const Chunk>>> chunks;
  std::vector<uint64_t> left_out;
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
  impl->sample.resize(given * space.stride());
  size_t placed = 0;
  for (size_t i = 0; i < given; ++i) {
    float* to = impl->sample.data() + placed * space.stride();
    placed += space.Place(sample.data() + i * options.dims, to) ? 1 : 0;
  }
  impl->sample.resize(placed * space.stride());

  const uint64_t entries = rows * (options.spill ? 2 : 1);
  const uint64_t wanted = (entries + options.posting_target - 1) / options.posting_target;
  const auto clusters =
      static_cast<uint32_t>(std::min<uint64_t>({wanted, placed / kSamplePerCentroid, 1U << 24}));
  if (clusters > 1) {
    impl->trainer = std::make_unique<Trainer>(Vectors{impl->sample.data(), placed, space.stride()},
                                              clusters, options.seed);
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
    for (size_t c = 0; c < centroids.size(); c += stride) {
      impl_->state.centroids.Add(centroids.data() + c);
    }
  }
  impl_->trainer.reset();
  impl_->sample = {};
  impl_->version = Seal(std::move(impl_->state));
  return false;
}

float Builder::trained() const {
  return impl_->trainer == nullptr ? 1.0F : impl_->trainer->progress();
}

Status Builder::Add(std::span<const uint64_t> rows, std::span<const float> vectors) {
  if (impl_->version == nullptr) return Status::Internal("vectors were added before training");
  Change change;
  if (Status status = impl_->version->Insert(rows, vectors, &change); !status.ok()) return status;
  impl_->version = std::move(change.version);
  for (PostingChange& posting : change.postings) {
    impl_->chunks[posting.posting].push_back(std::move(posting.chunk));
  }
  impl_->left_out.insert(impl_->left_out.end(), change.left_out.begin(), change.left_out.end());
  return {};
}

Status Builder::Finish(Change* out) {
  if (impl_->version == nullptr) return Status::Internal("a build ended before training");
  Change change;
  Version::State next = impl_->version->state();
  std::vector<uint64_t> words;
  std::vector<uint8_t> records;
  for (auto& [id, chunks] : impl_->chunks) {
    words.clear();
    records.clear();
    for (const auto& chunk : chunks) {
      words.insert(words.end(), chunk->words().begin(), chunk->words().end());
      records.insert(records.end(), chunk->records().begin(), chunk->records().end());
    }
    chunks.clear();
    change.postings.push_back(
        {id, PostingChange::Kind::kReplace, Chunk::Make(next.KindOf(id), words, records)});
    // The centroids were learnt from these very vectors, or a fair sample of them.
    next.centroids.Change(id).added = 0;
    next.centroids.Change(id).unrefined = 0;
  }
  for (uint32_t id = 0; id < next.centroids.capacity(); ++id) {
    if (next.centroids.in_use(id) && next.centroids.posting(id).entries == 0) {
      next.centroids.Remove(id);
    }
  }
  change.left_out = std::move(impl_->left_out);
  change.version = Seal(std::move(next));
  *out = std::move(change);
  return {};
}

}  // namespace spfresh
