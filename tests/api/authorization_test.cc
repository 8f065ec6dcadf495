#include "server/api/authorization.h"

#include <string>

#include "common/base/reasons.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;

Caller With(Roles roles) { return {.name = "c", .tenant = "t", .roles = roles}; }

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

TEST(AuthorizationTest, OnlyHealthIsOpenToAnyone) {
  EXPECT_TRUE(AccessTo("grpc.health.v1.HealthCheckRequest")->anyone);
  for (const char* type : {"lamella.v1.GenerateRequest", "grpc.channelz.v1.GetServersRequest",
                           "grpc.reflection.v1.ServerReflectionRequest"}) {
    EXPECT_FALSE(AccessTo(type)->anyone) << type;
  }
  EXPECT_FALSE(AccessTo("lamella.v1.NewRequest").has_value());
}

TEST(AuthorizationTest, ARefusalNamesTheRoles) {
  EXPECT_TRUE(IsError(Authorize(With(Role::kInference), "lamella.v1.UploadAdapterRequest"),
                      absl::StatusCode::kPermissionDenied, reasons::kPermissionDenied, "",
                      "adapter-writer or operator"));
}

}  // namespace
}  // namespace lamella
