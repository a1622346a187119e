// The second half of a Rebuild: the new centroids are known, all entries are read; who goes where?
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "assign.h"
#include "entries.h"
#include "query_code.h"
#include "spfresh/rebuild.h"
#include "version_state.h"

namespace spfresh {

// A posting that was read.
struct Source {
  Source(uint32_t posting_, const Codec& codec) : posting(posting_), members(codec) {}

  uint32_t posting;
  Entries members;
  // Whether a chunk of it was handed in.
  bool added = false;
  uint64_t dead = 0;
  // Whether it is to be written anew although it is a neighbour.
  bool changed = false;

  // Of a neighbour, chunks instead of members, until something of it changes: nearly all of what is
  // read of neighbours stays as it is, and is neither copied nor decoded.
  struct Unread {
    Chunk chunk;
    std::vector<uint8_t> live;
  };
  std::vector<Unread> unread;

  // Live entries; their order is that of the members to be.
  size_t size() const;
  void Read(const Version::State& state);
};

// What is to be made of the first sources.
struct Layout {
  // How many of the sources are made anew.
  size_t own = 1;
  // Their centroids, row after row: the first ones take the ids of those postings, in order. None:
  // the one posting goes away.
  std::vector<float> centroids;
  // Of each centroid, whether the posting had another before.
  std::vector<bool> moved;
  // A split or a merge was found to be of no use.
  bool stuck = false;
  // All first copies look for a place, even if no centroid moved.
  bool all_look = false;
  // The centroids are settled: k-means has seen all their entries.
  bool refined = false;
};

// Used once. The sources are consumed.
class Relocation {
 public:
  Relocation(const Version& version, const Layout& layout, std::vector<Source>* sources,
             Rebuild::Counts* counts);

  // 1. Gives the new centroids their ids.
  void MoveCentroids();
  // 2. Finds who must look for a place among all centroids: first copies of the postings made anew,
  //    since their second copies depend on it (of them, condition 1 says, only those nearer to the
  //    old centroid than to a new one can leave), and first copies of neighbours by condition 2.
  void FindSettlers();
  // 3. Moves first copies, and the second copies that are at hand with them.
  void Settle();
  // 4. The others of the postings made anew go to the nearest part.
  void GatherRest();
  // Whether anything is otherwise than before.
  bool changes() const { return changes_; }
  // 5. The chunks, and the next version.
  Change Write();

 private:
  // An entry of a source.
  struct At {
    size_t source;
    size_t entry;
  };

  bool IsOwn(const At& at) const { return at.source < layout_.own; }
  // Whether the posting at this place moved its centroid or is no more.
  bool IsGone(const At& at) const;
  bool IsPart(uint32_t posting) const;
  void Arrive(uint32_t posting, uint64_t word, size_t settler);
  void Leave(const At& at);
  void FindCopies();
  void FindIn(size_t source);
  void FindByCodes(size_t source);
  // Whether the second copy at this place is clearly better at "spill".
  bool CopyMoves(const At& copy, const Assignment& to, const float* vector) const;
  void Replace(uint32_t id, Entries& members, bool moved);
  void WriteParts();
  void WriteNeighbours();
  void WriteArrivals();

  const Version::State& state_;
  const Layout& layout_;
  std::vector<Source>& sources_;
  Rebuild::Counts& counts_;
  const uint32_t stride_;

  Version::State next_;
  // Of the new centroids.
  std::vector<uint32_t> ids_;
  // The centroids of the postings made anew, as they were and as they will be.
  std::vector<std::vector<float>> before_, after_;
  // Those that moved, to be compared with codes.
  std::vector<std::unique_ptr<const QueryCode>> codes_;
  std::vector<At> settlers_;
  Entries settling_;
  // Where second copies are known to be, by row.
  std::unordered_map<uint64_t, At> copies_;
  std::vector<std::vector<bool>> left_;
  std::vector<Entries> parts_;
  std::unordered_map<uint32_t, Entries> arrivals_;
  Change change_;
  bool changes_ = false;
};

}  // namespace spfresh
