// SHA-256, incremental, and what is built on it. Identity of files and versions rests on it; keys
// of callers are compared by it, which is enough for random keys and not for passwords. One object
// serves one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace lamella {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text) { Update(std::as_bytes(std::span(text.data(), text.size()))); }

  // 64 lowercase hex digits of everything so far. Ends the object's use.
  std::string HexDigest();

 private:
  struct FreeContext {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, FreeContext> context_;
};

std::string Sha256Hex(std::span<const std::byte> bytes);
std::string Sha256Hex(std::string_view text);

// 32 raw bytes that only who knows `key` can make of `text`.
std::string HmacSha256(std::string_view key, std::string_view text);

// In a time that depends on the sizes alone.
bool ConstantTimeEqual(std::string_view a, std::string_view b);

// Whether `text` is `min_digits` to 64 lowercase hex digits.
bool IsLowerHex(std::string_view text, size_t min_digits = 64);

}  // namespace lamella
