#include "server/tokenizer/byte_alphabet.h"

#include <array>

#include "server/tokenizer/utf8.h"

namespace lamella::byte_alphabet {
namespace {

constexpr size_t kCharacters = 0x100 + 68;  // 68 bytes are not printable

struct Tables {
  std::array<std::string, 256> spelling;
  std::array<int16_t, kCharacters> byte;  // -1: not in the alphabet
};

bool StandsForItself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

Tables MakeTables() {
  Tables tables;
  tables.byte.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t character = StandsForItself(byte) ? byte : next++;
    utf8::Append(character, &tables.spelling[byte]);
    tables.byte[character] = static_cast<int16_t>(byte);
  }
  return tables;
}

const Tables& GetTables() {
  static const Tables tables = MakeTables();
  return tables;
}

}  // namespace

std::string_view Spelling(uint8_t byte) { return GetTables().spelling[byte]; }

std::optional<uint8_t> ByteOf(char32_t character) {
  const int16_t byte = character < kCharacters ? GetTables().byte[character] : int16_t{-1};
  if (byte < 0) return std::nullopt;
  return static_cast<uint8_t>(byte);
}

void AppendBytes(std::string_view piece, std::string* out) {
  const size_t before = out->size();
  size_t pos = 0;
  while (pos < piece.size()) {
    const std::optional<uint8_t> byte = ByteOf(utf8::Next(piece, &pos));
    if (!byte.has_value()) {
      out->resize(before);
      *out += piece;
      return;
    }
    out->push_back(static_cast<char>(*byte));
  }
}

}  // namespace lamella::byte_alphabet
