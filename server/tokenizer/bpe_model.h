// Byte-pair encoding of one word: its smallest pieces, merged by the rules until none applies. A
// word of n characters takes O(n log n), however hostile. Immutable and thread-safe; what a call
// needs in between lies in its caller's Scratch.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/tokenizer/aligned_text.h"
#include "server/tokenizer/merge_rules.h"
#include "server/tokenizer/vocabulary.h"

namespace lamella {

struct BpeOptions {
  bool byte_level = false;     // the smallest pieces are bytes in byte_alphabet's spelling
  bool byte_fallback = false;  // a character without a piece becomes "<0x..>" pieces
  bool fuse_unknown = false;   // neighbouring unknown characters become one unknown piece
  bool ignore_merges = false;  // a word that is a piece is that piece
  int32_t unknown_id = -1;     // -1: unknown characters vanish
};

class BpeModel {
 public:
  struct Token {
    int32_t id = -1;
    TextRange range;  // of the word
  };
  class Scratch;

  // `vocabulary` is borrowed and outlives this.
  BpeModel(const Vocabulary* vocabulary, std::unique_ptr<const MergeRules> rules,
           const BpeOptions& options);

  // Appends the pieces of `word`. Preconditions: `word` is well-formed UTF-8 of less than 2^31
  // bytes.
  void Tokenize(std::string_view word, Scratch* scratch, std::vector<Token>* tokens) const;

 private:
  struct Symbol {
    int32_t id = -1;  // -1: merged into the one before
    int32_t previous = -1;
    int32_t next = -1;
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  struct Candidate {
    MergeRank rank;
    int32_t left = -1;  // index of a symbol
    int32_t id = -1;

    friend bool operator>(const Candidate& a, const Candidate& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
  };

 public:
  class Scratch {
    friend class BpeModel;
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
    std::string spelling_;
  };

 private:
  // The piece that the whole word is, or -1.
  int32_t WholeWord(std::string_view word, Scratch* scratch) const;
  void SplitBytes(std::string_view word, std::vector<Symbol>* symbols) const;
  void SplitCharacters(std::string_view word, std::vector<Symbol>* symbols) const;
  bool AddBytePieces(std::string_view word, TextRange character,
                     std::vector<Symbol>* symbols) const;
  void AddUnknown(TextRange character, std::vector<Symbol>* symbols) const;
  void Consider(int32_t left, Scratch* scratch) const;
  void MergeAll(Scratch* scratch) const;

  const Vocabulary* vocabulary_;
  std::unique_ptr<const MergeRules> rules_;
  BpeOptions options_;
  std::array<int32_t, 256> byte_piece_;  // of byte_alphabet's spelling, or "<0x..>"; -1: none
};

}  // namespace lamella
