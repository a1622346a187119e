#include "spfresh/build.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "drift.h"
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
  // The version that vectors are assigned by; made when training is done.
  std::shared_ptr<const Version> version;
  // Of each posting, what was taken so far.
  struct Members {
    Posting counts;
    std::vector<std::shared_ptr<const Chunk>> chunks;
  };
  std::map<uint32_t, Members> members;
  uint64_t rows = 0;
  uint64_t entries = 0;
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

Status Builder::Place(std::span<const uint64_t> rows, std::span<const float> vectors,
                      Change* out) const {
  if (impl_->version == nullptr || impl_->version->postings() == 0) {
    return Status::Internal("vectors were placed before training");
  }
  return impl_->version->Insert(rows, vectors, out);
}

Status Builder::Add(std::span<const uint64_t> rows, std::span<const float> vectors) {
  if (impl_->version == nullptr) return Status::Internal("vectors were added before training");
  Change change;
  if (Status status = impl_->version->Insert(rows, vectors, &change); !status.ok()) return status;
  if (impl_->version->postings() == 0) {
    // Without a sample the first vectors make the only posting.
    Version::State first = change.version->state();
    for (uint32_t id = 0; id < first.centroids.capacity(); ++id) {
      const bool in_use = first.centroids.in_use(id);
      first.centroids.Change(id) = Posting{};
      first.centroids.Change(id).in_use = in_use;
    }
    first.entries = first.merge_credit = first.changed = 0;
    impl_->version = Seal(std::move(first));
  }
  return Take(std::move(change));
}

Status Builder::Take(Change placed) {
  const Version& base = *impl_->version;
  for (PostingChange& posting : placed.postings) {
    const Posting* counts = placed.version->posting(posting.posting);
    if (counts == nullptr || base.posting(posting.posting) == nullptr) {
      return Status::Internal("what was placed is none of this builder's");
    }
    Impl::Members& members = impl_->members[posting.posting];
    members.counts.entries += counts->entries;
    members.counts.primaries += counts->primaries;
    members.counts.radius = std::max(members.counts.radius, counts->radius);
    AddSums(*counts, &members.counts);
    impl_->rows += counts->primaries;
    impl_->entries += counts->entries;
    members.chunks.push_back(std::move(posting.chunk));
  }
  impl_->left_out.insert(impl_->left_out.end(), placed.left_out.begin(), placed.left_out.end());
  return {};
}

Status Builder::Finish(Change* out) {
  if (impl_->version == nullptr) return Status::Internal("a build ended before training");
  Change change;
  Version::State next = impl_->version->state();
  std::vector<uint64_t> words;
  std::vector<uint8_t> records;
  for (auto& [id, members] : impl_->members) {
    words.clear();
    records.clear();
    for (auto& chunk : members.chunks) {
      words.insert(words.end(), chunk->words().begin(), chunk->words().end());
      records.insert(records.end(), chunk->records().begin(), chunk->records().end());
      chunk.reset();
    }
    change.postings.push_back(
        {id, PostingChange::Kind::kReplace, Chunk::Make(next.KindOf(id), words, records)});
    // The centroids were learnt from these very vectors, or a fair sample of them: none is "added",
    // and there is nothing to refine.
    Posting& posting = next.centroids.Change(id);
    posting = members.counts;
    posting.in_use = true;
    // Few vectors apart from all others are best left there: merged, they lie far from where a
    // search looks for them (probes for .99 on hard embeddings: 200, with such mergers 580).
    if (posting.entries < next.options.posting_min) posting.stuck = posting.entries;
  }
  impl_->members.clear();
  next.entries = next.changed = impl_->entries;
  next.merge_credit = impl_->rows;
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
