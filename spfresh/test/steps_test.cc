// Upkeep one step at a time, between searches, inserts and checkpoints, as scripts with the index
// drawn as text: testdata/*.txt. A script is a list of commands, each followed by a line "----" and
// what it shows, and an empty line:
//
//   index target=4 max=6 min=1     an index of the line; vectors are numbers
//   insert 0: 1 2 3                rows 0, 1 and 2
//   delete 0 2
//   step                           the step that the sizes of postings ask for, and what it was
//   refine / scrub                 the next step of either kind
//   rebuild 2.0                    garbage collection, at the posting with this centroid
//   search 2.4 k=3                 row@distance, nearest first
//   pin                            keeps this version; "pinned k=3 2.4" searches it
//   checkpoint / crash             a crash goes back to it; rows since must be inserted again
//   draw                           each posting as its centroid and its rows, in their order
//
// With SPFRESH_REWRITE=1 in the environment a script is written anew with what is shown now.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "check.h"
#include "gtest/gtest.h"
#include "test_index.h"

namespace spfresh {
namespace {

class Script {
 public:
  std::string Run(const std::string& line) {
    std::istringstream in(line);
    std::string command;
    in >> command;
    if (command == "index") return Begin(in);
    if (command == "insert") return Insert(in);
    if (command == "delete") {
      for (uint64_t row; in >> row;) index_->Delete(row);
      return Draw();
    }
    if (command == "step") return Step();
    if (command == "refine" || command == "scrub") return Tend(command == "refine");
    if (command == "rebuild") return Rebuilt(in);
    if (command == "search") return Search(*index_, in);
    if (command == "pin") {
      pinned_ = std::make_unique<test::TestIndex>(*index_);
      return "";
    }
    if (command == "pinned") return Search(*pinned_, in);
    if (command == "checkpoint") {
      image_ = index_->Checkpoint();
      return "";
    }
    if (command == "crash") {
      index_->Open(image_);
      return Draw();
    }
    if (command == "draw") return Draw();
    return "no such command";
  }

  // Whatever a script does, the index is sound.
  std::string Fault() const { return index_ == nullptr ? "" : test::Fault(*index_, {}); }

 private:
  static std::string Fixed(float x) {
    std::ostringstream out;
    out.precision(1);
    out << std::fixed << (std::fabs(x) < 0.05F ? 0.0F : x);
    return out.str();
  }

  // "name=value" up to the end.
  static std::map<std::string, float> Knobs(std::istringstream& in) {
    std::map<std::string, float> knobs;
    for (std::string word; in >> word;) {
      const size_t equals = word.find('=');
      knobs[word.substr(0, equals)] =
          equals == std::string::npos ? 1 : std::stof(word.substr(equals + 1));
    }
    return knobs;
  }

  std::string Begin(std::istringstream& in) {
    auto knobs = Knobs(in);
    Options options;
    options.dims = 1;
    options.posting_target = static_cast<uint32_t>(knobs["target"]);
    options.posting_max = static_cast<uint32_t>(knobs["max"]);
    options.posting_min = static_cast<uint32_t>(knobs["min"]);
    options.spill = knobs.contains("spill") ? Spill::kSoar : Spill::kNone;
    index_ = std::make_unique<test::TestIndex>(options);
    return "";
  }

  std::string Insert(std::istringstream& in) {
    uint64_t row;
    char colon;
    in >> row >> colon;
    std::vector<float> values;
    for (float x; in >> x;) values.push_back(x);
    index_->Insert(row, values.data(), values.size());
    return Draw();
  }

  std::string Step() {
    uint32_t posting;
    const Work work = index_->version().NextWork(&posting);
    if (work == Work::kNone) return "nothing to do";
    constexpr const char* kNames[] = {"", "split", "merge", "recentre"};
    const std::string at = Fixed(index_->version().centroid(posting)[0]);
    index_->RebuildOne(posting);
    return std::string(kNames[static_cast<int>(work)]) + " " + at + "\n" + Draw();
  }

