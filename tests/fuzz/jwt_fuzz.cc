// Any text as a key set, a new line, and any text as a token: read the keys, and ask whether one of
// them signed it.
//   build/fuzz/bin/jwt_fuzz tests/fuzz/corpus/jwt -max_total_time=10
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/formats/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t border = text.find('\n');
  const auto keys = lamella::JwtKeys::FromJson(text.substr(0, border));
  if (!keys.ok() || border == std::string_view::npos) return 0;
  const std::string_view token = text.substr(border + 1);
  if (!keys->Verify(token).ok()) return 0;
  if (!lamella::JwtKeys::LooksLikeToken(token)) std::abort();
  if (token.size() > lamella::JwtKeys::kMaxTokenBytes) std::abort();
  return 0;
}
