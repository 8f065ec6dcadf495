// SafetensorsFile::Parse: every rule of the header, in the order in which bytes become trusted.
#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"
#include "common/formats/json_cursor.h"
#include "common/formats/safetensors.h"
#include "common/formats/safetensors_members.h"

namespace lamella {
namespace {

using safetensors::Refuse;
using safetensors::RefuseHeader;

constexpr uint64_t kLengthBytes = 8;
constexpr char kMetadataKey[] = "__metadata__";

// What people upload by mistake, recognised by its first bytes. The length of a safetensors header
// is below 2^32, so text and most magic numbers cannot be one; a short pickle's could.
std::optional<std::string> OtherFormat(std::string_view head) {
  if (head.starts_with("PK\x03\x04")) return "a zip archive (torch.save)";
  if (head.starts_with("GGUF")) return "a GGUF file";
  if (head.starts_with("version https://git-lfs")) return "a Git LFS pointer, not the file itself";
  if (head.size() < kLengthBytes || head[0] != '\x80' || head[1] < 2 || head[1] > 5) return {};
  const bool short_length = head.substr(4, 4) == std::string_view("\0\0\0\0", 4);
  if (short_length) return {};
  return "a pickle (torch.save)";
}

}  // namespace

class SafetensorsParser {
 public:
  // `bytes` is the whole file, or at least everything up to the end of its header.
  SafetensorsParser(std::span<const std::byte> bytes, uint64_t file_bytes,
                    const SafetensorsLimits& limits)
      : bytes_(bytes), file_bytes_(file_bytes), limits_(limits) {}

  absl::StatusOr<SafetensorsFile> Run() {
    ASSIGN_OR_RETURN(data_begin_, HeaderEnd());
    header_ = std::string_view(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                               data_begin_ - kLengthBytes);
    reader_.emplace(header_, file_bytes_, data_begin_, limits_);
    RETURN_IF_ERROR(ReadMembers());
    RETURN_IF_ERROR(CheckNames());
    RETURN_IF_ERROR(CheckLayout());
    RETURN_IF_ERROR(ReadMetadata());
    auto& tensors = file_.tensors_;
    tensors.reserve(entries_.size());
    for (const Entry& entry : entries_) {
      SafetensorsTensor tensor;
      ASSIGN_OR_RETURN(tensor.name, NameOf(entry));
      JsonCursor cursor(header_, entry.value_at);
      RETURN_IF_ERROR(reader_->ReadTensor(&cursor, &tensor));
      if (bytes_.size() == file_bytes_) {
        tensor.data = bytes_.subspan(tensor.file_offset, tensor.size_bytes);
      }
      tensors.push_back(std::move(tensor));
    }
    file_.index_.reserve(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) file_.index_.emplace(tensors[i].name, i);
    return std::move(file_);
  }

 private:
  // All that is kept of a tensor until the whole header has proved good: the rest is read again
  // from its place then. A refused header costs less than itself.
  struct Entry {
    uint64_t begin = 0;  // as file_offset
    uint64_t bytes = 0;
    uint64_t name_hash = 0;
    uint32_t name_at = 0;  // in the header: the opening quote
    uint32_t value_at = 0;
  };

  uint64_t Size() const { return file_bytes_; }

