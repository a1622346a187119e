#include "spfresh/chunk.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <string>

#include "code_kernels.h"
#include "codec.h"

namespace spfresh {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

namespace {

constexpr uint32_t kMagic = 0x43'50'4C'4E;  // "NLPC"
constexpr uint16_t kFormat = 4;
constexpr size_t kLine = 64;
// Alone, a block with fewer entries than this is no faster than their records, and much larger.
constexpr size_t kBlockMin = 4;
// The greatest number of 16 bits, in which a scan's factors are kept.
constexpr float kSteps = 65535;

struct Header {
  uint32_t magic;
  uint16_t format;
  uint8_t bits;
  uint8_t wide;
  uint32_t entries;
  uint32_t stride;
  uint32_t posting;
  float spread;
  uint64_t base;
  float add_low;
  float add_step;
  float rescale_step;
  uint8_t reserved[20];
};
static_assert(sizeof(Header) == kLine);

size_t RoundUp(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// Where the factors of the record part begin, and its end: each at a line.
struct RecordPart {
  RecordPart(size_t size, const Chunk::Kind& kind)
      : factors(RoundUp(size * Codec::CodeBytes(kind.stride, kind.bits))),
        end(factors + RoundUp(size * Codec::FactorBytes(kind.bits))) {}
  size_t factors, end;
};

// Where what the scan part consists of begins: each at a line.
struct ScanPart {
  ScanPart(size_t size, const Chunk::Kind& kind, bool wide) {
    const size_t rest = size % kScanBlock;
    const bool filled_up = rest >= kBlockMin || (rest > 0 && size > kScanBlock);
    blocks = kind.bits == kWholeBits ? 0 : size / kScanBlock + (filled_up ? 1 : 0);
    add = kLine + RoundUp(size * (wide ? sizeof(uint64_t) : sizeof(uint32_t)));
    rescale = add + blocks * kScanBlock * sizeof(uint16_t);
    planes = rescale + blocks * kScanBlock * sizeof(uint16_t);
    end = planes + blocks * PlaneBytes(kind.stride);
  }
  size_t blocks, add, rescale, planes, end;
};

bool CanBe(const Chunk::Kind& kind) {
  if (kind.bits == kWholeBits) return true;
  return (kind.bits == 4 || kind.bits == 8) && kind.stride % kCodeAlign == 0 &&
         kind.stride >= kCodedDims;
}

Header HeaderOf(const uint8_t* scan) {
  Header header;
  std::memcpy(&header, scan, sizeof(header));
  return header;
}

// What a scan reads of coded entries: written into "scan", what is common to all into *header.
void Transpose(const Chunk::Kind& kind, std::span<const Record> records, const ScanPart& part,
               Header* header, uint8_t* scan) {
  const size_t size = records.size();
  std::vector<Factors> factors(size);
  float high = 0, farthest = 0;
  for (size_t i = 0; i < size; ++i) {
    factors[i] = Codec::FactorsOf(records[i]);
    const float add = factors[i].scan_add;
    header->add_low = i == 0 ? add : std::min(header->add_low, add);
    high = i == 0 ? add : std::max(high, add);
    farthest = std::max(farthest, -factors[i].scan_rescale);
    header->spread = std::max(header->spread, factors[i].scan_spread);
  }
  header->add_step = (high - header->add_low) / kSteps;
  header->rescale_step = -farthest / kSteps;

  std::vector<uint8_t> steps(kScanBlock * kind.stride);
  for (size_t block = 0; block < part.blocks; ++block) {
    const uint8_t* signs[kScanBlock] = {};
    uint16_t add[kScanBlock], rescale[kScanBlock] = {};
    // What fills a block up is as far as can be told.
    std::fill_n(add, kScanBlock, uint16_t{0xFFFF});
    for (size_t i = 0; i < kScanBlock && block * kScanBlock + i < size; ++i) {
      const size_t entry = block * kScanBlock + i;
      uint8_t* to = steps.data() + i * kind.stride;
      Codec::Steps(records[entry].code, kind.stride, kind.bits, to);
      signs[i] = to;
      const Factors& f = factors[entry];
      float place = 0, share = 0;
      if (header->add_step > 0) place = (f.scan_add - header->add_low) / header->add_step;
      if (farthest > 0) share = -f.scan_rescale / farthest * kSteps;
      auto step = static_cast<uint16_t>(std::clamp(std::floor(place), 0.0F, kSteps));
      // Rounding must not make it more than it is.
      while (step > 0 &&
             header->add_low + static_cast<float>(step) * header->add_step > f.scan_add) {
        --step;
      }
      add[i] = step;
      rescale[i] = static_cast<uint16_t>(std::clamp(std::round(share), 0.0F, kSteps));
    }
    PackBlock(signs, kind.stride, scan + part.planes + block * PlaneBytes(kind.stride));
    std::memcpy(scan + part.add + block * sizeof(add), add, sizeof(add));
    std::memcpy(scan + part.rescale + block * sizeof(rescale), rescale, sizeof(rescale));
  }
}

}  // namespace

Chunk::Chunk(uint32_t size, const Kind& kind, std::shared_ptr<const Lines> scan,
             std::shared_ptr<const Lines> records)
    : size_(size),
      kind_(kind),
      words_(nullptr, 0, false, 0),
      view_{},
      records_view_{},
      scan_(std::move(scan)),
      records_(std::move(records)) {
  const uint8_t* from = scan_->data()->bytes;
  const Header header = HeaderOf(from);
  const ScanPart part(size_, kind_, header.wide != 0);
  words_ = Words(from + kLine, size_, header.wide != 0, header.base);
  view_ = {static_cast<uint32_t>(part.blocks),
           from + part.planes,
           reinterpret_cast<const uint16_t*>(from + part.add),
           reinterpret_cast<const uint16_t*>(from + part.rescale),
           header.add_low,
           header.add_step,
           header.rescale_step,
           header.spread};
  if (records_ == nullptr) return;
  const uint8_t* codes = records_->data()->bytes;
  records_view_ = {codes, Codec::CodeBytes(kind_.stride, kind_.bits),
                   codes + RecordPart(size_, kind_).factors, Codec::FactorBytes(kind_.bits)};
}

std::span<const uint8_t> Chunk::scan_bytes() const {
  return {scan_->data()->bytes, scan_->size() * kLine};
}

std::span<const uint8_t> Chunk::record_bytes() const {
  if (records_ == nullptr) return {};
  return {records_->data()->bytes, records_->size() * kLine};
}

size_t Chunk::record_part_size() const { return RecordPart(size_, kind_).end; }

std::shared_ptr<const Chunk> Chunk::Make(const Kind& kind, std::span<const uint64_t> words,
                                         std::span<const Record> records) {
  assert(!words.empty() && CanBe(kind));
  assert(records.size() == words.size());
  uint64_t base = kRowEnd, last = 0;
  for (const uint64_t word : words) {
    base = std::min(base, RowOf(word));
    last = std::max(last, RowOf(word));
  }
  const bool wide = last - base > Words::kOffsetMax;
  const auto size = static_cast<uint32_t>(words.size());
  Header header{};
  header.magic = kMagic;
  header.format = kFormat;
  header.bits = static_cast<uint8_t>(kind.bits);
  header.wide = wide ? 1 : 0;
  header.entries = size;
  header.stride = kind.stride;
  header.posting = kind.posting;
  header.base = base;

  const ScanPart part(size, kind, wide);
  auto scan = std::make_shared<Lines>(part.end / kLine);
  auto* to = reinterpret_cast<uint8_t*>(scan->data());
  for (size_t i = 0; i < size; ++i) {
    if (wide) {
      std::memcpy(to + kLine + i * sizeof(uint64_t), &words[i], sizeof(uint64_t));
    } else {
      const auto word = static_cast<uint32_t>(words[i] >> 62 << 30 | (RowOf(words[i]) - base));
      std::memcpy(to + kLine + i * sizeof(word), &word, sizeof(word));
    }
  }
  if (kind.bits != kWholeBits) Transpose(kind, records, part, &header, to);
  std::memcpy(to, &header, sizeof(header));

  const RecordPart behind(size, kind);
  auto kept = std::make_shared<Lines>(behind.end / kLine);
  auto* code = reinterpret_cast<uint8_t*>(kept->data());
  uint8_t* factors = code + behind.factors;
  const size_t code_bytes = Codec::CodeBytes(kind.stride, kind.bits);
  const size_t factor_bytes = Codec::FactorBytes(kind.bits);
  for (const Record& record : records) {
    code = std::copy_n(record.code, code_bytes, code);
    factors = std::copy_n(record.factors, factor_bytes, factors);
  }
  return std::shared_ptr<const Chunk>(new Chunk(size, kind, std::move(scan), std::move(kept)));
}

std::shared_ptr<const Chunk> Chunk::Join(const Chunk& first, const Chunk& second) {
  assert(first.kind_ == second.kind_);
  const Words a = first.words(), b = second.words();
  std::vector<uint64_t> words(a.begin(), a.end());
  words.insert(words.end(), b.begin(), b.end());
  std::vector<Record> records;
  for (const Chunk* chunk : {&first, &second}) {
    for (uint32_t i = 0; i < chunk->size(); ++i) records.push_back(chunk->record(i));
  }
  return Make(first.kind_, words, records);
}

Status Chunk::Parse(std::span<const uint8_t> bytes, uint32_t stride,
                    std::shared_ptr<const Chunk>* out) {
  if (bytes.size() < sizeof(Header)) return Status::Corrupt("a posting chunk is cut short");
  const Header header = HeaderOf(bytes.data());
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
  if (header.entries == 0 || header.wide > 1 || header.base >= kRowEnd ||
      bytes.size() != ScanPart(header.entries, kind, header.wide != 0).end) {
    return Status::Corrupt("a posting chunk of " + std::to_string(header.entries) +
                           " entries has " + std::to_string(bytes.size()) + " bytes");
  }
  auto scan = std::make_shared<Lines>(bytes.size() / kLine);
  std::memcpy(scan->data()->bytes, bytes.data(), bytes.size());
  out->reset(new Chunk(header.entries, kind, std::move(scan), nullptr));
  return {};
}

Status Chunk::WithRecords(std::span<const uint8_t> bytes, std::shared_ptr<const Chunk>* out) const {
  if (bytes.size() != record_part_size()) {
    return Status::Corrupt("the records of a posting chunk of " + std::to_string(size_) +
                           " entries have " + std::to_string(bytes.size()) + " bytes");
  }
  auto records = std::make_shared<Lines>(bytes.size() / kLine);
  std::memcpy(records->data()->bytes, bytes.data(), bytes.size());
  out->reset(new Chunk(size_, kind_, scan_, std::move(records)));
  return {};
}

std::shared_ptr<const Chunk> Chunk::WithoutRecords() const {
  return std::shared_ptr<const Chunk>(new Chunk(size_, kind_, scan_, nullptr));
}

}  // namespace spfresh
