#include "entries.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "drift.h"
#include "spfresh/distance.h"

namespace spfresh {

const float* VectorsOf(const Codec& codec, const Chunk& chunk, const float* centroid,
                       std::vector<float>* buffer) {
  if (!codec.coded()) return chunk.vectors();
  buffer->resize(size_t{chunk.size()} * codec.stride());
  for (uint32_t i = 0; i < chunk.size(); ++i) {
    codec.Decode(chunk.record(i), centroid, buffer->data() + size_t{i} * codec.stride());
  }
  return buffer->data();
}

std::shared_ptr<const Chunk> EncodeChunk(const Codec& codec, uint32_t posting,
                                         const float* centroid, std::span<const uint64_t> words,
                                         const float* vectors) {
  std::vector<uint8_t> bytes(words.size() * codec.record_bytes());
  std::vector<Record> records(words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    codec.Encode(vectors + i * codec.stride(), centroid, 0,
                 bytes.data() + i * codec.record_bytes());
    records[i] = codec.At(bytes.data(), i);
  }
  return Chunk::Make({posting, codec.stride(), codec.bits()}, words, records);
}

uint64_t Entries::AddLive(const Chunk& chunk, const float* centroid,
                          std::span<const uint8_t> live) {
  const auto dead = static_cast<uint64_t>(std::count(live.begin(), live.end(), 0));
  const size_t more = live.size() - dead;
  vectors_.reserve(vectors_.size() + more * codec_->stride());
  if (codec_->coded()) records_.reserve(records_.size() + more * codec_->record_bytes());
  for (uint32_t i = 0; i < chunk.size(); ++i) {
    if (live[i] != 0) AddOne(chunk, i, centroid);
  }
  return dead;
}

void Entries::AddOne(const Chunk& chunk, uint32_t i, const float* centroid) {
  const size_t stride = codec_->stride();
  const Record record = chunk.record(i);
  words_.push_back(chunk.words()[i]);
  vectors_.resize(vectors_.size() + stride);
  const float error = codec_->Decode(record, centroid, vectors_.data() + vectors_.size() - stride);
  if (!codec_->coded()) return;
  errors_.push_back(error);
  const size_t code_bytes = Codec::CodeBytes(stride, codec_->bits());
  records_.insert(records_.end(), record.code, record.code + code_bytes);
  records_.insert(records_.end(), record.factors, record.factors + sizeof(Factors));
  homes_.push_back(chunk.kind().posting);
}

void Entries::Add(const Entries& from, size_t i, uint64_t word) {
  words_.push_back(word);
  vectors_.insert(vectors_.end(), from.vector(i), from.vector(i) + codec_->stride());
  if (!codec_->coded()) return;
  errors_.push_back(from.errors_[i]);
  records_.insert(records_.end(), from.record_bytes(i),
                  from.record_bytes(i) + codec_->record_bytes());
  homes_.push_back(from.homes_[i]);
}

void Entries::Move(size_t from, size_t to) {
  if (from == to) return;
  words_[to] = words_[from];
  std::copy_n(vector(from), codec_->stride(), vectors_.data() + to * codec_->stride());
  if (!codec_->coded()) return;
  errors_[to] = errors_[from];
  homes_[to] = homes_[from];
  std::copy_n(record_bytes(from), codec_->record_bytes(),
              records_.data() + to * codec_->record_bytes());
}

void Entries::Shrink(size_t size) {
  words_.resize(size);
  vectors_.resize(size * codec_->stride());
  if (!codec_->coded()) return;
  errors_.resize(size);
  homes_.resize(size);
  records_.resize(size * codec_->record_bytes());
}

void Entries::DropSecondCopies() {
  std::unordered_map<uint64_t, size_t> first;
  size_t kept = 0;
  for (size_t i = 0; i < words_.size(); ++i) {
    const auto [found, is_new] = first.try_emplace(RowOf(words_[i]), kept);
    if (!is_new) {
      uint64_t& first_word = words_[found->second];
      // What stays is a first copy if one of them is, and then without a second one.
      const bool spilled = IsSpilled(first_word) && IsSpilled(words_[i]);
      first_word = RowOf(first_word) | (spilled ? kSpilled : kAlone);
      continue;
    }
    Move(i, kept++);
  }
  Shrink(kept);
}

void Entries::Describe(const float* centroid, Posting* posting) const {
  const size_t stride = codec_->stride();
  std::vector<float> distances2(size());
  L2Squared(centroid, {vectors_.data(), size(), stride, stride}, distances2.data());
  posting->entries = static_cast<uint32_t>(size());
  posting->primaries = 0;
  posting->radius = posting->spread = 0;
  posting->shift.fill(0);
  for (size_t i = 0; i < size(); ++i) {
    const float error = codec_->coded() ? errors_[i] : 0.0F;
    posting->radius = std::max(posting->radius, std::sqrt(distances2[i]) + error);
    if (IsSpilled(words_[i])) continue;
    ++posting->primaries;
    CountIn(vector(i), centroid, stride, distances2[i], posting);
  }
}

std::shared_ptr<const Chunk> Entries::ToChunk(uint32_t posting, const float* centroid,
                                              bool moved) const {
  if (words_.empty()) return nullptr;
  const Chunk::Kind kind{posting, codec_->stride(), codec_->bits()};
  const size_t record_bytes = codec_->record_bytes();
  std::vector<uint8_t> anew(size() * record_bytes);
  std::vector<Record> records(size());
  for (size_t i = 0; i < size(); ++i) {
    if (codec_->coded() && homes_[i] == posting && !moved) {
      records[i] = codec_->At(records_.data(), i);
      continue;
    }
    const float error = codec_->coded() ? errors_[i] : 0.0F;
    codec_->Encode(vector(i), centroid, error, anew.data() + i * record_bytes);
    records[i] = codec_->At(anew.data(), i);
  }
  return Chunk::Make(kind, words_, records);
}

}  // namespace spfresh
