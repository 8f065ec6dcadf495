// The recorded answers of the reference tokenizers (tests/golden/tokenizer_<name>.json) and the
// comparison with ours. For tests only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella::testing {

struct GoldenVector {
  std::string text;
  std::vector<int32_t> ids;       // with special tokens
  std::vector<int32_t> ids_bare;  // without
  std::string decoded;            // of ids_bare
  std::string decoded_skip;       // of ids, special tokens skipped
};

std::string ReadFile(const std::string& path);

// Fails the running test if the file is missing or wrong.
std::vector<GoldenVector> ReadGoldenVectors(std::string_view name);

// Expects every vector: ids, text, offsets that lie in order, and the same text id by id.
void ExpectGoldenVectors(const Tokenizer& tokenizer, std::string_view name);

// Expects that the deltas of an IncrementalDecoder are whole characters and join to Decode.
void ExpectDeltasJoinToDecode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids);

// Expects the same of `count` lists of random ids.
void ExpectRandomDeltasJoinToDecode(const Tokenizer& tokenizer, int count);

}  // namespace lamella::testing
