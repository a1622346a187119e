// A fuzz target is one file with these two functions. With clang it is linked with libFuzzer; else,
// and as a test, with driver.cc, which damages the seeds by chance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Reads any bytes: it may refuse them, and must do nothing else that a caller would notice.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Inputs that are right.
std::vector<std::vector<uint8_t>> Seeds();
