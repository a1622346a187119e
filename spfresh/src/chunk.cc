#include "spfresh/chunk.h"

#include <bit>
#include <cassert>
#include <cstring>
#include <string>

namespace spfresh {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

namespace {

constexpr uint32_t kMagic = 0x43'50'4C'4E;  // "NLPC"
constexpr uint16_t kFormat = 1;
constexpr uint8_t kKindFloat32 = 0;
constexpr size_t kLine = 64;

struct Header {
  uint32_t magic;
  uint16_t format;
  uint8_t kind;
  uint8_t zero;
  uint32_t entries;
  uint32_t stride;
  uint8_t reserved[48];
};
static_assert(sizeof(Header) == kLine);

size_t RoundUp(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
size_t VectorsAt(size_t entries) { return kLine + RoundUp(entries * sizeof(uint64_t)); }
size_t Total(size_t entries, size_t stride) {
  return VectorsAt(entries) + RoundUp(entries * stride * sizeof(float));
}

}  // namespace

Chunk::Chunk(uint32_t size, uint32_t stride)
    : size_(size), stride_(stride), lines_(Total(size, stride) / kLine) {}

std::span<const uint64_t> Chunk::words() const {
  return {reinterpret_cast<const uint64_t*>(lines_[1].bytes), size_};
}

const float* Chunk::vectors() const {
  return reinterpret_cast<const float*>(lines_.data()->bytes + VectorsAt(size_));
}

std::span<const uint8_t> Chunk::bytes() const {
  return {lines_.data()->bytes, lines_.size() * kLine};
}

std::shared_ptr<const Chunk> Chunk::Make(std::span<const uint64_t> words,
                                         std::span<const float> vectors, uint32_t stride) {
  assert(!words.empty() && vectors.size() == words.size() * stride);
  std::shared_ptr<Chunk> chunk(new Chunk(static_cast<uint32_t>(words.size()), stride));
  const Header header{kMagic, kFormat, kKindFloat32, 0, chunk->size_, stride, {}};
  std::memcpy(chunk->data(), &header, sizeof(header));
  std::memcpy(chunk->data() + kLine, words.data(), words.size_bytes());
  std::memcpy(chunk->data() + VectorsAt(words.size()), vectors.data(), vectors.size_bytes());
  return chunk;
}

std::shared_ptr<const Chunk> Chunk::Join(const Chunk& first, const Chunk& second) {
  assert(first.stride_ == second.stride_);
  std::vector<uint64_t> words(first.words().begin(), first.words().end());
  words.insert(words.end(), second.words().begin(), second.words().end());
  std::vector<float> vectors(first.vectors(), first.vector(first.size_));
  vectors.insert(vectors.end(), second.vectors(), second.vector(second.size_));
  return Make(words, vectors, first.stride_);
}

Status Chunk::Parse(std::span<const uint8_t> bytes, uint32_t stride,
                    std::shared_ptr<const Chunk>* out) {
  Header header;
  if (bytes.size() < sizeof(header)) return Status::Corrupt("a posting chunk is cut short");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) return Status::Corrupt("a posting chunk does not begin as one");
  if (header.format != kFormat || header.kind != kKindFloat32) {
    return Status::Corrupt("a posting chunk has format " + std::to_string(header.format) +
                           ", kind " + std::to_string(header.kind) + ", which is not known here");
  }
  if (header.stride != stride) {
    return Status::Corrupt("a posting chunk has vectors of " + std::to_string(header.stride) +
                           " floats, not " + std::to_string(stride));
  }
  if (header.entries == 0 || bytes.size() != Total(header.entries, stride)) {
    return Status::Corrupt("a posting chunk of " + std::to_string(header.entries) +
                           " entries has " + std::to_string(bytes.size()) + " bytes");
  }
  std::shared_ptr<Chunk> chunk(new Chunk(header.entries, stride));
  std::memcpy(chunk->data(), bytes.data(), bytes.size());
  *out = std::move(chunk);
  return {};
}

}  // namespace spfresh