 public:
  // Checks everything about the header's place.
  absl::StatusOr<uint64_t> HeaderEnd() const {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    if (const auto other = OtherFormat(all.substr(0, kSafetensorsHeadBytes))) {
      return Refuse(reasons::kUnsupportedFormat, "",
                    absl::StrCat("this is ", *other,
                                 "; convert it to safetensors, for example with "
                                 "save_pretrained(..., safe_serialization=True)"));
    }
    if (Size() > limits_.max_file_bytes) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("the file has ", Size(), " bytes, at most ",
                                 limits_.max_file_bytes, " are taken"));
    }
    if (Size() < kLengthBytes) {
      return Refuse(reasons::kTruncated, "",
                    absl::StrCat("the header's length ends at byte ", kLengthBytes,
                                 " of the file, which has ", Size(), " bytes"));
    }
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) {
      length |= std::to_integer<uint64_t>(bytes_[i]) << (8 * i);
    }
    if (length > limits_.max_header_bytes) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("the header has ", length, " bytes, at most ",
                                 limits_.max_header_bytes, " are taken"));
    }
    if (length > Size() - kLengthBytes) {
      return Refuse(reasons::kTruncated, "",
                    absl::StrCat("the header ends at byte ", kLengthBytes + length,
                                 " of the file, which has ", Size(), " bytes"));
    }
    return kLengthBytes + length;
  }

 private:
  absl::Status ReadMembers() {
    if (!header_.starts_with('{')) return RefuseHeader("", "the header does not begin with '{'");
    JsonCursor cursor(header_, 1);
    if (!cursor.Take('}')) {
      do {
        RETURN_IF_ERROR(ReadMember(&cursor));
      } while (cursor.Take(','));
      if (!cursor.Take('}')) return safetensors::Malformed(cursor.at());
    }
    cursor.SkipSpace();
    return cursor.AtEnd() ? absl::OkStatus() : safetensors::Malformed(cursor.at());
  }

  absl::Status ReadMember(JsonCursor* cursor) {
    Entry entry;
    cursor->SkipSpace();
    entry.name_at = static_cast<uint32_t>(cursor->at());
    std::string& name = tensor_.name;
    RETURN_IF_ERROR(reader_->ReadName(cursor, &name));
    if (!cursor->Take(':')) return safetensors::Malformed(cursor->at());
    if (name == kMetadataKey) {
      if (!metadata_.empty()) return Twice(name);
      const auto value = cursor->Value();
      if (!value) return safetensors::Malformed(cursor->at());
      metadata_ = *value;
      return absl::OkStatus();
    }
    entry.value_at = static_cast<uint32_t>(cursor->at());
    if (entries_.size() >= limits_.max_tensors) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("more than ", limits_.max_tensors, " tensors"));
    }
    RETURN_IF_ERROR(reader_->ReadTensor(cursor, &tensor_));
    entry.begin = tensor_.file_offset;
    entry.bytes = tensor_.size_bytes;
    entry.name_hash = std::hash<std::string_view>()(name);
    entries_.push_back(entry);
    return absl::OkStatus();
  }

  static absl::Status Twice(const std::string& name) {
    return Refuse(reasons::kDuplicateKey, name,
                  absl::StrCat("the key ", QuoteForMessage(name), " appears twice"));
  }

  absl::StatusOr<std::string> NameOf(const Entry& entry) const {
    JsonCursor cursor(header_, entry.name_at);
    std::string name;
    RETURN_IF_ERROR(reader_->ReadName(&cursor, &name));
    return name;
  }

  // Last, so that a header that is refused for something else never becomes strings.
  absl::Status ReadMetadata() {
    if (metadata_.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const JsonValue value, reader_->ParseStrictly(metadata_));
    const JsonValue::Object* object = value.AsObject();
    if (object == nullptr) {
      return RefuseHeader(kMetadataKey, "__metadata__ must be an object of strings");
    }
    for (const JsonMember& member : *object) {
      const std::string* text = member.value.AsString();
      if (text == nullptr) {
        return RefuseHeader(kMetadataKey, absl::StrCat("__metadata__ must hold strings, ",
                                                       QuoteForMessage(member.key), " is ",
                                                       member.value.Describe()));
      }
      file_.metadata_.emplace_back(member.key, *text);
    }
    return absl::OkStatus();
  }

  // Sorts by name: no two are the same, however they are spelled.
  absl::Status CheckNames() {
    const auto earlier_name = [this](const Entry& a, const Entry& b) {
      return NameOf(a).value_or("") < NameOf(b).value_or("");
    };
    std::ranges::sort(entries_, [&](const Entry& a, const Entry& b) {
      return a.name_hash != b.name_hash ? a.name_hash < b.name_hash : earlier_name(a, b);
    });
    for (size_t i = 1; i < entries_.size(); ++i) {
      if (entries_[i - 1].name_hash != entries_[i].name_hash) continue;
      ASSIGN_OR_RETURN(const std::string before, NameOf(entries_[i - 1]));
      ASSIGN_OR_RETURN(const std::string name, NameOf(entries_[i]));
      if (name == before) return Twice(name);
    }
    return absl::OkStatus();
  }

  // Sorts by place; tensors must cover the data exactly, touching.
  absl::Status CheckLayout() {
    std::ranges::sort(entries_, {}, [](const Entry& entry) {
      return std::tuple(entry.begin, entry.bytes, entry.name_at);
    });
    uint64_t next = data_begin_;
    for (const Entry& entry : entries_) {
      if (entry.begin != next) {
        ASSIGN_OR_RETURN(const std::string name, NameOf(entry));
        return RefuseHeader(
            name, absl::StrCat(safetensors::Tensor(name), " begins at ", entry.begin - data_begin_,
                               entry.begin < next ? " inside" : " after a hole behind",
                               " the tensor before it, which ends at ", next - data_begin_));
      }
      next = entry.begin + entry.bytes;
    }
    if (next != Size()) {
      return RefuseHeader("", absl::StrCat(Size() - next, " bytes follow the last tensor"));
    }
    return absl::OkStatus();
  }

  const std::span<const std::byte> bytes_;
  const uint64_t file_bytes_;
  const SafetensorsLimits limits_;
  uint64_t data_begin_ = 0;
  std::string_view header_;
  std::optional<SafetensorsMembers> reader_;  // once the header's place is known
  std::string_view metadata_;                 // its value's text; empty: none
  SafetensorsTensor tensor_;                  // the one that is being read
  std::deque<Entry> entries_;                 // grows without a second copy
  SafetensorsFile file_;
};

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(std::span<const std::byte> bytes,
                                                       const SafetensorsLimits& limits) {
  return SafetensorsParser(bytes, bytes.size(), limits).Run();
}

absl::StatusOr<uint64_t> SafetensorsFile::HeaderEnd(std::span<const std::byte> head,
                                                    uint64_t file_bytes,
                                                    const SafetensorsLimits& limits) {
  return SafetensorsParser(head, file_bytes, limits).HeaderEnd();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::ParseHeader(std::span<const std::byte> head,
                                                             uint64_t file_bytes,
                                                             const SafetensorsLimits& limits) {
  return SafetensorsParser(head, file_bytes, limits).Run();
}

}  // namespace lamella
