#include "spfresh/chunk.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>
#include <string>

#include "code_kernels.h"
#include "codec.h"

namespace spfresh {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

namespace {

constexpr uint32_t kMagic = 0x43'50'4C'4E;  // "NLPC"
constexpr uint16_t kFormat = 2;
constexpr size_t kLine = 64;
// A block with fewer entries than this is no faster than their records, and much larger.
constexpr size_t kBlockMin = 4;

struct Header {
  uint32_t magic;
  uint16_t format;
  uint8_t bits;
  uint8_t zero;
  uint32_t entries;
  uint32_t stride;
  uint32_t posting;
  float spread;
  uint8_t reserved[40];
};
static_assert(sizeof(Header) == kLine);

size_t RoundUp(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// Where the parts of a chunk begin. All but the records begin at lines.
struct Parts {
  Parts(size_t size, const Chunk::Kind& kind) {
    const bool coded = kind.bits != kWholeBits;
    blocks = coded ? size / kScanBlock + (size % kScanBlock >= kBlockMin ? 1 : 0) : 0;
    add = kLine + RoundUp(size * sizeof(uint64_t));
    rescale = add + blocks * kScanBlock * sizeof(float);
    planes = rescale + blocks * kScanBlock * sizeof(float);
    records = planes + blocks * PlaneBytes(kind.stride);
    record_bytes = Codec::RecordBytes(kind.stride, kind.bits);
    end = RoundUp(records + size * record_bytes);
  }
  size_t blocks, add, rescale, planes, records, record_bytes, end;
};

bool CanBe(const Chunk::Kind& kind) {
  if (kind.bits == kWholeBits) return true;
  return (kind.bits == 4 || kind.bits == 8) && kind.stride % kCodeAlign == 0 &&
         kind.stride >= kCodedDims;
}

}  // namespace

Chunk::Chunk(uint32_t size, const Kind& kind)
    : size_(size), kind_(kind), lines_(Parts(size, kind).end / kLine) {}

std::span<const uint64_t> Chunk::words() const {
  return {reinterpret_cast<const uint64_t*>(lines_[1].bytes), size_};
}

std::span<const uint8_t> Chunk::records() const {
  const Parts parts(size_, kind_);
  return {data() + parts.records, size_ * parts.record_bytes};
}

const uint8_t* Chunk::record(uint32_t entry) const {
  const Parts parts(size_, kind_);
  return data() + parts.records + entry * parts.record_bytes;
}

Chunk::Scan Chunk::scan() const {
  const Parts parts(size_, kind_);
  Header header;
  std::memcpy(&header, data(), sizeof(header));
  return {static_cast<uint32_t>(parts.blocks), data() + parts.planes,
          reinterpret_cast<const float*>(data() + parts.add),
          reinterpret_cast<const float*>(data() + parts.rescale), header.spread};
}

std::span<const uint8_t> Chunk::bytes() const { return {data(), lines_.size() * kLine}; }

std::shared_ptr<const Chunk> Chunk::Make(const Kind& kind, std::span<const uint64_t> words,
                                         std::span<const uint8_t> records) {
  assert(!words.empty() && CanBe(kind));
  std::shared_ptr<Chunk> chunk(new Chunk(static_cast<uint32_t>(words.size()), kind));
  const Parts parts(words.size(), kind);
  assert(records.size() == words.size() * parts.record_bytes);
  std::memcpy(chunk->data() + kLine, words.data(), words.size_bytes());
  std::memcpy(chunk->data() + parts.records, records.data(), records.size());
  Header header{
      kMagic, kFormat, static_cast<uint8_t>(kind.bits), 0, chunk->size_, kind.stride, kind.posting,
      0,      {}};
  if (kind.bits != kWholeBits) {
    for (uint32_t i = 0; i < chunk->size_; ++i) {
      const Factors factors =
          Codec::FactorsOf(chunk->record(i), Codec::CodeBytes(kind.stride, kind.bits));
      header.spread = std::max(header.spread, factors.scan_spread);
    }
    chunk->Transpose();
  }
  std::memcpy(chunk->data(), &header, sizeof(header));
  return chunk;
}

void Chunk::Transpose() {
  const Parts parts(size_, kind_);
  const size_t code_bytes = Codec::CodeBytes(kind_.stride, kind_.bits);
  std::vector<uint8_t> steps(kScanBlock * kind_.stride);
  for (size_t block = 0; block < parts.blocks; ++block) {
    const uint8_t* signs[kScanBlock] = {};
    // What fills a block up is farther than anything.
    float add[kScanBlock], rescale[kScanBlock] = {};
    std::fill_n(add, kScanBlock, std::numeric_limits<float>::infinity());
    for (size_t i = 0; i < kScanBlock && block * kScanBlock + i < size_; ++i) {
      const uint8_t* from = record(static_cast<uint32_t>(block * kScanBlock + i));
      uint8_t* to = steps.data() + i * kind_.stride;
      Codec::Steps(from, kind_.stride, kind_.bits, to);
      signs[i] = to;
      const Factors factors = Codec::FactorsOf(from, code_bytes);
      add[i] = factors.scan_add;
      rescale[i] = factors.scan_rescale;
    }
    PackBlock(signs, kind_.stride, data() + parts.planes + block * PlaneBytes(kind_.stride));
    std::memcpy(data() + parts.add + block * sizeof(add), add, sizeof(add));
    std::memcpy(data() + parts.rescale + block * sizeof(rescale), rescale, sizeof(rescale));
  }
}

std::shared_ptr<const Chunk> Chunk::Join(const Chunk& first, const Chunk& second) {
  assert(first.kind_ == second.kind_);
  std::vector<uint64_t> words(first.words().begin(), first.words().end());
  words.insert(words.end(), second.words().begin(), second.words().end());
  std::vector<uint8_t> records(first.records().begin(), first.records().end());
  records.insert(records.end(), second.records().begin(), second.records().end());
  return Make(first.kind_, words, records);
}

Status Chunk::Parse(std::span<const uint8_t> bytes, uint32_t stride,
                    std::shared_ptr<const Chunk>* out) {
  Header header;
  if (bytes.size() < sizeof(header)) return Status::Corrupt("a posting chunk is cut short");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) return Status::Corrupt("a posting chunk does not begin as one");
  const Kind kind{header.posting, header.stride, header.bits};
  if (header.format != kFormat || !CanBe(kind)) {
    return Status::Corrupt("a posting chunk has format " + std::to_string(header.format) + ", " +
                           std::to_string(header.bits) +
                           " bits a coordinate, which is not known here");
  }
  if (header.stride != stride) {
    return Status::Corrupt("a posting chunk has vectors of " + std::to_string(header.stride) +
                           " floats, not " + std::to_string(stride));
  }
  if (header.entries == 0 || bytes.size() != Parts(header.entries, kind).end) {
    return Status::Corrupt("a posting chunk of " + std::to_string(header.entries) +
                           " entries has " + std::to_string(bytes.size()) + " bytes");
  }
  std::shared_ptr<Chunk> chunk(new Chunk(header.entries, kind));
  std::memcpy(chunk->data(), bytes.data(), bytes.size());
  *out = std::move(chunk);
  return {};
}

}  // namespace spfresh
