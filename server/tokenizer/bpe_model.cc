#include "server/tokenizer/bpe_model.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include "server/tokenizer/byte_alphabet.h"
#include "server/tokenizer/utf8.h"

namespace lamella {

BpeModel::BpeModel(const Vocabulary* vocabulary, std::unique_ptr<const MergeRules> rules,
                   const BpeOptions& options)
    : vocabulary_(vocabulary), rules_(std::move(rules)), options_(options) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    byte_piece_[byte] =
        vocabulary_->Find(options_.byte_level ? byte_alphabet::Spelling(static_cast<uint8_t>(byte))
                                              : std::string_view(name));
  }
}

int32_t BpeModel::WholeWord(std::string_view word, Scratch* scratch) const {
  std::string_view spelling = word;
  if (options_.byte_level) {
    if (word.size() > vocabulary_->max_piece_bytes()) return -1;
    scratch->spelling_.clear();
    for (const char byte : word) {
      scratch->spelling_ += byte_alphabet::Spelling(static_cast<uint8_t>(byte));
    }
    spelling = scratch->spelling_;
  }
  const int32_t id = vocabulary_->Find(spelling);
  // Special tokens come from the caller, never from a word that looks like one.
  return id >= 0 && !vocabulary_->IsSpecial(id) ? id : -1;
}

void BpeModel::AddUnknown(TextRange character, std::vector<Symbol>* symbols) const {
  if (options_.unknown_id < 0) return;
  const auto end = static_cast<uint32_t>(character.end);
  if (options_.fuse_unknown && !symbols->empty() && symbols->back().id == options_.unknown_id) {
    symbols->back().end = end;
    return;
  }
  symbols->push_back(
      {.id = options_.unknown_id, .begin = static_cast<uint32_t>(character.begin), .end = end});
}

void BpeModel::SplitBytes(std::string_view word, std::vector<Symbol>* symbols) const {
  for (size_t i = 0; i < word.size(); ++i) {
    const int32_t id = byte_piece_[static_cast<unsigned char>(word[i])];
    if (id < 0) {
      AddUnknown({i, i + 1}, symbols);
    } else {
      symbols->push_back(
          {.id = id, .begin = static_cast<uint32_t>(i), .end = static_cast<uint32_t>(i + 1)});
    }
  }
}

bool BpeModel::AddBytePieces(std::string_view word, TextRange character,
                             std::vector<Symbol>* symbols) const {
  const std::string_view bytes = character.Of(word);
  const auto piece = [&](char byte) { return byte_piece_[static_cast<unsigned char>(byte)]; };
  if (!options_.byte_fallback ||
      std::any_of(bytes.begin(), bytes.end(), [&](char byte) { return piece(byte) < 0; })) {
    return false;
  }
  for (size_t i = character.begin; i < character.end; ++i) {
    symbols->push_back({.id = piece(word[i]),
                        .begin = static_cast<uint32_t>(i),
                        .end = static_cast<uint32_t>(i + 1)});
  }
  return true;
}

void BpeModel::SplitCharacters(std::string_view word, std::vector<Symbol>* symbols) const {
  size_t pos = 0;
  while (pos < word.size()) {
    TextRange character{pos, pos};
    utf8::Next(word, &character.end);
    pos = character.end;
    const int32_t id = vocabulary_->Find(character.Of(word));
    if (id >= 0 && !vocabulary_->IsSpecial(id)) {
      symbols->push_back({.id = id,
                          .begin = static_cast<uint32_t>(character.begin),
                          .end = static_cast<uint32_t>(character.end)});
    } else if (!AddBytePieces(word, character, symbols)) {
      AddUnknown(character, symbols);
    }
  }
}

void BpeModel::Consider(int32_t left, Scratch* scratch) const {
  if (left < 0) return;
  const Symbol& symbol = scratch->symbols_[static_cast<size_t>(left)];
  if (symbol.next < 0) return;
  const Symbol& next = scratch->symbols_[static_cast<size_t>(symbol.next)];
  const auto merge = rules_->Find(symbol.id, next.id);
  if (!merge.has_value()) return;
  scratch->heap_.push_back({merge->rank, left, merge->id});
  std::push_heap(scratch->heap_.begin(), scratch->heap_.end(), std::greater<>());
}

void BpeModel::MergeAll(Scratch* scratch) const {
  std::vector<Symbol>& symbols = scratch->symbols_;
  std::vector<Candidate>& heap = scratch->heap_;
  const auto count = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    Symbol& symbol = symbols[static_cast<size_t>(i)];
    symbol.previous = i - 1;
    symbol.next = i + 1 < count ? i + 1 : -1;
  }
  heap.clear();
  for (int32_t i = 0; i + 1 < count; ++i) Consider(i, scratch);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.left)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    // A candidate whose parts have changed since still stands if they make the same piece: the
    // reference decides so, and ids depend on it.
    const auto merge = rules_->Find(left.id, right.id);
    if (!merge.has_value() || merge->id != best.id) continue;
    left.id = best.id;
    left.end = right.end;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.left;
    Consider(left.previous, scratch);
    Consider(best.left, scratch);
  }
}

void BpeModel::Tokenize(std::string_view word, Scratch* scratch, std::vector<Token>* tokens) const {
  if (options_.ignore_merges) {
    const int32_t id = WholeWord(word, scratch);
    if (id >= 0) {
      tokens->push_back({id, {0, word.size()}});
      return;
    }
  }
  scratch->symbols_.clear();
  if (options_.byte_level) {
    SplitBytes(word, &scratch->symbols_);
  } else {
    SplitCharacters(word, &scratch->symbols_);
  }
  MergeAll(scratch);
  for (const Symbol& symbol : scratch->symbols_) {
    if (symbol.id >= 0) tokens->push_back({symbol.id, {symbol.begin, symbol.end}});
  }
}

}  // namespace lamella
