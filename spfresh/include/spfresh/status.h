// What a fallible call returns: a code, sorted by what the caller can do, and a message.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace spfresh {

enum class Code : uint8_t {
  kOk = 0,
  // The request is wrong: an option out of bounds, a vector of another length.
  kInvalid = 1,
  // Stored bytes are not what was written.
  kCorrupt = 2,
  // A promise between this library and its caller was broken.
  kInternal = 3,
};

class [[nodiscard]] Status {
 public:
  Status() = default;

  static Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }
  static Status Corrupt(std::string message) { return {Code::kCorrupt, std::move(message)}; }
  static Status Internal(std::string message) { return {Code::kInternal, std::move(message)}; }

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code_ = Code::kOk;
  std::string message_;
};

}  // namespace spfresh
