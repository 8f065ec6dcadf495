// Opaque tokens that only this process can have made: a payload with a MAC under a random key, in
// URL-safe base64. A token is bound to its purpose, so that one list's is no other's. Immutable,
// thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lamella {

class TokenSigner {
 public:
  TokenSigner();  // a key of its own

  std::string Seal(std::string_view purpose, std::string_view payload) const;

  // The payload; nullopt for anything that Seal did not return for this purpose.
  std::optional<std::string> Open(std::string_view purpose, std::string_view token) const;

 private:
  std::string Mac(std::string_view purpose, std::string_view payload) const;

  const std::string key_;
};

}  // namespace lamella
