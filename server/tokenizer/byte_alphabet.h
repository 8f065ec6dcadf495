// The 256 printable characters that byte-level vocabularies spell bytes with (GPT-2's table): a
// printable Latin-1 byte is itself, the others are U+0100 and up in order. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lamella::byte_alphabet {

// The character of `byte`, as UTF-8 (1 or 2 bytes).
std::string_view Spelling(uint8_t byte);

// The byte that a character stands for; nullopt if it stands for none.
std::optional<uint8_t> ByteOf(char32_t character);

// The bytes of a piece; a piece with a character outside the alphabet is its own bytes, as added
// tokens are. Precondition: `piece` is well-formed UTF-8.
void AppendBytes(std::string_view piece, std::string* out);

}  // namespace lamella::byte_alphabet
