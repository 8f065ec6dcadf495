// The protocol only grows: whatever the golden descriptor set has, the files of today have.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace lamella {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::ServiceDescriptorProto;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

// Every element of a descriptor set under its full name, with what must not change about it.
using Elements = std::map<std::string, std::string>;

std::string Describe(const FieldDescriptorProto& field, const DescriptorProto& message) {
  std::ostringstream out;
  out << "field " << field.number() << " type " << field.type() << " " << field.type_name()
      << " label " << field.label() << " optional " << field.proto3_optional();
  if (field.has_oneof_index() && !field.proto3_optional()) {
    out << " oneof " << message.oneof_decl(field.oneof_index()).name();
  }
  return out.str();
}

void Collect(const EnumDescriptorProto& e, const std::string& scope, Elements* out) {
  const std::string name = scope + "." + e.name();
  (*out)[name] = "enum";
  for (const auto& value : e.value()) {
    (*out)[name + "." + value.name()] = "value " + std::to_string(value.number());
  }
}

void Collect(const DescriptorProto& message, const std::string& scope, Elements* out) {
  const std::string name = scope + "." + message.name();
  (*out)[name] = "message";
  for (const auto& field : message.field()) {
    (*out)[name + "." + field.name()] = Describe(field, message);
  }
  for (const auto& nested : message.nested_type()) Collect(nested, name, out);
  for (const auto& nested : message.enum_type()) Collect(nested, name, out);
}

void Collect(const ServiceDescriptorProto& service, const std::string& scope, Elements* out) {
  const std::string name = scope + "." + service.name();
  (*out)[name] = "service";
  for (const auto& method : service.method()) {
    std::ostringstream text;
    text << "method " << method.input_type() << (method.client_streaming() ? " stream" : "")
         << " -> " << method.output_type() << (method.server_streaming() ? " stream" : "");
    (*out)[name + "." + method.name()] = text.str();
  }
}

Elements ElementsOf(const FileDescriptorSet& set) {
  Elements out;
  for (const auto& file : set.file()) {
    for (const auto& message : file.message_type()) Collect(message, file.package(), &out);
    for (const auto& e : file.enum_type()) Collect(e, file.package(), &out);
    for (const auto& service : file.service()) Collect(service, file.package(), &out);
  }
  return out;
}

// What `now` took away from `before` or changed.
std::vector<std::string> Breaks(const FileDescriptorSet& before, const FileDescriptorSet& now) {
  const Elements elements = ElementsOf(now);
  std::vector<std::string> breaks;
  for (const auto& [name, what] : ElementsOf(before)) {
    const auto found = elements.find(name);
    if (found == elements.end()) {
      breaks.push_back(name + " is gone");
    } else if (found->second != what) {
      breaks.push_back(name + " was \"" + what + "\" and is \"" + found->second + "\"");
    }
  }
  return breaks;
}

FileDescriptorSet Load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  FileDescriptorSet set;
  EXPECT_TRUE(set.ParseFromIstream(&in)) << path;
  EXPECT_GE(set.file_size(), 3) << path;
  return set;
}

FileDescriptorSet Golden() { return Load(LAMELLA_SOURCE_DIR "/proto/golden/lamella.desc"); }

TEST(ProtoCompatibilityTest, NothingOfTheGoldenSetIsGoneOrChanged) {
  EXPECT_THAT(Breaks(Golden(), Load(LAMELLA_DESCRIPTORS)), IsEmpty());
}

TEST(ProtoCompatibilityTest, TheGoldenSetIsUpToDate) {
  EXPECT_THAT(Breaks(Load(LAMELLA_DESCRIPTORS), Golden()), IsEmpty())
      << "refresh it: cmake --build --preset release --target lamella_proto_golden";
}

class ProtoBreakTest : public testing::Test {
 protected:
  // The message of the golden set that has this name.
  DescriptorProto* Message(const std::string& name) {
    for (auto& file : *changed_.mutable_file()) {
      for (auto& message : *file.mutable_message_type()) {
        if (message.name() == name) return &message;
      }
    }
    ADD_FAILURE() << name;
    return nullptr;
  }
  void ExpectBreak(const std::string& part) {
    EXPECT_THAT(Breaks(Golden(), changed_), Contains(HasSubstr(part)));
  }

  FileDescriptorSet changed_ = Golden();
};

TEST_F(ProtoBreakTest, ARemovedFieldIsSeen) {
  Message("Usage")->mutable_field()->DeleteSubrange(0, 1);
  ExpectBreak("lamella.v1.Usage.prompt_tokens is gone");
}

TEST_F(ProtoBreakTest, ARenumberedFieldIsSeen) {
  Message("Usage")->mutable_field(0)->set_number(99);
  ExpectBreak("lamella.v1.Usage.prompt_tokens was");
}

TEST_F(ProtoBreakTest, ARetypedFieldIsSeen) {
  Message("Usage")->mutable_field(0)->set_type(FieldDescriptorProto::TYPE_INT64);
  ExpectBreak("lamella.v1.Usage.prompt_tokens was");
}

TEST_F(ProtoBreakTest, AFieldThatLosesItsPresenceIsSeen) {
  Message("SamplingOptions")->mutable_field(0)->clear_proto3_optional();
  ExpectBreak("lamella.v1.SamplingOptions.temperature was");
}

TEST_F(ProtoBreakTest, ARemovedMethodIsSeen) {
  for (auto& file : *changed_.mutable_file()) {
    for (auto& service : *file.mutable_service()) service.mutable_method()->RemoveLast();
  }
  ExpectBreak("lamella.v1.GenerationService.ListUsableAdapters is gone");
  ExpectBreak("lamella.v1.AdapterAdminService.ListMisfits is gone");
}

TEST_F(ProtoBreakTest, AnAdditionIsNoBreak) {
  FieldDescriptorProto* field = Message("Usage")->add_field();
  field->set_name("new_field");
  field->set_number(50);
  field->set_type(FieldDescriptorProto::TYPE_INT32);
  EXPECT_THAT(Breaks(Golden(), changed_), IsEmpty());
}

}  // namespace
}  // namespace lamella