  std::string Tend(bool refine) {
    uint32_t posting;
    const Version& version = index_->version();
    if (refine ? !version.NextRefine(&posting) : !version.NextScrub(&posting)) {
      return "nothing to do";
    }
    const std::string at = Fixed(version.centroid(posting)[0]);
    std::unique_ptr<Rebuild> rebuild;
    test::Must(refine ? Rebuild::Refine(index_->shared(), posting, &rebuild)
                      : Rebuild::Scrub(index_->shared(), posting, &rebuild));
    index_->Run(rebuild.get());
    return "at " + at + "\n" + Draw();
  }

  std::string Rebuilt(std::istringstream& in) {
    std::string wanted;
    in >> wanted;
    for (uint32_t id = 0; id < index_->version().capacity(); ++id) {
      if (index_->version().posting(id) == nullptr) continue;
      if (Fixed(index_->version().centroid(id)[0]) != wanted) continue;
      index_->RebuildOne(id);
      return Draw();
    }
    return "no such posting";
  }

  static std::string Search(const test::TestIndex& index, std::istringstream& in) {
    float query;
    in >> query;
    auto knobs = Knobs(in);
    std::vector<uint64_t> words(16);
    for (uint64_t row = 0; row < 1024; ++row) {
      if (index.IsLive(row)) words[row / 64] |= uint64_t{1} << (row % 64);
    }
    const Allowed allowed{0, words};
    const Request request{static_cast<uint32_t>(knobs["k"]), 1.0F, 0, kRowEnd - 1};
    std::ostringstream shown;
    for (const Hit& hit : index.Search(&query, request, &allowed)) {
      shown << (shown.tellp() == 0 ? "" : " ") << hit.row << "@" << Fixed(hit.distance);
    }
    return shown.str();
  }

  // Dead rows in brackets, second copies with a stroke.
  std::string Draw() const {
    std::vector<std::pair<float, std::string>> postings;
    for (const auto& [id, chunks] : index_->chunks()) {
      std::vector<uint64_t> words;
      for (const auto& chunk : chunks) {
        words.insert(words.end(), chunk->words().begin(), chunk->words().end());
      }
      std::sort(words.begin(), words.end(),
                [](uint64_t a, uint64_t b) { return RowOf(a) < RowOf(b); });
      const float centroid = index_->version().centroid(id)[0];
      std::ostringstream drawn;
      drawn << Fixed(centroid) << ":";
      for (const uint64_t word : words) {
        const bool live = index_->IsLive(RowOf(word));
        drawn << (live ? " " : " [") << RowOf(word) << (IsSpilled(word) ? "'" : "")
              << (live ? "" : "]");
      }
      postings.push_back({centroid, drawn.str()});
    }
    std::sort(postings.begin(), postings.end());
    std::string all;
    for (const auto& [centroid, drawn] : postings) all += (all.empty() ? "" : " | ") + drawn;
    return all.empty() ? "empty" : all;
  }

  std::unique_ptr<test::TestIndex> index_, pinned_;
  test::TestIndex::Image image_;
};

class Steps : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Steps, ShowsWhatItShowed) {
  const bool rewrite = std::getenv("SPFRESH_REWRITE") != nullptr;
  std::ifstream in(GetParam());
  ASSERT_TRUE(in.good());
  Script script;
  std::string anew;
  for (std::string line; std::getline(in, line);) {
    anew += line + "\n";
    if (line.empty() || line[0] == '#') continue;
    std::string separator, expected;
    std::getline(in, separator);
    ASSERT_EQ(separator, "----") << "after " << line;
    for (std::string shown; std::getline(in, shown) && !shown.empty();) expected += shown + "\n";
    std::string shown = script.Run(line);
    if (!shown.empty()) shown += "\n";
    if (!rewrite) {
      EXPECT_EQ(shown, expected) << line;
    }
    EXPECT_EQ(script.Fault(), "") << line;
    anew += "----\n" + shown + "\n";
  }
  if (rewrite) std::ofstream(GetParam()) << anew;
}

std::vector<std::filesystem::path> Scripts() {
  std::vector<std::filesystem::path> scripts;
  for (const auto& entry : std::filesystem::directory_iterator(SPFRESH_TESTDATA)) {
    scripts.push_back(entry.path());
  }
  std::sort(scripts.begin(), scripts.end());
  return scripts;
}

INSTANTIATE_TEST_SUITE_P(Scripts, Steps, testing::ValuesIn(Scripts()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace spfresh
