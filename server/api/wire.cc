#include "server/api/wire.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <map>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

constexpr int kMaxDepth = 16;

struct BadString {
  std::string path;
  size_t offset = 0;
};

// The first string of `fields`, read as a `type`, that is not UTF-8.
std::optional<BadString> FindBadString(const UnknownFieldSet& fields, const Descriptor& type,
                                       int depth) {
  std::map<int, int> seen;  // occurrences of each field so far
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    const FieldDescriptor* known = type.FindFieldByNumber(field.number());
    if (known == nullptr || field.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    const int index = seen[field.number()]++;
    const std::string path =
        known->is_repeated() ? absl::StrCat(known->name(), "[", index, "]") : known->name();
    if (known->type() == FieldDescriptor::TYPE_STRING) {
      const auto offset = utf8::FindInvalid(field.length_delimited());
      if (offset.has_value()) return BadString{path, *offset};
    } else if (known->type() == FieldDescriptor::TYPE_MESSAGE && depth < kMaxDepth) {
      UnknownFieldSet inner;
      if (!inner.ParseFromString(field.length_delimited())) continue;
      auto bad = FindBadString(inner, *known->message_type(), depth + 1);
      if (bad.has_value()) return BadString{path + "." + bad->path, bad->offset};
    }
  }
  return std::nullopt;
}

// Why `wire` does not parse as a `type`.
absl::Status ExplainFailure(const grpc::ByteBuffer& wire, const Descriptor& type) {
  grpc::ByteBuffer copy(wire);  // shares the bytes
  grpc::ProtoBufferReader reader(&copy);
  UnknownFieldSet fields;
  if (fields.ParseFromZeroCopyStream(&reader)) {
    if (const auto bad = FindBadString(fields, type, 0); bad.has_value()) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, reasons::kInvalidUtf8, bad->path,
          absl::StrCat(bad->path, ": is not UTF-8, first bad byte at offset ", bad->offset));
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMalformedRequest, "",
                   absl::StrCat("the message is not a ", type.full_name()));
}

}  // namespace

absl::Status ParseMessage(const grpc::ByteBuffer& wire, google::protobuf::Message* message) {
  grpc::ByteBuffer copy(wire);
  if (copy.Valid()) {
    grpc::ProtoBufferReader reader(&copy);
    if (reader.status().ok() && message->ParseFromZeroCopyStream(&reader)) {
      return absl::OkStatus();
    }
  }
  return ExplainFailure(wire, *message->GetDescriptor());
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  const std::string bytes = message.SerializeAsString();
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace lamella
