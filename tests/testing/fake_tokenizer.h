// A tokenizer whose ids below 256 are bytes; 256 is the end of text; more pieces can be added. No
// BOS.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella {

class FakeTokenizer final : public Tokenizer {
 public:
  static constexpr int32_t kEos = 256;

  FakeTokenizer() {
    for (int32_t byte = 0; byte < 256; ++byte) pieces_.emplace_back(1, static_cast<char>(byte));
    pieces_.emplace_back("<eos>");
  }

  // Before the tokenizer is shared.
  int32_t AddPiece(std::string piece) {
    pieces_.push_back(std::move(piece));
    return static_cast<int32_t>(pieces_.size()) - 1;
  }

  absl::StatusOr<Encoding> Encode(std::string_view text, const EncodeOptions&) const override {
    if (text.find('\xFF') != std::string_view::npos) {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidUtf8, "text",
                       "text is not UTF-8");
    }
    Encoding encoding;
    for (const char c : text) encoding.ids.push_back(static_cast<unsigned char>(c));
    return encoding;
  }

  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      if (id < 0 || id >= vocab_size() || (skip_special_tokens && IsSpecial(id))) continue;
      bytes += pieces_[static_cast<size_t>(id)];
    }
    return Repaired(bytes);
  }

  std::unique_ptr<DecodeSession> NewDecodeSession(bool skip_special_tokens) const override {
    return std::make_unique<Session>(this, skip_special_tokens);
  }

  std::string_view Piece(int32_t id) const override {
    return id < 0 || id >= vocab_size() ? std::string_view() : pieces_[static_cast<size_t>(id)];
  }
  bool IsSpecial(int32_t id) const override { return id == kEos; }
  int32_t vocab_size() const override { return static_cast<int32_t>(pieces_.size()); }
  const std::vector<int32_t>& eos_token_ids() const override { return eos_; }
  int32_t bos_token_id() const override { return -1; }

 private:
  // Keeps back a character that is not complete.
  class Session final : public DecodeSession {
   public:
    Session(const FakeTokenizer* tokenizer, bool skip_special_tokens)
        : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

    std::string Append(int32_t id) override {
      if (!skip_special_tokens_ || !tokenizer_->IsSpecial(id)) waiting_ += tokenizer_->Piece(id);
      const size_t whole = waiting_.size() - UnfinishedBytes(waiting_);
      std::string text = Repaired(std::string_view(waiting_).substr(0, whole));
      waiting_.erase(0, whole);
      return text;
    }
    std::string Flush() override { return Repaired(std::exchange(waiting_, {})); }

   private:
    const FakeTokenizer* const tokenizer_;
    const bool skip_special_tokens_;
    std::string waiting_;
  };

  // How many bytes at the end begin a character without ending it.
  static size_t UnfinishedBytes(std::string_view bytes) {
    for (size_t n = 1; n <= std::min<size_t>(3, bytes.size()); ++n) {
      const auto byte = static_cast<unsigned char>(bytes[bytes.size() - n]);
      if ((byte & 0xC0) != 0x80) return LengthByLead(byte) > n ? n : 0;
    }
    return 0;
  }

  static size_t LengthByLead(unsigned char lead) {
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead < 0xE0) return 2;
    if (lead >= 0xE0 && lead < 0xF0) return 3;
    return lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
  }

  // U+FFFD for each maximal run that begins a character and does not end it. Good enough here: no
  // check for surrogates and overlong forms.
  static std::string Repaired(std::string_view bytes) {
    std::string text;
    for (size_t i = 0; i < bytes.size();) {
      const size_t length = LengthByLead(static_cast<unsigned char>(bytes[i]));
      size_t n = 1;
      while (n < length && i + n < bytes.size() &&
             (static_cast<unsigned char>(bytes[i + n]) & 0xC0) == 0x80) {
        ++n;
      }
      text += n == length ? bytes.substr(i, n) : std::string_view("\xEF\xBF\xBD");
      i += n;
    }
    return text;
  }

  std::vector<std::string> pieces_;
  const std::vector<int32_t> eos_ = {kEos};
};

}  // namespace lamella
