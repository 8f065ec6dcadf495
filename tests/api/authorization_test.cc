#include "server/api/authorization.h"

#include <google/protobuf/descriptor.h>

#include <functional>
#include <string>

#include "common/base/reasons.h"
#include "lamella/v1/adapter_admin.pb.h"
#include "lamella/v1/generation.pb.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using testing::IsError;
using testing::IsOk;

void ForEachMethod(const std::function<void(const MethodDescriptor&)>& visit) {
  for (const FileDescriptor* file :
       {v1::GenerateRequest::descriptor()->file(), v1::GetAdapterRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        visit(*file->service(s)->method(m));
    }
  }
}

Caller With(Roles roles) { return {.name = "c", .tenant = "t", .roles = roles}; }

TEST(AuthorizationTest, EveryMethodOfBothServicesHasADecision) {
  int methods = 0;
  ForEachMethod([&](const MethodDescriptor& method) {
    ++methods;
    const auto roles = RolesFor(method.input_type()->full_name());
    ASSERT_TRUE(roles.has_value()) << method.full_name();
    EXPECT_FALSE(roles->empty()) << method.full_name();
    // Decisions go by request type: no two methods may share one.
    EXPECT_EQ(method.input_type()->name(), method.name() + "Request");
  });
  EXPECT_EQ(methods, 22);
}

TEST(AuthorizationTest, WhatNobodyDecidedNobodyMayCall) {
  EXPECT_TRUE(IsError(Authorize(With(Roles::All()), "lamella.v1.NewRequest"),
                      absl::StatusCode::kPermissionDenied, reasons::kPermissionDenied));
}

TEST(AuthorizationTest, RolesOpenTheirOwnDoorsOnly) {
  const auto allowed = [](Roles roles, const char* type) {
    return Authorize(With(roles), std::string("lamella.v1.") + type).ok();
  };
  EXPECT_TRUE(allowed(Role::kInference, "GenerateRequest"));
  EXPECT_FALSE(allowed(Role::kInference, "UploadAdapterRequest"));
  EXPECT_FALSE(allowed(Role::kInference, "ListAdaptersRequest"));
  EXPECT_TRUE(allowed(Role::kAdapterWriter, "UploadAdapterRequest"));
  EXPECT_FALSE(allowed(Role::kAdapterWriter, "GenerateRequest"));
  EXPECT_FALSE(allowed(Role::kAdapterWriter, "PinVersionRequest"));
  EXPECT_FALSE(allowed(Role::kAdapterWriter, "QuarantineVersionRequest"));
  EXPECT_TRUE(allowed(Role::kOperator, "PinVersionRequest"));
  EXPECT_TRUE(allowed(Role::kOperator, "DeleteAdapterRequest"));
  EXPECT_FALSE(allowed(Roles(), "GenerateRequest"));
}

TEST(AuthorizationTest, ARefusalNamesTheRoles) {
  EXPECT_TRUE(IsError(Authorize(With(Role::kInference), "lamella.v1.UploadAdapterRequest"),
                      absl::StatusCode::kPermissionDenied, reasons::kPermissionDenied, "",
                      "adapter-writer or operator"));
}

}  // namespace
}  // namespace lamella
